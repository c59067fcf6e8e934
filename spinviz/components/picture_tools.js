// The strip above a picture: ways to look, a switch, help, downloads. See picture_tools.py.

const STYLE = `
.strip{display:flex;align-items:center;gap:2px;height:20px;font:11px/1 system-ui,sans-serif;white-space:nowrap}
.strip button{font:inherit;color:inherit;background:none;border:0;border-radius:4px;height:20px;padding:0 5px;cursor:pointer;opacity:.75}
.strip button:hover,.strip button:focus-visible{opacity:1;background:#8883}
.strip button:focus-visible{outline:2px solid #5c6bc0;outline-offset:-2px}
.strip button[aria-checked=true]{opacity:1;font-weight:600;background:#8884}
.strip svg{width:15px;height:15px;display:block;fill:none;stroke:currentColor;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
.strip .gap{flex:1 1 auto}
.pop{margin:0;position:fixed;inset:auto;border:1px solid #8886;border-radius:8px;padding:10px 14px;max-width:min(420px,90vw);
 box-shadow:0 6px 24px #0005;font:13px/1.45 system-ui,sans-serif;white-space:normal}
.pop p{margin:.5em 0 0}
.menu{padding:4px;display:none;flex-direction:column}
.menu:popover-open{display:flex}
.menu button{font:inherit;color:inherit;background:none;border:0;border-radius:4px;text-align:left;padding:6px 12px;cursor:pointer}
.menu button:hover,.menu button:focus-visible{background:#8883;outline:none}`;
const INFO = '<svg viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.5"/><path d="M8 7.2v4M8 4.6v.2"/></svg>';
const SAVE = '<svg viewBox="0 0 16 16"><path d="M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11"/></svg>';

function made(kind, className, content = "") {
  const node = document.createElement(kind);
  node.className = className;
  node.innerHTML = content;
  return node;
}

function named(node, label) {
  node.title = label;
  node.setAttribute("aria-label", label);
}

function button(label, content, action) {
  const node = made("button", "", content);
  node.type = "button";
  named(node, label);
  node.addEventListener("click", action);
  return node;
}

// Opens a popover in the top layer, so that no card clips it, in the colours of the page.
function opened(pop, anchor) {
  const dark = (getComputedStyle(anchor).color.match(/[\d.]+/g) ?? [0]).slice(0, 3).reduce((a, b) => a + +b, 0) > 382;
  pop.style.background = dark ? "#1a1f2c" : "#ffffff";
  pop.style.color = dark ? "#eceff6" : "#1b1f2a";
  pop.showPopover();
  const [at, size] = [anchor.getBoundingClientRect(), pop.getBoundingClientRect()];
  pop.style.left = `${Math.max(4, Math.min(at.right - size.width, window.innerWidth - size.width - 4))}px`;
  pop.style.top = `${Math.max(4, Math.min(at.bottom + 4, window.innerHeight - size.height - 4))}px`;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Every figure as one picture: canvases, or the groups of their SVGs, side by side.
async function drawn(kind, views) {
  const layers = views.map((view) => view.export(kind, true));
  const blobs = await Promise.all(layers.map((layer) => layer.to_blob()));
  if (layers.length === 1) return blobs[0];
  if (kind === "svg") {
    let x = 0;
    const parts = [];
    for (const [i, blob] of blobs.entries()) {
      // ids inside one SVG must not meet those of its neighbours
      const text = (await blob.text()).replace(/^<\?xml[^>]*>\s*/, "");
      const own = text.replace(/(id="|url\(#|href="#)/g, `$1p${i}-`);
      parts.push(own.replace("<svg", `<svg x="${x}"`));
      x += views[i].bbox.width;
    }
    const height = Math.max(...views.map((view) => view.bbox.height));
    const whole = `<svg xmlns="http://www.w3.org/2000/svg" width="${x}" height="${height}">${parts.join("")}</svg>`;
    return new Blob([whole], { type: "image/svg+xml" });
  }
  const canvas = document.createElement("canvas");
  canvas.width = layers.reduce((sum, layer) => sum + layer.canvas.width, 0);
  canvas.height = Math.max(...layers.map((layer) => layer.canvas.height));
  const context = canvas.getContext("2d");
  let x = 0;
  for (const layer of layers) {
    context.drawImage(layer.canvas, x, 0);
    x += layer.canvas.width;
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function download(model, kind) {
  if (kind === "csv" || model.figures.length === 0) return model.send_msg({ wanted: kind });
  const views = model.figures.map((id) => window.Bokeh.index.find_one_by_id(id)).filter((view) => view?.bbox?.width > 0);
  save(await drawn(kind, views), `${model.title.replaceAll(" ", "-")}.${kind}`);
}

export function render({ model }) {
  const strip = made("div", "strip");
  const style = document.createElement("style");
  style.textContent = STYLE;
  const group = made("span", "");
  group.setAttribute("role", "radiogroup");
  const choose = () => {
    group.replaceChildren(...model.choices.map((name) => {
      const node = button(name, name, () => { model.choice = name; });
      node.setAttribute("role", "radio");
      node.setAttribute("aria-checked", String(name === model.choice));
      return node;
    }));
  };
  choose();
  const change = button("", model.switch, () => { model.switched = !model.switched; });
  change.setAttribute("role", "switch");
  const turn = () => change.setAttribute("aria-checked", String(model.switched));
  turn();

  const help = made("div", "pop", model.help);
  help.popover = "auto";
  help.setAttribute("role", "note");
  const info = button("", INFO, () => opened(help, info));
  const menu = made("div", "pop menu");
  menu.popover = "auto";
  const get = button("", SAVE, () => { opened(menu, get); menu.firstChild.focus(); });
  for (const kind of ["png", "svg", "csv"]) {
    menu.append(button("", kind.toUpperCase(), () => {
      menu.hidePopover();
      void download(model, kind);
    }));
  }
  strip.append(group, ...(model.switch ? [change] : []), made("span", "gap"), ...(model.help ? [info] : []), get, help, menu);

  const name = () => {
    group.setAttribute("aria-label", `Ways to look at the ${model.title}`);
    named(change, `${model.switch}, ${model.title}`);
    named(info, `About the ${model.title}`);
    named(get, `Download the ${model.title}`);
    for (const item of menu.children) named(item, `${model.title} as ${item.textContent}`);
  };
  name();

  model.on("title", name);
  model.on("choice", choose);
  model.on("choices", choose);
  model.on("switched", turn);
  model.on("help", () => { help.innerHTML = model.help; });
  model.on("msg:custom", (message) => {
    const content = message.data?.type === undefined && message.data?.sentence === undefined ? message : message.data;
    if (content.sentence) {
      help.textContent = content.sentence;
      opened(help, get);
      return;
    }
    const bytes = Uint8Array.from(atob(content.content), (letter) => letter.charCodeAt(0));
    save(new Blob([bytes], { type: content.type }), content.name);
  });
  const root = made("div", "");
  root.append(style, strip);
  return root;
}
