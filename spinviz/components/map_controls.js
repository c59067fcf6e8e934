// Mouse, touch and keyboard on a map: zoom, pan, read, and point with a tool.
//
//   wheel, pinch, + and -        zoom about the pointer, or the middle
//   drag, arrow keys             move; with a tool in hand: the middle button, two fingers, arrow keys
//   double click, 0, Home        the whole picture again
//   finger up and down           scrolls the page, while the whole picture is shown and no tool is in hand
//   pointer, or Enter in focus   reads the site; with a tool in hand: sends a pick to the page

const WHEEL = 0.0015; // of zoom, in powers of e, for one pixel of wheel
const STEP = 1.25; // zoom of one key press
const SHIFT = 0.1; // of the picture, for one arrow key
const READ_EVERY = 100; // milliseconds

class MapControls {
  // host: {view, message(), tool(), send(message), redraw(), read(x, y) -> text or "", show(text, column, row)}
  constructor(frame, host) {
    [this.frame, this.host] = [frame, host];
    this.pointers = new Map();
    [this.picked, this.hover, this.readAt, this.timer] = [-1, null, 0, null];
    frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => this.up(event));
    frame.addEventListener("pointerleave", () => this.leave());
    frame.addEventListener("dblclick", () => this.host.tool() === "look" && this.reset());
    frame.addEventListener("keydown", (event) => this.key(event));
    frame.addEventListener("blur", () => this.leave(), true);
  }

  // Pointer in canvas pixels.
  at(event) {
    const box = this.frame.getBoundingClientRect();
    const [width, height] = this.host.view.size;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  wheel(event) {
    if (this.host.message() === null) return;
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
    this.host.view.zoomAt(...this.host.view.toPlane(...this.at(event)), Math.exp(-WHEEL * pixels));
    this.changed();
  }

  down(event) {
    if (this.host.message() === null || event.button === 2) return;
    this.frame.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    this.picking = this.host.tool() !== "look" && event.button === 0 && this.pointers.size === 1;
    if (this.picking) this.pick("down", this.at(event), event.shiftKey);
    if (event.button === 1) event.preventDefault(); // no automatic scrolling
  }

  move(event) {
    if (this.host.message() === null) return;
    const [before, now] = [this.pointers.get(event.pointerId), this.at(event)];
    this.hover = now;
    if (before === undefined) return this.read();
    if (this.picking && this.pointers.size === 1) {
      this.pick("move", now, event.shiftKey);
      return this.read();
    }
    const { view } = this.host;
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other !== undefined) {
      const reach = (point) => Math.max(8, Math.hypot(point[0] - other[0], point[1] - other[1]));
      view.zoomAt(...view.toPlane(...other), reach(now) / reach(before));
    } else {
      view.centre(view.x - (now[0] - before[0]) / view.scale, view.y + (now[1] - before[1]) / view.scale);
    }
    this.pointers.set(event.pointerId, now);
    this.changed();
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.picking) this.pick("up", this.at(event), event.shiftKey);
    this.picking = false;
  }

  leave() {
    this.hover = null;
    this.host.show("", 0, 0);
  }

  // A site is told once: moves within a site are not sent.
  pick(phase, [column, row], shift) {
    const { view } = this.host;
    const [x, y] = view.toPlane(column, row);
    const site = siteAt(x, y, this.host.message());
    const told = phase === "up" && site < 0 ? this.picked : site;
    if (told < 0 || (phase === "move" && told === this.picked)) return;
    this.picked = phase === "up" ? -1 : told;
    this.host.send({ kind: "pick", site: told, phase, shift, tool: this.host.tool() });
  }

  key(event) {
    if (this.host.message() === null || event.ctrlKey || event.altKey || event.metaKey) return;
    const { view } = this.host;
    const move = (across, up) => {
      const { width, height } = view.whole;
      view.centre(view.x + (SHIFT * across * width) / view.zoom, view.y + (SHIFT * up * height) / view.zoom);
    };
    const actions = {
      "+": () => view.zoomAt(view.x, view.y, STEP),
      "=": () => view.zoomAt(view.x, view.y, STEP),
      "-": () => view.zoomAt(view.x, view.y, 1 / STEP),
      ArrowLeft: () => move(-1, 0),
      ArrowRight: () => move(1, 0),
      ArrowUp: () => move(0, 1),
      ArrowDown: () => move(0, -1),
      Home: () => view.reset(),
      0: () => view.reset(),
      Enter: () => this.enter(event.shiftKey),
      Escape: () => this.leave(),
    };
    if (actions[event.key] === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // keys of the page
    actions[event.key]();
    if (event.key !== "Enter" && event.key !== "Escape") this.changed();
  }

  // The keyboard points to the middle.
  enter(shift) {
    const middle = this.host.view.size.map((length) => length / 2);
    this.hover = middle;
    this.read();
    if (this.host.tool() === "look") return;
    this.pick("down", middle, shift);
    this.pick("up", middle, shift);
  }

  reset() {
    this.host.view.reset();
    this.changed();
  }

  changed() {
    this.touch();
    this.host.redraw();
    this.read();
  }

  // A finger moved up or down scrolls the page as long as it has nothing else to do here.
  touch() {
    this.frame.style.touchAction = this.host.tool() === "look" && this.host.view.zoom === 1 ? "pan-y" : "none";
  }

  // Read what is under the pointer, ten times a second at most; also when a new frame is drawn.
  read() {
    if (this.hover === null || this.timer !== null) return;
    const rest = this.readAt + READ_EVERY - performance.now();
    if (rest > 0) {
      this.timer = setTimeout(() => {
        this.timer = null;
        this.read();
      }, rest);
      return;
    }
    this.readAt = performance.now();
    this.host.show(this.host.read(...this.host.view.toPlane(...this.hover)), ...this.hover);
  }

  close() {
    clearTimeout(this.timer);
  }
}
