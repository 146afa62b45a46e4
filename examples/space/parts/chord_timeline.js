// The chord timeline. Its cells are beats; the blocks over them show the length of each chord.

const HINT =
  "Select a beat and click a chord, or drag it there. Enter: type a chord. Delete: remove it. Drag a chord to move it.";
const NO_CHORD = "N";
const known = new Map(props.vocabulary.map((chord) => [chord.label, chord]));
const spelled = new Map(); // answers from Python
let cursor = 0; // the selected beat
let cells = [];

const sheet = h("div", { class: "sheet", role: "grid", "aria-label": props.label + ": bars and beats" });
const transport = makeTransport({
  length: () => beats(),
  schedule(from, to, at, out) {
    for (const { label, beat, end } of spans()) {
      if (beat >= from && beat < to) playChord(label, at(end) - at(beat), { when: at(beat), out });
    }
  },
  move(beat) {
    cells.forEach((cell, index) => cell.classList.toggle("playing", beat !== null && index === Math.floor(beat)));
  },
});
const store = makeStore(draw);
const header = makeHeader(store, transport, () => store.edit((value) => (value.chords = [])));

const beats = () => store.value.bars * store.value.beats_per_bar;
const place = (beat) =>
  "bar " + (Math.floor(beat / store.value.beats_per_bar) + 1) + ", beat " + ((beat % store.value.beats_per_bar) + 1);
const shown = (label) => (label === NO_CHORD ? "no chord" : label);
const written = (label) => (label === NO_CHORD ? "N.C." : label);
// Neighbors in the circle of fifths have neighboring colors.
const color = (chord) => (chord?.root ? "--hue:" + ((chord.pitch * 7) % 12) * 30 : "");

/** The chords, each with its end beat. */
function spans() {
  const { chords } = store.value;
  return chords.map((chord, index) => ({ ...chord, end: chords[index + 1]?.beat ?? beats() }));
}

/** The chord that starts or sounds on a beat. */
function chordAt(beat) {
  const lasting = spans().filter((span) => span.beat < beat + 1 && span.end > beat);
  return lasting.find((span) => span.beat >= beat) ?? lasting.at(-1);
}

function playChord(label, seconds, options) {
  for (const note of known.get(label)?.notes ?? []) playTone(note, seconds, { volume: 0.1, ...options });
}

function put(label, beat) {
  store.edit((value) => {
    value.chords = value.chords.filter((chord) => chord.beat < beat || chord.beat >= beat + 1);
    value.chords.push({ label, beat });
    value.chords.sort((a, b) => a.beat - b.beat);
  });
  if (known.has(label)) {
    remember(label);
    if (header.isLoud() && !transport.isPlaying()) playChord(label, 0.7);
    say(shown(label) + " at " + place(beat) + ".");
  }
}

/** Places a typed chord: respelled, replaced by the nearest one, or marked as unknown. */
async function putTyped(text, beat) {
  const label = text.trim();
  if (!label) return remove(beat);
  if (known.has(label)) return put(label, beat);
  const answer = await spell(label);
  put(answer.label ?? label, beat);
  if (answer.difference)
    complain(
      label + " is not among the model's chords; " + answer.label + " is the nearest: " + answer.difference + ".",
    );
  else if (answer.label) say(label + " is " + answer.label + " in the model's spelling.");
  else explain(label, beat);
}

/** Python's answer about a chord, requested once. */
function spell(label) {
  if (!spelled.has(label)) spelled.set(label, server.spell_chord(label));
  return spelled.get(label).catch(() => {
    spelled.delete(label);
    return { suggestions: [] };
  });
}

/** Reports an unknown chord, and suggests similar ones. */
async function explain(label, beat) {
  const turn = ++spoken;
  const answer = await spell(label);
  if (turn !== spoken) return; // A newer message is shown.
  const choices = answer.label ? [answer.label] : answer.suggestions;
  complain(
    "The model does not know “" + label + "” (" + place(beat) + ").",
    choices.length ? " Did you mean" : "",
    ...choices.map((choice) =>
      h("button", { type: "button", class: "chip", onclick: () => put(choice, beat) }, choice),
    ),
  );
}

function remove(beat) {
  const chord = chordAt(beat);
  if (!chord) return;
  store.edit((value) => (value.chords = value.chords.filter((other) => other.beat !== chord.beat)));
  say(shown(chord.label) + " removed.");
}

/** Repeats the chords before the selected beat until the end. */
function repeat() {
  const before = store.value.chords.filter(({ beat }) => beat < cursor);
  if (before.length === 0) return say("Select the beat after the chords to repeat.");
  store.edit((value) => {
    const starts = Array.from({ length: Math.ceil(beats() / cursor) }, (_, turn) => turn * cursor);
    value.chords = starts
      .flatMap((start) => before.map((chord) => ({ ...chord, beat: start + chord.beat })))
      .filter(({ beat }) => beat < beats());
  });
  say("Repeated the chords before " + place(cursor) + " until the end.");
}

/** Moves a chord to another beat, where it replaces a chord that starts there. */
function moved(chords, from, to) {
  const chord = chords.find((other) => other.beat === from);
  const others = chords.filter((other) => other !== chord && other.beat !== to);
  return [...others, { ...chord, beat: to }].sort((a, b) => a.beat - b.beat);
}

function choose(beat, focus = true) {
  cursor = Math.max(0, Math.min(beats() - 1, beat));
  cells.forEach((cell, index) => {
    cell.tabIndex = index === cursor ? 0 : -1;
    cell.setAttribute("aria-selected", index === cursor);
  });
  if (focus) cells[cursor].focus();
  const chord = chordAt(cursor);
  if (chord && !known.has(chord.label)) explain(chord.label, chord.beat);
  else if (status.classList.contains("wrong")) say();
}

function layOut() {
  const { bars, beats_per_bar: perBar } = store.value;
  cells = Array.from({ length: bars * perBar }, (_, beat) =>
    h("div", { class: "beat", role: "gridcell", "data-beat": beat }),
  );
  sheet.style.setProperty("--beats", perBar);
  sheet.replaceChildren(
    ...Array.from({ length: bars }, (_, bar) =>
      h(
        "div",
        { class: "measure", role: "row", "aria-label": "Bar " + (bar + 1) },
        h("span", { class: "number", "aria-hidden": true }, String(bar + 1)),
        ...cells.slice(bar * perBar, (bar + 1) * perBar),
      ),
    ),
  );
}

function draw() {
  const { bars, beats_per_bar: perBar } = store.value;
  if (sheet.children.length !== bars || cells.length !== beats()) layOut();
  sheet.querySelectorAll(".chord").forEach((block) => block.remove());
  for (const span of spans()) {
    for (let bar = Math.floor(span.beat / perBar); bar * perBar < span.end; bar++) {
      const from = Math.max(span.beat, bar * perBar);
      const to = Math.min(span.end, (bar + 1) * perBar);
      sheet.children[bar].append(
        drawBlock(span, from, to, (100 * (from - bar * perBar)) / perBar, (100 * (to - from)) / perBar),
      );
    }
  }
  cells.forEach((cell, beat) => {
    const chord = chordAt(beat);
    const continues = chord && chord.beat < beat;
    cell.setAttribute(
      "aria-label",
      place(beat) + ": " + (chord ? shown(chord.label) + (continues ? " continues" : "") : "empty"),
    );
    cell.classList.toggle("held", Boolean(chord));
    if (chord && !known.has(chord.label)) cell.setAttribute("aria-invalid", true);
    else cell.removeAttribute("aria-invalid");
  });
  choose(cursor, false);
  const wrong = spans().find((span) => !known.has(span.label));
  if (wrong && !status.classList.contains("wrong")) explain(wrong.label, wrong.beat);
  header.update();
}

function drawBlock({ label, beat, end }, from, to, left, width) {
  const chord = known.get(label);
  const names = [
    "chord",
    from === beat ? "first" : "",
    to === end ? "last" : "",
    chord ? "" : "unknown",
    label === NO_CHORD ? "rest" : "",
  ];
  return h(
    "div",
    {
      class: names.join(" "),
      "aria-hidden": true,
      style: "--left:" + left + "%;--width:" + width + "%;" + color(chord),
    },
    h("span", {}, written(label)),
  );
}

function type(text = null) {
  const beat = cursor;
  const chord = store.value.chords.find((other) => other.beat === beat);
  const input = h("input", {
    class: "typing",
    list: list.id,
    "aria-label": "Chord at " + place(beat),
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: false,
    maxlength: 40,
  });
  input.value = text ?? chord?.label ?? "";
  let open = true;
  function close(keep) {
    if (!open) return;
    open = false;
    const changed = input.value.trim() !== (chord?.label ?? "");
    input.remove();
    if (keep && changed) putTyped(input.value, beat);
  }
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    close(event.key === "Enter");
    choose(beat);
  });
  input.addEventListener("blur", () => close(true));
  cells[beat].append(input);
  input.focus();
  if (text === null) input.select();
}

// Keyboard
sheet.addEventListener("focusin", ({ target }) => {
  if (target.matches(".beat") && Number(target.dataset.beat) !== cursor) choose(Number(target.dataset.beat), false);
});
sheet.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const columns = [...sheet.children].filter((bar) => bar.offsetTop === sheet.children[0].offsetTop).length;
  const row = columns * store.value.beats_per_bar;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -Infinity, End: Infinity }[
    event.key
  ];
  if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    const chord = chordAt(cursor);
    const to = chord ? chord.beat + step : -1;
    if (to >= 0 && to < beats()) {
      store.edit((value) => (value.chords = moved(value.chords, chord.beat, to)));
      choose(Math.floor(to));
      say(shown(chord.label) + " at " + place(to) + ".");
    }
  } else if (Math.abs(step) === Infinity) choose(step);
  else if (step !== undefined) choose(cursor + step >= 0 && cursor + step < beats() ? cursor + step : cursor);
  else if (event.key === "Enter" || event.key === "F2") type();
  else if (event.key === "Delete" || event.key === "Backspace") remove(cursor);
  else if (event.key === " ") playChord(chordAt(cursor)?.label, 0.7);
  else if (/^[a-gn]$/i.test(event.key)) type(event.key.toUpperCase());
  else return;
  event.preventDefault();
});

// Pointer: a click selects a beat, a drag moves the chord that sounds there.
const beatUnder = (event) => {
  const cell = document
    .elementsFromPoint(event.clientX, event.clientY)
    .find((node) => node.classList.contains("beat") && sheet.contains(node));
  return cell ? Number(cell.dataset.beat) : null;
};
onDrag(sheet, {
  down(event) {
    const beat = event.target.matches("input") ? null : beatUnder(event);
    return beat === null ? null : { beat, chord: chordAt(beat), chords: store.value.chords };
  },
  move(event, { beat, chord, chords }) {
    const over = beatUnder(event);
    if (!chord || over === null) return;
    store.begin();
    cursor = Math.max(0, Math.min(beats() - 1, Math.floor(chord.beat + over - beat)));
    store.value.chords = moved(chords, chord.beat, cursor + (chord.beat % 1));
    draw();
  },
  up(event, { beat }, far) {
    store.finish();
    choose(far ? cursor : beat);
  },
  cancel: store.cancel,
});
sheet.addEventListener("dblclick", () => type());
