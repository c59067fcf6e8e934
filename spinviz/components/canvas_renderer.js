// The map on a 2-D canvas: a table pixel -> site or triangle, made once per window; a frame is then look-ups only.

const DARK_ARROW = [10 / 255, 12 / 255, 20 / 255, 0.85];
const LIGHT_ARROW = [1, 1, 1, 0.9];
const LIGHT_BELOW = -0.25; // arrows are light where S_z is below this
const SHORTEST = 0.08; // in-plane part of a spin that gets an arrow

class CanvasRenderer {
  constructor(canvas) {
    this.name = "canvas";
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: true, willReadFrequently: true }); // pixels are made here, not there
    if (this.context === null) throw new Error("no 2-D canvas");
    this.state = "";
    this.stamps = new ArrowStamps();
  }

  prepare(message, view) {
    const state = `${view.state} ${message.mode}`;
    if (state === this.state) return;
    this.state = state;
    const [width, height] = view.size;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      [this.canvas.width, this.canvas.height] = [width, height];
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.map = message.kind === "random_sites" ? discMap(view, message) : pixelMap(view, message);
  }

  draw(message, view, table, pixelRatio) {
    this.prepare(message, view);
    const { map, pixels } = this;
    const spins = message.mode === "spin";
    const values = spins ? new Uint16Array(message.data) : new Uint8Array(message.data);
    const colours = spins ? spinTable() : table;
    const flip = spins ? 0 : 128;
    for (let p = 0; p < map.length; p++) pixels[p] = map[p] < 0 ? 0 : colours[values[map[p]] ^ flip];
    if (spins && message.arrows) {
      drawArrows(pixels, view, arrowSites(view, message, pixelRatio), values, this.stamps);
    }
    this.context.putImageData(this.image, 0, 0);
  }

  // Wait until the picture is there, for timing.
  finish() {
    this.context.getImageData(0, 0, 1, 1);
  }
}

function pixelMap(view, message) {
  const [width, height] = view.size;
  const map = new Int32Array(width * height);
  const [left, bottom, step] = [view.left, view.bottom, 1 / view.scale];
  const fill = message.mode === "triangles" || message.cut === "parallelogram" ? anyRow : siteRow;
  for (let row = 0; row < height; row++) {
    fill(map, row * width, width, left + step / 2, bottom + (height - row - 0.5) * step, step, message);
  }
  return map;
}

// One row of pixels from x on, in steps.
function anyRow(map, start, width, x, y, step, message) {
  const pick = message.mode === "triangles" ? triangleAt : nearestSite;
  for (let column = 0; column < width; column++) map[start + column] = pick(x + column * step, y, message);
}

// The same for sites of a torus, three times as quick: only the two nearest rows of sites compete.
function siteRow(map, start, width, x, y, step, message) {
  const [L1, L2] = message.shape;
  const triangular = message.kind === "triangular";
  const below = triangular ? Math.floor(y / ROOT3_2) : Math.round(y);
  const [lean, steep] = triangular ? [below / 2, (below + 1) / 2] : [0, 0];
  const [lower, upper] = [modulo(below, L2), modulo(below + 1, L2)];
  const down = (y - below * ROOT3_2) ** 2, up = triangular ? (y - (below + 1) * ROOT3_2) ** 2 : Infinity;
  for (let column = 0; column < width; column++) {
    const near = x + column * step - lean, far = x + column * step - steep;
    const n = Math.round(near), m = Math.round(far);
    const first = !triangular || (near - n) * (near - n) + down <= (far - m) * (far - m) + up;
    let cell = (first ? n : m) % L1;
    if (cell < 0) cell += L1;
    map[start + column] = cell * L2 + (first ? lower : upper);
  }
}

function discMap(view, message) {
  const [width, height] = view.size;
  const map = new Int32Array(width * height).fill(-1);
  for (const disc of discs(message)) {
    const [x, y] = view.toCanvas(disc.x, disc.y);
    const radius = disc.radius * view.scale;
    for (let row = Math.max(0, Math.ceil(y - radius)); row < Math.min(height, y + radius); row++) {
      for (let column = Math.max(0, Math.ceil(x - radius)); column < Math.min(width, x + radius); column++) {
        if ((row - y) ** 2 + (column - x) ** 2 < radius * radius) map[row * width + column] = disc.site;
      }
    }
  }
  return map;
}

// How far (x, y) is outside of an arrow along x about the origin: reach = half its length, half that of the longest.
function arrowDistance(x, y, reach, half) {
  const [neck, thick, wide] = [0.15 * reach, Math.max(0.5, 0.1 * half), headWidth(reach, half)];
  const side = Math.abs(y);
  const shaft = Math.max(side - thick, Math.max(-reach - x, x - neck));
  const slope = Math.hypot(wide, reach - neck);
  const head = Math.max(((x - reach) * wide + side * (reach - neck)) / slope, neck - x);
  return Math.min(shaft, head);
}

const headWidth = (reach, half) => Math.max(1.2, 0.38 * (0.4 * half + 0.6 * reach));

const LENGTHS = 12; // of arrows that are told apart
const MOST_STAMPED = 2e6; // pixels of all stamps

// Arrows of every length and direction as lists of pixels, made when first needed: filling paths costs ten times more.
class ArrowStamps {
  constructor() {
    this.key = "";
  }

  adopt(half, width) {
    const key = `${half} ${width}`;
    if (key === this.key && this.pixels < MOST_STAMPED) return;
    [this.key, this.half, this.width, this.pixels] = [key, half, width, 0];
    this.directions = 8 * Math.max(8, Math.min(45, Math.round(half)));
    this.made = new Map();
  }

  // {offsets in the picture, cover of 255, radius} of an arrow with in-plane part (x, y), y up.
  stamp(x, y, planar) {
    const turn = Math.round((Math.atan2(y, x) / TAU) * this.directions);
    const direction = modulo(turn, this.directions);
    const size = Math.max(1, Math.round(planar * LENGTHS));
    const key = direction * (LENGTHS + 1) + size;
    let found = this.made.get(key);
    if (found === undefined) {
      found = this.make((direction / this.directions) * TAU, (size / LENGTHS) * this.half);
      this.made.set(key, found);
      this.pixels += found.offsets.length;
    }
    return found;
  }

  make(angle, reach) {
    const [c, s] = [Math.cos(angle), -Math.sin(angle)]; // rows run downwards
    const radius = Math.ceil(Math.max(reach, headWidth(reach, this.half)) + 1);
    const [offsets, cover] = [[], []];
    for (let row = -radius; row <= radius; row++) {
      for (let column = -radius; column <= radius; column++) {
        const distance = arrowDistance(c * column + s * row, c * row - s * column, reach, this.half);
        if (distance >= 0.5) continue;
        offsets.push(row * this.width + column);
        cover.push(Math.round(255 * Math.min(1, 0.5 - distance)));
      }
    }
    return { offsets: Int32Array.from(offsets), cover: Uint8Array.from(cover), radius };
  }
}

// In-plane parts: as long as they are, dark on bright sites and bright on dark ones.
function drawArrows(pixels, view, arrows, words, stamps) {
  const [width, height] = view.size;
  stamps.adopt(arrows.length / 2, width);
  for (const [site, planeX, planeY] of arrows.list) {
    const [sx, sy, sz] = spinOf(words[site]);
    const planar = Math.hypot(sx, sy);
    if (planar < SHORTEST) continue;
    const [x, y] = view.toCanvas(planeX, planeY).map(Math.floor);
    const { offsets, cover, radius } = stamps.stamp(sx, sy, planar);
    const whole = x >= radius && y >= radius && x + radius < width && y + radius < height;
    const ink = sz > LIGHT_BELOW ? DARK_ARROW : LIGHT_ARROW;
    const [red, green, blue] = [255 * ink[0], 255 * ink[1], 255 * ink[2]];
    const centre = y * width + x;
    for (let i = 0; i < offsets.length; i++) {
      const place = centre + offsets[i];
      if (!whole && (place < 0 || place >= pixels.length || Math.abs((place % width) - x) > radius)) continue;
      const share = (cover[i] / 255) * ink[3];
      const under = pixels[place];
      if (under === 0) {
        pixels[place] = ((255 * share) << 24) | (blue << 16) | (green << 8) | red;
        continue;
      }
      const r = under & 255, g = (under >> 8) & 255, b = (under >> 16) & 255;
      pixels[place] =
        (255 << 24) | ((b + share * (blue - b)) << 16) | ((g + share * (green - g)) << 8) | (r + share * (red - r));
    }
  }
}
