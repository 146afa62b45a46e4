// Playback: the page's audio output, and a clock in beats. Times are in seconds unless stated otherwise.

/** The page's shared audio output. Browsers enable it after the first click or key press. */
function audio() {
  if (!window.partsAudio) {
    const context = new AudioContext();
    const out = new DynamicsCompressorNode(context);
    out.connect(context.destination);
    window.partsAudio = { context, out };
  }
  if (window.partsAudio.context.state === "suspended") window.partsAudio.context.resume();
  return window.partsAudio;
}

/** A gain envelope that starts at `when` (seconds of the audio clock) and decays within `seconds`. */
function envelope(when, seconds, volume, out) {
  const gain = new GainNode(audio().context, { gain: 0 });
  gain.gain.setValueAtTime(0, when);
  gain.gain.linearRampToValueAtTime(volume, when + 0.005);
  gain.gain.setTargetAtTime(volume * 0.6, when + 0.01, 0.15);
  gain.gain.setTargetAtTime(0, when + Math.max(0.02, seconds - 0.05), 0.03);
  gain.connect(out);
  return gain;
}

function playTone(midi, seconds, { when = audio().context.currentTime, volume = 0.2, out = audio().out } = {}) {
  const frequency = 440 * 2 ** ((midi - 69) / 12);
  const oscillator = new OscillatorNode(audio().context, { type: "triangle", frequency });
  oscillator.connect(envelope(when, seconds, volume, out));
  oscillator.start(when);
  oscillator.stop(when + seconds + 0.2);
}

/**
 * Plays a part at `props.bpm`. `schedule(from, to, at, out)` plays into `out` everything that starts in the beats
 * [from, to), where at(beat) is the time on the audio clock. `move(beat)` shows the playhead, or hides it (null). Only one
 * part of the page plays at a time.
 */
function makeTransport({ length, schedule, move, loop = false }) {
  const LOOK_AHEAD = 0.15; // seconds
  let start, next, timer, out;
  let second = 60 / props.bpm;

  const clock = () => audio().context.currentTime;

  function tick() {
    if (!root.checkVisibility()) return stop();
    const horizon = (clock() + LOOK_AHEAD - start) / second;
    const end = length();
    while (next < horizon && (loop || next < end)) {
      const round = loop ? Math.max(0, Math.floor(next / end + 1e-9)) : 0;
      const to = Math.min(horizon, (round + 1) * end);
      schedule(next - round * end, to - round * end, (beat) => start + (beat + round * end) * second, out);
      next = to;
    }
    const now = transport.beat();
    if (!loop && now >= end) stop();
    else move(loop && now > 0 ? now % end : now);
  }

  function stop() {
    if (!timer) return;
    clearInterval(timer);
    timer = null;
    out.gain.setTargetAtTime(0, clock(), 0.01);
    setTimeout((gain) => gain.disconnect(), 100, out);
    move(null);
    transport.onchange();
  }

  const transport = {
    onchange() {},
    isPlaying: () => Boolean(timer),
    /** Beats since the start of the first repetition, `ago` seconds before now; negative during the count-in. */
    beat: (ago = 0) => (clock() - ago - start) / second,
    start(from = 0) {
      document.dispatchEvent(new CustomEvent("part-plays", { detail: root }));
      out = new GainNode(audio().context);
      out.connect(audio().out);
      second = 60 / props.bpm;
      start = clock() + 0.05 - from * second;
      next = from;
      timer = setInterval(tick, 25);
      tick();
      transport.onchange();
    },
    stop,
    toggle: () => (timer ? stop() : transport.start()),
  };

  document.addEventListener("part-plays", stop);
  watch("bpm", () => {
    const beat = timer ? transport.beat() : 0;
    second = 60 / props.bpm;
    if (timer) start = clock() - beat * second;
  });
  return transport;
}
