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


"""Endless synthetic music with exact annotations. Clips are addressed by index and identical in every process."""

import os
from collections.abc import Sequence

import numpy as np

from .captions import instrument_names, write_captions
from .composition import FORMS, SPLITS, SUBSETS, Piece, compose
from .material import choose
from .parts import Note
from .scores import RenderedMusic, Score, ScoreNote


# Version of the generated clips. Increase it when the same seeds give other music, captions or sounds.
GENERATOR_VERSION = 3

# Seconds rendered before the clip.
STARTS = ("random", "downbeat", "mixed")

_DOWNBEAT_SHARE = 2 / 3
# With few captions per clip, models learn to recognize the clips of the training set by their captions.
_NUM_CAPTIONS = 20
_PREROLL = 1.5
# Share of "full" clips with drum-machine sounds, which the pipeline also uses for drum patterns written as text.
_DRUM_MACHINES = 0.25


class SyntheticMusic(RenderedMusic):
    r"""
    Clips of generated music in 27 styles, with chords (193 labels), melody, drum onsets, beats and captions. It is
    composed from scratch and contains no existing music. The tempo is constant.

    Splits do not share chord progressions, grooves or melodic phrases.

    Args:
        split (`str`): `"train"`, `"validation"` or `"test"`.
        size (`int`): number of clips. The content of a clip does not depend on it.
        subset (`str`): `"plain"` (major, minor, 7, m7, maj7 and dim chords in root position, 4/4, dry), `"full"` (all
            features of the generator; a quarter of the clips have drum-machine sounds), or `"both"` (plain clips at
            even indices, full ones at odd indices).
        duration (`float`): duration of a clip in seconds.
        sampling_rate (`int`): Hz.
        renderer (`str`, *optional*): `"fluidsynth"` (needs the FluidSynth library and sound fonts) or
            `"tinysoundfont"` (needs no system library: `pip install --no-deps tinysoundfont`, and the sound font of
            the extra `synthetic`). With `None`, there are only scores and captions.
        soundfonts (`Sequence[str | os.PathLike]`, *optional*): General MIDI sound fonts; each clip uses a random one.
            Default: `find_soundfonts(renderer)`.
        stems (`bool`): whether items contain their stems.
        start (`str`): where clips start in their pieces: at a `"random"` position, on a `"downbeat"`, or `"mixed"`, in
            which two thirds of the clips start on a downbeat. Clips with a form other than `"steady"` start where it
            is complete, intros always on a downbeat.
        seed (`int`): random seed.

    Items are dictionaries, with times in seconds from the beginning of the clip:
        - `audio` (`torch.Tensor` of shape `(1, samples)`): float32, the sum of the stems, peak at most 0.95
        - `sampling_rate`, `duration`
        - `chords` (`list[tuple[str, float]]`): label and start; the first chord starts at 0; `"N"` is the silence after
          an ending
        - `melody` (`list[tuple[int, float, float]]`): MIDI note number, start and end of the lead's notes; monophonic
        - `drum_onsets` (`list[float]`), `beats` (`list[float]`), `downbeats` (`list[float]`)
        - `tempo` (beats per minute), `time_signature`, `key`, `style`, `energy`, `instruments` (`dict[str, str]`)
        - `form`: `"steady"` (60%), or what happens within the clip (10% each): `"intro"` (instruments enter one by one),
          `"ending"` (a final chord rings, without drums), `"build"` (instruments join, and all get louder), `"quiet to
          loud"`
        - `captions` (`list[str]`) and `caption`, the first of them
        - `stems` (`dict[str, torch.Tensor]`, optional): `(1, samples)` each, in the order in which they sum to `audio`
        - `split`, `subset`, `index`, `seed`, and name, version and hash of the renderer and the sound font

    Example:

    ```py
    >>> from diffusers_jasco.data import SyntheticMusic

    >>> music = SyntheticMusic("train", size=1000, renderer="tinysoundfont")
    >>> item = music[17]
    ```
    """

    # Length of a score, in durations of a clip.
    _score_length = 1.0

    def __init__(
        self,
        split: str,
        size: int,
        subset: str = "full",
        duration: float = 10.0,
        sampling_rate: int = 16000,
        renderer: str | None = "fluidsynth",
        soundfonts: Sequence[str | os.PathLike] | None = None,
        stems: bool = False,
        seed: int = 0,
        start: str = "random",
    ):
        if split not in SPLITS:
            raise ValueError(f"`split` has to be one of {', '.join(SPLITS)}, but got {split!r}.")
        if subset not in (*SUBSETS, "both"):
            raise ValueError(f"`subset` has to be one of {', '.join(SUBSETS)}, both, but got {subset!r}.")
        if start not in STARTS:
            raise ValueError(f"`start` has to be one of {', '.join(STARTS)}, but got {start!r}.")
        if not 0.1 <= duration <= 600:
            raise ValueError(f"`duration` has to be between 0.1 and 600 seconds, but got {duration}.")
        super().__init__(duration, sampling_rate, renderer, soundfonts, stems)
        self.split, self.size, self.subset, self.seed, self.start = split, size, subset, seed, start

    def __len__(self) -> int:
        return self.size

    def score(self, index: int) -> Score:
        """Composes a clip, and writes its captions. Nothing is rendered."""
        if not 0 <= index < self.size:
            raise IndexError(f"Index {index} is out of range for {self.size} clips.")
        seeds = [self.seed, SPLITS.index(self.split), index]
        rng = np.random.default_rng(seeds)
        subset = SUBSETS[index % 2] if self.subset == "both" else self.subset
        form = choose(rng, tuple(FORMS), tuple(FORMS.values()))
        duration = self.duration * self._score_length
        piece = compose(self.split, subset, rng, duration, form)
        start = rng.uniform(*piece.starts)
        shares = {"random": 0.0, "mixed": _DOWNBEAT_SHARE, "downbeat": 1.0}
        if np.random.default_rng([*seeds, 3]).random() < shares[self.start]:
            start = _move_to_downbeat(start, piece)
        _remove_silent_stems(piece, start, start + duration)
        # Captions and drum machine use separate random streams, so changing them leaves the rest unchanged.
        captions = write_captions(piece, np.random.default_rng([*seeds, 1]), _NUM_CAPTIONS)
        kit = np.random.default_rng([*seeds, 2])
        tuning = kit.uniform(0.75, 1.33) if subset == "full" and kit.random() < _DRUM_MACHINES else None
        preroll = min(_PREROLL, start)
        first, end = start - preroll, start + duration
        return Score(
            annotations={
                **_cut_annotations(piece, start, duration),
                "tempo": piece.tempo,
                "time_signature": piece.time_signature,
                "key": piece.key,
                "style": piece.style.name,
                "energy": piece.energy,
                "form": piece.form,
                "instruments": instrument_names(piece),
                "captions": captions,
                "caption": captions[0],
                "split": self.split,
                "subset": subset,
                "index": index,
                "seed": self.seed,
            },
            duration=duration,
            preroll=preroll,
            programs=piece.programs,
            notes={name: _cut_notes(piece.notes[name], first, end) for name in piece.programs},
            drum_machine=tuning,
            random_state=rng.bit_generator.state,
        )


def _move_to_downbeat(start: float, piece: Piece) -> float:
    """The previous downbeat, or the next one if the clip would lose its form; `start` if there is neither."""
    first, last = piece.starts
    downbeats = [time for time in piece.downbeats if first - 1e-6 <= time <= last + 1e-6]
    previous = [time for time in downbeats if time <= start]
    return previous[-1] if previous else downbeats[0] if downbeats else start


def _remove_silent_stems(piece: Piece, start: float, end: float):
    """Removes the stems without notes in the clip, so that captions do not mention them."""
    for stem, notes in list(piece.notes.items()):
        # Drums count if they are hit, other instruments also if their notes continue.
        if not any(
            (note.start if stem == "drums" else note.end - 0.05) >= start and note.start < end for note in notes
        ):
            del piece.notes[stem], piece.programs[stem]


def _cut_notes(notes: list[Note], start: float, end: float) -> list[ScoreNote]:
    return [
        (max(note.start - start, 0.0), note.end - start, note.key, note.velocity)
        for note in notes
        if note.end > start and note.start < end
    ]


def _cut_annotations(piece: Piece, start: float, duration: float) -> dict[str, list]:
    """The piece's annotations between `start` and `start + duration`, with times relative to `start`."""

    def cut_times(times) -> list[float]:
        return [round(time - start, 4) for time in times if start <= time < start + duration]

    sounding = [chord for chord in piece.chords if chord[1] <= start][-1:]
    chords = [(label, 0.0) for label, _ in sounding] + [
        (label, round(time - start, 4)) for label, time in piece.chords if start < time < start + duration
    ]
    melody = [
        (note.key, round(max(note.start - start, 0.0), 4), round(min(note.end - start, duration), 4))
        for note in piece.notes.get("lead", [])
        if note.end > start + 0.02 and note.start < start + duration - 0.02
    ]
    onsets = sorted({note.start for note in piece.notes.get("drums", [])})
    return {
        "chords": chords,
        "melody": melody,
        "drum_onsets": cut_times(onsets),
        "beats": cut_times(piece.beats),
        "downbeats": cut_times(piece.downbeats),
    }
