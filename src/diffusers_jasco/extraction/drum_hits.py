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


"""Transcription of drums: the hits of each drum in a recording."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..audio.stream import AudioStream, frame_blocks, resample_blocks
from ..utils.spooling import SpooledRows
from .drum_hit_model import BANDS, FRAME_RATE, HOP, LOUDEST, NUM_BANDS, RATE, VOICES, WINDOW, DrumHitModel
from .drums import DrumStream
from .lists import accepts_lists
from .progress import SecondsBar


Hits = list[tuple[str, float, float]]

_SILENT = 1e-2  # largest magnitude of a recording that is silent: about -90 dB
_LARGEST = 6e4  # magnitude
_REMAINS = 10**-2.2  # power of separated drums relative to music, below which they are remains of other instruments
_NEARBY = 500  # frames: 5 s
_BLOCK = 4096  # frames per forward pass: 41 s
_APART = 3  # frames: shortest time between two hits of a drum
_CANDIDATE = 0.25  # lowest probability of a hit
# A drum that is certain elsewhere in the recording needs less evidence: the threshold falls from the first to the second
# while the mean of its highest probabilities, and of a first guess, rises.
_THRESHOLDS = (0.75, 0.25)
_CERTAINTIES = (0.5, 0.95)
_NUM_HIGHEST = 4
_FIRST_GUESS = 0.6
_EXCLUSIVE = (
    ("hat", "open hat"),
    ("hat", "shaker"),
    ("open hat", "ride"),
)  # similar drums, one of which is hit at once
# Drums that are easily confused. If one has less than a share of the other's hits in a recording, it is the other.
_CONFUSED = ("hat", "shaker")
_MINORITY = 0.75
_LOUD = 0.9  # quantile of the levels of a drum that has the velocity 1


@accepts_lists
def extract_drum_hits(
    audio: Any,
    sampling_rate: int | None = None,
    separate_drums: bool = True,
    progress: bool = False,
) -> Hits:
    r"""
    Transcribes the drums of a recording: the onsets and velocities of the drums of the drum machine.

    A small network ([`DrumHitModel`]) estimates the probability of each drum in frames of 10 ms. The hits do not depend on
    a tempo; [`extract_groove`] turns them into steps.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`. It is read in blocks, in bounded memory.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        separate_drums (`bool`, defaults to `True`):
            Whether to separate the drums first ([`separate_drums`]). `False` is faster, for recordings of drums alone.
        progress (`bool`, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        `list` of `(drum, start in seconds, velocity)`, sorted by start, as [`Groove.hits`] returns them: names in
        `controls.drum_machine.DRUMS`, and velocities in (0, 1], amplitudes relative to the loud hits of the same drum.
        Empty for silence and music without drums. For a list of recordings, a list of lists.

    Raises:
        `FileNotFoundError`: if a file does not exist.
        [`InputError`]: for input that is not audio.
    """
    with SpooledRows((NUM_BANDS,), np.float16) as magnitudes:
        stream = AudioStream(audio, sampling_rate, RATE)
        if separate_drums:
            # Relative to the level of the music, so that remains of other instruments are not amplified.
            highest, music = _read(stream, stream.duration, None, False)
            separated = DrumStream(audio, sampling_rate)
            blocks = resample_blocks(separated, separated.rate, RATE)
            _, drums = _read(blocks, stream.duration, magnitudes, progress)
            size = min(len(drums), len(music))  # resampling may differ by a frame
            has_drums = drums[:size] > _REMAINS * music[:size]
        else:
            highest, power = _read(stream, stream.duration, magnitudes, progress)
            has_drums = np.ones(len(power), bool)
        if highest < _SILENT:
            return []
        candidates = _find_candidates(magnitudes, LOUDEST / highest)
        found = choose_hits([hit for hit in candidates if has_drums[min(round(hit.frame), len(has_drums) - 1)]])
    return _to_velocities(found, stream.duration)


def _read(
    blocks: Iterable[np.ndarray], duration: float, magnitudes: SpooledRows | None, progress: bool
) -> tuple[float, np.ndarray]:
    """Appends the magnitudes of each frame, and returns the highest, and the power within 5 s of each frame."""
    highest, powers = 0.0, [np.zeros(0)]
    with SecondsBar("drum hits", duration, progress) as bar:
        for frames in frame_blocks(blocks, WINDOW, HOP):
            part = BANDS.magnitudes(frames).clip(max=_LARGEST)
            highest = max(highest, float(part.max(initial=0)))
            powers.append(np.square(frames[:, (WINDOW - HOP) // 2 : (WINDOW + HOP) // 2]).mean(axis=1))
            if magnitudes is not None:
                magnitudes.append(part.astype(np.float16))
            bar.update(len(frames) / FRAME_RATE)
    sums = np.concatenate([[0], np.concatenate(powers).cumsum(dtype=np.float64)])
    frames = np.arange(len(sums) - 1)
    nearby = [np.clip(frames + offset, 0, len(frames)) for offset in (-_NEARBY, _NEARBY + 1)]
    return highest, sums[nearby[1]] - sums[nearby[0]]


@lru_cache(maxsize=1)
def _model() -> DrumHitModel:
    return DrumHitModel.from_pretrained(Path(__file__).parent / "weights" / "drum_hits").float().eval()


class Candidate(NamedTuple):
    """A possible hit: index of the drum in `VOICES`, start in frames, level (decimal logarithm), and probability."""

    drum: int
    frame: float
    level: float
    probability: float


@torch.inference_mode()
def _find_candidates(magnitudes: SpooledRows, scale: float) -> list[Candidate]:
    """Scaled magnitudes → possible hits."""
    model, hits = _model(), []
    context = model.context + _APART
    for start in range(0, len(magnitudes), _BLOCK):
        first, end = max(start - context, 0), min(start + _BLOCK, len(magnitudes))
        block = torch.from_numpy(magnitudes.read(first, end + context).astype(np.float32) * scale)
        logits, levels = (part[0] for part in model(block[None]))
        hits += [
            hit._replace(frame=first + hit.frame)
            for hit in pick_hits(logits.sigmoid().numpy(), levels.numpy())
            if start <= round(first + hit.frame) < end
        ]
    return hits


def pick_hits(probabilities: np.ndarray, levels: np.ndarray) -> list[Candidate]:
    r"""
    Picks the possible hits of all drums: maxima of their probability. Of similar drums, only the more probable is hit.

    Args:
        probabilities, levels (`np.ndarray` of shape `(frames, 10)`): of each drum.

    Returns:
        `list[Candidate]`: with fractional frames.
    """
    padded = np.pad(probabilities, ((_APART, _APART), (0, 0)))
    size = len(probabilities)
    around = [padded[offset : offset + size] for offset in range(2 * _APART + 1)]
    is_peak = (probabilities > np.max(around[:_APART], axis=0)) & (probabilities >= np.max(around[_APART:], axis=0))
    is_peak &= probabilities >= _CANDIDATE
    highest = np.max(around, axis=0)
    for names in _EXCLUSIVE:
        columns = [VOICES.index(name) for name in names]
        is_peak[:, columns] &= probabilities[:, columns] >= highest[:, columns].max(axis=1, keepdims=True)
    hits = []
    for frame, drum in np.argwhere(is_peak):
        before, peak, after = padded[frame + _APART - 1 : frame + _APART + 2, drum]
        curvature = 2 * peak - before - after
        shift = (after - before) / (2 * curvature) if curvature > 0 else 0.0
        position = float(frame + np.clip(shift, -0.49, 0.49))
        hits.append(Candidate(int(drum), position, float(levels[frame, drum]), float(peak)))
    return hits


def choose_hits(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates above the thresholds of their drums, which depend on the whole recording."""
    candidates, chosen = _unify(candidates), []
    for drum in range(len(VOICES)):
        own = [candidate for candidate in candidates if candidate.drum == drum]
        highest = sorted((candidate.probability for candidate in own), reverse=True)[:_NUM_HIGHEST]
        threshold = np.interp(np.mean([_FIRST_GUESS, *highest]), _CERTAINTIES, _THRESHOLDS)
        chosen += [candidate for candidate in own if candidate.probability >= threshold]
    return chosen


def _unify(candidates: list[Candidate]) -> list[Candidate]:
    """Replaces one of the confused drums by the other, unless both are frequent."""
    drums = [VOICES.index(name) for name in _CONFUSED]
    sums = [sum(candidate.probability for candidate in candidates if candidate.drum == drum) for drum in drums]
    if min(sums) >= _MINORITY * max(sums):
        return candidates
    rare, frequent = (drums[index] for index in np.argsort(sums, kind="stable"))
    return [candidate._replace(drum=frequent) if candidate.drum == rare else candidate for candidate in candidates]


def _to_velocities(found: list[Candidate], duration: float) -> Hits:
    hits = []
    for drum, voice in enumerate(VOICES):
        own = [candidate for candidate in found if candidate.drum == drum]
        if not own:
            continue
        loud = np.quantile([candidate.level for candidate in own], _LOUD, method="higher")
        for candidate in own:
            start = min(max(candidate.frame / FRAME_RATE, 0.0), duration)
            velocity = max(float(10 ** min(candidate.level - loud, 0.0)), 0.001)
            hits.append((voice, round(start, 4), round(velocity, 3)))
    return sorted(hits, key=lambda hit: hit[1])
