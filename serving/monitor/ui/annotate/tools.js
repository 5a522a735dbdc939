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
   */
  constructor(view, { began, changed, dropped, clicked }) {
    Object.assign(this, { view, began, changed, dropped, clicked });
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

  /** Close the polygon. */
  close() {
    const corners = this.corners ?? [];
    if (corners.length < 3) return this.cancel();
    this.began(this.structure);
    this.#finish((mask) => mask.polygon(corners, this.value));
  }

  /** Forget what was begun; a brush stroke that was begun stays as far as it is. */
  cancel() {
    if (this.stroke) this.#finish(() => null);
    this.stroke = this.start = this.corners = null;
    this.view.preview = this.view.cursor = null;
    this.view.draw();
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
    if (!this.corners) this.corners = [];
    const [first] = this.corners;
    const near = first && Math.hypot(point.x - first.x, point.y - first.y) * this.view.scale < CLOSE;
    if (near && this.corners.length > 2) return this.close();
    if (!near) this.corners.push(point);
    this.view.preview = { points: this.corners };
    this.view.draw();
  }
}
