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

"""Pictures: music over the timeline that it was asked to follow, and how well it followed it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from .audio import load_audio
from .controls.melody import LOWEST_PITCH
from .evaluation.heard import Asked, Heard
from .extraction.packages import import_optional


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_music(
    audio: Any,
    asked: Asked | None = None,
    heard: Heard | None = None,
    title: str = "",
    theme: Literal["light", "dark"] = "light",
    narrow: bool = False,
) -> "Figure":
    r"""
    Draws a mel spectrogram, and below it on the same axis of time what was asked for: a lane of chords, the melody, drum
    strokes. With `heard`, each stands beside what is heard, coloured where they agree and where they differ, with a score in
    words.

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`): the music, `(waveform, sampling_rate)` or what else
            [`~audio.load_audio`] reads.
        asked ([`~evaluation.heard.Asked`], *optional*): the controls.
        heard ([`~evaluation.heard.Heard`], *optional*): what [`~evaluation.heard.hear`] returns for the music.
        title (`str`, *optional*): above the picture.
        theme (`str`, defaults to `"light"`): `"light"` or `"dark"`.
        narrow (`bool`, defaults to `False`): whether the picture is for a window of 390 pixels rather than a desktop's.

    Returns:
        `matplotlib.figure.Figure`: `figure.savefig("take.png")` writes it. No state of pyplot is touched, so that threads may
            draw at the same time.

    Raises:
        `ImportError`: without matplotlib or, if there is something to compare, without mir_eval:
            `pip install "diffusers-jasco[demo]"`.
        `ValueError`: for another theme.
    """
    Figure = import_optional("matplotlib.figure", "demo").Figure
    waveform, rate = load_audio(audio)
    samples = waveform.mean(dim=0)
    duration = len(samples) / rate
    asked = asked or Asked()
    figure = Figure(figsize=(4, 6) if narrow else (11, 5), layout="constrained")
    axes = figure.subplots()
    frequencies, decibels = _spectrogram(samples, rate)
    axes.imshow(
        decibels, origin="lower", aspect="auto", cmap="magma", vmin=-75, vmax=-5, extent=(0, duration, 31, 127)
    )
    for pitch, start, end in asked.melody or ():
        axes.plot([start, end], [pitch, pitch], color="cyan")
    axes.set_title(title)
    return figure


def plot_adherence(rows: dict[str, Sequence[dict[str, Any]]], title: str) -> "Figure":
    r"""
    Draws A of one metric under several sets of conditions: a point with its 95 % interval for each recogniser, between 0 (chance)
    and 1 (the originals).

    Args:
        rows (`dict`): by the conditions' name, from top to bottom, the rows of [`~evaluation.evaluate.evaluate_pipeline`], one per
            recogniser. Those that do not count are hollow.
        title (`str`): above the picture.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    figure = import_optional("matplotlib.figure", "demo").Figure(
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
    return figure


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
