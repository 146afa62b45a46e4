// The palette below the chord timeline. A click places a chord on the selected beat and selects the next one; a drag
// drops it on any beat.

const DEGREES = {
  major: [
    [0, "", "I"],
    [2, "m", "ii"],
    [4, "m", "iii"],
    [5, "", "IV"],
    [7, "", "V"],
    [9, "m", "vi"],
    [11, "dim", "vii°"],
    [7, "7", "V7"],
  ],
  minor: [
    [0, "m", "i"],
    [2, "dim", "ii°"],
    [3, "", "III"],
    [5, "m", "iv"],
    [7, "m", "v"],
    [7, "", "V"],
    [8, "", "VI"],
    [10, "", "VII"],
    [7, "7", "V7"],
  ],
};
const ROOTS = new Map(props.vocabulary.filter((chord) => chord.root).map((chord) => [chord.pitch, chord.root]));
const PITCHES = [...ROOTS.keys()].sort((a, b) => a - b);
const QUALITIES = ["", "m", "7", "maj7", "m7", "6", "m6", "dim", "aug", "m7b5"];

let recent = [];
let rootShown = 0;

const options = (pairs) => pairs.map(([value, text]) => h("option", { value }, text));
const keyNote = h(
  "select",
  { "aria-label": "Key: note", onchange: drawKey },
  ...options([...ROOTS].sort((a, b) => a[0] - b[0])),
);
const keyMode = h(
  "select",
  { "aria-label": "Key: mode", onchange: drawKey },
  ...options([
    ["major", "major"],
    ["minor", "minor"],
  ]),
);
const stride = h(
  "select",
  { "aria-label": "Then select" },
  ...options([
    ["1", "next bar"],
    ["0.5", "half a bar later"],
    ["beat", "next beat"],
    ["0", "same beat"],
  ]),
);
const inKey = h("div", { class: "chips", role: "group", "aria-label": "Chords in the key" });
const rootTabs = h("div", { class: "roots", role: "group", "aria-label": "Root" });
const ofRoot = h("div", { class: "chips", role: "group", "aria-label": "Chords of the root" });
const recently = h("div", { class: "chips", role: "group", "aria-label": "Recent chords" });
const list = h(
  "datalist",
  { id: "chords-" + Math.random().toString(36).slice(2) },
  ...props.vocabulary.map(({ label }) => h("option", { value: label })),
);

function chip(chord, degree = null) {
  const { label } = chord;
  const node = h(
    "button",
    {
      type: "button",
      class: "chip" + (chord.root ? "" : " rest"),
      style: color(chord),
      "data-label": label,
      "aria-label": shown(label) + (degree ? ", " + degree : ""),
    },
    h("span", {}, written(label)),
    degree ? h("small", {}, degree) : null,
  );
  let ghost = null;
  let dropped = false;
  function end() {
    ghost?.remove();
    ghost = null;
    sheet.querySelector(".target")?.classList.remove("target");
  }
  onDrag(node, {
    down: () => (dropped = false) || label,
    move(event) {
      ghost ??= root.appendChild(
        h("div", { class: "chip ghost", style: color(chord), "aria-hidden": true }, written(label)),
      );
      ghost.style.left = event.clientX + "px";
      ghost.style.top = event.clientY + "px";
      sheet.querySelector(".target")?.classList.remove("target");
      cells[beatUnder(event)]?.classList.add("target");
    },
    up(event, it, far) {
      end();
      const beat = far ? beatUnder(event) : null;
      dropped = far;
      if (beat === null) return;
      put(label, beat);
      choose(beat, false);
    },
    cancel: end,
  });
  node.addEventListener("click", (event) => {
    // The end of a drag does not count as a click; a key press (detail 0) does.
    if (dropped && event.detail > 0) return;
    put(label, cursor);
    const step = stride.value === "beat" ? 1 : Math.round(stride.value * store.value.beats_per_bar);
    if (cursor + step < beats()) choose(cursor + step, false);
  });
  return node;
}

function drawKey() {
  const tonic = Number(keyNote.value);
  const chords = DEGREES[keyMode.value].map(([interval, quality, degree]) => [
    ROOTS.get((tonic + interval) % 12) + quality,
    degree,
  ]);
  inKey.replaceChildren(
    ...chords.filter(([label]) => known.has(label)).map(([label, degree]) => chip(known.get(label), degree)),
  );
  drawRoot(tonic);
}

function drawRoot(pitch) {
  rootShown = pitch;
  for (const tab of rootTabs.children) tab.setAttribute("aria-pressed", Number(tab.dataset.pitch) === pitch);
  // Root position first, then common qualities.
  const order = ({ bass, quality }) =>
    (bass ? 100 : 0) + (QUALITIES.includes(quality) ? QUALITIES.indexOf(quality) : 50);
  const chords = props.vocabulary
    .filter((chord) => chord.root && chord.pitch === pitch)
    .sort((a, b) => order(a) - order(b));
  ofRoot.replaceChildren(...chords.map((chord) => chip(chord)));
}

function remember(label) {
  recent = [label, ...recent.filter((other) => other !== label)].slice(0, 8);
  recently.replaceChildren(...recent.map((other) => chip(known.get(other))));
}

function readKey() {
  const [, letter, sign, mode] = /^([A-G])([#b]?)\s*(m(?!aj)|min)?/.exec(props.musical_key) ?? [null, "C", ""];
  keyNote.value = ({ C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 }[letter] + { "#": 1, b: 11, "": 0 }[sign]) % 12;
  keyMode.value = mode ? "minor" : "major";
  drawKey();
}

rootTabs.append(
  ...PITCHES.map((pitch) =>
    h(
      "button",
      { type: "button", class: "tab", "data-pitch": pitch, onclick: () => drawRoot(pitch) },
      ROOTS.get(pitch),
    ),
  ),
);
const line = (name, ...choice) =>
  h("div", { class: "line" }, h("span", { class: "name" }, name), h("div", { class: "choice" }, ...choice));
root.append(
  header.node,
  sheet,
  status,
  h(
    "div",
    { class: "palette" },
    line("In the key", keyNote, keyMode, inKey),
    line("All chords", rootTabs, ofRoot),
    line("Recent", recently),
    line(
      "Selected beat",
      known.has(NO_CHORD) ? chip(known.get(NO_CHORD)) : null,
      iconButton("pencil", "Type a chord", () => type(), { wide: true }),
      iconButton("erase", "Remove", () => remove(cursor), { wide: true }),
      h("label", {}, "then select the", stride),
      iconButton("repeat", "Repeat the chords before it", repeat, { wide: true }),
    ),
  ),
  list,
);
watch("musical_key", readKey);
readKey();
draw();
if (!status.textContent) say();
