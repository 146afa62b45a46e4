const store = makeStore(draw);

function draw() {
  const { bars, beats_per_bar: perBar, chords } = store.value;
  root.replaceChildren(
    ...Array.from({ length: bars * perBar }, (_, beat) =>
      h("input", {
        size: 5,
        "aria-label": `Bar ${Math.floor(beat / perBar) + 1}, beat ${(beat % perBar) + 1}`,
        value: chords.find((chord) => chord.beat === beat)?.label,
        onchange: (event) =>
          store.edit((value) => {
            value.chords = value.chords.filter((chord) => chord.beat !== beat);
            if (event.target.value.trim()) value.chords.push({ label: event.target.value.trim(), beat });
            value.chords.sort((a, b) => a.beat - b.beat);
          }),
      }),
    ),
  );
}

draw();
