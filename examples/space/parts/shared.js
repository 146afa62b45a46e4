// What the three parts share. Gradio runs this file and the part's own as one function of `element`, `trigger`, `props`,
// `server` and `watch`, once per component.

const root = element.querySelector(".part");

/** An element: h("button", { class: "cell", onclick: ... }, child, ...). Absent attributes are null, undefined or false. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * The component's value with its history. A change is store.edit(() => ...), or store.begin() ... store.finish() around a
 * drag, which store.cancel() takes back. Python hears of it once the hand rests or leaves the component.
 */
function makeStore(draw) {
  const copy = (value) => structuredClone(value);
  let timer = null;
  let before = null;
  const past = [];
  const future = [];
  const store = {
    value: copy(props.value),
    begin() {
      before ??= copy(store.value);
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
      if (before !== null) store.value = before;
      before = null;
      draw();
    },
    edit(change) {
      store.begin();
      change(store.value);
      store.finish();
    },
    undo: () => travel(past, future),
    redo: () => travel(future, past),
    canUndo: () => past.length > 0,
    canRedo: () => future.length > 0,
  };

  function travel(from, to) {
    if (from.length === 0) return;
    store.cancel();
    to.push(copy(store.value));
    store.value = from.pop();
    send();
    draw();
  }

  function send() {
    clearTimeout(timer);
    timer = setTimeout(flush, 250);
  }

  function flush() {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    props.value = copy(store.value);
    trigger("input");
  }

  root.addEventListener("focusout", flush);
  root.addEventListener("pointerleave", flush);
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) store.redo();
    else store.undo();
  });
  watch("value", () => {
    clearTimeout(timer);
    timer = before = null;
    past.push(store.value);
    store.value = copy(props.value);
    draw();
  });
  return store;
}
