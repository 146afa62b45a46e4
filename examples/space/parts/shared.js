// Shared code of the three parts. Gradio concatenates this file, playback.js and the part's files into the body of a
// function of `element`, `trigger`, `props`, `server` and `watch`, and runs it once per component, so nothing here is
// global. Each part defines `HINT`, the default status text.

const root = element.querySelector(".part");
const status = h("p", { class: "status", role: "status" });

/** Creates an element: h("button", { class: "cell", onclick: ... }, child, ...). Null attributes are left out. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const ICONS = {
  play: "M6 4l14 8-14 8z",
  stop: "M6 6h12v12H6z",
  undo: "M9 14L4 9l5-5v3.5h5a6 6 0 010 12H8v-3h6a3 3 0 000-6H9z",
  redo: "M15 14l5-5-5-5v3.5h-5a6 6 0 000 12h6v-3h-6a3 3 0 010-6h5z",
  clear: "M6 7h12l-1 14H7zM9 3h6l1 2h4v2H4V5h4z",
  sound: "M4 9h4l5-5v16l-5-5H4zM16 8q4 4 0 8zM18 5q7 7 0 14v-2q4-5 0-10z",
  record: "M12 5a7 7 0 100 14 7 7 0 000-14z",
  repeat: "M7 7h10v3l4-4-4-4v3H5v6h2zM17 17H7v-3l-4 4 4 4v-3h12v-6h-2z",
  pencil: "M4 20l1-5L16 4l4 4L9 19z",
  erase: "M9 5h12v14H9l-7-7zM11 8l3 3-3 3v2l4-4 4 4v-2l-3-3 3-3V8l-4 3z",
};

/** A button with an icon and a label, which is only a tooltip unless the button is wide. */
function iconButton(icon, label, onclick, { wide = false, ...attributes } = {}) {
  const node = h("button", {
    type: "button",
    class: "tool",
    title: label,
    "aria-label": label,
    onclick,
    ...attributes,
  });
  node.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="' + ICONS[icon] + '"/></svg>';
  if (wide) node.append(h("span", {}, label));
  return node;
}

let spoken = 0; // number of messages so far

/** Shows a message below the part, read aloud by screen readers; without one, the hint. */
function say(...message) {
  spoken += 1;
  status.classList.remove("wrong");
  status.replaceChildren(...(message.length ? message : [HINT]));
}

function complain(...message) {
  say(...message);
  status.classList.add("wrong");
}

/**
 * The component's value and its history. Change it by store.edit((value) => ...), or by store.begin() ... store.finish()
 * around a drag, which store.cancel() reverts. Python is notified when the user pauses, or leaves the part.
 */
function makeStore(draw) {
  const past = [];
  const future = [];
  let before = null;
  let timer = null;

  function send() {
    clearTimeout(timer);
    timer = setTimeout(flush, 250);
  }

  function flush() {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    props.value = structuredClone(store.value);
    trigger("input");
  }

  function travel(from, to, word) {
    store.cancel();
    if (from.length === 0) return;
    to.push(store.value);
    store.value = from.pop();
    send();
    draw();
    say(word);
  }

  const store = {
    value: structuredClone(props.value),
    undo: () => travel(past, future, "Undone."),
    redo: () => travel(future, past, "Redone."),
    canUndo: () => past.length > 0,
    canRedo: () => future.length > 0,
    begin() {
      before ??= structuredClone(store.value);
    },
    finish() {
      if (before !== null && JSON.stringify(before) !== JSON.stringify(store.value)) {
        past.push(before);
        future.length = 0;
        send();
      }
      before = null;
      draw();
    },
    cancel() {
      if (before === null) return;
      store.value = before;
      before = null;
      draw();
    },
    edit(change) {
      store.begin();
      change(store.value);
      store.finish();
    },
  };

  root.addEventListener("focusout", flush);
  root.addEventListener("pointerleave", flush);
  root.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || (key !== "z" && key !== "y") || event.target.matches(".typing")) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) store.redo();
    else store.undo();
  });
  watch("value", () => {
    clearTimeout(timer);
    timer = before = null;
    // An unchanged value is not an undo step.
    if (JSON.stringify(props.value) !== JSON.stringify(store.value)) past.push(store.value);
    store.value = structuredClone(props.value);
    draw();
  });
  return store;
}

/**
 * Handles pointer gestures on `node` by mouse, pen or touch. `down(event)` returns the target of the gesture, or null. Then
 * `move(event, it)` is called once the pointer has moved by `threshold` pixels, and finally `up(event, it, moved)`, or
 * `cancel(it)` if the page scrolls instead or Escape is pressed.
 */
function onDrag(node, { down, move, up, cancel = () => {}, threshold = 6 }) {
  let first = null;
  let it = null;
  let moved = false;

  function end(then) {
    const [mine, far] = [it, moved];
    first = it = null;
    then(mine, far);
  }

  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || first) return;
    it = down(event) ?? null;
    if (it === null) return;
    first = event;
    moved = false;
    node.setPointerCapture(event.pointerId);
  });
  node.addEventListener("pointermove", (event) => {
    if (event.pointerId !== first?.pointerId) return;
    moved ||= Math.hypot(event.clientX - first.clientX, event.clientY - first.clientY) >= threshold;
    if (moved) move(event, it);
  });
  node.addEventListener("pointerup", (event) => {
    if (event.pointerId === first?.pointerId) end((mine, far) => up(event, mine, far));
  });
  node.addEventListener("pointercancel", (event) => {
    if (event.pointerId === first?.pointerId) end(cancel);
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && first) end(cancel);
  });
}

/** The title and the buttons of every part. Call header.update() after a change. */
function makeHeader(store, transport, clear) {
  const play = iconButton("play", "Play", () => transport.toggle());
  const sound = iconButton(
    "sound",
    "Sound while editing",
    () => {
      sound.setAttribute("aria-pressed", sound.getAttribute("aria-pressed") !== "true");
    },
    { "aria-pressed": true },
  );
  const undo = iconButton("undo", "Undo (Ctrl+Z)", store.undo);
  const redo = iconButton("redo", "Redo (Ctrl+Y)", store.redo);
  const tools = h(
    "div",
    { class: "tools", role: "group", "aria-label": props.label + ": tools" },
    play,
    sound,
    undo,
    redo,
    iconButton("clear", "Clear all", clear),
  );
  transport.onchange = () => {
    play.replaceChildren(...iconButton(transport.isPlaying() ? "stop" : "play", "").children);
    play.title = transport.isPlaying() ? "Stop" : "Play";
    play.setAttribute("aria-label", play.title);
  };
  return {
    node: h("div", { class: "head" }, h("span", { class: "title" }, props.label), tools),
    tools,
    isLoud: () => sound.getAttribute("aria-pressed") === "true",
    update() {
      undo.disabled = !store.canUndo();
      redo.disabled = !store.canRedo();
    },
  };
}
