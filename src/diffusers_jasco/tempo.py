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

"""Chooses a tempo and a time signature that fit the words and the chords."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.utils import logging

from .controls.beats import FASTEST, SLOWEST, Tempo
from .controls.chord_labels import NO_CHORD
from .controls.drum_machine import Groove
from .controls.note_text import is_note_text
from .extraction.beats import tempo_of_beats
from .models.tempo_model import JascoTempoModel
from .utils.errors import InputError
from .utils.seeding import derive_seed


logger = logging.get_logger(__name__)

# "96 bpm", "96-BPM", "96.5 beats per minute", "bpm: 96".
_IN_WORDS = re.compile(
    r"(?<![\d.,])(\d{2,3}(?:\.\d+)?)[\s-]*(?:bpm|beats per minute)\b|\bbpm\s*[:=]?\s*(\d{2,3}(?:\.\d+)?)(?![\d.,]*\d)",
    re.IGNORECASE,
)

# Relative probability of chord changes on the first, the middle and the other beats of a bar.
_ON_DOWNBEAT = 1.0
_ON_MIDDLE = 0.2
_ON_OTHER = 0.02
_JITTER = 0.03  # seconds; standard deviation of chord starts, which may be rounded or estimated
_OFF_BEAT = 0.02  # probability of a chord start that is not on a beat
_OTHER = 0.05  # probability that chords have another tempo than the words suggest
_OTHER_SPREAD = 0.35  # standard deviation of the logarithm of these tempos
_MAX_STARTS = 200  # chord starts that a tempo is fitted to
_SAME = 0.5  # beats per minute by which a tempo in the prompt may differ without a report
_EXACT = 0.01  # seconds by which chords may be off the beats of a whole number of beats per minute


class Timing(NamedTuple):
    r"""
    The tempo of a piece.

    Args:
        tempo ([`Tempo`]): the tempo.
        first_downbeat (`float`): time of the first downbeat in seconds.
    """

    tempo: Tempo
    first_downbeat: float = 0.0


def tempo_in_words(prompt: str | None) -> float | None:
    r"""
    Returns the tempo that a prompt states as a number: `"80s pop at 96 bpm"`.

    Args:
        prompt (`str`, *optional*): the prompt.

    Returns:
        `float`: beats per minute, from 20 to 400; `None` if there is no such number.
    """
    return next((number for number in _numbers_in_words(prompt) if SLOWEST <= number <= FASTEST), None)


def _numbers_in_words(prompt: str | None) -> list[float]:
    return [float(match[1] or match[2]) for match in _IN_WORDS.finditer(prompt or "")]


def _tempo_of_grid(grid: tuple[list[float], list[float]] | None) -> Tempo | None:
    bpm = tempo_of_beats(grid[0]) if grid else None
    return Tempo(round(bpm, 2), _count_beats_per_bar(*grid)) if grid and bpm else None


def _count_beats_per_bar(beats: Sequence[float], downbeats: Sequence[float]) -> int:
    """The median number of beats between downbeats, the last of which may follow the last beat."""
    positions = np.interp(downbeats, beats, np.arange(len(beats)))
    positions += np.clip(np.asarray(downbeats) - beats[-1], 0, None) / (beats[-1] - beats[-2])
    return max(round(float(np.median(np.diff(positions)))), 1)


def draw_seeds(generator: torch.Generator | Sequence[torch.Generator] | None, count: int) -> list[int]:
    r"""
    Derives seeds from random generators, whose states do not change.

    Args:
        generator (`torch.Generator` or a sequence of them, *optional*):
            One for all seeds, or one per seed. By default, seeds are drawn from PyTorch's default generator.
        count (`int`): number of seeds.

    Returns:
        `list[int]`: the seeds. That of position i does not depend on the number of seeds.
    """
    if isinstance(generator, Sequence):
        return [draw_seeds(single, 1)[0] for single in generator]
    state = None
    if generator is not None:
        state = torch.Generator(generator.device)
        state.set_state(generator.get_state())
    number = int(torch.randint(2**63 - 1, (), generator=state, device=None if state is None else state.device))
    # Hashed, because the noise starts with the same random numbers.
    return [derive_seed("tempo", number, index) for index in range(count)]


@dataclass(frozen=True)
class TempoDistribution:
    r"""
    Joint distribution of tempo and beats per bar.

    Args:
        tempos (`np.ndarray` of shape `(tempos,)`): centers of bins in beats per minute, equally spaced on a
            logarithmic scale.
        beats_per_bar (`tuple[int, ...]`): numbers of beats per bar.
        probabilities (`np.ndarray` of shape `(len(beats_per_bar), tempos)`): the probability of each bin.
    """

    tempos: np.ndarray
    beats_per_bar: tuple[int, ...]
    probabilities: np.ndarray

    def given(self, beats_per_bar: int | None) -> "TempoDistribution":
        """The distribution for a number of beats per bar; for an unknown number, that of all together."""
        if beats_per_bar is None:
            return self
        known = beats_per_bar in self.beats_per_bar
        rows = self.probabilities[[self.beats_per_bar.index(beats_per_bar)]] if known else self.probabilities
        row = rows.sum(axis=0, keepdims=True)
        return TempoDistribution(self.tempos, (beats_per_bar,), row / row.sum())

    def sample(self, seed: int, bpm: float | None = None) -> Tempo:
        r"""
        Samples a tempo.

        Args:
            seed (`int`): random seed.
            bpm (`float`, *optional*): a known tempo, for which only beats per bar are sampled.

        Returns:
            [`Tempo`]: with a whole number of beats per minute, or with `bpm`.
        """
        draws = np.random.default_rng(seed).random(2)
        probabilities = self.probabilities
        if bpm is not None:
            nearest = np.abs(np.log(self.tempos / bpm)).argmin()
            probabilities = probabilities[:, [nearest]]
        cumulative = np.cumsum(probabilities)
        index = int(np.searchsorted(cumulative, draws[0] * cumulative[-1], side="right"))
        meter, column = np.unravel_index(min(index, probabilities.size - 1), probabilities.shape)
        if bpm is None:
            step = self.tempos[1] / self.tempos[0] if len(self.tempos) > 1 else 1.0
            bpm = float(round(self.tempos[column] * step ** (draws[1] - 0.5)))
        return Tempo(bpm, self.beats_per_bar[meter])

    def fit(self, starts: Sequence[float], bpm: float | None = None) -> Tempo | None:
        r"""
        Finds the most probable tempo whose first downbeat is the first chord, and on whose beats the other chords
        start, preferably on downbeats.

        Args:
            starts (`Sequence[float]`): at least two different ascending chord starts in seconds.
            bpm (`float`, *optional*): a known tempo, for which only beats per bar are chosen.

        Returns:
            [`Tempo`], or `None` if the chords fit no tempo better than chance.
        """
        offsets = np.asarray(starts[:_MAX_STARTS], dtype=float) - starts[0]
        if bpm is not None:
            periods = np.array([60 / bpm])
        else:
            # With the last chord on a beat, there are few tempos; all chords together are more precise than the last.
            slowest, fastest = self.tempos[0] * offsets[-1] / 60, self.tempos[-1] * offsets[-1] / 60
            counts = np.arange(max(math.ceil(slowest - 1e-6), 1), math.floor(fastest + 1e-6) + 1)
            positions = np.round(offsets * counts[:, None] / offsets[-1])
            periods = (positions @ offsets) / (positions**2).sum(axis=1)
        if not len(periods):
            return None
        positions = np.round(offsets / periods[:, None])
        deviations = offsets - positions * periods[:, None]
        accuracy = (1 - _OFF_BEAT) * np.exp(-0.5 * (deviations / _JITTER) ** 2)[:, 1:]  # (tempos, chords)

        candidates = []
        for meter, prior in zip(self.beats_per_bar, self._log_probabilities(60 / periods)):
            weights = _beat_weights(meter)
            on_beat = accuracy * weights[positions[:, 1:].astype(int) % meter]
            fit = np.log(on_beat + _OFF_BEAT * _ON_OTHER).sum(axis=1) + prior
            # Relative to chords at random times.
            bar = meter * periods[:, None]
            ratio = on_beat / weights.sum() * bar / (_JITTER * math.sqrt(2 * math.pi)) + _OFF_BEAT
            best = int(fit.argmax())
            candidates.append((fit[best], np.log(ratio[best]).sum(), 60 / periods[best], meter))
        _, evidence, found, meter = max(candidates)
        if evidence < math.log(len(periods)):
            return None
        if bpm is None:
            is_whole = np.abs(offsets * (1 - found / round(found))).max() < _EXACT
            bpm = float(round(found) if is_whole else round(found, 2))
        return Tempo(bpm, meter)

    def _log_probabilities(self, bpm: np.ndarray) -> np.ndarray:
        """Logarithms of smoothed and interpolated probabilities `(len(beats_per_bar), len(bpm))`."""
        scale = np.log(self.tempos)
        center = (self.probabilities.sum(axis=0) * scale).sum()
        others = np.exp(-0.5 * ((scale - center) / _OTHER_SPREAD) ** 2)
        meters = self.probabilities.sum(axis=1, keepdims=True)
        smooth = (1 - _OTHER) * self.probabilities + _OTHER * meters * others / others.sum()
        return np.stack([np.interp(np.log(bpm), scale, np.log(row.clip(1e-30))) for row in smooth])


def _beat_weights(beats_per_bar: int) -> np.ndarray:
    weights = np.full(beats_per_bar, _ON_OTHER)
    if beats_per_bar % 2 == 0:
        weights[beats_per_bar // 2] = _ON_MIDDLE
    weights[0] = _ON_DOWNBEAT
    return weights


@torch.no_grad()
def estimate_tempos(
    model: JascoTempoModel, encoder_hidden_states: torch.Tensor, text_mask: torch.Tensor
) -> list[TempoDistribution]:
    """Returns the distribution for each text; see [`JascoTempoModel.forward`]."""
    logits = model(encoder_hidden_states.to(model.dtype), text_mask).double().cpu()
    tempos, meters = np.array(model.config.tempos), tuple(model.config.beats_per_bar)
    probabilities = logits.flatten(1).softmax(dim=-1).view_as(logits).numpy()
    return [TempoDistribution(tempos, meters, single) for single in probabilities]


@dataclass(frozen=True)
class PieceInputs:
    r"""
    The inputs of a piece that determine its tempo.

    Args:
        prompt (`str`, *optional*): the prompt; a tempo that it states is used.
        bpm (`float` or `False`, *optional*): the requested tempo in beats per minute, or `False` for none.
        beats_per_bar (`int`, *optional*): the requested beats per bar.
        chords (`list` or `str`, *optional*): the result of [`~inputs.read_chords_or_bars`].
        drums, melody (*optional*): the controls in any form.
        beats (`tuple`, *optional*): requested beats and downbeats in seconds.
        start (`float`): offset in seconds into files and recordings at which the piece begins.
    """

    prompt: str | None
    bpm: float | bool | None
    beats_per_bar: int | None
    chords: Any
    drums: Any
    melody: Any
    beats: tuple[list[float], list[float]] | None
    start: float

    @property
    def is_in_bars(self) -> bool:
        """Whether the chords are given in bars."""
        return isinstance(self.chords, str)

    @property
    def is_in_beats(self) -> bool:
        """Whether a control is given in bars or beats instead of seconds."""
        return self.is_in_bars or isinstance(self.drums, Groove) or is_note_text(self.melody)

    @property
    def is_free(self) -> bool:
        """Whether any tempo that fits the words and the chords is possible; recordings have one of their own."""
        has_melody = self.melody is not None and not is_note_text(self.melody)
        return self.bpm is None and self.beats is None and self.drums is None and not has_melody

    @property
    def changes(self) -> list[float]:
        """The starts of the chords in seconds."""
        if self.chords is None or isinstance(self.chords, str):
            return []
        # A chord that sounds where the piece begins may have started earlier.
        return [time for label, time in self.chords if label != NO_CHORD and (time > 0 or not self.start)]


def warn_of_unused_tempo(
    pieces: Sequence[PieceInputs], timings: Sequence[Timing | None], uses_tempo: Sequence[bool], has_control: bool
):
    r"""
    Warns of a `bpm` or `beats_per_bar` that has an effect on no piece.

    Args:
        pieces (`Sequence[PieceInputs]`): the pieces.
        timings (`Sequence[Timing | None]`): the chosen tempo of each piece.
        uses_tempo (`Sequence[bool]`): whether the piece has the control `beats`, or a control in bars or beats.
        has_control (`bool`): whether the checkpoint has the control `beats`.
    """
    has_tempo = [timing is not None or bool(piece.beats and piece.beats[0]) for piece, timing in zip(pieces, timings)]
    has_bars = [
        has and (has_control or piece.is_in_bars or isinstance(piece.drums, Groove))
        for has, piece in zip(has_tempo, pieces)
    ]
    for name, applies, unit in (("bpm", has_tempo, "beats or bars"), ("beats_per_bar", has_bars, "bars")):
        given = [index for index, piece in enumerate(pieces) if getattr(piece, name)]
        if given and not any(applies[index] for index in given):
            reason = f"this checkpoint has no beats control, and no control is given in {unit}."
            if any(uses_tempo[index] and not has_tempo[index] for index in given):
                reason = "the music has no tempo; set `bpm`."
            logger.warning(f"`{name}` has no effect: {reason}")
            return


def choose_timing(piece: PieceInputs, distribution: TempoDistribution | None, seed: int) -> Timing | None:
    r"""
    Chooses the tempo of a piece: the requested one, that of its groove, or one that fits its words and chords.

    Args:
        piece ([`PieceInputs`]): the piece.
        distribution ([`TempoDistribution`], *optional*): tempos that fit the words; by default, none is chosen.
        seed (`int`): random seed.

    Returns:
        [`Timing`], or `None` without a tempo.

    Raises:
        [`~inputs.InputError`]: for beats in seconds beside controls in bars or beats, for `beats_per_bar` that do not
            fit the groove, and for chords in bars or notes as text with `bpm=False` or with a tempo in the prompt that
            can't be used.
    """
    if piece.beats and piece.beats[0] and piece.is_in_beats:
        raise InputError(
            "`beats` can't be used with chords in bars, notes as text or grooves, which have a constant tempo: set `bpm`"
            " instead.",
            "beats",
        )
    needs = "chords in bars" if piece.is_in_bars else "notes as text" if is_note_text(piece.melody) else None
    if piece.bpm is False or piece.beats is not None:
        if needs:
            raise InputError(
                f"`bpm=False` (or empty `beats`) can't be used with {needs}, which need a tempo: set `bpm` to a number.",
                "bpm",
            )
        return None
    groove = piece.drums if isinstance(piece.drums, Groove) else None
    if groove and piece.beats_per_bar:
        groove.check_beats_per_bar(piece.beats_per_bar)
    beats_per_bar = piece.beats_per_bar or (groove.beats_per_bar if groove else None)
    bpm = groove.bpm if groove and piece.bpm is None else piece.bpm
    if bpm is not None:
        return Timing(Tempo(float(bpm), beats_per_bar or 4))
    stated = tempo_in_words(piece.prompt)
    if distribution is None or not piece.is_free:
        if stated and needs:
            limit = (
                "counts only for checkpoints with a tempo model"
                if piece.is_free
                else "does not count beside a recording of drums or a melody in seconds"
            )
            raise InputError(
                f"{needs.capitalize()} need a tempo: set `bpm`. The tempo in the prompt, {stated:g} BPM, {limit}.",
                "bpm",
            )
        return None
    distribution, changes = distribution.given(beats_per_bar), piece.changes
    # The grid begins with the first chord, but notes begin at 0.
    first = 0.0 if piece.is_in_beats else min(changes, default=0.0)
    if len(changes) < 2:
        return Timing(distribution.sample(seed, stated), first)
    if changes[0] > first:
        changes = [first, *changes]
    # Chords have exact times, so they overrule a tempo in the prompt that does not fit them.
    tempo = (distribution.fit(changes, stated) if stated else None) or distribution.fit(changes)
    return None if tempo is None else Timing(tempo, first)


def report_tempos(
    pieces: Sequence[PieceInputs],
    timings: Sequence[Timing | None],
    grids: Sequence[tuple[list[float], list[float]] | None],
    has_control: bool,
    has_model: bool,
) -> tuple[Tempo | None, ...]:
    r"""
    Returns the tempo of each piece, and logs it. Warns of tempos in the prompts that are not used, except with
    `bpm=False`.

    Args:
        pieces (`Sequence[PieceInputs]`): the pieces.
        timings (`Sequence[Timing | None]`): the chosen tempo of each piece.
        grids (`Sequence`): beats and downbeats of each piece in seconds, whose median tempo is returned without a
            chosen one.
        has_control (`bool`): whether the checkpoint has the control `beats`; otherwise, music without a tempo is not
            reported.
        has_model (`bool`): whether the pipeline has a tempo model.
    """
    tempos, unused = [], {}
    for piece, timing, grid in zip(pieces, timings, grids, strict=True):
        tempo = _tempo_of_grid(grid) if timing is None else timing.tempo
        tempos.append(tempo)
        numbers = _numbers_in_words(piece.prompt)
        is_unused = bool(numbers) and not any(tempo and abs(number - tempo.bpm) < _SAME for number in numbers)
        if tempo is None and not (is_unused and has_control):
            continue
        note = f"; {numbers[0]:g} BPM in the prompt are not used" if is_unused else ""
        logger.info(f"Tempo: {tempo or 'none'}{note}.")
        if is_unused and piece.bpm is not False:
            reason = _why_unused(piece, tempo, has_model)
            unused[f"The prompt says {numbers[0]:g} BPM, which is not used: {reason}."] = True
    for message in unused:
        logger.warning(message)
    return tuple(tempos)


def _why_unused(piece: PieceInputs, tempo: Tempo | None, has_model: bool) -> str:
    """The reason why the tempo in the prompt is not that of the music."""
    if tempo is not None:
        if piece.bpm:
            return f"`bpm` is {tempo.bpm:g}"
        if isinstance(piece.drums, Groove):
            return f"the groove has {tempo.bpm:g} BPM"
        if piece.beats:
            return f"`beats` has {tempo.bpm:g} BPM"
        if tempo_in_words(piece.prompt) is None:
            return f"a tempo has {SLOWEST:g} to {FASTEST:g} BPM"
        return f"the chords have {tempo.bpm:g} BPM"
    if piece.beats is not None:
        return "`beats` has no tempo"
    if not piece.is_free:
        return "with a recording of drums or a melody in seconds, only `bpm` sets a tempo"
    return "no tempo fits the chords" if has_model else "the pipeline has no tempo model; set `bpm`"
