// Colours of spins and of scalars. All parts of the component are joined into one module, in the order of lattice_map.py.

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

// The spin of a pair of bytes: u and v of the unfolded octahedron, u in the low byte.
function spinOf(word) {
  const [u, v] = [((word & 255) - 127.5) / 127.5, ((word >> 8) - 127.5) / 127.5];
  const z = 1 - Math.abs(u) - Math.abs(v);
  const x = z < 0 ? (1 - Math.abs(v)) * Math.sign(u) : u;
  const y = z < 0 ? (1 - Math.abs(u)) * Math.sign(v) : v;
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
}

let SPIN_COLOURS = null;

// The colours of all 65536 pairs of bytes, made when first asked for.
function spinTable() {
  if (SPIN_COLOURS === null) {
    SPIN_COLOURS = new Uint32Array(1 << 16);
    for (let word = 0; word < 1 << 16; word++) SPIN_COLOURS[word] = packed(...spinColour(...spinOf(word)));
  }
  return SPIN_COLOURS;
}

// 256 colours from 256 x 3 bytes.
function colourTable(bytes) {
  const table = new Uint32Array(256);
  const rgb = new Uint8Array(bytes);
  for (let i = 0; i < 256; i++) table[i] = packed(rgb[3 * i] / 255, rgb[3 * i + 1] / 255, rgb[3 * i + 2] / 255);
  return table;
}

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
    const [high, low, caption] = ["div", "div", "div"].map((kind) => document.createElement(kind));
    [high.textContent, low.textContent] = model.legend.split("|");
    box.append(high, bar, low, caption);
    box.setLimits = (message) => {
      if (message.high !== undefined) [high.textContent, low.textContent] = [message.high, message.low];
      caption.textContent = message.caption ?? "";
    };
  }
  box.style.cssText =
    "flex:none;display:flex;flex-direction:column;align-items:center;gap:4px;font:11px/1.35 system-ui,sans-serif;" +
    "text-align:center;opacity:.85";
  root.append(box);
  return box;
}
