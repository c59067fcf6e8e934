// How far the reader has come, kept in this browser only. It has no size and stands at the end of the text.
//
// To the server, once: {kept: what was written last, as it is, or null}.
// From the server: model.progress, JSON, is written whenever it changes; {reveal: true} scrolls to this place,
//                  {reveal: false} back to the beginning of the text.

const KEY = "spinviz-learn";
const PATIENCE = 150; // milliseconds, in which what is to be seen is laid out

// Scroll everything around this element to its top.
function rewind(element) {
  for (let node = element; node; node = node.assignedSlot ?? node.parentNode ?? node.host) {
    if (node instanceof Element && node.scrollTop > 0) node.scrollTop = 0;
  }
}

export function render({ model }) {
  const root = document.createElement("div");
  root.style.height = "1px";
  let kept = null;
  try {
    kept = window.localStorage.getItem(KEY);
  } catch { /* storage is not allowed here: the address bar still holds the place */ }
  model.on("progress", () => {
    try {
      window.localStorage.setItem(KEY, model.progress);
    } catch { /* as above */ }
  });
  model.on("msg:custom", (message) => {
    const reveal = message.reveal ?? message.data?.reveal;
    if (reveal === true) window.setTimeout(() => root.scrollIntoView({ block: "nearest" }), PATIENCE);
    if (reveal === false) rewind(root);
  });
  model.send_msg({ kept });
  return root;
}
