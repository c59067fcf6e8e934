// Where sites and triangles lie, and which part of the plane is shown.
//
// A triangular lattice has a1 = (1, 0), a2 = (1/2, sqrt 3 / 2); site n1 L2 + n2 lies at n1 a1 + n2 a2. The torus is cut
// open as a rectangle (every site appears once, every hexagon where it really is) or along its periods, "parallelogram".

const ROOT3_2 = Math.sqrt(3) / 2;
const ARROW_SPACING = 16; // screen pixels between arrows, at least
const FEWEST_CELLS = 4; // shown at the highest zoom

const modulo = (n, length) => ((n % length) + length) % length;
const sitesOf = (message) => message.shape.reduce((product, length) => product * length, 1);

// Width, height in lattice constants, and the lower left corner of the whole picture.
function extent(message) {
  const [rows, columns] = message.shape;
  if (message.kind === "triangular" && message.cut === "parallelogram") {
    return { width: rows + columns / 2 + 0.5, height: columns * ROOT3_2 + 0.6, x0: -0.5, y0: -0.6 };
  }
  if (message.kind === "triangular") return { width: rows, height: columns * ROOT3_2, x0: -0.5, y0: -ROOT3_2 / 2 };
  if (message.kind === "square") return { width: rows, height: columns, x0: -0.5, y0: -0.5 };
  return { width: message.box, height: message.box, x0: 0, y0: 0 };
}

// Index of cell (n1, n2) on the torus; -1 outside of a parallelogram.
function cellIndex(n1, n2, message) {
  const [L1, L2] = message.shape;
  if (message.cut === "parallelogram" && (n1 < 0 || n2 < 0 || n1 >= L1 || n2 >= L2)) return -1;
  return modulo(n1, L1) * L2 + modulo(n2, L2);
}

function nearestSite(x, y, message) {
  if (message.kind === "square") return cellIndex(Math.round(x), Math.round(y), message);
  const below = Math.floor(y / ROOT3_2);
  const [lower, upper] = [Math.round(x - below / 2), Math.round(x - (below + 1) / 2)];
  const down = (x - lower - below / 2) ** 2 + (y - below * ROOT3_2) ** 2;
  const up = (x - upper - (below + 1) / 2) ** 2 + (y - (below + 1) * ROOT3_2) ** 2;
  return down <= up ? cellIndex(lower, below, message) : cellIndex(upper, below + 1, message);
}

// The two triangles of a cell: a triangular cell is cut along a1 - a2, a square cell along a1 + a2.
function triangleAt(x, y, message) {
  const triangular = message.kind === "triangular";
  const v = triangular ? y / ROOT3_2 : y;
  const u = triangular ? x - v / 2 : x;
  const [n1, n2] = [Math.floor(u), Math.floor(v)];
  const second = triangular ? u - n1 + (v - n2) > 1 : v - n2 > u - n1;
  const cell = cellIndex(n1, n2, message);
  return cell < 0 ? -1 : 2 * cell + (second ? 1 : 0);
}

const DISC = 0.25; // largest radius of a random site, lattice constants

// Random sites, seen along -z: the higher, the larger and the further in front.
function discs(message) {
  const positions = new Float32Array(message.positions);
  const order = Array.from({ length: positions.length / 3 }, (_, i) => i);
  order.sort((a, b) => positions[3 * a + 2] - positions[3 * b + 2]);
  return order.map((site) => {
    const [x, y, z] = positions.subarray(3 * site, 3 * site + 3);
    return { site, x, y, radius: DISC * (0.6 + (0.4 * z) / message.box) };
  });
}

function discAt(x, y, message) {
  const hit = discs(message).findLast((disc) => Math.hypot(x - disc.x, y - disc.y) < disc.radius);
  return hit === undefined ? -1 : hit.site;
}

// What is drawn at a point: a site, or with mode "triangles" a triangle; -1 for nothing.
function elementAt(x, y, message) {
  if (message.kind === "random_sites") return discAt(x, y, message);
  return message.mode === "triangles" ? triangleAt(x, y, message) : nearestSite(x, y, message);
}

// The site to which a tool acts.
function siteAt(x, y, message) {
  return message.kind === "random_sites" ? discAt(x, y, message) : nearestSite(x, y, message);
}

// Position of a site as it is written down: n1 a1 + n2 a2, or where a random site lies.
function positionOf(site, message) {
  if (message.kind === "random_sites") return [...new Float32Array(message.positions, 12 * site, 3)];
  const [n1, n2] = [Math.floor(site / message.shape[1]), site % message.shape[1]];
  return message.kind === "triangular" ? [n1 + n2 / 2, n2 * ROOT3_2] : [n1, n2];
}

// The part of the plane on the canvas: a centre and a zoom >= 1. On a torus one may go on for ever.
class Window {
  constructor() {
    this.key = "";
    this.size = [1, 1];
    this.zoom = 1;
  }

  // Follow the lattice: another one is shown whole. True if it is another one.
  adopt(message) {
    this.message = message;
    const places = message.positions === undefined ? "" : new Float32Array(message.positions, 0, 6);
    const key = [message.kind, message.shape, message.box ?? 0, message.cut ?? "", places].join(" ");
    if (key === this.key) return false;
    this.key = key;
    this.whole = extent(message);
    this.periodic = message.kind !== "random_sites" && message.cut !== "parallelogram";
    this.reset();
    return true;
  }

  reset() {
    const { x0, y0, width, height } = this.whole;
    [this.x, this.y, this.zoom] = [x0 + width / 2, y0 + height / 2, 1];
  }

  // Canvas pixels per lattice constant.
  get scale() {
    return (this.size[0] / this.whole.width) * this.zoom;
  }

  get left() {
    return this.x - this.whole.width / (2 * this.zoom);
  }

  get bottom() {
    return this.y - this.whole.height / (2 * this.zoom);
  }

  get state() {
    return [this.key, this.size, this.x, this.y, this.zoom].join(" ");
  }

  toPlane(column, row) {
    return [this.left + column / this.scale, this.bottom + (this.size[1] - row) / this.scale];
  }

  toCanvas(x, y) {
    return [(x - this.left) * this.scale, this.size[1] - (y - this.bottom) * this.scale];
  }

  // A site in canvas pixels: its periodic image nearest to the middle.
  place(site) {
    let [x, y] = positionOf(site, this.message);
    if (this.periodic) {
      const [L1, L2] = this.message.shape;
      const triangular = this.message.kind === "triangular";
      const rows = triangular ? L2 * ROOT3_2 : L2;
      const turns = Math.round((this.y - y) / rows);
      [x, y] = [x + turns * (triangular ? L2 / 2 : 0), y + turns * rows];
      x += L1 * Math.round((this.x - x) / L1);
    }
    return this.toCanvas(x, y);
  }

  // Zoom by a factor with the point (x, y) of the plane at rest.
  zoomAt(x, y, factor) {
    const { width, height } = this.whole;
    const most = Math.max(1, Math.min(width, height) / FEWEST_CELLS);
    const zoom = Math.max(1, Math.min(most, this.zoom * factor));
    const change = this.zoom / zoom;
    this.zoom = zoom;
    this.centre(x + (this.x - x) * change, y + (this.y - y) * change);
  }

  centre(x, y) {
    const { x0, y0, width, height } = this.whole;
    if (this.periodic) {
      const turns = Math.floor((y - y0) / height);
      const shear = this.message.kind === "triangular" ? this.message.shape[1] / 2 : 0;
      [this.x, this.y] = [x0 + modulo(x - turns * shear - x0, width), y - turns * height];
      return;
    }
    const [roomX, roomY] = [width / (2 * this.zoom), height / (2 * this.zoom)];
    this.x = Math.max(x0 + roomX, Math.min(x0 + width - roomX, x));
    this.y = Math.max(y0 + roomY, Math.min(y0 + height - roomY, y));
  }
}

// Sites that carry an arrow: every n-th cell (n odd: an even one would see only part of the sublattices), so that
// arrows stay ARROW_SPACING screen pixels apart. Answers {length in canvas pixels, list of [site, x, y in the plane]}.
function arrowSites(view, message, pixelRatio) {
  if (message.kind === "random_sites") {
    return { length: 0.45 * view.scale, list: discs(message).map(({ site, x, y }) => [site, x, y]) };
  }
  const [L1, L2] = message.shape;
  const triangular = message.kind === "triangular";
  const least = Math.max(1, Math.ceil((ARROW_SPACING * pixelRatio) / view.scale));
  const stride = least + ((least + 1) % 2);
  const half = (stride - 1) >> 1;
  const rowHeight = triangular ? ROOT3_2 : 1;
  const upTo = (from, step) => half + step * Math.ceil((from - half) / step);
  const [right, top] = [view.left + view.whole.width / view.zoom, view.bottom + view.whole.height / view.zoom];
  const list = [];
  for (let n2 = upTo(view.bottom / rowHeight - 0.5, stride); n2 * rowHeight < top + 0.5 * rowHeight; n2 += stride) {
    const shift = triangular ? n2 / 2 : 0;
    const lean = triangular ? Math.floor(n2 / 2) : 0; // columns stay upright although a2 leans
    for (let k = upTo(view.left - 0.5, stride); k < right + 0.5; k += stride) {
      const n1 = k - lean;
      const site = cellIndex(n1, n2, message);
      if (site >= 0) list.push([site, n1 + shift, n2 * rowHeight]);
    }
  }
  return { length: 0.86 * view.scale * stride, list };
}
