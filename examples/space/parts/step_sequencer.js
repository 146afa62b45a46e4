const store = makeStore(draw);

function draw() {
  root.replaceChildren(
    ...Object.entries(store.value.tracks).map(([name, velocities]) =>
      h("div", {}, ...velocities.map((velocity, step) =>
        h("button", {
          "aria-label": `${name}, step ${step + 1}`,
          style: `width: 24px; height: 24px; border: 1px solid; opacity: ${0.2 + 0.8 * velocity}`,
          onclick: () => store.edit((value) => (value.tracks[name][step] = velocity === 0 ? 0.7 : velocity < 1 ? 1 : 0)),
        }))),
    ),
  );
}

draw();
