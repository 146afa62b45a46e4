// The piano roll: drawing and editing by pointer and keyboard.

const HINT =
  "Drag to draw a note. Drag a note to move it, or its right edge to resize it. Double-click removes it.";
const BLACK = [1, 3, 6, 8, 10];
const SNAPS = [
  [1, "1 beat"],
  [0.5, "½ beat"],
  [0.25, "¼ beat"],
  [1 / 3, "⅓ beat"],
  [0.01, "off"],
];
const ROWS = props.highest - props.lowest + 1;
let tapped = {}; // the last clicked note, and its time (milliseconds)

const transport = makeTransport({
  length: beats,
  schedule(from, to, at, out) {
    for (const { midi, beat, beats: length } of store.value.notes) {
      if (beat >= from && beat < to) playTone(midi, at(beat + length) - at(beat), { when: at(beat), out });
    }
  },
  move(beat) {
    playhead.hidden = beat === null;
    if (beat === null) return;
    playhead.style.left = (100 * beat) / beats() + "%";
    const x = lanes.offsetLeft + (lanes.offsetWidth * beat) / beats();
    if (x > frame.scrollLeft + frame.clientWidth || x < frame.scrollLeft) frame.scrollLeft = x - lanes.offsetLeft;
  },
});
const store = makeStore(draw);
const header = makeHeader(store, transport, () => store.edit((value) => (value.notes = [])));

// The page
const keys = h("div", { class: "keys", "aria-hidden": true });
const lanes = h("div", { class: "lanes" });
const ruler = h("div", { class: "ruler", "aria-hidden": true });
const tones = h("div", { class: "layer" });
const notes = h("div", { class: "layer" });
const playhead = h("div", { class: "playhead", hidden: true });
const mark = h("div", { class: "mark" });
const frame = h(
  "div",
  {
    class: "frame",
    role: "application",
    tabindex: 0,
    "aria-roledescription": "piano roll",
    "aria-label":
      props.label +
      ". Arrow keys move, Enter adds a note, Delete removes it, Shift with left and right changes its length," +
      " Shift with up and down its pitch, Control with left and right its start.",
  },
  h("div", { class: "corner" }),
  ruler,
  keys,
  lanes,
);
const snapping = h(
  "select",
  { "aria-label": "Snap to" },
  ...SNAPS.map(([value, text]) => h("option", { value }, text)),
);
snapping.value = 0.25;

for (let midi = props.highest; midi >= props.lowest; midi--) {
  const black = BLACK.includes(midi % 12) ? " black" : "";
  const key = h("div", { class: "key" + black }, midi % 12 === 0 ? nameOf(midi) : "");
  key.addEventListener("pointerdown", () => playTone(midi, 0.4));
  keys.append(key);
  lanes.append(h("div", { class: "lane" + black + (midi % 12 === 0 ? " octave" : "") }));
}
lanes.append(tones, notes, mark, playhead);

function position(node, midi, beat, length) {
  node.style.top = (100 * (props.highest - midi)) / ROWS + "%";
  node.style.left = (100 * beat) / beats() + "%";
  node.style.width = (100 * length) / beats() + "%";
  return node;
}

function draw() {
  frame.style.setProperty("--beats", beats());
  frame.style.setProperty("--bar", props.beats_per_bar);
  const bars = Math.ceil(beats() / props.beats_per_bar);
  ruler.replaceChildren(
    ...Array.from({ length: bars }, (_, bar) => {
      const node = h("span", {}, String(bar + 1));
      node.style.left = (100 * bar * props.beats_per_bar) / beats() + "%";
      return node;
    }),
  );
  tones.replaceChildren(
    ...props.chord_tones
      .filter(({ beat }) => beat < beats())
      .flatMap(({ beat, beats: length, pitch_classes: classes }) =>
        Array.from({ length: ROWS }, (_, row) => props.highest - row)
          .filter((midi) => classes.includes(midi % 12))
          .map((midi) => position(h("div", { class: "tone" }), midi, beat, Math.min(length, beats() - beat))),
      ),
  );
  notes.replaceChildren(
    ...store.value.notes.map((note) =>
      position(
        h(
          "div",
          {
            class: "note" + (note.beat === selected ? " selected" : ""),
            "data-beat": note.beat,
            "data-midi": note.midi,
          },
          h("span", {}, nameOf(note.midi)),
          h("i", { class: "handle" }),
        ),
        note.midi,
        note.beat,
        note.beats,
      ),
    ),
  );
  position(mark, cursor.midi, cursor.beat, snap());
  header.update();
}

// Pointer: draw on an empty cell, move a note, or resize it by its right edge.
function pointed(event) {
  const box = lanes.getBoundingClientRect();
  return {
    beat: clamp(((event.clientX - box.left) / box.width) * beats(), 0, beats()),
    midi: clamp(
      props.highest - Math.floor(((event.clientY - box.top) / box.height) * ROWS),
      props.lowest,
      props.highest,
    ),
  };
}

onDrag(lanes, {
  threshold: 4,
  down(event) {
    const { beat, midi } = pointed(event);
    const node = event.target.closest(".note");
    const note = node && store.value.notes.find((other) => other.beat === Number(node.dataset.beat));
    const others = store.value.notes.filter((other) => other !== note);
    frame.focus({ preventScroll: true });
    store.begin();
    if (note) {
      selected = note.beat;
      cursor = { midi: note.midi, beat: note.beat };
      if (header.isLoud() && !transport.isPlaying()) playTone(note.midi, 0.25);
      draw();
      return {
        how: event.target.matches(".handle") ? "resize" : "move",
        note,
        others,
        grip: beat - note.beat,
        pitch: midi,
      };
    }
    const start = Math.min(snapped(beat, Math.floor), end() - SHORTEST);
    const added = { midi, beat: start, beats: Math.min(lastLength, end() - start) };
    selected = null;
    // A touch may be the start of a scroll.
    if (event.pointerType !== "touch") place(others, added);
    draw();
    return { how: "draw", note: added, others };
  },
  move(event, { how, note, others, grip, pitch }) {
    const { beat, midi } = pointed(event);
    if (how === "move") place(others, { ...note, midi: note.midi + midi - pitch, beat: snapped(beat - grip) });
    else {
      const to = snapped(beat, how === "draw" ? Math.ceil : Math.round);
      place(others, {
        ...note,
        midi: how === "draw" ? midi : note.midi,
        beats: clamp(to - note.beat, snap(), end() - note.beat),
      });
    }
    draw();
  },
  up(event, { how, note, others }, far) {
    if (how === "draw" && !far) place(others, note);
    lastLength = chosen()?.beats ?? lastLength;
    store.finish();
    announce();
    if (far || how === "draw") return;
    // Second of two quick clicks (`dblclick` does not fire, since the note is redrawn).
    if (note.beat === tapped.beat && event.timeStamp - tapped.time < 500) remove(chosen());
    tapped = { beat: note.beat, time: event.timeStamp };
  },
  cancel() {
    selected = null;
    store.cancel();
  },
});
lanes.addEventListener("contextmenu", (event) => {
  const node = event.target.closest(".note");
  if (!node) return;
  event.preventDefault();
  remove(store.value.notes.find((note) => note.beat === Number(node.dataset.beat)));
});

// Keyboard
frame.addEventListener("keydown", (event) => {
  const [x, y] = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, 1],
    ArrowDown: [0, -1],
    PageUp: [0, 12],
    PageDown: [0, -12],
    Home: [-Infinity, 0],
    End: [Infinity, 0],
  }[event.key] ?? [0, 0];
  const note = noteAt(cursor.beat) ?? chosen();
  if (event.altKey || event.metaKey || (event.ctrlKey && !x)) return;
  if (event.shiftKey && (x || y)) {
    if (note && x)
      change(note, { beats: clamp(note.beats + x * snap(), Math.min(snap(), note.beats), end() - note.beat) });
    else if (note) change(note, { midi: note.midi + y });
    if (note) lastLength = chosen().beats;
  } else if (event.ctrlKey) {
    if (note && Number.isFinite(x)) change(note, { beat: note.beat + x * snap() });
  } else if (x || y) {
    const last = snapped(end() - 1e-4, Math.floor);
    cursor = {
      midi: clamp(cursor.midi + y, props.lowest, props.highest),
      beat: clamp(snapped(cursor.beat + x * snap()), 0, last),
    };
    if (!Number.isFinite(x)) cursor.beat = x < 0 ? 0 : last;
    selected = noteAt(cursor.beat)?.beat ?? null;
    draw();
    announce();
  } else if (event.key === "Enter") {
    store.edit((value) => place(value.notes, { ...cursor, beats: Math.min(lastLength, end() - cursor.beat) }));
    announce();
    const next = round(chosen().beat + chosen().beats);
    if (next < end()) cursor.beat = next;
    draw();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    const target = noteAt(cursor.beat) ?? (event.key === "Backspace" ? noteAt(cursor.beat - snap()) : null);
    if (target) cursor = { midi: target.midi, beat: target.beat };
    remove(target);
  } else if (event.key === " ") transport.toggle();
  else return;
  event.preventDefault();
  mark.scrollIntoView({ block: "nearest", inline: "nearest" });
});

/** Scrolls to C4–C6, or to the notes if they are outside. */
function reveal() {
  const pitches = store.value.notes.map((note) => note.midi);
  const row = lanes.offsetHeight / ROWS;
  const height = frame.clientHeight - ruler.offsetHeight;
  const [top, bottom] = [props.highest - Math.max(...pitches), props.highest + 1 - Math.min(...pitches)].map(
    (rows) => rows * row,
  );
  if (pitches.length && top >= frame.scrollTop && bottom <= frame.scrollTop + height) return;
  frame.scrollTop = (pitches.length ? (top + bottom) / 2 : (props.highest - 72 + 0.5) * row) - height / 2;
}

header.tools.prepend(
  h("label", {}, "Snap", snapping),
  iconButton("erase", "Remove the selected note", () => remove(chosen())),
);
root.append(header.node, frame, status);
watch(["chord_tones", "beats_per_bar"], draw);
watch("value", reveal);
// A hidden tab can't be scrolled yet.
new ResizeObserver((entries, observer) => {
  if (lanes.offsetHeight === 0) return;
  reveal();
  observer.disconnect();
}).observe(frame);
draw();
say();
