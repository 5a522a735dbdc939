// How a mask is drawn: a tinted picture of its pixels, and its outline as closed lines along the pixels' edges.

const HATCH = 8; // image pixels from stripe to stripe, so that fills differ by more than their colour

/** Closed lines round a mask: lists of [x, y] corners, the mask to the right of each line's direction. */
export function outlines(mask) {
  const box = mask.bounds();
  return box ? follow(edges(mask, box), mask.width + 1) : [];
}

/** Every edge between a pixel that is in and one that is not: from corner to corner, by a number for each corner. */
function edges(mask, box) {
  const next = new Map(), wide = mask.width + 1;
  const add = (x0, y0, x1, y1) => {
    const from = y0 * wide + x0, ends = next.get(from);
    if (ends) ends.push(y1 * wide + x1);
    else next.set(from, [y1 * wide + x1]);
  };
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0; x < box.x1; x++) {
      if (!mask.has(x, y)) continue;
      if (!mask.has(x, y - 1)) add(x, y, x + 1, y);
      if (!mask.has(x + 1, y)) add(x + 1, y, x + 1, y + 1);
      if (!mask.has(x, y + 1)) add(x + 1, y + 1, x, y + 1);
      if (!mask.has(x - 1, y)) add(x, y + 1, x, y);
    }
  }
  return next;
}

function follow(next, wide) {
  const lines = [];
  while (next.size) {
    const start = next.keys().next().value, line = [];
    let at = start, direction = 0;
    do {
      const ends = next.get(at), to = ends.pop();
      if (!ends.length) next.delete(at);
      if (to - at !== direction) line.push([at % wide, Math.floor(at / wide)]); // corners only
      direction = to - at;
      at = to;
    } while (at !== start);
    lines.push(line);
  }
  return lines;
}

/** One structure's mask as it is seen. */
export class Layer {
  constructor(mask, colour, order) {
    this.mask = mask;
    this.colour = colour;
    this.order = order; // 0: plain and solid; 1: hatched and dashed; and so on
    this.canvas = document.createElement("canvas");
    this.canvas.width = mask.width;
    this.canvas.height = mask.height;
    this.context = this.canvas.getContext("2d");
    this.rgb = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    this.changed();
  }

  /** Draw a rectangle of the mask anew, by default all of it. */
  changed(box = this.mask.whole()) {
    this.path = null;
    const width = box.x1 - box.x0, height = box.y1 - box.y0;
    if (width <= 0 || height <= 0) return;
    const picture = this.context.createImageData(width, height), out = picture.data, [r, g, b] = this.rgb;
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 4) {
        const px = box.x0 + x, py = box.y0 + y;
        if (!this.mask.data[py * this.mask.width + px]) continue;
        const stripe = this.order && (px + (this.order % 2 ? py : -py + this.mask.height * HATCH)) % HATCH < HATCH / 2;
        out[at] = r; out[at + 1] = g; out[at + 2] = b;
        out[at + 3] = stripe ? 110 : 255;
      }
    }
    this.context.putImageData(picture, box.x0, box.y0);
  }

  /** The outline, made when it is next drawn. */
  get outline() {
    if (!this.path) {
      this.path = new Path2D();
      for (const line of outlines(this.mask)) {
        line.forEach(([x, y], i) => (i ? this.path.lineTo(x, y) : this.path.moveTo(x, y)));
        this.path.closePath();
      }
    }
    return this.path;
  }

  /** Lengths of dashes in screen pixels. */
  get dash() {
    return [[], [9, 5], [2, 5], [14, 4, 2, 4]][this.order % 4];
  }
}
