// A map of a periodic lattice, drawn from a few bytes per site.
//
// Message: {frame, mode: "spin" | "triangles" | "sites", kind, shape: [L1, L2], data: bytes, cut,
//           positions: Float32 bytes (x, y, z per site; random sites only), box, arrows, marks: [site, ...] to ring, high, low, caption: legend texts,
//           symbol: letter of a value of a triangle}
//   spin      2 bytes per site, u and v of the unfolded octahedron: hue = in-plane angle, white = +z, black = -z.
//   triangles 1 signed byte per triangle, 127 times a value in [-1, 1]; sites: the same per site.
// or {reading: [{name, unit, digits, data}]}.
// After every drawn frame {drawn: frame, renderer} goes back to the server, which holds at most two frames in flight.

const MAX_PIXELS = 1.0e6;
const TRIALS = 2; // of each renderer; the first makes tables and shaders
const CLEAR = 2; // ratio of times that settles it

// The renderers that there are, made when wanted, each with its own canvas (a canvas has one kind of context for life).
class Renderers {
  constructor(wanted, onChange) {
    [this.wanted, this.onChange] = [wanted, onChange];
    this.lost = false;
    this.made = {};
    this.chosen = null;
    this.tried = "";
    this.times = {};
  }

  canvas() {
    const canvas = document.createElement("canvas");
    canvas.className = "lattice-map";
    canvas.style.cssText = "display:block;width:100%;height:100%;outline-color:#5c6bc0;";
    canvas.setAttribute("role", "img");
    canvas.tabIndex = 0;
    return canvas;
  }

  // The renderer of this name, or null where the browser has none.
  get(name) {
    if (this.made[name] === undefined) {
      try {
        this.made[name] = name === "canvas" ? new CanvasRenderer(this.canvas()) : new WebGLRenderer(
          this.canvas(), () => this.lose(true), () => this.lose(false));
      } catch (error) {
        this.made[name] = null;
        this.reason = String(error.message ?? error);
      }
    }
    return this.made[name];
  }

  lose(lost) {
    this.lost = lost;
    this.tried = "";
    this.onChange();
  }

  // The one for this frame. "auto" draws the first frame of every lattice with both and keeps the faster one: software
  // WebGL (no graphics processor) may be slower than a plain canvas. A clear verdict holds for all maps of the page.
  choose(view, draw) {
    if (this.chosen !== null && view.key === this.tried) return this.chosen;
    this.tried = view.key;
    this.times = {};
    const verdict = this.wanted === "auto" ? window.__spinviz_renderer : this.wanted;
    const gl = verdict === "canvas" || this.lost ? null : this.get("webgl2");
    if (gl !== null) this.times.webgl2 = timed(gl, draw);
    if (gl === null || this.times.webgl2 === Infinity) return (this.chosen = this.get("canvas"));
    if (verdict === "webgl2") return (this.chosen = gl);
    const plain = this.get("canvas");
    this.times.canvas = timed(plain, draw);
    const ratio = this.times.webgl2 / this.times.canvas;
    if (ratio > CLEAR || ratio < 1 / CLEAR) window.__spinviz_renderer = ratio > 1 ? "canvas" : "webgl2";
    return (this.chosen = ratio > 1 ? plain : gl);
  }
}

// Milliseconds of a frame, tables and shaders not counted; Infinity where it fails.
function timed(renderer, draw) {
  let best = Infinity;
  try {
    for (let trial = 0; trial < TRIALS; trial++) {
      const begin = performance.now();
      draw(renderer);
      renderer.finish();
      if (trial > 0) best = Math.min(best, performance.now() - begin);
    }
  } catch (error) {
    console.warn(`spinviz: ${renderer.name} cannot draw this map: ${error.message}`);
  }
  return best;
}

// Two rings of opposite brightness, to be seen on every colour.
function drawMarks(canvas, view, marks, pixelRatio) {
  canvas.style.display = marks?.length ? "block" : "none";
  if (!marks?.length) return;
  [canvas.width, canvas.height] = view.size;
  const context = canvas.getContext("2d");
  const radius = Math.max(9 * pixelRatio, Math.min(1.1 * view.scale, 18 * pixelRatio));
  for (const site of marks) {
    const [x, y] = view.place(site);
    for (const [style, line] of [["#000", 5], ["#fff", 2.5]]) {
      context.strokeStyle = style;
      context.lineWidth = line * pixelRatio;
      context.beginPath();
      context.arc(x, y, radius, 0, TAU);
      context.stroke();
    }
  }
}

class LatticeMapView {
  constructor(model) {
    this.model = model;
    this.root = styled("div", "display:flex;align-items:center;justify-content:center;gap:10px;width:100%;height:100%;");
    this.stage = styled("div",
      "flex:1 1 auto;min-width:0;height:100%;display:flex;align-items:center;justify-content:center;");
    this.frame = styled("div", "position:relative;box-shadow:0 0 0 1px #8886;");
    this.overlay = styled("canvas", "position:absolute;inset:0;width:100%;height:100%;pointer-events:none;display:none;");
    this.note = styled("div",
      "position:absolute;pointer-events:none;white-space:pre;font:11px/1.4 ui-monospace,monospace;padding:4px 7px;" +
      "border-radius:5px;box-shadow:0 1px 5px #0006;display:none;z-index:2;");
    this.note.className = "lattice-reading";
    this.note.setAttribute("role", "status");
    this.frame.append(this.overlay, this.note);
    this.stage.append(this.frame);
    this.root.append(this.stage);
    this.legend = legend(model, this.root);
    this.table = model.palette ? colourTable(model.palette) : null;
    this.view = new Window();
    [this.newest, this.last, this.waiting, this.arrays, this.hovering] = [null, null, false, [], false];
    this.counters = window.__spinviz_frames = window.__spinviz_frames ?? {};
    this.counters[model.title] = this.counters[model.title] ?? 0;
    this.renderers = new Renderers(model.renderer, () => this.redraw());
    this.controls = new MapControls(this.frame, {
      view: this.view,
      message: () => this.last,
      tool: () => model.tool,
      send: (message) => model.send_msg(message),
      redraw: () => this.redraw(),
      read: (x, y) => reading(x, y, this.last, this.arrays),
      show: (read, column, row) => this.say(read, column, row),
    });
    this.dress();
    this.measure();
  }

  // Reads the room once per change of size: reading it at every frame would lay the page out at every frame.
  measure() {
    this.room = [Math.max(40, this.stage.clientWidth), Math.max(40, this.stage.clientHeight)];
    this.pixelRatio = window.devicePixelRatio || 1;
  }

  // Background and note in the colours of the page.
  dress() {
    const colours = this.model.pages[this.model.theme];
    Object.assign(this.note.style, { background: colours.surface, color: colours.text });
    this.frame.style.background = colours.surface;
    this.frame.style.cursor = this.model.tool === "look" ? "grab" : "crosshair";
    this.controls.touch();
  }

  // The largest rectangle of the lattice's aspect ratio in the room, with as many pixels as the screen has there.
  fit(message) {
    const { view } = this;
    if (view.adopt(message)) this.controls.touch();
    const { width, height } = view.whole;
    const shown = Math.min(this.room[0] / width, this.room[1] / height);
    const scale = Math.min(shown * this.pixelRatio, Math.sqrt(MAX_PIXELS / (width * height)));
    view.size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    this.canvasRatio = scale / shown; // canvas pixels per screen pixel
    const place = [`${Math.round(width * shown)}px`, `${Math.round(height * shown)}px`];
    if (this.frame.style.width !== place[0]) this.frame.style.width = place[0];
    if (this.frame.style.height !== place[1]) this.frame.style.height = place[1];
  }

  paint(message) {
    this.fit(message);
    const draw = (renderer) => renderer.draw(message, this.view, this.table, this.canvasRatio);
    const renderer = this.renderers.choose(this.view, draw);
    draw(renderer);
    if (renderer !== this.renderer) this.show(renderer);
    const times = JSON.stringify(this.renderers.times);
    if (renderer.canvas.dataset.times !== times) renderer.canvas.dataset.times = times;
    drawMarks(this.overlay, this.view, message.marks, this.canvasRatio);
  }

  show(renderer) {
    const before = this.renderer?.canvas;
    const focused = before !== undefined && before.getRootNode().activeElement === before;
    before?.remove();
    this.renderer = renderer;
    const { canvas } = renderer;
    canvas.dataset.renderer = renderer.name;
    canvas.setAttribute("aria-label", this.model.label);
    this.frame.prepend(canvas);
    if (focused) canvas.focus();
  }

  draw() {
    this.waiting = false;
    if (this.newest !== null) {
      [this.last, this.newest] = [this.newest, null];
      this.paint(this.last);
      this.legend.setLimits?.(this.last);
      this.counters[this.model.title] += 1;
      this.model.send_msg({ drawn: this.last.frame, renderer: this.renderer.name });
      this.controls.read();
    } else if (this.last !== null) {
      this.paint(this.last);
    }
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.draw());
  }

  receive(message) {
    if (message.reading !== undefined) {
      this.arrays = message.reading;
      this.controls.read();
    } else {
      this.newest = message;
      this.redraw();
    }
  }

  // Show a reading beside the pointer; tell the server when reading begins and ends, so that it sends arrays only then.
  say(read, column, row) {
    const shown = Boolean(read);
    if (shown !== this.hovering) {
      this.hovering = shown;
      if (!shown) this.arrays = [];
      this.model.send_msg({ hovering: shown });
    }
    this.note.style.display = shown ? "block" : "none";
    if (!shown) return;
    if (this.note.textContent !== read.text) this.note.textContent = read.text;
    this.note.dataset.element = read.element;
    const [x, y] = [column / this.view.size[0], row / this.view.size[1]];
    this.note.style.left = x < 0.5 ? `calc(${100 * x}% + 14px)` : "";
    this.note.style.right = x < 0.5 ? "" : `calc(${100 - 100 * x}% + 14px)`;
    this.note.style.top = y < 0.5 ? `calc(${100 * y}% + 14px)` : "";
    this.note.style.bottom = y < 0.5 ? "" : `calc(${100 - 100 * y}% + 14px)`;
  }

  name() {
    this.renderer?.canvas.setAttribute("aria-label", this.model.label);
  }
}

function styled(kind, style) {
  const element = document.createElement(kind);
  element.style.cssText = style;
  return element;
}

export function render({ model }) {
  const map = new LatticeMapView(model);
  model.on("msg:custom", (message) => map.receive(message));
  model.on("label", () => map.name());
  for (const name of ["theme", "tool"]) model.on(name, () => map.dress());
  const observer = new ResizeObserver(() => {
    map.measure();
    map.redraw();
  });
  observer.observe(map.stage);
  model.on("remove", () => {
    observer.disconnect();
    map.controls.close();
  });
  model.send_msg({ ready: true });
  return map.root;
}
