// The view: the picture under its masks, zoomed and panned; brightness and contrast; clicks, crosshair and previews.

const MOST = 40; // screen pixels a picture's pixel

/** Draws into two canvases of `stage`. Points are {x, y} in image pixels unless a name says `screen`. */
export class View {
  constructor(stage) {
    this.stage = stage;
    [this.base, this.over] = stage.querySelectorAll("canvas");
    this.look = { brightness: 1, contrast: 1, opacity: 0.35, filled: true, hidden: false };
    this.clear();
    this.ratio = 1;
    new ResizeObserver(() => this.#resize()).observe(stage);
  }

  clear() {
    this.bitmap = null;
    this.layers = [];
    this.clicks = [];
    this.active = 0;
    this.crosshair = null; // {x, y}, only for the keyboard
    this.cursor = null; // {x, y, radius} of the brush
    this.preview = null; // {points, closed} or {ellipse: [a, b]}
    this.scale = 1;
    this.offset = { x: 0, y: 0 };
    this.draw();
  }

  show(bitmap, layers) {
    this.clear();
    this.bitmap = bitmap;
    this.layers = layers;
    this.fit();
  }

  get size() {
    return { x: this.stage.clientWidth, y: this.stage.clientHeight };
  }

  /** All of the picture, in the middle. */
  fit() {
    if (!this.bitmap) return;
    const { x, y } = this.size, { width, height } = this.bitmap;
    this.fitted = true;
    this.scale = Math.max(0.01, Math.min(x / width, y / height) * 0.98);
    this.offset = { x: (x - width * this.scale) / 2, y: (y - height * this.scale) / 2 };
    this.draw();
  }

  /** Zoom about a point of the screen, by default the middle or the crosshair. */
  zoom(factor, screen = this.crosshair ? this.toScreen(this.crosshair) : { x: this.size.x / 2, y: this.size.y / 2 }) {
    if (!this.bitmap) return;
    const least = Math.min(1, 0.25 * Math.min(this.size.x / this.bitmap.width, this.size.y / this.bitmap.height));
    const scale = Math.min(MOST, Math.max(least, this.scale * factor)), by = scale / this.scale;
    this.offset = { x: screen.x - by * (screen.x - this.offset.x), y: screen.y - by * (screen.y - this.offset.y) };
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    this.offset = { x: this.offset.x + dx, y: this.offset.y + dy };
    this.fitted = false;
    this.draw();
  }

  toImage(screen) {
    return { x: (screen.x - this.offset.x) / this.scale, y: (screen.y - this.offset.y) / this.scale };
  }

  toScreen(point) {
    return { x: point.x * this.scale + this.offset.x, y: point.y * this.scale + this.offset.y };
  }

  /** Of a pointer event, in screen pixels of the stage. */
  screen(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  inside(point) {
    return !!this.bitmap && point.x >= 0 && point.y >= 0 && point.x < this.bitmap.width && point.y < this.bitmap.height;
  }

  /** Put the crosshair by so many screen pixels elsewhere, and keep it in sight. */
  steer(dx, dy) {
    if (!this.bitmap) return;
    const middle = { x: this.bitmap.width / 2, y: this.bitmap.height / 2 }, at = this.crosshair ?? middle;
    const within = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
    this.crosshair = { x: within(at.x + dx, this.bitmap.width), y: within(at.y + dy, this.bitmap.height) };
    const { x, y } = this.toScreen(this.crosshair), edge = 40;
    const push = (value, most) => (value < edge ? edge - value : value > most - edge ? most - edge - value : 0);
    if (!this.fitted) this.pan(push(x, this.size.x), push(y, this.size.y));
    this.draw();
  }

  /** Soon, and once for everything that has changed until then. */
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.#draw();
    });
  }

  #resize() {
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.round(this.size.x * this.ratio);
      canvas.height = Math.round(this.size.y * this.ratio);
    }
    if (this.fitted) this.fit();
    this.draw();
  }

  #draw() {
    const base = this.base.getContext("2d"), over = this.over.getContext("2d");
    for (const context of [base, over]) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.base.width, this.base.height);
    }
    if (!this.bitmap) return;
    // by the style sheet's filter, which tablets have for elements and not for canvases
    this.base.style.filter = `brightness(${this.look.brightness}) contrast(${this.look.contrast})`;
    for (const context of [base, over]) {
      const s = this.scale * this.ratio;
      context.setTransform(s, 0, 0, s, this.offset.x * this.ratio, this.offset.y * this.ratio);
      context.imageSmoothingEnabled = this.scale < 3;
    }
    base.drawImage(this.bitmap, 0, 0);
    if (!this.look.hidden) this.layers.forEach((layer, i) => this.#layer(over, layer, i === this.active));
    this.#marks(over);
  }

  #layer(context, layer, active) {
    const px = 1 / this.scale;
    if (this.look.filled) {
      context.globalAlpha = this.look.opacity;
      context.drawImage(layer.canvas, 0, 0);
      context.globalAlpha = 1;
    }
    const width = active ? 2.5 : 1.75;
    this.#line(context, layer.outline, "#000", (width + 2) * px, []);
    this.#line(context, layer.outline, layer.colour, width * px, layer.dash.map((length) => length * px));
  }

  #line(context, path, colour, width, dash) {
    context.setLineDash(dash);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
    context.setLineDash([]);
  }

  /** Both dark and light, so that it is seen on anything. */
  #twice(context, path, width = 1.5) {
    this.#line(context, path, "#000", (width + 2) / this.scale, []);
    this.#line(context, path, "#fff", width / this.scale, []);
  }

  #marks(context) {
    const px = 1 / this.scale;
    for (const click of this.clicks) this.#click(context, click.column + 0.5, click.row + 0.5, click.object, px);
    if (this.preview) this.#twice(context, this.#path(this.preview, px));
    if (this.cursor) {
      const ring = new Path2D();
      ring.arc(this.cursor.x, this.cursor.y, this.cursor.radius, 0, 2 * Math.PI);
      this.#twice(context, ring, 1);
    }
    if (this.crosshair) this.#twice(context, cross(this.crosshair.x, this.crosshair.y, 4 * px, 16 * px));
  }

  /** A white disc with a plus is the object, a black one with a minus the background. */
  #click(context, x, y, object, px) {
    const ring = new Path2D(), sign = new Path2D();
    ring.arc(x, y, 7 * px, 0, 2 * Math.PI);
    sign.moveTo(x - 4 * px, y);
    sign.lineTo(x + 4 * px, y);
    if (object) {
      sign.moveTo(x, y - 4 * px);
      sign.lineTo(x, y + 4 * px);
    }
    context.fillStyle = object ? "#fff" : "#000";
    context.fill(ring);
    this.#line(context, ring, object ? "#000" : "#fff", 1.5 * px, []);
    this.#line(context, sign, object ? "#000" : "#fff", 2 * px, []);
  }

  #path({ points, ellipse }, px) {
    const path = new Path2D();
    if (ellipse) {
      const [a, b] = ellipse;
      path.ellipse((a.x + b.x) / 2, (a.y + b.y) / 2, Math.abs(a.x - b.x) / 2, Math.abs(a.y - b.y) / 2, 0, 0, 2 * Math.PI);
    } else {
      points.forEach(({ x, y }, i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
      path.rect(points[0].x - 4 * px, points[0].y - 4 * px, 8 * px, 8 * px); // where it closes
    }
    return path;
  }
}

function cross(x, y, inner, outer) {
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + dx * inner, y + dy * inner);
    path.lineTo(x + dx * outer, y + dy * outer);
  }
  return path;
}
