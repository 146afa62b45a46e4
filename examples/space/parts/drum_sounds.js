// Drum sounds of the step sequencer, and the metronome.

function noise() {
  const { context } = audio();
  const buffer = new AudioBuffer({ length: context.sampleRate, sampleRate: context.sampleRate });
  const samples = buffer.getChannelData(0);
  for (let i = 0; i < samples.length; i++) samples[i] = 2 * Math.random() - 1;
  return (window.partsAudio.noise ??= buffer);
}

/** Filtered noise, or a tone that falls from one frequency (Hz) to another, of `seconds`. */
function strike(when, seconds, volume, out, { filter = null, from = 200, to = 60, frequency = 1000 }) {
  const { context } = audio();
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(volume, when);
  gain.gain.exponentialRampToValueAtTime(0.001, when + seconds);
  gain.connect(out);
  let source;
  if (filter) {
    source = new AudioBufferSourceNode(context, { buffer: window.partsAudio.noise ?? noise() });
    source.connect(new BiquadFilterNode(context, { type: filter, frequency })).connect(gain);
  } else {
    source = new OscillatorNode(context, { frequency: from });
    source.frequency.setValueAtTime(from, when);
    source.frequency.exponentialRampToValueAtTime(to, when + seconds * 0.4);
    source.connect(gain);
  }
  source.start(when);
  source.stop(when + seconds);
}

function playDrum(drum, velocity, when = audio().context.currentTime, out = audio().out) {
  const v = 0.7 * velocity;
  if (drum === "kick") strike(when, 0.3, v, out, { from: 150, to: 45 });
  else if (drum === "tom") strike(when, 0.35, v * 0.8, out, { from: 190, to: 90 });
  else if (drum === "hat") strike(when, 0.06, v * 0.5, out, { filter: "highpass", frequency: 7000 });
  else if (drum === "open_hat") strike(when, 0.35, v * 0.4, out, { filter: "highpass", frequency: 6500 });
  else if (drum === "rim") strike(when, 0.05, v * 0.7, out, { from: 1700, to: 1200 });
  else if (drum === "clap")
    [0, 0.012, 0.024].forEach((late) =>
      strike(when + late, 0.12, v * 0.6, out, { filter: "bandpass", frequency: 1500 }),
    );
  else {
    strike(when, 0.18, v * 0.6, out, { filter: "highpass", frequency: 1500 });
    strike(when, 0.12, v * 0.6, out, { from: 220, to: 150 });
  }
}

const playClick = (strong, when, out) =>
  strike(when, 0.04, strong ? 0.4 : 0.2, out, { from: strong ? 1600 : 1100, to: 1000 });
