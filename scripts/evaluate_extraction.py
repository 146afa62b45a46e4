# Copyright 2026 The diffusers-jasco authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

r"""
Evaluates the accuracy and the speed of all available extractors of chords, key, melody, drums, beats, drum hits and
grooves:

    OMP_NUM_THREADS=1 python scripts/evaluate_extraction.py --output results \
        --melody_weights multif0.h5 --recordings music/

For synthetic music of the split "test", whose progressions, phrases and grooves do not occur in training, the
reference is its annotations; for recordings, it is the output of AudioCraft's extractors (Chordino, and DeepSalience
with --melody_weights). Writes means over clips with 95% bootstrap confidence intervals as a table (extraction.md) and
as JSON (extraction.json).

The metrics are those of mir_eval. Chords: shares of the time with the right root, major or minor triad, and seventh
chord (where the reference has one), share of exactly equal labels, and segmentation; "builtin, snapped" moves changes
to estimated beats, "builtin, annotated beats" to annotated ones. Key: weighted score and share of equal keys, for all
clips and for those whose chords follow the functional harmony of the annotated key. Melody: raw pitch and raw chroma
accuracy, voicing recall, voicing false alarm, and share of equal frames. Voices: also F1 of the onsets of notes (within
50 ms), and of notes with the right pitch (for recordings, within a semitone of the annotated frequency; for frames,
pitches are rounded to semitones of the recording's own tuning); "pyin" is librosa's tracker, rounded to semitones by a
Viterbi search, which "monophonic" used before. Drums: SI-SDR of the separated stem and F1 of its onsets, the suppression
of drumless music, and SDR of separated solo drums ("kept"). Beats: F1 of beats and downbeats (within 70 ms), continuity (CMLt, AMLt), share of recordings with the right tempo (Acc1; Acc2 also accepts
other metrical levels), and with the right time signature. Drum hits: F1 (within 50 ms) over all clips of kicks, snares,
hats (open, too) and other drums. Grooves, for beats with known steps: share of equal steps ("any downbeat": with the best
rotation by whole beats), and of clips in which all are equal. × real time is seconds of audio per CPU second.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from diffusers_jasco import load_audio
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.controls.drum_machine import GROOVES, Groove
from diffusers_jasco.controls.melody import (
    HIGHEST_PITCH,
    LOWEST_PITCH,
    bins_to_matrix,
    melody_from_notes,
    melody_to_notes,
)
from diffusers_jasco.controls.midi_drums import DRUM_KEYS, DRUM_VOICES
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.sources import find_sources
from diffusers_jasco.data.synthetic.harmony import follows_key
from diffusers_jasco.data.synthetic.rendering import RENDERERS, find_soundfonts, get_renderer
from diffusers_jasco.data.synthetic.voices import VOICES, compose_melody, sing
from diffusers_jasco.evaluation.adherence import bootstrap
from diffusers_jasco.evaluation.estimators.beats import track_beats
from diffusers_jasco.evaluation.estimators.melody import FRAME_RATE
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_percussive_flux
from diffusers_jasco.evaluation.metrics.beats import score_beats, score_continuity
from diffusers_jasco.evaluation.metrics.chords import compare_chords
from diffusers_jasco.evaluation.metrics.drum_hits import compare_grooves, count_hits
from diffusers_jasco.evaluation.metrics.key import score_key
from diffusers_jasco.evaluation.metrics.melody import compare_melodies
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.evaluation.metrics.separation import sdr, si_sdr, suppression
from diffusers_jasco.evaluation.metrics.tempo import score_tempo
from diffusers_jasco.extraction import (
    Beats,
    extract_beats,
    extract_chords,
    extract_drum_hits,
    extract_groove,
    extract_key,
    extract_melody,
    separate_drums,
)
from diffusers_jasco.extraction.beats import tempo_of_beats
from diffusers_jasco.inputs import read_melody
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number, seed
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.errors import EmptyInputError, InputError
from diffusers_jasco.utils.files import replace_file
from diffusers_jasco.utils.optional_imports import import_optional


RATE = 32000  # Hz, of synthetic music
LOOPED = 16.0  # seconds: minimum duration of a repeated loop
EXCERPT = 30.0  # seconds, from the middle of a recording
SUNG_EXCERPT = 20.0  # seconds, from the beginning of a recording with notes
MELODY_SUFFIXES = (".th", ".npz", ".mid")
METRICS = {
    "chords": ("root", "majmin", "sevenths", "exact", "segmentation"),
    "key": ("key", "equal"),
    "melody": ("rpa", "rca", "vr", "vfa", "equal"),
    "voices": ("onset_f1", "note_f1", "rpa", "rca", "vr", "vfa", "equal"),
    "drums": ("si_sdr", "onset_f1", "suppression", "kept"),
    "beats": ("beat_f1", "downbeat_f1", "cmlt", "amlt", "acc1", "acc2", "time_signature"),
    "drum_hits": ("kick", "snare", "hat", "other", "false_hits_per_second"),
    "grooves": ("acc1", "acc2", "steps", "any_downbeat", "equal"),
}
DECIBELS = ("si_sdr", "suppression", "kept")


@dataclass
class Clip:
    """Audio `(1, samples)` with reference controls from the source `reference`."""

    material: str
    audio: torch.Tensor
    rate: int
    chords: list | None = None
    key: str | None = None
    melody: torch.Tensor | None = None
    notes: list | None = None  # (fractional MIDI number, start, end) of a single voice
    drums: torch.Tensor | None = None
    drum_onsets: list | None = None
    beats: Beats | None = None
    drum_hits: list | None = None
    groove: Groove | None = None
    reference: str = "annotations"
    is_single_voice: bool = False

    @property
    def duration(self) -> float:
        return self.audio.shape[-1] / self.rate


@dataclass
class Extractor:
    """A method with its timing, or with the reason why it is not available (`absent`)."""

    part: str
    method: str
    run: Callable[..., Any]
    absent: str | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self):
        # Warm-up, so that loading of weights is not timed.
        try:
            self.run(0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0)), RATE)
        except EmptyInputError:  # noise has no drums
            pass
        except (ImportError, FileNotFoundError) as error:
            self.absent = str(error)

    def __call__(self, audio: torch.Tensor, rate: int) -> Any:
        started = time.process_time()
        estimate = self.run(audio, rate)
        self.cpu_seconds += time.process_time() - started
        self.seconds += audio.shape[-1] / rate
        return estimate


@dataclass
class Scores:
    """Values of each metric over clips, or pairs of numerators and denominators, for one method and material."""

    part: str
    material: str
    reference: str
    method: str
    values: dict[str, list] = field(default_factory=dict)

    def add(self, scores: dict[str, Any]):
        for metric, value in scores.items():
            self.values.setdefault(metric, []).append(value)

    def summary(self) -> dict[str, Any]:
        row = {key: getattr(self, key) for key in ("part", "material", "reference", "method")}
        row["num_clips"] = max(len(values) for values in self.values.values())
        for metric, values in self.values.items():
            pairs = np.array([value if isinstance(value, tuple) else (value, 1.0) for value in values])
            values, totals = pairs[~np.isnan(pairs[:, 0]) & (pairs[:, 1] > 0)].T
            if len(values):
                # With a floor of 0, A is the ratio of the sums: with a ceiling of 1, the mean.
                low, high = bootstrap(values, np.zeros_like(values), totals)
                mean = float(values.sum() / totals.sum())
                row[metric] = {"mean": mean, "low": low, "high": high, "num_clips": len(values)}
        return row


class Table:
    def __init__(self):
        self.scores: dict[tuple[str, str, str, str], Scores] = {}

    def add(self, part: str, material: str, reference: str, method: str, scores: dict[str, Any]):
        key = part, material, reference, method
        self.scores.setdefault(key, Scores(*key)).add(scores)


# Clips


def synthetic_clips(args: argparse.Namespace, font: Path | None) -> Iterator[Clip]:
    music = SyntheticMusic(
        "test",
        args.num_clips,
        "both",
        args.duration,
        sampling_rate=RATE,
        renderer=args.renderer,
        soundfonts=font and [font],
        stems=True,
        seed=args.seed,
    )
    material = "synthetic" if font is None else f"synthetic, {font.stem}"
    for item in music:
        num_frames = round(item["duration"] * FRAME_RATE)
        melody = melody_from_notes(item["melody"], num_frames, FRAME_RATE).T
        stems = item["stems"]
        drums = stems.get("drums", torch.zeros_like(item["audio"]))
        beats = Beats(item["beats"], item["downbeats"], item["tempo"], item["time_signature"])
        score = music.score(item["index"])
        hits = [
            (DRUM_VOICES[key], start - score.preroll, velocity / 127)
            for start, _, key, velocity in score.notes.get("drums", [])
            if score.preroll <= start < score.preroll + item["duration"]
        ]
        yield Clip(
            material,
            item["audio"],
            RATE,
            chords=item["chords"],
            key=item["key"],
            melody=melody,
            drums=drums,
            drum_onsets=item["drum_onsets"],
            beats=beats,
            drum_hits=hits,
        )
        if "grooves" in args.parts and beats.time_signature in ("3/4", "4/4"):
            yield from groove_clips(item, args, font)
        if {"melody", "voices"} & {*args.parts} and "lead" in stems:
            yield Clip(
                f"{material}, lead only",
                stems["lead"],
                RATE,
                melody=melody,
                notes=item["melody"],
                is_single_voice=True,
            )


def sung_clips(args: argparse.Namespace) -> Iterator[Clip]:
    """Synthetic voices: each manner of singing in turn."""
    for number in range(args.num_voices):
        voice = VOICES[number % len(VOICES)]
        rng = np.random.default_rng([args.seed, number])
        notes = compose_melody(voice, args.duration, rng)
        audio = torch.from_numpy(sing(notes, args.duration, voice, rng, RATE))[None]
        yield Clip("voices", audio, RATE, notes=notes, is_single_voice=True)


def read_sung(path: Path) -> Clip:
    """The beginning of a recording with its notes beside it: lines of start, end (seconds), and MIDI number."""
    audio, rate = load_audio(path)
    lines = [[float(value) for value in line.split()] for line in path.with_suffix(".txt").read_text().splitlines()]
    notes = [(pitch, start, end) for start, end, pitch in filter(None, lines) if end < SUNG_EXCERPT]
    # Until the last note, as the next one may be cut.
    audio = audio[:, : round((notes[-1][2] + 0.1) * rate)].mean(dim=0, keepdim=True)
    return Clip("voice recordings", audio, rate, notes=notes, is_single_voice=True)


def groove_clips(item: dict[str, Any], args: argparse.Namespace, font: Path | None) -> Iterator[Clip]:
    """A preset of the drum machine, played by the kit of a font: alone, and instead of the drums of a synthetic clip."""
    beats_per_bar = int(item["time_signature"][0])
    grooves = [groove for groove in GROOVES.values() if groove.beats_per_bar == beats_per_bar]
    groove = replace(grooves[item["index"] % len(grooves)], bpm=item["tempo"])
    font = font or find_soundfonts(args.renderer)[item["index"] % len(find_soundfonts(args.renderer))]
    renderer = get_renderer(args.renderer, str(font), RATE)

    def play(first: float) -> torch.Tensor:
        """The groove with its first step at `first` seconds."""
        notes = [
            (time, time + 0.12, DRUM_KEYS[drum], round(127 * velocity**0.5))
            for drum, start, velocity in groove.hits(item["duration"] - first)
            if (time := start + first) >= 0
        ]
        return torch.from_numpy(renderer.render({"drums": (0, True, notes)}, item["duration"])["drums"])[None]

    drums = play(0.0)
    yield Clip(f"grooves, {font.stem}, drums alone", 0.5 * drums / drums.abs().max(), RATE, groove=groove)
    rest = item["audio"] - item["stems"].get("drums", 0)
    first = item["downbeats"][0] - math.ceil(item["downbeats"][0] / groove.seconds) * groove.seconds
    drums = play(first)
    drums *= rest.square().mean().sqrt().clamp(min=0.01) / drums.square().mean().sqrt()
    yield Clip(f"grooves, {font.stem}, mixes", 0.5 * (drums + rest), RATE, groove=groove)


def machine_clips(args: argparse.Namespace) -> Iterator[Clip]:
    """The presets of the drum machine, played by itself."""
    for groove in list(GROOVES.values())[: args.num_clips]:
        yield Clip("grooves, drum machine", groove.render(args.duration, RATE), RATE, groove=groove)


def read_excerpt(path: Path, material: str) -> Clip:
    audio, rate = load_audio(path)
    size = min(audio.shape[-1], round(EXCERPT * rate))
    start = (audio.shape[-1] - size) // 2
    return Clip(material, audio[:, start : start + size].mean(dim=0, keepdim=True), rate)


def find_files(paths: list[Path]) -> list[Path]:
    """Audio files, including those in folders, in a fixed order."""
    return [Path(source.url) for path in paths for source in find_sources(path)]


def read_reference(path: Path) -> Clip:
    """A recording with the reference melody in a file of the same name."""
    audio, rate = load_audio(path)
    files = [path.with_suffix(suffix) for suffix in MELODY_SUFFIXES if path.with_suffix(suffix).is_file()]
    if not files:
        raise ValueError(f"{path} has no melody beside it: no {path.stem} with {', '.join(MELODY_SUFFIXES)}.")
    num_frames = int(np.ceil(audio.shape[-1] / rate * FRAME_RATE - 1e-6))
    return Clip(
        "reference files",
        audio.mean(dim=0, keepdim=True),
        rate,
        melody=read_melody(files[0], num_frames, FRAME_RATE).T,
        reference="melody file",
    )


def read_loop(path: Path, num_beats: int) -> Clip:
    """A loop, repeated without a gap until it is long enough. Its length gives the tempo."""
    audio, rate = load_audio(path)
    repeats = math.ceil(LOOPED * rate / audio.shape[-1])
    tempo = 60 * num_beats * rate / audio.shape[-1]
    audio = audio.mean(dim=0, keepdim=True).repeat(1, repeats)
    return Clip("loops", audio, rate, beats=Beats([], [], tempo, None), reference="length")


# Scores


def evaluate_chords(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.is_single_voice:
        return
    estimates = {extractor.method: extractor(clip.audio, clip.rate) for extractor in extractors}
    if clip.chords is not None and clip.beats is not None:
        estimates["builtin, annotated beats"] = extract_chords(
            clip.audio, clip.rate, method="builtin", snap_to_beats=clip.beats.beats
        )
    references = [] if clip.chords is None else [(clip.reference, clip.chords, 0.0)]
    if "chordino" in estimates:
        chordino = estimates["chordino"]
        # Chordino always returns "N" for the first half window.
        start = chordino[1][1] if chordino[0][0] == "N" and len(chordino) > 1 else 0.0
        references += [("Chordino", chordino, 0.0), ("Chordino from its first chord", chordino, start)]
    for reference, chords, start in references:
        for method, estimate in estimates.items():
            if reference == clip.reference or method != "chordino":
                scores = compare_chords(estimate, chords, clip.duration, start)
                table.add("chords", clip.material, reference, method, scores)


def evaluate_key(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.key is None:
        return
    for extractor in extractors:
        estimate = extractor(clip.audio, clip.rate)
        scores = score_key(estimate, clip.key) | {"equal": float(estimate == clip.key)}
        table.add("key", clip.material, clip.reference, extractor.method, scores)
        if follows_key(clip.chords, clip.key):
            table.add("key", f"{clip.material}, functional harmony", clip.reference, extractor.method, scores)


def evaluate_melody(clip: Clip, extractors: list[Extractor], table: Table):
    # DeepSalience is slow and made for mixes, the monophonic extractor for single voices.
    skipped = "deep_salience" if clip.is_single_voice else "monophonic"
    estimates = {
        extractor.method: extractor(clip.audio, clip.rate) for extractor in extractors if extractor.method != skipped
    }
    references = [] if clip.melody is None else [(clip.reference, clip.melody)]
    if "deep_salience" in estimates:
        references.append(("DeepSalience", estimates["deep_salience"]))
    for reference, melody in references:
        for method, estimate in estimates.items():
            if reference == clip.reference or method != "deep_salience":
                table.add("melody", clip.material, reference, method, compare_melodies(estimate, melody))


def evaluate_voices(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.notes is None:
        return
    for extractor in extractors:
        matrix = extractor(clip.audio, clip.rate)
        scores = score_notes(melody_to_notes(matrix, FRAME_RATE), clip.notes)
        # The tuning of a singer is not an error.
        offset = tuning_of([pitch for pitch, *_ in clip.notes]) if clip.material == "voice recordings" else 0.0
        rounded = [(round(pitch - offset), start, end) for pitch, start, end in clip.notes]
        scores |= compare_melodies(matrix, melody_from_notes(rounded, matrix.shape[1], FRAME_RATE).T)
        table.add("voices", clip.material, clip.reference, extractor.method, scores)


def tuning_of(pitches: list[float]) -> float:
    """Deviation from standard tuning in semitones."""
    return float(np.angle(np.exp(2j * np.pi * np.array(pitches)).sum()) / (2 * np.pi))


def score_notes(estimate: list, reference: list) -> dict[str, float]:
    """F1 of onsets, and of onsets with the right pitch."""
    transcription = import_optional("mir_eval.transcription", "eval")
    if not estimate:
        return {"onset_f1": 0.0, "note_f1": 0.0}
    intervals, pitches = zip(*[(note[1:], 440 * 2 ** ((note[0] - 69) / 12)) for note in reference])
    found, found_pitches = zip(*[(note[1:], 440 * 2 ** ((note[0] - 69) / 12)) for note in estimate])
    arguments = np.array(intervals), np.array(found)
    _, _, onset_f1 = transcription.onset_precision_recall_f1(*arguments, onset_tolerance=0.05)
    # Estimates are whole semitones, those of singers are not.
    cents = 50.0 if all(float(note[0]).is_integer() for note in reference) else 100.0
    _, _, note_f1, _ = transcription.precision_recall_f1_overlap(
        arguments[0],
        np.array(pitches),
        arguments[1],
        np.array(found_pitches),
        pitch_tolerance=cents,
        offset_ratio=None,
    )
    return {"onset_f1": onset_f1, "note_f1": note_f1}


def evaluate_drums(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.drums is None or clip.is_single_voice:
        return
    music = clip.audio - clip.drums
    for method, separate in [("none", lambda audio, rate: (audio, rate)), *((e.method, e) for e in extractors)]:

        def run(audio: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
            """The separated stem, the reference with the same rate and length, and the rate."""
            stem, rate = separate(audio, clip.rate)
            reference = resample(reference, clip.rate, rate)
            # Resampled lengths can differ by one sample.
            size = min(stem.shape[-1], reference.shape[-1])
            return stem[:, :size], reference[:, :size], rate

        scores = {}
        if clip.drums.any():
            if music.any():
                stem, reference, rate = run(clip.audio, clip.drums)
                scores["si_sdr"] = si_sdr(stem, reference)
                if clip.drum_onsets is not None:
                    scores |= score_onsets(onsets_by_percussive_flux((stem, rate)), clip.drum_onsets)
            if method != "none":
                stem, reference, _ = run(clip.drums, clip.drums)
                scores["kept"] = sdr(stem, reference)
        if music.any() and method != "none":
            stem, mix, _ = run(music, music)
            scores["suppression"] = suppression(stem, mix)
        if scores:
            table.add("drums", clip.material, clip.reference, method, scores)


def evaluate_beats(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.beats is None:
        return
    for extractor in extractors:
        estimate, reference = extractor(clip.audio, clip.rate), clip.beats
        scores = score_beats(estimate.beats, reference.beats) | score_continuity(estimate.beats, reference.beats)
        scores |= score_tempo(estimate.tempo, reference.tempo)
        if extractor.method == "builtin":
            scores["downbeat_f1"] = score_beats(estimate.downbeats, reference.downbeats)["beat_f1"]
            if reference.time_signature is not None:
                scores["time_signature"] = float(estimate.time_signature == reference.time_signature)
        table.add("beats", clip.material, clip.reference, extractor.method, scores)


def evaluate_drum_hits(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.drum_hits is None or clip.drums is None or clip.is_single_voice:
        return
    rest = clip.audio - clip.drums
    for extractor in extractors:
        for material, audio in (("drums alone", clip.drums), ("mixes", clip.audio), ("without drums", rest)):
            hits = [] if material == "without drums" else clip.drum_hits
            if audio.any() and (hits or material == "without drums"):
                estimate = extractor(audio, clip.rate)
                if material == "without drums":
                    scores = {"false_hits_per_second": len(estimate) / clip.duration}
                else:
                    scores = count_hits(estimate, hits)
                table.add("drum_hits", f"{clip.material}, {material}", clip.reference, extractor.method, scores)


def evaluate_grooves(clip: Clip, extractors: list[Extractor], table: Table):
    if clip.groove is None:
        return
    for extractor in extractors:
        try:
            estimate = extractor(clip.audio, clip.rate)
        except InputError:  # no drums, or no pattern
            estimate = None
        scores = score_tempo(estimate and estimate.bpm, clip.groove.bpm) | compare_grooves(estimate, clip.groove)
        table.add("grooves", clip.material, "steps", extractor.method, scores)


def run_librosa(audio: torch.Tensor, rate: int) -> Beats:
    """Beats and tempo by librosa, which does not estimate downbeats."""
    beats = track_beats((audio, rate))
    return Beats(list(beats), [], tempo_of_beats(beats), None)


def run_pyin(audio: torch.Tensor, rate: int) -> torch.Tensor:
    """librosa's pYIN, rounded to semitones: a matrix (53, frames)."""
    librosa = import_optional("librosa", "eval")
    own_rate, hop = 22050, 256
    samples = resample(audio, rate, own_rate)[0].numpy()
    level = librosa.feature.rms(y=samples, frame_length=4 * hop, hop_length=hop)[0]
    frequencies, voiced, _ = librosa.pyin(samples, fmin=55, fmax=2100, sr=own_rate, hop_length=hop, fill_na=None)
    voiced &= level > 0.01 * level.max()
    pitches = librosa.hz_to_midi(frequencies)
    pitches -= tuning_of(pitches[voiced])
    semitones = np.arange(math.floor(pitches.min()) - 1, math.ceil(pitches.max()) + 2)
    fits = np.maximum(np.exp(-2 * (pitches[:, None] - semitones) ** 2), np.exp(-8.0))
    probabilities = np.where(voiced, 0.98, 0.02)[:, None]
    scores = np.concatenate([probabilities * fits, 1 - probabilities], axis=1)
    path = librosa.sequence.viterbi(scores.T, librosa.sequence.transition_loop(scores.shape[1], 0.99))
    notes = np.append(semitones, -1)[path]
    times = np.arange(math.ceil(audio.shape[-1] / rate * FRAME_RATE - 1e-6)) / FRAME_RATE
    notes = notes[np.minimum(np.round(times * own_rate / hop).astype(int), len(notes) - 1)]
    inside = (notes >= LOWEST_PITCH) & (notes <= HIGHEST_PITCH)
    return bins_to_matrix(torch.from_numpy(np.where(inside, notes - LOWEST_PITCH, -1)).to(torch.int8)).T


EVALUATE = {
    "chords": evaluate_chords,
    "key": evaluate_key,
    "melody": evaluate_melody,
    "voices": evaluate_voices,
    "drums": evaluate_drums,
    "beats": evaluate_beats,
    "drum_hits": evaluate_drum_hits,
    "grooves": evaluate_grooves,
}


def to_markdown(part: str, rows: list[dict[str, Any]], extractors: list[Extractor]) -> str:
    """A table of scores and a table of speeds."""
    metrics = METRICS[part]
    lines = [
        f"| material | reference | {part} extractor | clips | {' | '.join(metrics)} |",
        f"|{' --- |' * (4 + len(metrics))}",
    ]
    for row in rows:
        cells = []
        for metric in metrics:
            digits = 1 if metric in DECIBELS else 3
            value = row.get(metric)
            cells.append("" if value is None else "{mean:.{0}f} ({low:.{0}f} … {high:.{0}f})".format(digits, **value))
        lines.append(
            f"| {row['material']} | {row['reference']} | {row['method']} | {row['num_clips']} | {' | '.join(cells)} |"
        )
    lines += ["", f"| {part} extractor | × real time |", "| --- | --- |"]
    for extractor in extractors:
        if extractor.absent is not None:
            # The reason, without installation instructions.
            speed = f"not available: {extractor.absent.split(':')[0]}"
        else:
            speed = f"{extractor.seconds / extractor.cpu_seconds:.1f}" if extractor.cpu_seconds else ""
        lines.append(f"| {extractor.method} | {speed} |")
    return "\n".join(lines) + "\n"


def parse_loop(text: str) -> tuple[Path, int]:
    path, separator, num_beats = text.rpartition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"has to be FILE=BEATS, such as loop.flac=4, but is {text!r}")
    return Path(path), integer(1)(num_beats)


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for extraction.md and extraction.json")
    parser.add_argument("--parts", nargs="+", choices=tuple(METRICS), default=list(METRICS))
    parser.add_argument(
        "--num_clips", type=integer(0), default=64, help="number of synthetic clips for each font; 0 for none"
    )
    parser.add_argument("--duration", type=number(above=0), default=10.0, help="seconds per synthetic clip")
    parser.add_argument("--seed", type=seed, default=0, help="random seed of the synthetic clips")
    parser.add_argument("--renderer", choices=tuple(RENDERERS), default="fluidsynth")
    parser.add_argument(
        "--other_fonts",
        type=Path,
        nargs="*",
        default=[],
        help="additional General MIDI fonts, each evaluated separately",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        nargs="*",
        default=[],
        help="recordings with reference melodies (.th, .npz or .mid of the same name)",
    )
    parser.add_argument("--recordings", type=Path, nargs="*", default=[], help="music: files and folders")
    parser.add_argument("--drum_recordings", type=Path, nargs="*", default=[], help="solo drums: files and folders")
    parser.add_argument(
        "--loops",
        type=parse_loop,
        nargs="*",
        default=[],
        metavar="FILE=BEATS",
        help="loops with their numbers of beats, which give the tempo",
    )
    parser.add_argument(
        "--num_voices", type=integer(0), default=0, help="number of synthetic voices, of 9 kinds in turn"
    )
    parser.add_argument(
        "--voices",
        type=Path,
        nargs="*",
        default=[],
        help="recordings of voices with their notes beside them: .txt of the same name, lines of start, end, MIDI number",
    )
    parser.add_argument("--melody_weights", type=Path, help="multif0.h5, the weights of DeepSalience")
    return parser.parse_args(args)


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_writable(args.output)
    recordings, drum_recordings = find_files(args.recordings), find_files(args.drum_recordings)
    voices = find_files(args.voices)
    references = [read_reference(path) for path in args.reference]
    loops = [read_loop(path, num_beats) for path, num_beats in args.loops]
    methods = {
        "chords": {
            **{name: partial(extract_chords, method=name) for name in ("chordino", "builtin")},
            "builtin, snapped": partial(extract_chords, method="builtin", snap_to_beats=True),
        },
        "key": {"builtin": extract_key},
        "melody": {
            "deep_salience": partial(extract_melody, method="deep_salience", weights=args.melody_weights),
            **{name: partial(extract_melody, method=name) for name in ("builtin", "monophonic")},
        },
        "voices": {
            "pyin": run_pyin,
            **{name: partial(extract_melody, method=name) for name in ("builtin", "monophonic")},
        },
        "drums": {name: partial(separate_drums, method=name) for name in ("demucs", "builtin")},
        "beats": {"librosa": run_librosa, "builtin": extract_beats},
        "drum_hits": {
            "separated": extract_drum_hits,
            "not separated": partial(extract_drum_hits, separate_drums=False),
        },
        "grooves": {"separated": extract_groove, "not separated": partial(extract_groove, separate_drums=False)},
    }
    if args.melody_weights is None:
        methods["melody"]["deep_salience"] = _raise_missing_weights
    extractors = {part: [Extractor(part, method, run) for method, run in methods[part].items()] for part in args.parts}
    for part in args.parts:
        for extractor in extractors[part]:
            if extractor.absent is not None:
                print(f"{part}: {extractor.method} is not available. {extractor.absent}")

    def clips() -> Iterator[Clip]:
        if args.num_clips:
            for font in [None, *args.other_fonts]:
                yield from synthetic_clips(args, font)
            if "grooves" in args.parts:
                yield from machine_clips(args)
        yield from sung_clips(args)
        yield from (read_sung(path) for path in voices)
        yield from references
        yield from (read_excerpt(path, "recordings") for path in recordings)
        yield from loops
        for path in drum_recordings:
            clip = read_excerpt(path, "drum recordings")
            clip.drums = clip.audio
            yield clip

    table = Table()
    for clip in tqdm(clips(), unit="clip"):
        for part in args.parts:
            if clip.material == "drum recordings" and part != "drums":
                continue
            if clip.material in ("voices", "voice recordings") and part != "voices":
                continue
            if clip.groove is not None and part != "grooves":
                continue
            EVALUATE[part](clip, [e for e in extractors[part] if e.absent is None], table)

    rows = [scores.summary() for scores in table.scores.values()]
    tables = [to_markdown(part, [row for row in rows if row["part"] == part], extractors[part]) for part in args.parts]
    result = {
        "rows": rows,
        "methods": [
            {
                "part": extractor.part,
                "method": extractor.method,
                "absent": extractor.absent,
                "times_real_time": extractor.seconds / extractor.cpu_seconds if extractor.cpu_seconds else None,
            }
            for part in args.parts
            for extractor in extractors[part]
        ],
    }
    args.output.mkdir(parents=True, exist_ok=True)
    for name, text in (("extraction.md", "\n".join(tables)), ("extraction.json", json.dumps(result, indent=2) + "\n")):
        with replace_file(args.output / name) as path:
            path.write_text(text, encoding="utf-8")
    print("\n".join(tables))


def _raise_missing_weights(audio: torch.Tensor, rate: int):
    raise FileNotFoundError("no --melody_weights")


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_extraction"))
