// From one case to the next: open, propose, accept, put away. Says what happens and what went wrong.

import * as api from "./api.js";
import { Desk } from "./desk.js";
import { ask, calm, trouble } from "./dialogs.js";
import * as panel from "./panel.js";
import { done, hush, say } from "./said.js";

const $ = (id) => document.getElementById(id);
const GONE = 409, ELSEWHERE = 423; // the lease is somebody else's now, or the same person's on another page
const OPEN = "parfocal.open"; // in this tab: a case was open, so a reload goes on with it
const REASONS = {
  skip: { title: "Skip this case", text: "It goes back into the queue; your drawing is not kept.", least: 0, label: "Reason, if you like", yes: "Skip" },
  reject: { title: "Reject this case", text: "It is never shown again. For pictures that should not be learned from.", label: "Reason", yes: "Reject" },
  unreadable: { title: "Nobody can label this", text: "It is never shown again.", label: "What is wrong with the picture", yes: "Unreadable" },
};

const DONE = {
  skip: "Skipped: the case is back in the queue.",
  reject: "Rejected: the case is never shown again.",
  unreadable: "Marked as unreadable: the case is never shown again.",
  release: "",
};

/** Leave for the sign-in page, which comes back here. */
export function signIn() {
  location.assign(`sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

export class Flow {
  /** @param shown () draws the controls and the picture anew @param choose (structure) */
  constructor(queue, view, tools, { shown, choose }) {
    Object.assign(this, { queue, view, tools, shown, choose });
    this.desk = null;
    this.annotator = "";
    this.busy = false;
  }

  /** Run one of these at a time; a failure is shown with a way to try again. */
  async once(action) {
    if (this.busy) return;
    this.busy = true;
    document.body.setAttribute("aria-busy", "true");
    try {
      await action();
    } catch (error) {
      this.failed(error, () => this.once(action));
    } finally {
      this.busy = false;
      document.body.removeAttribute("aria-busy");
    }
  }

  /** Show an error; nothing is lost by it. */
  failed(error, again = null) {
    if (error.status === 401) {
      this.desk?.draft.flush();
      return signIn();
    }
    const back = () => this.once(this.#takeBack);
    if (error.status === ELSEWHERE && this.desk) return trouble(error, back, "Take it back here");
    if (error.status !== GONE || !this.desk) return trouble(error, again);
    trouble(error, () => this.once(async () => { // the drawing stays in this browser
      await this.#done(await api.queue(), false);
      await this.next();
    }), "Take the next case");
  }

  /** Whether this tab had a case when it was last here. */
  get resumes() {
    return sessionStorage.getItem(OPEN) === "yes";
  }

  /** The case that the same person opened elsewhere; of both drawings the newer one. */
  #takeBack = async () => {
    const { instrument } = this.desk.open;
    await this.#done(await api.queue(), false);
    await this.next(instrument);
  };

  next = async (instrument = this.queue.chosen) => {
    if (this.desk) return;
    const open = await api.next(instrument, this.annotator);
    if (!open) {
      sessionStorage.removeItem(OPEN);
      this.queue.show(await api.queue());
      return this.idle("Nothing waits", this.queue.trouble || "What waits is with somebody else, or you have labelled it already.");
    }
    sessionStorage.setItem(OPEN, "yes");
    try {
      this.desk = await Desk.open(open, this.queue.data.structures, this.#hears());
    } catch (error) {
      if (error instanceof api.Problem) throw error;
      await api.leave(open, "skip", "the browser cannot show the photograph"); // or it would come back for ever
      throw new api.Problem(0, { what: "a photograph cannot be shown, and was skipped", next: "take the next case" });
    }
    calm();
    this.#present(open);
    if (!this.desk.byHand && !this.desk.restored && $("proposal-first").checked) this.propose(); // nobody waits for it
  };

  propose = async () => {
    const { desk } = this;
    if (!desk || desk.byHand) return;
    const began = performance.now();
    say("Asking the model for its proposal…");
    $("stage").setAttribute("aria-busy", "true");
    try {
      const taken = await desk.propose(), ms = Math.round(performance.now() - began);
      if (this.desk !== desk) return;
      say(taken ? `The model’s proposal, after ${ms} ms. Correct it where it is wrong.` : "You have begun, so the proposal was left out. P shows it.");
    } catch (error) {
      if (this.desk !== desk) return;
      say("There is no proposal. The drawing tools work all the same.");
      this.failed(error, this.propose);
    } finally {
      if (this.desk === desk) $("stage").removeAttribute("aria-busy");
    }
  };

  accept = async () => {
    const { desk } = this;
    if (!desk) return;
    this.tools.rest();
    if (this.tools.corners) this.tools.close();
    if (desk.empty) return say("Nothing is drawn yet, so there is nothing to accept.", true);
    if (!(await this.#sure(desk))) return;
    this.tools.cancel();
    const { instrument } = desk.open, { labelled, needed, queue } = await desk.accept();
    await this.#done(queue, true);
    const more = needed ? `${needed} more until a retrain may start` : "enough for a retrain";
    done(`Accepted: ${labelled} labelled, ${more}.`);
    if (needed) return this.#onwards();
    this.idle("Enough for a retrain", "The bar above says what becomes of these labels. Who goes on labels for the next one.", instrument);
  };

  /** Whether a person wants to hand it in as it is, having been told what may be wrong. */
  async #sure(desk) {
    const { doubts, specks } = desk, { corners } = this.tools;
    if (corners) doubts.unshift(`The polygon needs three corners and has ${corners.length}: it is left out.`);
    const scattered = ({ name, pieces, found }) => `The ${name} is in ${found} separate pieces; ${pieces} is the most to be expected.`;
    doubts.push(...specks.map(scattered));
    if (!doubts.length) return true;
    const other = specks.length ? "Keep the largest" : "";
    const said = await ask({ title: "Accept it like this?", text: doubts.join(" "), yes: "Accept", other });
    if (said === "other") {
      desk.keepLargest();
      say("The small pieces are gone. Accept it now, or undo.", true);
    }
    return said === true;
  }

  /** @param how "skip", "reject", "unreadable" or "release" */
  leave = async (how) => {
    const { desk } = this;
    if (!desk) return;
    this.tools.rest(); // an open polygon stays, and goes into the draft
    const reason = REASONS[how] ? await ask(REASONS[how]) : "";
    if (reason === null) return;
    const drawn = !desk.empty, { queue } = await desk.leave(how, reason);
    await this.#done(queue, how !== "release");
    if (how === "release") this.idle("Put back", drawn ? "Your drawing is kept until you take the case up again." : "Nothing was drawn on it.");
    done(DONE[how]);
    if (how !== "release") await this.#onwards();
  };

  /** No case on the desk. @param about the instrument that the bar is about; by default the chosen one */
  idle(title, text, about = null) {
    for (const [id, hidden] of [["idle", false], ["work", true], ["purpose", true]]) $(id).hidden = hidden;
    this.queue.progress(about);
    $("idle-title").textContent = title;
    $("idle-text").textContent = text || this.queue.trouble;
    $("next").disabled = !this.queue.data.annotating;
    const mine = this.queue.held(this.annotator);
    $("next").firstChild.textContent = mine ? `Go on with your case of ${mine.instrument} ` : "Next case ";
    $("idle-title").focus();
  }

  async #onwards() {
    try {
      await this.next();
    } catch (error) {
      this.failed(error, () => this.once(this.next));
    }
  }

  async #done(queue, forget) {
    this.desk.close(forget);
    this.desk = null;
    sessionStorage.removeItem(OPEN);
    calm(); // what was wrong was about this case
    this.view.clear();
    this.tools.reset(null, "");
    this.queue.show(queue);
    this.idle("No case is open", "");
  }

  #present({ instrument, why, side, second }) {
    const { desk, tools } = this, names = desk.work.structures.map(({ name }) => name);
    $("idle").hidden = true;
    $("work").hidden = false;
    this.view.show(desk.bitmap, desk.work.layers);
    tools.reset(desk.work, names[0]);
    if (desk.byHand && tools.tool === "click") tools.use("brush");
    if (desk.shape) tools.resume(desk.shape);
    panel.structures(desk.work.layers, names, tools.structure, this.choose);
    panel.purpose(desk.byHand, side, second);
    $("why").textContent = `${why.text[0].toUpperCase()}${why.text.slice(1)}.`;
    $("kept").textContent = desk.restored ? "Your draft was found and taken up." : "";
    say(`A case of ${instrument || "an undeclared instrument"}.`);
    this.queue.progress(instrument);
    this.shown();
    $("stage").removeAttribute("aria-busy");
    $("stage").focus({ preventScroll: true });
  }

  #hears() {
    return {
      changed: () => {
        hush();
        if (this.desk) this.shown();
      },
      shape: () => this.tools.shape,
      kept: ({ state, error }) => {
        const said = { saved: "Draft saved.", here: "The draft is kept in this browser only.", lost: "The draft could not be kept." };
        const banner = error && [401, GONE, ELSEWHERE].includes(error.status); // then it is said there, and not twice
        $("kept").textContent = error && !banner ? `${said[state]} ${error.text ?? error.message}` : said[state];
        if (banner) this.failed(error);
      },
      refined: ({ name, state, ms, round, error }) => {
        if (state === "asked") return say(`Asking the model about the ${name}…`);
        if (state === "answered") {
          calm();
          return say(`The model answered about the ${name} in ${Math.round(ms)} ms (${Math.round(round)} ms with the way here).`);
        }
        say(`No answer about the ${name}. Your clicks are kept.`);
        return this.failed(error, () => this.desk?.refiner.resume());
      },
    };
  }
}
