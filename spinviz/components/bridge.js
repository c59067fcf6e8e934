// What the page needs of the browser itself: its keys, its address bar, its clipboard. Shows nothing.
//
// To the server: {key} for a key of model.keys that no field or widget in focus needs itself; {copied: true | false}.
// From the server: {address: "?..."} replaces the query of the address bar (no entry in the history of the tab);
//                  {copy: text} puts a text into the clipboard.

const TYPING = new Set(["text", "number", "search", "email", "url", "password", "tel", "date", "time"]);
const MOVED_BY_ARROWS = new Set(["slider", "tab", "radio", "spinbutton", "menuitem", "option", "treeitem"]);
const CHOOSING = new Set(["combobox", "listbox", "menu", "menuitem", "option", "textbox", "searchbox"]);

// True when the element in focus uses this key itself.
function needs(element, key) {
  if (!(element instanceof Element)) return false;
  const role = element.getAttribute("role") ?? "";
  if (element.isContentEditable || CHOOSING.has(role)) return true;
  if (["TEXTAREA", "SELECT"].includes(element.tagName)) return true;
  if (element.tagName === "INPUT" && TYPING.has(element.type)) return true;
  const arrow = key.startsWith("Arrow");
  if (arrow) return MOVED_BY_ARROWS.has(role) || ["range", "radio"].includes(element.type);
  return key === " " && (["BUTTON", "SUMMARY", "A"].includes(element.tagName) || element.type === "checkbox"
    || ["button", "switch", "tab", "radio", "checkbox"].includes(role));
}

export function render({ model }) {
  const root = document.createElement("div");
  root.style.display = "none";

  const listen = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (!model.keys.includes(event.key) || needs(event.composedPath()[0], event.key)) return;
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    model.send_msg({ key: event.key });
  };
  document.addEventListener("keydown", listen);

  model.on("msg:custom", async (message) => {
    const content = message.address === undefined && message.copy === undefined ? message.data ?? {} : message;
    if (content.address !== undefined) {
      window.history.replaceState(window.history.state, "", window.location.pathname + content.address);
    }
    if (content.copy !== undefined) {
      let copied = true;
      try {
        await navigator.clipboard.writeText(content.copy);
      } catch {
        copied = false; // not allowed, or no secure context: the page shows the text instead
      }
      model.send_msg({ copied });
    }
  });
  model.on("remove", () => document.removeEventListener("keydown", listen));
  model.send_msg({ ready: window.location.origin + window.location.pathname, width: window.innerWidth });
  return root;
}
