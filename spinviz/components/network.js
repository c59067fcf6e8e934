// Says when the server is out of reach, and brings the page back. Shows nothing while all is well.
//
// Bokeh opens a lost connection again by itself, some times at growing intervals. Then the server is asked whether it
// still keeps this page: if it has given the page up, or was started anew, the page is loaded again, with the set-up of
// its address bar; if not, the run goes on where it is, as soon as the connection answers ({asked: n}, {answer: n}),
// however busy the server is. When Bokeh has tried often enough, the page is loaded again as soon as the server answers
// at all. A tab that is closed says so by a beacon.

const ANSWER_MILLISECONDS = 1000; // then it is asked again: what is sent before the server is ready is lost
const LOOK_MILLISECONDS = 250;
const KNOCK_MILLISECONDS = 5000;
const GOOD_NEWS_MILLISECONDS = 5000;

const STYLE = `
  position: fixed; left: 50%; bottom: 18px; transform: translateX(-50%); z-index: 5000; display: flex; gap: 14px;
  align-items: center; max-width: 90vw; padding: 10px 16px; border-radius: 8px; color: #fff; font: 14px/1.4 sans-serif;
  box-shadow: 0 4px 18px rgb(0 0 0 / 35%);`;

function banner() {
  const box = document.createElement("div");
  box.className = "network-banner";
  box.setAttribute("role", "status");
  const text = document.createElement("span");
  const again = document.createElement("button");
  again.textContent = "Load the page again";
  again.style.cssText = "font: inherit; padding: 3px 10px; border-radius: 6px; border: 1px solid #fff; background: none;"
    + " color: inherit; cursor: pointer; white-space: nowrap";
  again.addEventListener("click", () => window.location.reload());
  box.append(text, again);
  document.body.append(box);
  return {
    say(words, good) {
      text.textContent = words;
      again.hidden = good;
      box.style.cssText = `${STYLE} background: ${good ? "#1b5e20" : "#8e1b1b"};`;
    },
    remove: () => box.remove(),
  };
}

export function render({ model, view }) {
  const root = document.createElement("div");
  root.style.display = "none";
  let shown = null; // the banner
  let timer = null; // the one thing that is being waited for
  let asked = 0;

  const wait = (action, milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
  const say = (words, good = false) => (shown ??= banner()).say(words, good);

  const back = () => {
    say("Connected again: the run went on.", true);
    wait(() => {
      shown?.remove();
      shown = null;
    }, GOOD_NEWS_MILLISECONDS);
  };

  const name = () => new URL(model.farewell, window.location.href);

  const ask = async () => {
    const mine = timer;
    let kept = true;
    try {
      kept = !model.farewell || (await fetch(name(), { cache: "no-store" })).status !== 404;
    } catch {
      // lost once more: Bokeh tells of it
    }
    if (timer !== mine) return; // answered or lost meanwhile
    if (!kept) {
      window.location.reload();
      return;
    }
    asked += 1;
    model.send_msg({ asked });
    wait(ask, ANSWER_MILLISECONDS);
  };

  // Bokeh tells of a connection that was lost, not of one that is there again without its document.
  const look = (connection) => {
    if (connection?.socket?.readyState === WebSocket.OPEN) wait(ask, LOOK_MILLISECONDS);
    else wait(() => look(connection), LOOK_MILLISECONDS);
  };

  const knock = async () => {
    try {
      if ((await fetch(window.location.href, { cache: "no-store" })).ok) {
        window.location.reload();
        return;
      }
    } catch {
      // not yet
    }
    wait(knock, KNOCK_MILLISECONDS);
  };

  const lost = (_document, event) => {
    if (event.timeout === null) {
      say("The server cannot be reached. The page is loaded again, with this set-up, as soon as it answers.");
      wait(knock, KNOCK_MILLISECONDS);
      return;
    }
    const seconds = Math.round(event.timeout / 1000);
    say("The connection to the server is lost; the picture stands still. "
      + (seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again."));
    wait(() => look(event.connection.deref()), LOOK_MILLISECONDS);
  };

  model.on("msg:custom", (message) => {
    if ((message.answer ?? message.data?.answer) > 0) back();
  });
  const leave = () => {
    if (model.farewell) navigator.sendBeacon(name());
  };
  window.addEventListener("pagehide", leave);
  model.on("remove", () => window.removeEventListener("pagehide", leave));
  view.model.document.on_event("connection_lost", lost);
  return root;
}
