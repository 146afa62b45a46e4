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


"""Pictures: music over the timelines that it was asked to follow, and how well it followed them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..controls.melody import LOWEST_PITCH
from ..extraction.packages import import_optional


def draw_music(
    path: str | os.PathLike,
    audio: torch.Tensor,
    sampling_rate: int,
    chords: Sequence[tuple[str, float]] | None = None,
    melody: Sequence[tuple[int, float, float]] | None = None,
    drum_onsets: Sequence[float] | None = None,
    title: str = "",
):
    r"""
    Draws a spectrogram over the asked-for chords (names), melody (lines at the height of their fundamentals) and drum onsets
    (ticks), on one axis of time.

    Args:
        path (`str` or `os.PathLike`): picture to write, `.png` or what else matplotlib knows.
        audio (`torch.Tensor` of shape `(channels, samples)`): the music.
        sampling_rate (`int`): Hz.
        chords (`Sequence[tuple[str, float]]`, *optional*): labels and starts in seconds.
        melody (`Sequence[tuple[int, float, float]]`, *optional*): MIDI numbers, starts and ends in seconds.
        drum_onsets (`Sequence[float]`, *optional*): seconds.
        title (`str`, *optional*): above the picture.

    Raises:
        `ImportError`: without matplotlib.
    """
    Figure = import_optional("matplotlib.figure", "eval").Figure
    samples = audio.detach().float().cpu().mean(dim=0)
    duration = len(samples) / sampling_rate
    lanes = [name for name, given in (("chords", chords), ("drums", drum_onsets)) if given is not None]
    figure = Figure(figsize=(11, 3.6 + 0.45 * len(lanes)), layout="constrained")
    axes = figure.subplots(1 + len(lanes), 1, sharex=True, squeeze=False, height_ratios=[7] + [1] * len(lanes))[:, 0]

    frequencies, decibels = _spectrogram(samples, sampling_rate)
    axes[0].imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-75,
        vmax=-5,
        interpolation="nearest",
        extent=(0, duration, LOWEST_PITCH - 12, LOWEST_PITCH - 12 + len(frequencies) / 4),
    )
    pitches = range(36, int(LOWEST_PITCH - 12 + len(frequencies) / 4), 12)
    axes[0].set_yticks(pitches, [f"C{pitch // 12 - 1}" for pitch in pitches])
    axes[0].set_title(title, fontsize=10, loc="left")
    for pitch, start, end in melody or ():
        axes[0].plot([start, end], [pitch + 0.125] * 2, color="cyan", linewidth=1.4)
    axes[0].set_xlim(0, duration)

    for axis, name in zip(axes[1:], lanes):
        axis.set_yticks([])
        axis.set_ylim(0, 1)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    if chords is not None:
        axis = axes[1 + lanes.index("chords")]
        ends = [start for _, start in chords[1:]] + [duration]
        for number, ((label, start), end) in enumerate(zip(chords, ends)):
            axis.axvspan(start, end, color=("0.85", "0.95")[number % 2])
            axis.text((start + end) / 2, 0.5, label, ha="center", va="center", fontsize=8, clip_on=True)
    if drum_onsets is not None:
        axes[1 + lanes.index("drums")].vlines(list(drum_onsets), 0.1, 0.9, color="0.2", linewidth=0.9)
    axes[-1].set_xlabel("seconds")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def draw_metric(path: str | os.PathLike, rows: dict[str, Sequence[dict[str, Any]]], title: str):
    r"""
    Draws A of one metric under several sets of conditions: a point with its 95 % interval for each recogniser, between 0 (chance)
    and 1 (the originals).

    Args:
        path (`str` or `os.PathLike`): picture to write, `.png` or what else matplotlib knows.
        rows (`dict`): by the conditions' name, from top to bottom, the rows of [`~evaluation.evaluate.evaluate_pipeline`], one per
            recogniser. Those that do not count are hollow.
        title (`str`): above the picture.

    Raises:
        `ImportError`: without matplotlib.
    """
    figure = import_optional("matplotlib.figure", "eval").Figure(
        figsize=(8, 1.2 + 0.45 * len(rows)), layout="constrained"
    )
    axes = figure.subplots()
    names = list(dict.fromkeys(row["recogniser"] for condition in rows.values() for row in condition))
    for number, name in enumerate(names):
        shift = (number - (len(names) - 1) / 2) * 0.22
        for place, condition in enumerate(rows.values()):
            row = next((row for row in condition if row["recogniser"] == name), None)
            if row is None or not np.isfinite(row["value"]):
                continue
            color = f"C{number}"
            axes.plot([row["low"], row["high"]], [place + shift] * 2, color=color, linewidth=1.4)
            face = color if row["counts"] else "white"
            axes.plot(row["value"], place + shift, "o", color=color, markerfacecolor=face, markersize=5)
        axes.plot([], [], "o-", color=f"C{number}", label=name)
    for mark in (0, 1):
        axes.axvline(mark, color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("A: 0 is chance, 1 the originals")
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _spectrogram(samples: torch.Tensor, sampling_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Four values per semitone from an octave below the melody's range to half the rate: Hz, and dB (pitches, frames)."""
    window = 2 ** round(np.log2(0.128 * sampling_rate))
    spectrum = torch.stft(
        samples, window, window // 8, window=torch.hann_window(window), center=True, return_complex=True
    ).abs() * (4 / window)
    highest = 69 + 12 * np.log2(0.49 * sampling_rate / 440)
    pitches = np.arange(LOWEST_PITCH - 12, highest, 0.25)
    frequencies = 440 * 2 ** ((pitches - 69) / 12)
    bins = torch.from_numpy(frequencies * window / sampling_rate)
    below = bins.long().clamp(max=len(spectrum) - 2)
    share = (bins - below)[:, None].float()
    magnitudes = spectrum[below] * (1 - share) + spectrum[below + 1] * share
    return frequencies, (20 * (magnitudes + 1e-5).log10()).numpy()
