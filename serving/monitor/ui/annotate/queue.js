// What waits, what is labelled, how well people agree: the bar above and the table of the idle page.

const $ = (id) => document.getElementById(id);
const sum = (counts) => counts.train + counts.test;

/** Shows the monitor's answer about the queue. */
export class Queue {
  constructor() {
    this.data = null;
  }

  /** The instrument that a person wants; null for any. */
  get chosen() {
    return $("instrument").value || null;
  }

  show(data) {
    this.data = data;
    this.#choices(data.instruments);
    this.#table(data.instruments);
    this.progress(this.open);
  }

  /** The lease that this person holds already; undefined without one. */
  held(annotator) {
    return this.data?.leases?.find((lease) => lease.annotator === annotator);
  }

  get waiting() {
    const wanted = this.data?.instruments.filter(({ name }) => !this.chosen || name === this.chosen) ?? [];
    return wanted.reduce((all, { waiting }) => all + sum(waiting), 0);
  }

  /** One line about an instrument: of the open case, or the chosen one, or the one whose labels were handed in last, or
   * the first, which is one that labels are asked for if there is such a one. */
  progress(name) {
    this.open = name;
    const all = this.data?.instruments ?? [], one = name ?? this.chosen;
    const last = all.filter(({ run }) => run).sort((a, b) => b.run.decided - a.run.decided)[0] ?? all[0];
    const found = one === null ? last : all.find((instrument) => instrument.name === one);
    const text = found ? `${found.name}: ${said(found)}` : `${all.length} instruments`;
    if (text === this.said) return; // nobody hears it twice
    this.said = text;
    $("progress").textContent = text;
    const waits = found?.run?.outcome === "inconclusive" && !found.run.followed;
    if (waits) $("progress").append(" ", Object.assign(document.createElement("a"), { href: ".", textContent: "The monitor’s page" }));
  }

  /** Why nothing can be labelled; empty when it can. */
  get trouble() {
    if (!this.data.annotating) return "This monitor is not the one that leads, so nothing can be labelled here. Open the other one’s page.";
    if (!this.waiting && this.data.instruments.some(({ run }) => run)) {
      return "No photograph waits for a label now. The bar above says what became of the labels so far.";
    }
    if (!this.waiting) {
      return "No photograph waits. The segmenter keeps photographs when it is started with PARFOCAL_CAPTURE=1; those of a new camera come here.";
    }
    return "";
  }

  #choices(instruments) {
    const select = $("instrument"), before = select.value;
    select.replaceChildren(new Option("any", ""), ...instruments.map(({ name }) => new Option(name || "undeclared", name)));
    select.value = instruments.some(({ name }) => name === before) ? before : "";
  }

  #table(instruments) {
    const rows = instruments.map((one) => {
      const cells = [one.experience, `${one.labelled.train} of ${one.wanted.train}`, `${one.labelled.test} of ${one.wanted.test}`,
        `${one.waiting.train} training, ${one.waiting.test} by hand`, agreement(one.agreement) || "not known yet"];
      const row = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = one.name || "undeclared";
      row.append(head, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    });
    $("instruments").tBodies[0].replaceChildren(...rows);
    $("instruments").hidden = !rows.length;
  }
}

function said({ labelled, wanted, agreement: agreed, run }) {
  const before = run ? `${handedIn(run)} ${run.state === "decided" ? "" : "For the next one: "}` : "";
  const parts = [`${before}${sum(labelled)} of ${sum(wanted)} labelled (training ${labelled.train} of ${wanted.train}, by hand ${labelled.test} of ${wanted.test})`];
  if (agreed) parts.push(`agreement ${agreement(agreed)}`);
  return parts.join("; ");
}

const GATE = {
  promote: "the gate promoted the new model.",
  refuse: "the gate refused the new model, and the one before goes on.",
  inconclusive: "the gate is not sure (inconclusive): a person must decide, see the monitor’s page.",
};

/** What became of the labels of the latest retrain. */
function handedIn({ cases, decided, state, outcome, followed }) {
  const labels = `${cases} ${cases === 1 ? "label" : "labels"} handed in at ${clock(decided)}; `;
  if (state === "decided") return `${labels}a retrain is about to start.`;
  if (state === "failed") return `${labels}the retrain has failed, see the monitor’s page.`;
  if (state === "cancelled") return `${labels}the retrain was stopped, see the monitor’s page.`;
  if (state !== "succeeded") return `${labels}a retrain is running.`;
  if (outcome === "inconclusive" && followed) return `${labels}the gate was not sure, and a new model has taken over since.`;
  return `${labels}${GATE[outcome] ?? "the retrain has ended."}`;
}

/** The time of a moment in unix seconds, and its day where that is another one. */
function clock(seconds) {
  const moment = new Date(1000 * seconds), time = moment.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const today = moment.toDateString() === new Date().toDateString();
  return today ? time : `${time} on ${moment.toLocaleDateString("en-GB", { day: "numeric", month: "long" })}`;
}

function agreement(found) {
  return Object.entries(found ?? {}).map(([name, { dice, cases }]) => `${name} Dice ${dice.toFixed(2)} (${cases})`).join(", ");
}
