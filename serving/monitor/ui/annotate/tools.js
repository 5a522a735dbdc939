// What a pointer, or the crosshair in its place, does to the work: click, brush, eraser, ellipse, polygon.

const STILL = 6; // screen pixels that a click may move
const CLOSE = 12; // screen pixels from a polygon's first corner that close it

/** Turns down, move and up at points of the image into changes of the work. */
export class Tools {
  /**
   * @param view where it is drawn
   * @param changed (structure) after a mask was drawn on by hand
   * @param dropped (structure) instead, where a stroke turned out to be none
   * @param clicked (structure, {row, column, object})
   * @param began (structure) before a mask is drawn on
   * @param shaped () after a corner of a polygon came or went
   */
  constructor(view, { began, changed, dropped, clicked, shaped }) {
    Object.assign(this, { view, began, changed, dropped, clicked, shaped });
    this.lost = []; // corners that undo took back, the last one first to come again
    this.tool = "click";
    this.background = false; // what the main button means: taking away
    this.radius = 8;
    this.reset(null, "");
  }

  reset(work, structure) {
    this.cancel();
    this.work = work;
    this.structure = structure;
  }

  use(tool) {
    this.cancel();
    this.tool = tool;
  }

  /** A polygon that is not closed yet, as a draft keeps it; null without one. */
  get shape() {
    return this.corners && { structure: this.structure, value: this.value, corners: this.corners };
  }

  /** Go on with a polygon that a draft kept. */
  resume({ structure, value, corners }) {
    const point = ({ x, y }) => Number.isFinite(x) && Number.isFinite(y);
    if (!this.work.now[structure] || !corners.length || !corners.every(point)) return;
    Object.assign(this, { tool: "polygon", structure, value: value ? 1 : 0, background: !value });
    this.#corners(corners);
  }

  /** Take the last corner of the open polygon back; false without one. */
  back() {
    if (!this.corners) return false;
    const left = this.corners.slice(0, -1), { lost } = this;
    lost.push(this.corners.at(-1));
    this.#corners(left);
    return true;
  }

  /** Give back the corner that was last taken; false without one. */
  forth() {
    if (!this.lost.length) return false;
    this.#corners([...(this.corners ?? []), this.lost.pop()]);
    return true;
  }

  get drawing() {
    return !!this.stroke || !!this.start || !!this.corners;
  }

  get brush() {
    return this.tool === "brush" || this.tool === "erase";
  }

  /** @param other the other button: background instead of object, or the other way round */
  down(point, other = false) {
    if (!this.work) return;
    this.value = this.background === other && this.tool !== "erase" ? 1 : 0;
    if (this.tool === "polygon") return this.#corner(point);
    if (this.brush) {
      this.began(this.structure);
      this.stroke = point;
      this.#paint(point);
    } else {
      this.start = point;
    }
  }

  move(point) {
    if (this.brush) this.view.cursor = { ...point, radius: this.radius };
    if (this.stroke) this.#paint(point);
    if (this.start && this.tool === "ellipse") this.view.preview = { ellipse: [this.start, point] };
    if (this.corners) this.view.preview = { points: [...this.corners, point] };
    this.view.draw();
  }

  up(point) {
    if (this.stroke) this.#finish(() => null);
    else if (this.start && this.tool === "ellipse") this.#ellipse(point);
    else if (this.start) this.#click(point);
  }

  /** Close the polygon; false where it has too few corners, which stay. */
  close() {
    const corners = this.corners ?? [];
    if (corners.length < 3) return false;
    this.began(this.structure);
    this.#finish((mask) => mask.polygon(corners, this.value));
    return true;
  }

  /** End what a person is in the middle of, so that something else can begin: a polygon stays open. */
  rest() {
    if (this.stroke) this.#finish(() => null);
    if (!this.start) return;
    this.start = this.view.preview = null;
    this.view.draw();
  }

  /** Forget what was begun; a brush stroke that was begun stays as far as it is. */
  cancel() {
    if (this.stroke) this.#finish(() => null);
    const open = this.corners || this.lost.length;
    this.stroke = this.start = this.corners = null;
    this.lost = [];
    this.view.preview = this.view.cursor = null;
    this.view.draw();
    if (open) this.shaped();
  }

  /** A second finger came, or the system took the pointer away: what the first one drew was not meant. */
  abandon() {
    if (this.stroke) this.dropped(this.structure);
    this.stroke = this.start = null;
    if (!this.corners) this.view.preview = null;
    this.view.cursor = null;
    this.view.draw();
  }

  #paint(point) {
    const layer = this.work.layer(this.structure);
    layer.changed(layer.mask.stroke(this.stroke, point, this.radius, this.value));
    this.stroke = point;
    this.view.draw();
  }

  #finish(draw) {
    const layer = this.work.layer(this.structure), box = draw(layer.mask);
    if (box) layer.changed(box);
    this.stroke = this.start = this.corners = this.view.preview = null;
    this.lost = [];
    this.changed(this.structure);
    this.view.draw();
  }

  #ellipse(point) {
    const a = this.start;
    if (Math.min(Math.abs(a.x - point.x), Math.abs(a.y - point.y)) < 1) return this.cancel();
    this.began(this.structure);
    this.#finish((mask) => mask.ellipse(a, point, this.value));
  }

  #click(point) {
    const moved = Math.hypot(point.x - this.start.x, point.y - this.start.y) * this.view.scale;
    const at = this.start;
    this.start = null;
    if (moved > STILL || !this.view.inside(at)) return;
    this.clicked(this.structure, { row: Math.floor(at.y), column: Math.floor(at.x), object: this.value === 1 });
  }

  #corner(point) {
    const corners = this.corners ?? [], [first] = corners;
    const near = first && Math.hypot(point.x - first.x, point.y - first.y) * this.view.scale < CLOSE;
    if (near && corners.length > 2) this.close();
    if (near) return;
    this.lost = [];
    this.#corners([...corners, point]);
  }

  #corners(points) {
    this.corners = points.length ? points.map(({ x, y }) => ({ x, y })) : null;
    this.view.preview = this.corners && { points: this.corners };
    this.view.draw();
    this.shaped();
  }
}
