// The work on one case: masks and clicks by structure, undo and redo over both, and the model's answers in order.

import { Layer } from "./layer.js";
import { Mask } from "./masks.js";

const REMEMBERED = 300; // steps that can be undone

/**
 * What was drawn and clicked. A snapshot is {structure: {rle, clicks, pending}} and is never changed; `pending` means
 * that the model has not answered the clicks yet.
 */
export class Work extends EventTarget {
  constructor(structures, width, height) {
    super();
    this.structures = structures; // [{name, within, colour}]
    this.layers = structures.map(({ colour }, i) => new Layer(new Mask(width, height), colour, i));
    const empty = this.layers[0]?.mask.toRle();
    this.now = Object.fromEntries(structures.map(({ name }) => [name, { rle: empty, clicks: [], pending: false }]));
    this.past = [];
    this.future = [];
    this.assisted = false; // a model's mask was seen: true for ever, undo does not take it back
  }

  layer(name) {
    return this.layers[this.structures.findIndex((one) => one.name === name)];
  }

  mask(name) {
    return this.layer(name).mask;
  }

  /** Begin a step that undo will take back. */
  begin() {
    this.before = { past: this.past, future: this.future };
    this.past = [...this.past.slice(1 - REMEMBERED), this.now];
    this.future = [];
  }

  /** Forget a step that was begun on a structure's mask and not taken into the present. */
  abandon(name) {
    Object.assign(this, this.before);
    this.layer(name).changed(this.mask(name).setRle(this.now[name].rle));
    this.#said("restored");
  }

  /** The mask of a structure was drawn on: take it into the present state. */
  drawn(name) {
    this.#set(name, { rle: this.mask(name).toRle() });
  }

  /** Take everything away that was drawn and clicked of a structure; undo brings it back. */
  clear(name) {
    const empty = { size: this.now[name].rle.size, counts: [this.mask(name).data.length] };
    this.begin();
    this.layer(name).changed(this.mask(name).setRle(empty));
    this.#set(name, { rle: empty, clicks: [], pending: false });
  }

  click(name, click) {
    this.begin();
    this.#set(name, { clicks: [...this.now[name].clicks, click], pending: true });
  }

  /** What a model drew: a step of its own for a proposal, the end of the click's step for an answer. */
  heard(name, rle) {
    this.assisted = true;
    this.layer(name).changed(this.mask(name).setRle(rle));
    this.#set(name, { rle, pending: false });
  }

  /** Whether the structure's mask is empty. */
  empty(name) {
    return !this.now[name].rle.counts.some((count, i) => i % 2 && count);
  }

  get count() {
    return Object.values(this.now).reduce((sum, one) => sum + one.clicks.length, 0);
  }

  undo() {
    return this.#travel(this.past, this.future);
  }

  redo() {
    return this.#travel(this.future, this.past);
  }

  /** Take a snapshot as the present. */
  restore(snapshot) {
    for (const { name } of this.structures) {
      if (!snapshot[name] || snapshot[name].rle === this.now[name].rle) continue;
      this.layer(name).changed(this.mask(name).setRle(snapshot[name].rle));
    }
    this.now = { ...this.now, ...snapshot };
    this.#said("restored");
  }

  #travel(from, to) {
    if (!from.length) return false;
    to.push(this.now);
    this.restore(from.pop());
    return true;
  }

  #set(name, values) {
    this.now = { ...this.now, [name]: { ...this.now[name], ...values } };
    this.#said("changed");
  }

  #said(what) {
    this.dispatchEvent(new Event(what));
  }
}

/**
 * Asks the model for the answer to a structure's clicks. A newer call supersedes the one in flight, whose answer is
 * never used, whenever it comes.
 */
export class Refiner {
  /**
   * @param ask (name, body, signal) -> {rle, ms, model}
   * @param said ({name, state: "asked" | "answered" | "failed", ms, round, error}) hears what happens
   */
  constructor(work, ask, said) {
    Object.assign(this, { work, ask, said });
    this.flights = new Map();
  }

  /** Forget the call in flight; of one structure, or of all. */
  stop(name) {
    for (const one of name ? [name] : [...this.flights.keys()]) {
      this.flights.get(one)?.abort();
      this.flights.delete(one);
    }
  }

  /** Ask for every structure whose clicks have no answer yet. */
  resume() {
    this.stop();
    for (const { name } of this.work.structures) if (this.work.now[name].pending) this.refine(name);
  }

  async refine(name) {
    this.stop(name);
    const flight = new AbortController(), { work } = this;
    this.flights.set(name, flight);
    this.said({ name, state: "asked" });
    const began = performance.now();
    try {
      const answer = await this.ask(name, this.#body(name), flight.signal);
      if (this.flights.get(name) !== flight) return;
      work.heard(name, answer.rle);
      this.said({ name, state: "answered", ms: answer.ms, round: performance.now() - began });
    } catch (error) {
      if (this.flights.get(name) === flight) this.said({ name, state: "failed", error });
    } finally {
      if (this.flights.get(name) === flight) this.flights.delete(name);
    }
  }

  #body(name) {
    const { work } = this, { clicks } = work.now[name];
    const { within } = work.structures.find((one) => one.name === name);
    const drawn = (one) => (one && !work.empty(one) ? work.now[one].rle : null);
    return { structure: name, clicks, previous: drawn(name), outer: drawn(within) };
  }
}
