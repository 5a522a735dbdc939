// Unsaved work: kept in this browser at once and at the monitor soon after, so that it survives a reload.

const LOCAL = 150, SERVER = 1500, BEAT = 45000; // milliseconds: after a change; a sign of life, which renews the lease
const ASLEEP = 600000; // milliseconds without a key or a pointer after which no sign of life is given
const FORMAT = 2;
const place = (id) => `parfocal.draft.${id}`;

/** The drafts that this browser keeps; nothing is thrown where it keeps none. */
const kept = {
  read(id) {
    try {
      return JSON.parse(localStorage.getItem(place(id)));
    } catch {
      return null;
    }
  },
  write(id, values) {
    try {
      localStorage.setItem(place(id), JSON.stringify(values));
      return true;
    } catch {
      return false; // private windows, a full disk
    }
  },
  drop(id) {
    try {
      localStorage.removeItem(place(id));
    } catch { /* it was not kept */ }
  },
};

/** The newer of this browser's draft and the monitor's; null without one that can be read. Another person's is nobody's business. */
export function newest(open) {
  const mine = (one) => one?.format === FORMAT && one.case === open.case && one.annotator === open.annotator;
  const found = [kept.read(open.case), open.draft].filter(mine);
  return found.sort((a, b) => b.saved - a.saved)[0] ?? null;
}

/** Saves the work of one open case until it is closed. */
export class Draft {
  /**
   * @param send (values, keepalive) -> promise, to the monitor
   * @param values () -> what is to be kept
   * @param said ({state: "saved" | "here" | "lost", error}) hears how it went
   */
  constructor(open, values, send, said) {
    Object.assign(this, { open, values, send, said });
    this.acted = performance.now();
    this.beat = setInterval(() => this.#alive(), BEAT);
  }

  /** Something changed. */
  changed() {
    clearTimeout(this.local);
    this.local = setTimeout(() => this.#here(), LOCAL);
    if (!this.held) this.server ??= setTimeout(() => this.#there(), SERVER);
  }

  /** Send nothing to the monitor while the case is handed in: a draft of a case that is done would be refused. */
  async hold(finish) {
    this.held = true;
    clearTimeout(this.server);
    this.server = undefined;
    await this.sending;
    try {
      return await finish();
    } catch (error) {
      this.held = false;
      this.changed();
      throw error;
    }
  }

  /** A person is there. */
  touch() {
    this.acted = performance.now();
  }

  /** The page is going away: what can be kept is kept now. */
  flush() {
    if (this.held || (!this.local && !this.server)) return;
    this.#here();
    this.#there(true);
  }

  /** No more saving. @param forget the case is done, so the draft goes */
  close(forget) {
    clearTimeout(this.local);
    clearTimeout(this.server);
    clearInterval(this.beat);
    this.closed = true;
    if (forget) kept.drop(this.open.case);
  }

  /** What is kept: the work and when it was so. */
  stamped() {
    return { format: FORMAT, case: this.open.case, annotator: this.open.annotator, saved: Date.now(), ...this.values() };
  }

  #here() {
    clearTimeout(this.local);
    this.local = undefined;
    this.stored = kept.write(this.open.case, this.stamped());
  }

  #there(keepalive = false) {
    clearTimeout(this.server);
    this.server = undefined;
    this.sending = this.#send(keepalive);
  }

  async #send(keepalive) {
    try {
      await this.send(this.stamped(), keepalive);
      if (!this.closed) this.said({ state: "saved" });
    } catch (error) {
      if (!this.closed) this.said({ state: this.stored ? "here" : "lost", error });
    }
  }

  #alive() {
    if (!this.held && !document.hidden && performance.now() - this.acted < ASLEEP) this.#there();
  }
}
