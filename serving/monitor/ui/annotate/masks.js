// Bitmaps of structures: what the brush, the ellipse and the polygon fill, and COCO's run lengths. No DOM here.

/** A rectangle of pixels {x0, y0, x1, y1}, the upper ends not in it; null is an empty one. */
export function union(a, b) {
  if (!a || !b) return a || b;
  return { x0: Math.min(a.x0, b.x0), y0: Math.min(a.y0, b.y0), x1: Math.max(a.x1, b.x1), y1: Math.max(a.y1, b.y1) };
}

/** One structure's pixels. Coordinates are image pixels; a pixel's centre is at +0.5. */
export class Mask {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height); // 0 or 1, row by row
  }

  /** Smallest rectangle with all pixels that are in. */
  bounds() {
    const { width, height, data } = this;
    const first = data.indexOf(1);
    if (first < 0) return null;
    const y0 = Math.floor(first / width), y1 = Math.floor(data.lastIndexOf(1) / width) + 1;
    let x0 = width, x1 = 0;
    for (let y = y0; y < y1; y++) {
      const row = data.subarray(y * width, (y + 1) * width);
      const left = row.indexOf(1);
      if (left < 0) continue;
      x0 = Math.min(x0, left);
      x1 = Math.max(x1, row.lastIndexOf(1) + 1);
    }
    return { x0, y0, x1, y1: Math.min(y1, height) };
  }

  area() {
    let sum = 0;
    for (const value of this.data) sum += value;
    return sum;
  }

  has(x, y) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height && this.data[y * this.width + x] === 1;
  }

  /** How many of its pixels are not in the other. */
  outside(other) {
    let sum = 0;
    for (let i = 0; i < this.data.length; i++) sum += this.data[i] & (other.data[i] ^ 1);
    return sum;
  }

  /** Leave only what is in the other too. */
  cut(other) {
    for (let i = 0; i < this.data.length; i++) this.data[i] &= other.data[i];
    return this.whole();
  }

  /** The pieces that touch by an edge or a corner, the largest first: lists of indices into `data`. */
  pieces() {
    const { width, data } = this, seen = new Uint8Array(data.length), found = [];
    for (let start = data.indexOf(1); start >= 0; start = data.indexOf(1, start + 1)) {
      if (seen[start]) continue;
      const piece = [start];
      seen[start] = 1;
      for (let i = 0; i < piece.length; i++) {
        const x = piece[i] % width, y = Math.floor(piece[i] / width);
        for (let dy = -1; dy < 2; dy++) {
          for (let dx = -1; dx < 2; dx++) {
            const at = (y + dy) * width + x + dx;
            if (seen[at] || !this.has(x + dx, y + dy)) continue;
            seen[at] = 1;
            piece.push(at);
          }
        }
      }
      found.push(piece);
    }
    return found.sort((a, b) => b.length - a.length);
  }

  /** Leave only so many of the largest pieces. */
  largest(count) {
    for (const piece of this.pieces().slice(count)) for (const at of piece) this.data[at] = 0;
    return this.whole();
  }

  whole() {
    return { x0: 0, y0: 0, x1: this.width, y1: this.height };
  }

  /** Set all pixels within `radius` of the line from a to b: a stroke of the brush. Returns what may have changed. */
  stroke(a, b, radius, value) {
    const box = this.#box(Math.min(a.x, b.x) - radius, Math.min(a.y, b.y) - radius,
      Math.max(a.x, b.x) + radius, Math.max(a.y, b.y) + radius);
    const dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    return this.#fill(box, value, (x, y) => {
      const t = length ? Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / length)) : 0;
      const ex = x - a.x - t * dx, ey = y - a.y - t * dy;
      return ex * ex + ey * ey <= radius * radius;
    });
  }

  /** Set the ellipse whose bounding box has the corners a and b; its outermost points alone are no pixel's. */
  ellipse(a, b, value) {
    const box = this.#box(Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y));
    const cx = (a.x + b.x) / 2, cy = (a.y + b.y) / 2, rx = Math.abs(a.x - b.x) / 2, ry = Math.abs(a.y - b.y) / 2;
    return this.#fill(box, value, (x, y) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1);
  }

  /** Set the inside of a polygon, by the even-odd rule. */
  polygon(points, value) {
    const xs = points.map((p) => p.x), ys = points.map((p) => p.y);
    const box = this.#box(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    for (let y = box.y0; y < box.y1; y++) {
      const at = crossings(points, y + 0.5);
      for (let i = 0; i + 1 < at.length; i += 2) {
        const from = Math.max(0, Math.ceil(at[i] - 0.5)), to = Math.min(this.width, Math.ceil(at[i + 1] - 0.5));
        if (to > from) this.data.fill(value, y * this.width + from, y * this.width + to);
      }
    }
    return box;
  }

  #box(x0, y0, x1, y1) {
    const within = (value, most) => Math.min(most, Math.max(0, value));
    return { x0: within(Math.floor(x0), this.width), y0: within(Math.floor(y0), this.height),
      x1: within(Math.ceil(x1) + 1, this.width), y1: within(Math.ceil(y1) + 1, this.height) };
  }

  #fill(box, value, inside) {
    for (let y = box.y0; y < box.y1; y++) {
      for (let x = box.x0; x < box.x1; x++) if (inside(x + 0.5, y + 0.5)) this.data[y * this.width + x] = value;
    }
    return box;
  }

  /** COCO's uncompressed run lengths: down the columns, zeros first. */
  toRle() {
    const { width, height, data } = this, counts = [], box = this.bounds();
    let last = 0, run = 0;
    const add = (value, number) => {
      if (!number) return; // of no pixels there is no run
      if (value !== last) { counts.push(run); run = 0; last = value; }
      run += number;
    };
    if (!box) return { size: [height, width], counts: [width * height] };
    add(0, box.x0 * height);
    for (let x = box.x0; x < box.x1; x++) {
      add(0, box.y0);
      for (let y = box.y0; y < box.y1; y++) add(data[y * width + x], 1);
      add(0, height - box.y1);
    }
    add(0, (width - box.x1) * height);
    counts.push(run);
    return { size: [height, width], counts };
  }

  /** Take the pixels of run lengths; throws RangeError where they are not of this size. */
  setRle(rle) {
    const { width, height, data } = this;
    const sum = rle.counts.reduce((all, count) => all + count, 0);
    if (rle.size[0] !== height || rle.size[1] !== width || sum !== width * height) {
      throw new RangeError(`a mask of ${rle.size[1]} x ${rle.size[0]} for a picture of ${width} x ${height}`);
    }
    data.fill(0);
    let at = 0, value = 0;
    for (const count of rle.counts) {
      if (value) for (let i = at; i < at + count; i++) data[(i % height) * width + Math.floor(i / height)] = 1;
      at += count;
      value ^= 1;
    }
    return this.whole();
  }
}

function crossings(points, y) {
  const found = [];
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length];
    if (a.y <= y !== b.y <= y) found.push(a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y));
  });
  return found.sort((one, other) => one - other);
}
