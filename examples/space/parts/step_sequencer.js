// The drum step sequencer: a grid to paint on, and pads whose taps are recorded on the nearest step.

const HINT =
  "Click or drag to paint. A second click adds an accent, a third clears the step. Record: tap the pads or keys 1–7 in time.";
const STEPS_PER_BEAT = 4;
const LENGTHS = [8, 12, 16, 20, 24, 28, 32];
const NAMES = props.drums.map((drum) => drum[0].toUpperCase() + drum.slice(1).replace("_", " "));

let cursor = { track: 0, step: 0 };
let cells = []; // by track and step
let recording = false;
let tapped = {}; // by drum: time of the step of its last tap (seconds of the audio clock), which has already sounded

const count = () => store.value.steps;
// Same as step_start in step_sequencer.py: every second step is delayed.
const stepStart = (step) => step + ((((step % 2) + 2) % 2) * store.value.swing) / 3;
const loudness = (velocity) => (velocity === 0 ? "off" : velocity >= props.accent ? "accent" : "on");

const transport = makeTransport({
  loop: true,
  length: () => count() / STEPS_PER_BEAT,
  schedule(from, to, at, out) {
    for (let step = 0; step < count(); step++) {
      const beat = stepStart(step) / STEPS_PER_BEAT;
      if (beat < from || beat >= to) continue;
      for (const drum of props.drums) {
        const velocity = store.value.tracks[drum][step];
        if (velocity > 0 && !(drum in tapped && nearby(tapped[drum], at(beat))))
          playDrum(drum, velocity, at(beat), out);
      }
    }
    if (!recording) return;
    for (let beat = Math.ceil(from); beat < to; beat++) playClick(beat % props.beats_per_bar === 0, at(beat), out);
  },
  move(beat) {
    if (beat === null) setRecording(false);
    else if (recording && beat < 0) say("Starts in " + Math.ceil(-beat) + " …");
    else if (recording && status.textContent.startsWith("Starts"))
      say("Recording: tap the pads or keys 1–" + props.drums.length + ".");
    const now = beat === null || beat < 0 ? -1 : Math.floor(beat * STEPS_PER_BEAT + 1e-6);
    scroller.querySelectorAll(".now").forEach((node) => node.classList.remove("now"));
    for (const row of cells) row[now]?.classList.add("now");
  },
});
const nearby = (time, other) => Math.abs(time - other) < 0.03;
const store = makeStore(draw);
const header = makeHeader(store, transport, () =>
  store.edit(({ tracks }) => props.drums.forEach((drum) => tracks[drum].fill(0))),
);

// The pattern
function set(track, step, velocity) {
  store.value.tracks[props.drums[track]][step] = velocity;
}

const next = (velocity) => (velocity === 0 ? props.normal : velocity < props.accent ? props.accent : 0);

function hear(track, velocity) {
  if (velocity > 0 && header.isLoud() && !transport.isPlaying()) playDrum(props.drums[track], velocity);
}

function setLength(steps) {
  store.edit((value) => {
    // Extending a pattern repeats it.
    for (const drum of props.drums)
      value.tracks[drum] = Array.from({ length: steps }, (_, step) => value.tracks[drum][step % value.steps]);
    value.steps = steps;
  });
}

/** Plays a tap at once and, while recording, writes it to the step nearest to the audible position. */
function tap(track, accent) {
  const velocity = accent ? props.accent : props.normal;
  const drum = props.drums[track];
  playDrum(drum, velocity);
  const pad = pads.children[track];
  pad.classList.add("hit");
  setTimeout(() => pad.classList.remove("hit"), 120);
  if (!recording) return;
  const { currentTime, outputLatency = 0 } = audio().context;
  const position = transport.beat(outputLatency) * STEPS_PER_BEAT;
  const around = [Math.floor(position) - 1, Math.floor(position), Math.floor(position) + 1];
  const distance = (step) => Math.abs(stepStart(step) - position);
  const step = around.reduce((best, other) => (distance(other) < distance(best) ? other : best));
  if (step < 0) return;
  tapped[drum] = currentTime - outputLatency + ((stepStart(step) - position) * 60) / props.bpm / STEPS_PER_BEAT;
  store.edit(() => set(track, step % count(), velocity));
}

function setRecording(on) {
  if (on === recording) return;
  recording = on;
  tapped = {};
  record.classList.toggle("on", on);
  record.setAttribute("aria-pressed", on);
  if (!on) say("Recording ended.");
}

// The page
const grid = h("div", {
  class: "steps",
  role: "grid",
  "aria-label": props.label + ": arrow keys move, space changes a step",
});
const scroller = h("div", { class: "scroller" }, grid);
const pads = h(
  "div",
  { class: "pads", role: "group", "aria-label": "Pads" },
  ...props.drums.map((drum, track) => {
    const pad = h(
      "button",
      { type: "button", class: "pad", style: "--hue:" + hue(track), "data-drum": drum },
      NAMES[track],
      h("kbd", {}, String(track + 1)),
    );
    pad.addEventListener("pointerdown", (event) => event.button === 0 && tap(track, event.shiftKey));
    pad.addEventListener("click", (event) => event.detail === 0 && tap(track, event.shiftKey));
    return pad;
  }),
);
const record = iconButton(
  "record",
  "Record",
  () => {
    if (recording) return transport.stop();
    transport.stop();
    setRecording(true);
    transport.start(-props.beats_per_bar); // one bar to count in
  },
  { wide: true, "aria-pressed": false },
);
record.classList.add("record");
const swing = h("input", {
  type: "range",
  min: 0,
  max: 1,
  step: 0.05,
  "aria-label": "Swing",
  oninput: () => {
    store.begin();
    store.value.swing = Number(swing.value);
    draw();
  },
  onchange: () => store.finish(),
});
const swingText = h("output", {});
const length = h("select", { "aria-label": "Steps", onchange: () => setLength(Number(length.value)) });

function hue(track) {
  return [15, 45, 190, 210, 330, 275, 120][track % 7];
}

function layOut() {
  grid.style.setProperty("--steps", count());
  cells = NAMES.map((name, track) =>
    Array.from({ length: count() }, (_, step) =>
      h("div", {
        class: "step" + (step % STEPS_PER_BEAT ? "" : " beat"),
        role: "gridcell",
        tabindex: -1,
        "data-track": track,
        "data-step": step,
      }),
    ),
  );
  const ruler = h(
    "div",
    { class: "row", "aria-hidden": true },
    h("span", { class: "track" }),
    ...Array.from({ length: count() }, (_, step) =>
      h("span", { class: "tick" }, step % STEPS_PER_BEAT ? "·" : String(step / STEPS_PER_BEAT + 1)),
    ),
  );
  grid.replaceChildren(
    ruler,
    ...cells.map((row, track) =>
      h(
        "div",
        { class: "row", role: "row", style: "--hue:" + hue(track) },
        h(
          "div",
          { class: "track", role: "rowheader" },
          h(
            "button",
            {
              type: "button",
              class: "hear",
              title: "Preview",
              onclick: () => playDrum(props.drums[track], props.normal),
            },
            NAMES[track],
          ),
          h(
            "button",
            {
              type: "button",
              class: "wipe",
              title: "Clear " + NAMES[track],
              "aria-label": "Clear " + NAMES[track],
              onclick: () => store.edit(({ tracks }) => tracks[props.drums[track]].fill(0)),
            },
            "×",
          ),
        ),
        ...row,
      ),
    ),
  );
  length.replaceChildren(
    ...[...new Set([...LENGTHS, count()])]
      .sort((a, b) => a - b)
      .map((steps) => h("option", { value: steps }, String(steps))),
  );
  length.value = count();
}

function draw() {
  if (cells[0]?.length !== count()) layOut();
  cells.forEach((row, track) =>
    row.forEach((cell, step) => {
      const velocity = store.value.tracks[props.drums[track]][step];
      cell.style.setProperty("--velocity", velocity);
      cell.dataset.state = loudness(velocity);
      cell.setAttribute("aria-label", NAMES[track] + ", step " + (step + 1) + ": " + loudness(velocity));
    }),
  );
  swing.value = store.value.swing;
  swingText.textContent = Math.round(100 * store.value.swing) + " %";
  choose(cursor.track, cursor.step, false);
  header.update();
}

function choose(track, step, focus = true) {
  cells[cursor.track][cursor.step]?.setAttribute("tabindex", -1);
  cursor = { track: Math.max(0, Math.min(NAMES.length - 1, track)), step: Math.max(0, Math.min(count() - 1, step)) };
  cells[cursor.track][cursor.step].tabIndex = 0;
  if (focus) cells[cursor.track][cursor.step].focus();
}

grid.addEventListener("focusin", ({ target }) => {
  if (target.matches(".step")) choose(Number(target.dataset.track), Number(target.dataset.step), false);
});
grid.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".step")) return;
  const { track, step } = cursor;
  const to = {
    ArrowLeft: [track, step - 1],
    ArrowRight: [track, step + 1],
    ArrowUp: [track - 1, step],
    ArrowDown: [track + 1, step],
    Home: [track, 0],
    End: [track, count() - 1],
  }[event.key];
  if (to) choose(...to);
  else if (event.key === " " || event.key === "Enter") {
    const velocity = next(store.value.tracks[props.drums[track]][step]);
    store.edit(() => set(track, step, velocity));
    hear(track, velocity);
  } else if (event.key === "Delete" || event.key === "Backspace") store.edit(() => set(track, step, 0));
  else return;
  event.preventDefault();
});

root.addEventListener("keydown", (event) => {
  const track = Number(/^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1]) - 1;
  if (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.repeat ||
    !(track in NAMES) ||
    event.target.matches("select")
  )
    return;
  event.preventDefault();
  tap(track, event.shiftKey);
});

const cellUnder = (event) =>
  document
    .elementsFromPoint(event.clientX, event.clientY)
    .find((node) => node.matches(".step") && grid.contains(node));
function paint(cell, velocity) {
  const [track, step] = [Number(cell.dataset.track), Number(cell.dataset.step)];
  if (store.value.tracks[props.drums[track]][step] === velocity) return;
  set(track, step, velocity);
  hear(track, velocity);
  draw();
}

onDrag(grid, {
  threshold: 0,
  down(event) {
    const cell = event.target.closest(".step");
    if (!cell) return null;
    const [track, step] = [Number(cell.dataset.track), Number(cell.dataset.step)];
    const velocity = next(store.value.tracks[props.drums[track]][step]);
    choose(track, step);
    store.begin();
    // A touch may be the start of a scroll.
    if (event.pointerType !== "touch") paint(cell, velocity);
    return { cell, velocity };
  },
  move(event, { cell, velocity }) {
    paint(cell, velocity);
    paint(cellUnder(event) ?? cell, velocity);
  },
  up(event, { cell, velocity }) {
    paint(cell, velocity);
    store.finish();
  },
  cancel: store.cancel,
});

root.tabIndex = -1; // so that keys 1 to 7 work after a click anywhere in the part
header.tools.prepend(record);
root.append(
  header.node,
  scroller,
  h("div", { class: "below" }, pads, h("label", {}, "Swing", swing, swingText), h("label", {}, "Steps", length)),
  status,
);
draw();
say();
