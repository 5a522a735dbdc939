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

  /** One line about an instrument: of the open case, or the chosen one, or the only one. */
  progress(name) {
    this.open = name;
    const all = this.data?.instruments ?? [], one = name ?? this.chosen ?? (all.length === 1 ? all[0].name : null);
    const found = all.find((instrument) => instrument.name === one);
    $("progress").textContent = found ? `${found.name}: ${said(found)}` : `${all.length} instruments`;
  }

  /** Why nothing can be labelled; empty when it can. */
  get trouble() {
    if (!this.data.annotating) return "This monitor is not the one that leads, so nothing can be labelled here. Open the other one’s page.";
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

function said({ labelled, wanted, agreement: agreed }) {
  const parts = [`${sum(labelled)} of ${sum(wanted)} labelled (training ${labelled.train} of ${wanted.train}, by hand ${labelled.test} of ${wanted.test})`];
  if (agreed) parts.push(`agreement ${agreement(agreed)}`);
  return parts.join("; ");
}

function agreement(found) {
  return Object.entries(found ?? {}).map(([name, { dice, cases }]) => `${name} Dice ${dice.toFixed(2)} (${cases})`).join(", ");
}
