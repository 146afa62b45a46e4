// The notes of the piano roll and edits of them. Times are in beats.

const NOTE_NAMES = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const SHORTEST = 0.01;

let cursor = { midi: 72, beat: 0 };
let selected = null; // start beat of the selected note
let lastLength = 1; // length of the next note in beats

const beats = () => store.value.beats;
// Latest end of a note: times are rounded to 1/10,000 of a beat.
const end = () => Math.floor(beats() * 1e4) / 1e4;
const snap = () => Number(snapping.value);
const round = (beat) => Math.round(beat * 1e4) / 1e4;
const snapped = (beat, how = Math.round) => round(how(round(beat / snap())) * snap());
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const nameOf = (midi) => NOTE_NAMES[midi % 12] + (Math.floor(midi / 12) - 1);
const noteAt = (beat) =>
  store.value.notes.find((note) => note.beat <= beat + 1e-6 && beat < note.beat + note.beats - 1e-6);
const chosen = () => store.value.notes.find((note) => note.beat === selected);

/** Adds a note, and trims or removes the notes that it overlaps. */
function insert(notes, added) {
  const addedEnd = added.beat + added.beats;
  const kept = notes.flatMap((note) => {
    const noteEnd = note.beat + note.beats;
    if (noteEnd <= added.beat + 1e-6 || note.beat >= addedEnd - 1e-6) return [note];
    if (note.beat < added.beat - 1e-6) return [{ ...note, beats: round(added.beat - note.beat) }];
    return noteEnd > addedEnd + SHORTEST ? [{ ...note, beat: round(addedEnd), beats: round(noteEnd - addedEnd) }] : [];
  });
  return [...kept, added].sort((a, b) => a.beat - b.beat);
}

/** Adds a note to `others`, clamped to the roll. */
function place(others, { midi, beat, beats: length }) {
  const beats = round(clamp(length, SHORTEST, end()));
  const note = { midi: clamp(midi, props.lowest, props.highest), beat: round(clamp(beat, 0, end() - beats)), beats };
  if (chosen()?.midi !== note.midi && header.isLoud() && !transport.isPlaying()) playTone(note.midi, 0.25);
  store.value.notes = insert(others, note);
  selected = note.beat;
  cursor = { midi: note.midi, beat: note.beat };
}

function change(note, changes) {
  store.edit((value) =>
    place(
      value.notes.filter((other) => other !== note),
      { ...note, ...changes },
    ),
  );
  announce();
}

function remove(note) {
  if (!note) return;
  store.edit((value) => (value.notes = value.notes.filter((other) => other !== note)));
  say(nameOf(note.midi) + " removed.");
}

function announce() {
  const note = noteAt(cursor.beat);
  const bar = Math.floor(cursor.beat / props.beats_per_bar) + 1;
  const sounding = note
    ? ": " + nameOf(note.midi) + " of " + note.beats + (note.beats === 1 ? " beat" : " beats")
    : "";
  say(nameOf(cursor.midi) + ", bar " + bar + ", beat " + (round(cursor.beat % props.beats_per_bar) + 1) + sounding);
}
