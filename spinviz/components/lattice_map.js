// A map of a periodic lattice, drawn from a few bytes per site.
//
// Message: {frame, mode: "spin" | "triangles" | "sites", kind, shape: [L1, L2], data: bytes,
//           positions: Float32 bytes (x, y, z per site; random sites only), box, arrows, marks: [site, ...] to ring, high, low: legend texts}
//   spin      2 bytes per site, u and v of the unfolded octahedron: hue = in-plane angle, white = +z, black = -z.
//   triangles 1 signed byte per triangle, 127 times a value in [-1, 1]; sites: the same per site.
// The torus is cut open as a rectangle: every site appears once, every hexagon where it really is.
// A table pixel -> site is made once per size; a frame is then one table look-up per site and one per pixel.
// After every drawn frame {drawn: frame} goes back to the server, which holds at most two frames in flight.

const ROOT3_2 = Math.sqrt(3) / 2;
const MAX_PIXELS = 1.0e6;
const TAU = 2 * Math.PI;

function packed(r, g, b) {
  const byte = (v) => Math.max(0, Math.min(255, Math.round(255 * v)));
  return ((255 << 24) | (byte(b) << 16) | (byte(g) << 8) | byte(r)) >>> 0;
}

// HSL with full saturation: lightness (1 + z) / 2, hue from the in-plane angle.
function spinColour(x, y, z) {
  const angle = Math.atan2(y, x) / TAU;
  const lightness = (1 + z) / 2;
  const chroma = 1 - Math.abs(z);
  const channel = (shift) => {
    const h = (((angle + shift) % 1) + 1) % 1;
    const base = Math.max(0, Math.min(1, Math.abs(6 * h - 3) - 1));
    return lightness + chroma * (base - 0.5);
  };
  return [channel(0), channel(2 / 3), channel(1 / 3)];
}

// The spin of each of the 65536 pairs of bytes, and its colour.
function spinTables() {
  const colours = new Uint32Array(1 << 16);
  const spins = new Float32Array(3 << 16);
  for (let word = 0; word < 1 << 16; word++) {
    const [u, v] = [((word & 255) - 127.5) / 127.5, ((word >> 8) - 127.5) / 127.5];
    const z = 1 - Math.abs(u) - Math.abs(v);
    const x = z < 0 ? (1 - Math.abs(v)) * Math.sign(u) : u;
    const y = z < 0 ? (1 - Math.abs(u)) * Math.sign(v) : v;
    const length = Math.hypot(x, y, z);
    colours[word] = packed(...spinColour(x / length, y / length, z / length));
    spins.set([x / length, y / length, z / length], 3 * word);
  }
  return { colours, spins };
}

let SPIN_TABLES = null;

function drawWheel(canvas, size) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  const image = context.createImageData(size, size);
  const pixels = new Uint32Array(image.data.buffer);
  const centre = (size - 1) / 2;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const [x, y] = [(column - centre) / centre, (centre - row) / centre];
      const radius = Math.hypot(x, y);
      if (radius > 1) continue;
      const z = Math.cos(Math.PI * radius);
      pixels[row * size + column] = packed(...spinColour(x, y, z));
    }
  }
  context.putImageData(image, 0, 0);
}

// Where the lattice lies: width, height in lattice constants, and the origin of the picture.
function extent(message) {
  const [rows, columns] = message.shape;
  if (message.kind === "triangular") return { width: rows, height: columns * ROOT3_2, x0: -0.5, y0: -ROOT3_2 / 2 };
  if (message.kind === "square") return { width: rows, height: columns, x0: -0.5, y0: -0.5 };
  return { width: message.box, height: message.box, x0: 0, y0: 0 };
}

const modulo = (n, length) => ((n % length) + length) % length;

function nearestSite(x, y, message) {
  const [L1, L2] = message.shape;
  if (message.kind === "square") return modulo(Math.round(x), L1) * L2 + modulo(Math.round(y), L2);
  const v = y / ROOT3_2;
  let [best, site] = [Infinity, 0];
  for (let n2 = Math.floor(v); n2 <= Math.floor(v) + 1; n2++) {
    const n1 = Math.round(x - n2 / 2);
    const distance = (x - n1 - n2 / 2) ** 2 + (y - n2 * ROOT3_2) ** 2;
    if (distance < best) {
      best = distance;
      site = modulo(n1, L1) * L2 + modulo(n2, L2);
    }
  }
  return site;
}

// The two triangles of a cell: a triangular cell is cut along a1 - a2, a square cell along a1 + a2.
function triangleAt(x, y, message) {
  const [L1, L2] = message.shape;
  const triangular = message.kind === "triangular";
  const v = triangular ? y / ROOT3_2 : y;
  const u = triangular ? x - v / 2 : x;
  const [n1, n2] = [Math.floor(u), Math.floor(v)];
  const second = triangular ? u - n1 + (v - n2) > 1 : v - n2 > u - n1;
  return 2 * (modulo(n1, L1) * L2 + modulo(n2, L2)) + (second ? 1 : 0);
}

function discMap(width, height, message) {
  const map = new Int32Array(width * height).fill(-1);
  const positions = new Float32Array(message.positions);
  const sites = positions.length / 3;
  const scale = width / message.box;
  const order = Array.from({ length: sites }, (_, i) => i).sort((a, b) => positions[3 * a + 2] - positions[3 * b + 2]);
  for (const site of order) {
    const [x, y, z] = [positions[3 * site] * scale, height - positions[3 * site + 1] * scale, positions[3 * site + 2]];
    const radius = scale * 0.25 * (0.6 + (0.4 * z) / message.box);
    for (let row = Math.max(0, Math.ceil(y - radius)); row < Math.min(height, y + radius); row++) {
      for (let column = Math.max(0, Math.ceil(x - radius)); column < Math.min(width, x + radius); column++) {
        if ((row - y) ** 2 + (column - x) ** 2 < radius * radius) map[row * width + column] = site;
      }
    }
  }
  return map;
}

function pixelMap(width, height, message) {
  if (message.kind === "random_sites") return discMap(width, height, message);
  const { width: span, x0, y0 } = extent(message);
  const step = span / width;
  const map = new Int32Array(width * height);
  const pick = message.mode === "triangles" ? triangleAt : nearestSite;
  for (let row = 0; row < height; row++) {
    const y = y0 + (height - row - 0.5) * step;
    for (let column = 0; column < width; column++) {
      map[row * width + column] = pick(x0 + (column + 0.5) * step, y, message);
    }
  }
  return map;
}

// Arrow positions on a subgrid of at most 32 x 32 sites: [site, x, y in pixels].
function arrowSites(width, height, message) {
  const { width: span, x0, y0 } = extent(message);
  const scale = width / span;
  if (message.kind === "random_sites") {
    const positions = new Float32Array(message.positions);
    return {
      length: 0.9 * scale * 0.5,
      list: Array.from({ length: positions.length / 3 }, (_, i) => [
        i, positions[3 * i] * scale, height - positions[3 * i + 1] * scale]),
    };
  }
  const [L1, L2] = message.shape;
  const least = Math.max(1, Math.ceil(Math.max(L1, L2) / 32));
  const stride = least + ((least + 1) % 2); // odd: an even one would see only part of the sublattices
  const list = [];
  for (let n2 = (stride - 1) >> 1; n2 < L2; n2 += stride) {
    for (let k = (stride - 1) >> 1; k < L1; k += stride) {
      const shift = message.kind === "triangular" ? n2 / 2 : 0;
      const n1 = message.kind === "triangular" ? k - Math.floor(n2 / 2) : k;
      const x = message.kind === "triangular" ? n1 + shift : k;
      const y = message.kind === "triangular" ? n2 * ROOT3_2 : n2;
      list.push([modulo(n1, L1) * L2 + n2, (x - x0) * scale, height - (y - y0) * scale]);
    }
  }
  return { length: 0.86 * scale * stride, list };
}

function drawArrows(context, arrows, words) {
  const { spins } = SPIN_TABLES;
  const half = arrows.length / 2;
  for (const [style, wanted] of [["rgba(10,12,20,0.85)", true], ["rgba(255,255,255,0.9)", false]]) {
    context.fillStyle = style;
    context.beginPath();
    for (const [site, x, y] of arrows.list) {
      const word = 3 * words[site];
      const [sx, sy, sz] = [spins[word], spins[word + 1], spins[word + 2]];
      if (sz > -0.25 !== wanted) continue;
      const planar = Math.hypot(sx, sy);
      if (planar < 0.08) continue;
      const [ux, uy] = [sx / planar, -sy / planar];
      const reach = half * planar;
      const thick = Math.max(0.5, 0.1 * half);
      const [tx, ty] = [x + reach * ux, y + reach * uy];
      const [nx, ny] = [x + 0.15 * reach * ux, y + 0.15 * reach * uy];
      const [bx, by] = [x - reach * ux, y - reach * uy];
      const wide = Math.max(1.2, 0.38 * half * (0.4 + 0.6 * planar));
      context.moveTo(tx, ty);
      context.lineTo(nx - wide * uy, ny + wide * ux);
      context.lineTo(nx - thick * uy, ny + thick * ux);
      context.lineTo(bx - thick * uy, by + thick * ux);
      context.lineTo(bx + thick * uy, by - thick * ux);
      context.lineTo(nx + thick * uy, ny - thick * ux);
      context.lineTo(nx + wide * uy, ny - wide * ux);
    }
    context.fill();
  }
}

// Where a site is drawn, in pixels: one place of the cut-open torus.
function sitePlace(site, scale, height, message) {
  if (message.kind === "random_sites") {
    const positions = new Float32Array(message.positions);
    return [positions[3 * site] * scale, height - positions[3 * site + 1] * scale];
  }
  const { width: span, x0, y0 } = extent(message);
  const L2 = message.shape[1];
  const [n1, n2] = [Math.floor(site / L2), site % L2];
  const triangular = message.kind === "triangular";
  const x = triangular ? modulo(n1 + n2 / 2 - x0, span) + x0 : n1;
  return [(x - x0) * scale, height - ((triangular ? n2 * ROOT3_2 : n2) - y0) * scale];
}

// Two rings of opposite brightness, to be seen on every colour.
function drawMarks(context, width, height, message) {
  const scale = width / extent(message).width;
  const radius = Math.max(9, Math.min(1.1 * scale, 18));
  for (const site of message.marks) {
    const [x, y] = sitePlace(site, scale, height, message);
    for (const [style, line] of [["#000", 5], ["#fff", 2.5]]) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.beginPath();
      context.arc(x, y, radius, 0, TAU);
      context.stroke();
    }
  }
}

// Colours of all sites or triangles.
function coloursOf(message, table) {
  if (message.mode === "spin") return looked(new Uint16Array(message.data), SPIN_TABLES.colours, 0);
  return looked(new Uint8Array(message.data), table, 128);
}

function looked(values, table, flip) {
  const colours = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) colours[i] = table[values[i] ^ flip];
  return colours;
}

function colourTable(bytes) {
  const table = new Uint32Array(256);
  const rgb = new Uint8Array(bytes);
  for (let i = 0; i < 256; i++) table[i] = packed(rgb[3 * i] / 255, rgb[3 * i + 1] / 255, rgb[3 * i + 2] / 255);
  return table;
}

class Painter {
  constructor(canvas, stage) {
    this.canvas = canvas;
    this.stage = stage;
    this.context = canvas.getContext("2d", { alpha: true });
    this.key = "";
    this.measure();
  }

  // Reads the room once per change of size: reading it at every frame would lay the page out at every frame.
  measure() {
    this.room = [Math.max(40, this.stage.clientWidth), Math.max(40, this.stage.clientHeight)];
  }

  // Sizes the canvas to the largest rectangle of the lattice's aspect ratio, and makes the pixel table.
  prepare(message) {
    const { width: span, height: tall } = extent(message);
    const ratio = window.devicePixelRatio || 1;
    const [roomX, roomY] = this.room;
    const shown = Math.min(roomX / span, roomY / tall);
    let scale = shown * ratio;
    if (span * tall * scale * scale > MAX_PIXELS) scale = Math.sqrt(MAX_PIXELS / (span * tall));
    const [width, height] = [Math.round(span * scale), Math.round(tall * scale)];
    const key = [width, height, message.kind, message.shape, message.mode, message.box ?? 0].join(" ");
    if (key === this.key) return;
    this.key = key;
    this.canvas.style.width = `${Math.round(span * shown)}px`;
    this.canvas.style.height = `${Math.round(tall * shown)}px`;
    [this.canvas.width, this.canvas.height] = [width, height];
    this.map = pixelMap(width, height, message);
    this.arrows = message.mode === "spin" ? arrowSites(width, height, message) : null;
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  draw(message, table) {
    SPIN_TABLES = SPIN_TABLES ?? spinTables();
    this.prepare(message);
    const { map, pixels } = this;
    const colours = coloursOf(message, table);
    for (let p = 0; p < map.length; p++) pixels[p] = map[p] < 0 ? 0 : colours[map[p]];
    this.context.putImageData(this.image, 0, 0);
    if (message.arrows && this.arrows) drawArrows(this.context, this.arrows, new Uint16Array(message.data));
    if (message.marks?.length) drawMarks(this.context, this.canvas.width, this.canvas.height, message);
  }
}

function legend(model, root) {
  const box = document.createElement("div");
  box.className = "lattice-legend";
  if (model.legend === "wheel") {
    const wheel = document.createElement("canvas");
    drawWheel(wheel, 128);
    wheel.style.cssText = "width:72px;height:72px;display:block;border-radius:50%;box-shadow:0 0 0 1px #8888";
    wheel.setAttribute("role", "img");
    wheel.setAttribute("aria-label", "Colour wheel: hue is the in-plane angle, white is up, black is down");
    const caption = document.createElement("div");
    caption.innerHTML = "hue: in-plane<br>centre: +z<br>rim: −z";
    box.append(wheel, caption);
  } else if (model.legend) {
    const bar = document.createElement("canvas");
    [bar.width, bar.height] = [1, 256];
    const table = colourTable(model.palette);
    const image = bar.getContext("2d").createImageData(1, 256);
    new Uint32Array(image.data.buffer).set(table.slice().reverse());
    bar.getContext("2d").putImageData(image, 0, 0);
    bar.style.cssText = "width:12px;height:88px;display:block;border-radius:2px;box-shadow:0 0 0 1px #8888";
    const [high, low] = [document.createElement("div"), document.createElement("div")];
    [high.textContent, low.textContent] = model.legend.split("|");
    box.append(high, bar, low);
    box.setLimits = (message) => {
      if (message.high !== undefined) [high.textContent, low.textContent] = [message.high, message.low];
    };
  }
  box.style.cssText =
    "flex:none;display:flex;flex-direction:column;align-items:center;gap:4px;font:11px/1.35 system-ui,sans-serif;" +
    "text-align:center;opacity:.85";
  root.append(box);
  return box;
}

export function render({ model, el }) {
  const root = document.createElement("div");
  root.style.cssText = "display:flex;align-items:center;justify-content:center;gap:10px;width:100%;height:100%;";
  const stage = document.createElement("div");
  stage.style.cssText = "flex:1 1 auto;min-width:0;height:100%;display:flex;align-items:center;justify-content:center;";
  const canvas = document.createElement("canvas");
  canvas.className = "lattice-map";
  canvas.style.cssText = "display:block;box-shadow:0 0 0 1px #8886;";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", model.label);
  stage.append(canvas);
  root.append(stage);
  const box = legend(model, root);

  const painter = new Painter(canvas, stage);
  const table = model.palette ? colourTable(model.palette) : null;
  const counters = (window.__spinviz_frames = window.__spinviz_frames ?? {});
  counters[model.title] = counters[model.title] ?? 0;
  let [newest, last, waiting] = [null, null, false];

  const draw = () => {
    waiting = false;
    if (newest === null) return;
    [last, newest] = [newest, null];
    painter.draw(last, table);
    box.setLimits?.(last);
    counters[model.title] += 1;
    model.send_msg({ drawn: last.frame });
  };
  model.on("msg:custom", (message) => {
    const content = message.data?.frame === undefined ? message : message.data;
    newest = content;
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(draw);
    }
  });
  model.on("label", () => canvas.setAttribute("aria-label", model.label));
  const observer = new ResizeObserver(() => {
    painter.measure();
    if (last !== null) painter.draw(last, table);
  });
  observer.observe(stage);
  model.on("remove", () => observer.disconnect());
  model.send_msg({ ready: true });
  return root;
}
