// How far the reader has come, kept in this browser only. Shows nothing.
//
// To the server, once: {kept: what was written last, as it is, or null}.
// From the server: model.progress, JSON, is written whenever it changes.

const KEY = "spinviz-learn";

export function render({ model }) {
  const root = document.createElement("div");
  root.style.display = "none";
  let kept = null;
  try {
    kept = window.localStorage.getItem(KEY);
  } catch { /* storage is not allowed here: the address bar still holds the place */ }
  model.on("progress", () => {
    try {
      window.localStorage.setItem(KEY, model.progress);
    } catch { /* as above */ }
  });
  model.send_msg({ kept });
  return root;
}
