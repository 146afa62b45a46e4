const store = makeStore(draw);

function draw() {
  root.replaceChildren(
    h("input", {
      "aria-label": "Notes: midi beat beats, ...",
      value: store.value.notes.map((note) => `${note.midi} ${note.beat} ${note.beats}`).join(", "),
      onchange: (event) =>
        store.edit((value) => {
          value.notes = event.target.value.split(",").filter((text) => text.trim()).map((text) => {
            const [midi, beat, beats] = text.trim().split(/\s+/).map(Number);
            return { midi, beat, beats };
          });
        }),
    }),
  );
}

draw();
