// One open case on the desk: its picture, work, model calls and draft, from `open` to `close`.

import * as api from "./api.js";
import { Refiner, Work } from "./clicks.js";
import { Draft, newest } from "./draft.js";

const IDLE = 60000; // milliseconds without a key or a pointer that do not count as work

/** Everything that belongs to one case, and nothing that outlives it. */
export class Desk {
  /** @param open what `next` answered @param structures of the queue @param hears {refined, kept, changed} */
  static async open(open, structures, hears) {
    const bitmap = await createImageBitmap(await api.image(open));
    return new Desk(open, structures, bitmap, hears);
  }

  constructor(open, structures, bitmap, hears) {
    this.open = open;
    this.bitmap = bitmap;
    this.byHand = open.purpose === "test";
    this.work = new Work(structures, bitmap.width, bitmap.height);
    this.refiner = new Refiner(this.work, (_, body, signal) => api.refine(open, body, signal), hears.refined);
    this.seconds = 0;
    this.seen = performance.now();
    const found = newest(open);
    if (found) this.#restore(found);
    this.restored = !!found;
    this.shape = found?.shape; // a polygon that was not closed when the draft was kept
    this.hears = hears;
    const send = (values, keepalive) => api.saveDraft(open, values, keepalive);
    this.draft = new Draft(open, () => this.#values(), send, hears.kept);
    for (const what of ["changed", "restored"]) {
      this.work.addEventListener(what, () => {
        this.draft.changed();
        hears.changed();
      });
    }
    this.refiner.resume();
  }

  /** A person did something: the clock of the case runs on. */
  touch() {
    const now = performance.now();
    this.seconds += Math.min(now - this.seen, IDLE) / 1000;
    this.seen = now;
    this.draft.touch();
  }

  /**
   * Show what the champion draws; false where somebody has begun meanwhile, whose work stays. Undo takes the masks
   * away again; the mark `assisted` stays, as the monitor has it.
   */
  async propose() {
    const asked = this.work.now, { past } = this.work;
    const { structures } = await api.proposal(this.open);
    if (this.closed) return false;
    this.work.assisted = true;
    if (this.work.now !== asked || this.work.past !== past) return false;
    this.refiner.stop();
    this.work.begin();
    for (const [name, { rle }] of Object.entries(structures)) if (this.work.now[name]) this.work.heard(name, rle);
    return true;
  }

  /** Before a mask is drawn on by hand: an answer that comes now would wipe the stroke out. */
  draw(name) {
    this.refiner.stop(name);
    this.work.begin();
  }

  /** After it; clicks without an answer are asked for again, with the drawn mask as the one so far. */
  drawn(name) {
    this.work.drawn(name);
    if (this.work.now[name].pending) this.refiner.refine(name);
  }

  /** Instead of `drawn`: the stroke was none. */
  drop(name) {
    this.work.abandon(name);
    if (this.work.now[name].pending) this.refiner.refine(name);
  }

  click(name, click) {
    this.work.click(name, click);
    this.refiner.refine(name);
  }

  /** Take a structure away; false where there is nothing of it. */
  clear(name) {
    if (this.work.empty(name) && !this.work.now[name].clicks.length) return false;
    this.refiner.stop(name);
    this.work.clear(name);
    return true;
  }

  travel(back) {
    this.refiner.stop();
    const moved = back ? this.work.undo() : this.work.redo();
    this.refiner.resume();
    return moved;
  }

  /** What a person should know before it is accepted: sentences. */
  get doubts() {
    const { structures } = this.work, found = [];
    for (const { name, within } of structures) {
      if (this.work.now[name].pending) found.push(`The clicks on the ${name} have no answer yet.`);
      if (this.work.empty(name)) found.push(`Nothing is drawn for the ${name}: it stays without a label.`);
      else if (this.over(name, within)) {
        found.push(`${this.over(name, within)} pixels of the ${name} lie outside the ${within}: they will be cut off.`);
      }
    }
    return found;
  }

  /** Structures in more pieces than the task has: [{name, pieces, found}]. */
  get specks() {
    const limited = this.work.structures.filter(({ pieces }) => pieces); // 0: any number
    return limited.map(({ name, pieces }) => ({ name, pieces, found: this.work.mask(name).pieces().length }))
      .filter(({ pieces, found }) => found > pieces);
  }

  /** Of such structures keep the largest pieces: one step that undo takes back. */
  keepLargest() {
    const { specks } = this;
    this.refiner.stop();
    this.work.begin();
    for (const { name, pieces } of specks) {
      this.work.layer(name).changed(this.work.mask(name).largest(pieces));
      this.work.drawn(name);
    }
    this.refiner.resume();
  }

  over(name, within) {
    return within && !this.work.empty(within) ? this.work.mask(name).outside(this.work.mask(within)) : 0;
  }

  get empty() {
    return this.work.structures.every(({ name }) => this.work.empty(name));
  }

  async accept() {
    this.refiner.stop();
    this.touch();
    for (const { name, within } of this.work.structures) {
      if (!this.over(name, within)) continue;
      this.work.begin();
      this.work.layer(name).changed(this.work.mask(name).cut(this.work.mask(within)));
      this.work.drawn(name);
    }
    const drawn = this.work.structures.filter(({ name }) => !this.work.empty(name));
    const masks = Object.fromEntries(drawn.map(({ name }) => [name, this.work.now[name].rle]));
    const body = { masks, clicks: this.work.count, assisted: this.work.assisted, seconds: Math.round(this.seconds) };
    return this.draft.hold(() => api.accept(this.open, body));
  }

  /** Give the case back: `how` and `reason` as `api.leave` has them. A case that is put back keeps its draft. */
  leave(how, reason) {
    this.refiner.stop();
    return this.draft.hold(async () => {
      if (how === "release") await this.draft.send(this.draft.stamped());
      return api.leave(this.open, how, reason);
    });
  }

  /** @param forget the case is done here, and its draft with it */
  close(forget) {
    this.closed = true;
    this.refiner.stop();
    this.draft.close(forget);
    this.bitmap.close();
  }

  #values() {
    const { now, assisted } = this.work, shape = this.hears.shape();
    return { structures: now, assisted, seconds: Math.round(this.seconds), shape };
  }

  #restore({ structures, assisted, seconds }) {
    try {
      this.work.restore(structures);
      this.work.assisted = !!assisted;
      this.seconds = seconds ?? 0;
    } catch { /* a draft of another picture: the work begins anew */ }
  }
}
