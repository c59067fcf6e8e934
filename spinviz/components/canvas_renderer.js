// The map on a 2-D canvas: a table pixel -> site or triangle, made once per window; a frame is then look-ups only.

const DARK_ARROW = [10 / 255, 12 / 255, 20 / 255, 0.85];
const LIGHT_ARROW = [1, 1, 1, 0.9];
const LIGHT_BELOW = -0.25; // arrows are light where S_z is below this
const SHORTEST = 0.08; // in-plane part of a spin that gets an arrow

const cssColour = ([r, g, b, a]) => `rgba(${Math.round(255 * r)},${Math.round(255 * g)},${Math.round(255 * b)},${a})`;

class CanvasRenderer {
  constructor(canvas) {
    this.name = "canvas";
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: true });
    if (this.context === null) throw new Error("no 2-D canvas");
    this.state = "";
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
    this.context.putImageData(this.image, 0, 0);
    if (spins && message.arrows) drawArrows(this.context, view, arrowSites(view, message, pixelRatio), values);
  }

  // Wait until the picture is there, for timing.
  finish() {
    this.context.getImageData(0, 0, 1, 1);
  }
}

function pixelMap(view, message) {
  const [width, height] = view.size;
  const map = new Int32Array(width * height);
  const pick = message.mode === "triangles" ? triangleAt : nearestSite;
  const [left, bottom, step] = [view.left, view.bottom, 1 / view.scale];
  for (let row = 0; row < height; row++) {
    const y = bottom + (height - row - 0.5) * step;
    for (let column = 0; column < width; column++) {
      map[row * width + column] = pick(left + (column + 0.5) * step, y, message);
    }
  }
  return map;
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

// In-plane parts: as long as they are, dark on bright sites and bright on dark ones.
function drawArrows(context, view, arrows, words) {
  const half = arrows.length / 2;
  const thick = Math.max(0.5, 0.1 * half);
  const shapes = { true: new Path2D(), false: new Path2D() };
  for (const [site, planeX, planeY] of arrows.list) {
    const [sx, sy, sz] = spinOf(words[site]);
    const planar = Math.hypot(sx, sy);
    if (planar < SHORTEST) continue;
    const [x, y] = view.toCanvas(planeX, planeY);
    const [ux, uy] = [sx / planar, -sy / planar];
    const reach = half * planar;
    const [tx, ty] = [x + reach * ux, y + reach * uy];
    const [nx, ny] = [x + 0.15 * reach * ux, y + 0.15 * reach * uy];
    const [bx, by] = [x - reach * ux, y - reach * uy];
    const wide = Math.max(1.2, 0.38 * half * (0.4 + 0.6 * planar));
    const path = shapes[sz > LIGHT_BELOW];
    path.moveTo(tx, ty);
    path.lineTo(nx - wide * uy, ny + wide * ux);
    path.lineTo(nx - thick * uy, ny + thick * ux);
    path.lineTo(bx - thick * uy, by + thick * ux);
    path.lineTo(bx + thick * uy, by - thick * ux);
    path.lineTo(nx + thick * uy, ny - thick * ux);
    path.lineTo(nx + wide * uy, ny - wide * ux);
    path.closePath();
  }
  context.fillStyle = cssColour(DARK_ARROW);
  context.fill(shapes.true);
  context.fillStyle = cssColour(LIGHT_ARROW);
  context.fill(shapes.false);
}
