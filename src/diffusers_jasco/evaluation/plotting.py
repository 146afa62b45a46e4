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

"""Figures of music with its requested and estimated controls, and of evaluation results."""

import math
import re
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..audio.io import load_audio
from ..controls.chord_labels import NO_CHORD
from ..controls.melody import HIGHEST_PITCH, LOWEST_PITCH, SALIENCE_RATE
from ..utils.optional_imports import import_optional
from .metrics.seams import to_bars
from .sampling import describe_guidance
from .transcription import (
    NEAR,
    OTHER,
    SAME,
    RequestedControls,
    Score,
    Transcription,
    match_chords,
    match_notes,
    match_onsets,
    score_transcription,
)


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Theme:
    """Colors. Those of agreement are distinguishable with color blindness (Okabe and Ito, 2008)."""

    background: str
    lane: str
    chip: str
    ink: str
    muted: str
    agreement: dict[str | None, str]
    spectrogram: tuple[str, ...]
    salience: str


_THEMES = {
    "light": _Theme(
        background="#ffffff",
        lane="#f4f5f8",
        chip="#dfe3ea",
        ink="#1d2230",
        muted="#6a7283",
        agreement={SAME: "#00926b", NEAR: "#d98e00", OTHER: "#d5502c", None: "#aab1be"},
        spectrogram=("#ffffff", "#e3e6f5", "#a8b2e3", "#6a69bd", "#43337f", "#1d1238"),
        salience="#5b6ea8",
    ),
    "dark": _Theme(
        background="#0f1219",
        lane="#181d27",
        chip="#2c3443",
        ink="#eceff5",
        muted="#98a1b3",
        agreement={SAME: "#1fc796", NEAR: "#f0b232", OTHER: "#ff7a50", None: "#667085"},
        spectrogram=("#0f1219", "#1d2547", "#46408f", "#8e56b0", "#e58a8c", "#ffe9c4"),
        salience="#8fa4e8",
    ),
}


@dataclass(frozen=True)
class _Layout:
    """Sizes in inches, except the font size in points."""

    width: float
    left: float
    right: float
    spectrogram: float
    melody: float
    chord_lane: float
    drum_lane: float
    font_size: float
    dpi: float
    gap: float = 0.05  # between lanes
    margin: float = 0.12
    heading: float = 0.34
    line: float = 0.19  # height of a line of small text


_WIDE = _Layout(11.0, 0.62, 0.16, spectrogram=1.9, melody=1.3, chord_lane=0.32, drum_lane=0.2, font_size=9.5, dpi=120)
_NARROW = _Layout(3.9, 0.5, 0.1, spectrogram=1.2, melody=1.0, chord_lane=0.27, drum_lane=0.18, font_size=7.5, dpi=200)

_MEL_BANDS = 128
_LOWEST_FREQUENCY = 40.0  # Hz
_DYNAMIC_RANGE = 65  # dB
_MAX_COLUMNS = 2000
_TICKS = (200, 500, 1000, 2000, 4000, 8000, 16000)  # Hz
_MIN_PITCHES = 18  # smallest range of the melody panel in semitones
_CHARACTER_WIDTH = 0.66  # relative to the font size, bold
_MAX_TITLE_LINES = 2
_BARS_PER_ROW = 16
# Around a seam
_SEAM_WAVEFORM = 0.1  # seconds
_SEAM_SPECTROGRAM = 1.5  # seconds
_SEAM_FFT = 1024  # samples


def plot_music(
    audio: Any,
    requested: RequestedControls | None = None,
    transcription: Transcription | None = None,
    title: str = "",
    theme: Literal["light", "dark"] = "light",
    narrow: bool = False,
) -> "Figure":
    r"""
    Plots a mel spectrogram of music with its requested chords, melody and drum onsets on the same time axis. With a
    `transcription`, the estimated controls are shown beside the requested ones, colored by agreement, below their
    scores.

    ```python
    audio = pipe(prompt, chords=chords, drums=drums).audios[0], pipe.sampling_rate
    transcription = transcribe(audio)
    requested = read_requested_controls(
        chords, drums, duration=transcription.duration, frame_rate=pipe.frame_rate
    )
    plot_music(audio, requested, transcription, prompt).savefig("music.png")
    ```

    Args:
        audio (`tuple`, `dict`, `str` or `os.PathLike`):
            The music as `(waveform, sampling_rate)`, or another input of [`~audio.io.load_audio`].
        requested ([`~evaluation.transcription.RequestedControls`], *optional*): the requested controls.
        transcription ([`~evaluation.transcription.Transcription`], *optional*):
            The transcription of the music from [`~evaluation.transcription.transcribe`].
        title (`str`, *optional*): title of the figure.
        theme (`str`, defaults to `"light"`): `"light"` or `"dark"`.
        narrow (`bool`, defaults to `False`): whether to use a layout for phones (390 pixels) instead of desktops.

    Returns:
        `matplotlib.figure.Figure`: a figure 11 or 3.9 inches wide. It does not use pyplot's global state, so threads
            can plot concurrently.

    Raises:
        `ImportError`: without matplotlib or, if there is something to compare, without mir_eval:
            `pip install "diffusers-jasco[plot]"`.
        `ValueError`: for an unknown theme.
    """
    if theme not in _THEMES:
        raise ValueError(f"`theme` has to be 'light' or 'dark', but got {theme!r}.")
    colors, layout, requested = _THEMES[theme], _NARROW if narrow else _WIDE, requested or RequestedControls()
    waveform, rate = load_audio(audio)
    samples = waveform.mean(dim=0)
    duration = len(samples) / rate
    scores = score_transcription(transcription, requested) if transcription is not None else {}

    lanes = 1 if transcription is None else 2
    heights = {"spectrogram": layout.spectrogram}
    if requested.chords is not None:
        heights["chords"] = lanes * (layout.chord_lane + layout.gap) - layout.gap
    if requested.melody is not None:
        heights["melody"] = layout.melody
    if requested.drum_onsets is not None:
        heights["drums"] = lanes * (layout.drum_lane + layout.gap) - layout.gap
    titles = _wrap(title, layout)
    legend = _legend(colors, heights, narrow) if scores else []
    height = sum(heights.values()) + (len(heights) - 1 + len(titles)) * layout.heading
    sheet = _Sheet(colors, layout, duration, height + (1.25 + len(legend)) * layout.line)

    for line in titles:
        sheet.add_heading([(line, colors.ink, "bold")])
    _draw_spectrogram(sheet, samples, rate)
    for control, draw in (("chords", _draw_chords), ("melody", _draw_melody), ("drums", _draw_drums)):
        if control in heights:
            sheet.add_heading(_describe(control, scores.get(control), colors))
            draw(sheet, requested, transcription)
    sheet.finish(legend)
    return sheet.figure


class _Sheet:
    """A figure that is filled from top to bottom."""

    def __init__(self, colors: _Theme, layout: _Layout, duration: float, height: float):
        self.colors, self.layout, self.duration = colors, layout, duration
        self.height = height + 1.5 * layout.margin
        self.figure = import_optional("matplotlib.figure", "plot").Figure(
            (layout.width, self.height), dpi=layout.dpi, facecolor=colors.background
        )
        self.bottom = self.height - layout.margin / 2  # bottom edge of the last element, in inches
        self.axes: list["Axes"] = []

    def add_heading(self, parts: Sequence[tuple[str, str, str]]):
        """Adds a line of `(text, color, weight)`."""
        self.bottom -= self.layout.heading
        self._write(parts, self.layout.left, self.bottom + 0.09, self.layout.font_size + 1)

    def add_panel(self, height: float, label: str = "") -> "Axes":
        """Adds full-width axes with a label on the left."""
        layout = self.layout
        gap = layout.gap if label == "result" else 0
        self.bottom -= height + gap
        rect = (layout.left, self.bottom, layout.width - layout.left - layout.right, height)
        axes = self.figure.add_axes(
            [value / size for value, size in zip(rect, (layout.width, self.height) * 2)], facecolor=self.colors.lane
        )
        axes.spines[:].set_visible(False)
        axes.set_xlim(0, self.duration)
        axes.set_ylim(0, 1)
        axes.set_yticks([0.5] if label else [], [label] if label else [])
        axes.tick_params(
            length=0, pad=4, labelsize=layout.font_size - 1, labelcolor=self.colors.muted, labelbottom=False
        )
        self.axes.append(axes)
        return axes

    def to_inches(self, seconds: float) -> float:
        return seconds / self.duration * (self.layout.width - self.layout.left - self.layout.right)

    def finish(self, legend: Sequence[Sequence[tuple[str, str, str]]]):
        """Adds the time axis and the lines of a legend."""
        ticker = import_optional("matplotlib.ticker", "plot")
        axes = self.axes[-1]
        axes.tick_params(axis="x", labelbottom=True)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(10, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(lambda time, _: f"{time:g}" if time else "0 s")
        self.bottom -= 1.25 * self.layout.line
        for line in legend:
            self.bottom -= self.layout.line
            self._write(line, self.layout.left, self.bottom, self.layout.font_size - 1)

    def _write(self, parts: Sequence[tuple[str, str, str]], x: float, y: float, size: float):
        offsetbox = import_optional("matplotlib.offsetbox", "plot")
        texts = [
            offsetbox.TextArea(text, textprops={"color": color, "weight": weight, "size": size, "parse_math": False})
            for text, color, weight in parts
        ]
        self.figure.add_artist(
            offsetbox.AnchoredOffsetbox(
                "lower left",
                child=offsetbox.HPacker(children=texts, pad=0, sep=0.5 * size, align="baseline"),
                pad=0,
                borderpad=0,
                frameon=False,
                bbox_to_anchor=(x / self.layout.width, y / self.height),
                bbox_transform=self.figure.transFigure,
            )
        )


def _wrap(title: str, layout: _Layout) -> list[str]:
    size = (layout.font_size + 1) * _CHARACTER_WIDTH / 72
    lines = textwrap.wrap(title, int((layout.width - layout.left - layout.right) / size))
    if len(lines) > _MAX_TITLE_LINES:
        lines = [*lines[: _MAX_TITLE_LINES - 1], lines[_MAX_TITLE_LINES - 1][:-1] + "…"]
    return lines


def _legend(colors: _Theme, controls: Collection[str], narrow: bool) -> list[list[tuple[str, str, str]]]:
    near = [text for control, text in (("chords", "same root"), ("melody", "another octave")) if control in controls]
    texts = {SAME: "as requested", NEAR: " or ".join(near), OTHER: "different"}
    lines = [[("■", colors.agreement[agreement], text) for agreement, text in texts.items() if text]]
    if "melody" in controls:
        notes = [("▭", colors.muted, "requested note"), ("■", colors.salience, "detected note")]
        lines = [*lines, notes] if narrow else [lines[0] + notes]
    return [
        [part for mark, color, text in line for part in ((mark, color, "bold"), (f"{text} ", colors.muted, "normal"))]
        for line in lines
    ]


def _describe(control: str, score: Score | None, colors: _Theme) -> list[tuple[str, str, str]]:
    parts = [(control.capitalize(), colors.ink, "bold")]
    if score is None:
        return parts
    if math.isnan(score.value):
        return [*parts, (score.words, colors.muted, "normal")]
    color = colors.agreement[{"partial": NEAR, "poor": OTHER}.get(score.words, SAME)]
    return [
        *parts,
        (f"{score.value:.0%}", color, "bold"),
        (f"{score.meaning} — {score.words}", colors.muted, "normal"),
    ]


def _draw_spectrogram(sheet: _Sheet, samples: torch.Tensor, rate: int):
    axes = sheet.add_panel(sheet.layout.spectrogram)
    decibels, position = _mel_spectrogram(samples, rate)
    axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap=_colormap(sheet.colors.spectrogram),
        vmin=-_DYNAMIC_RANGE,
        vmax=0,
        extent=(0, sheet.duration, 0, 1),
    )
    ticks = [tick for tick in _TICKS if tick < 0.49 * rate]
    axes.set_yticks([position(tick) for tick in ticks], [f"{t / 1000:g}k" if t >= 1000 else str(t) for t in ticks])


def _draw_chords(sheet: _Sheet, requested: RequestedControls, transcription: Transcription | None):
    axes = sheet.add_panel(sheet.layout.chord_lane, "target")
    for label, start, end in _spans(requested.chords, sheet.duration):
        axes.axvspan(start, end, facecolor=sheet.colors.chip, linewidth=0)
        _write_chord(sheet, axes, label, start, end)
    if transcription is None:
        return
    axes = sheet.add_panel(sheet.layout.chord_lane, "result")
    for start, end, agreement in match_chords(transcription, requested):
        axes.axvspan(start, end, facecolor=sheet.colors.agreement[agreement], alpha=0.3, linewidth=0)
    for label, start, end in _spans(transcription.chords, sheet.duration):
        _write_chord(sheet, axes, label, start, end)


def _spans(chords: Sequence[tuple[str, float]], duration: float) -> list[tuple[str, float, float]]:
    ends = [start for _, start in chords[1:]] + [duration]
    return [(label, start, min(end, duration)) for (label, start), end in zip(chords, ends) if start < duration]


def _write_chord(sheet: _Sheet, axes: "Axes", label: str, start: float, end: float):
    """Draws a gap before the next chord, and the chord's name if it fits."""
    axes.axvline(end, color=sheet.colors.background, linewidth=1.5)
    text = _chord_name(label)
    room = sheet.to_inches(end - start) * 72 - 4
    size = min(sheet.layout.font_size, room / max(0.62 * len(text), 1))
    if size >= 0.6 * sheet.layout.font_size:
        axes.text((start + end) / 2, 0.47, text, ha="center", va="center", size=size, color=sheet.colors.ink)


def _chord_name(label: str) -> str:
    return "" if label == NO_CHORD else re.sub(r"(?<=[A-G])b|b(?=\d)", "♭", label.replace("#", "♯"))


def _draw_melody(sheet: _Sheet, requested: RequestedControls, transcription: Transcription | None):
    axes = sheet.add_panel(sheet.layout.melody)
    pitches = [pitch for pitch, *_ in requested.melody] or [(LOWEST_PITCH + HIGHEST_PITCH) // 2]
    margin = max(3, (_MIN_PITCHES - (max(pitches) - min(pitches))) / 2)
    low, high = min(pitches) - margin, max(pitches) + margin
    agreements = [None] * len(requested.melody)
    if transcription is not None:
        agreements = match_notes(transcription, requested)
        axes.imshow(
            transcription.salience,
            origin="lower",
            aspect="auto",
            cmap=_colormap((sheet.colors.lane, sheet.colors.salience)),
            vmin=0,
            vmax=1,
            extent=(0, transcription.salience.shape[1] / SALIENCE_RATE, LOWEST_PITCH - 0.5, HIGHEST_PITCH + 0.5),
        )
    patches = import_optional("matplotlib.patches", "plot")
    for (pitch, start, end), agreement in zip(requested.melody, agreements):
        color = sheet.colors.agreement[agreement]
        axes.add_patch(
            patches.Rectangle(
                (start, pitch - 0.6), end - start, 1.2, fill=transcription is None, color=color, linewidth=1.4
            )
        )
    axes.set_xlim(0, sheet.duration)
    axes.set_ylim(low, high)
    octaves = [pitch for pitch in range(0, 128, 12) if low <= pitch <= high]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])


def _draw_drums(sheet: _Sheet, requested: RequestedControls, transcription: Transcription | None):
    colors = sheet.colors
    if transcription is None:
        lanes = {"target": (requested.drum_onsets, [colors.ink] * len(requested.drum_onsets))}
    else:
        onsets, ref_matched, est_matched = match_onsets(transcription, requested)
        lanes = {"target": (onsets, ref_matched), "result": (transcription.drum_onsets, est_matched)}
        lanes = {
            label: (times, [colors.agreement[SAME if is_matched else OTHER] for is_matched in matched])
            for label, (times, matched) in lanes.items()
        }
    for label, (times, line_colors) in lanes.items():
        sheet.add_panel(sheet.layout.drum_lane, label).vlines(times, 0.12, 0.88, color=line_colors, linewidth=1.6)


def _colormap(colors: Sequence[str]):
    return import_optional("matplotlib.colors", "plot").LinearSegmentedColormap.from_list("jasco", colors)


def _mel_spectrogram(samples: torch.Tensor, rate: int) -> tuple[np.ndarray, Callable[[float], float]]:
    """Levels `(bands, frames)` in dB below the maximum, and a function from frequencies to axis positions in [0, 1]."""
    from torchaudio.functional import melscale_fbanks

    window = 2 ** round(math.log2(0.09 * rate))
    hop = max(round(0.008 * rate), math.ceil(len(samples) / _MAX_COLUMNS))
    spectrum = torch.stft(
        samples, window, hop, window=torch.hann_window(window), pad_mode="constant", return_complex=True
    )
    low, high = _LOWEST_FREQUENCY, 0.49 * rate
    power = melscale_fbanks(window // 2 + 1, low, high, _MEL_BANDS, rate).T @ spectrum.abs().square()
    decibels = 10 * (power / power.max().clamp(min=1e-10)).clamp(min=1e-10).log10()

    def to_mel(frequency: float) -> float:
        return 2595 * math.log10(1 + frequency / 700)

    return decibels.numpy(), lambda frequency: (to_mel(frequency) - to_mel(low)) / (to_mel(high) - to_mel(low))


def plot_adherence(rows: dict[str, Sequence[dict[str, Any]]], title: str) -> "Figure":
    r"""
    Plots A of one metric under several sets of conditions: a point with its 95% confidence interval for each
    estimator, on a scale from 0 (chance) to 1 (the reference clips).

    Args:
        rows (`dict`): rows of [`~evaluation.evaluate.evaluate_pipeline`] by the name of the conditions, from top to
            bottom, one per estimator. Rows that do not count are hollow.
        title (`str`): title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure(
        figsize=(8, 1.2 + 0.45 * len(rows)), layout="constrained"
    )
    axes = figure.subplots()
    names = list(dict.fromkeys(row["estimator"] for condition in rows.values() for row in condition))
    for number, name in enumerate(names):
        shift = (number - (len(names) - 1) / 2) * 0.22
        for position, condition in enumerate(rows.values()):
            row = next((row for row in condition if row["estimator"] == name), None)
            if row is None or not np.isfinite(row["value"]):
                continue
            color = f"C{number}"
            axes.plot([row["low"], row["high"]], [position + shift] * 2, color=color, linewidth=1.4)
            face = color if row["counts"] else "white"
            axes.plot(row["value"], position + shift, "o", color=color, markerfacecolor=face, markersize=5)
        axes.plot([], [], "o-", color=f"C{number}", label=name)
    for value in (0, 1):
        axes.axvline(value, color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("A (0: chance, 1: reference clips)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def plot_samplers(points: Sequence[dict[str, Any]], title: str) -> "Figure":
    r"""
    Plots quality against the number of forward passes per clip. Depending on the measures, there are panels for the
    mean A of the controls with the range over single controls, or, for music from captions only, the beat strength
    with its 95% confidence interval; for the kernel distance to the reference clips with its interval; and for the
    error of the latents. Each guidance has a column, each scheduler and time grid a line.

    Args:
        points (`Sequence[dict]`): as [`~evaluation.sampling.SamplerEvaluator.evaluate`] returns them.
        title (`str`): title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    guidances = list(dict.fromkeys(describe_guidance(point["guidance"]) for point in points))
    lines = list(dict.fromkeys((point["scheduler"], point["power"], point["end_power"]) for point in points))
    has_powers = any(powers != [1, 1] for _, *powers in lines)
    panels = _sampler_panels(points)
    ticker = import_optional("matplotlib.ticker", "plot")
    figure = import_optional("matplotlib.figure", "plot").Figure(
        figsize=(max(7.5, 1.8 + 2.8 * len(guidances)), 1.2 + 2.1 * len(panels)), layout="constrained"
    )
    grid = figure.subplots(len(panels), len(guidances), squeeze=False, sharex=True, sharey="row")
    for column, guidance in zip(grid.T, guidances):
        for number, (scheduler, *powers) in enumerate(lines):
            # Offset points of schedulers with equal numbers of forward passes.
            shift = 1.03 ** (number - (len(lines) - 1) / 2)
            label = f"{scheduler}, powers {powers[0]:g} and {powers[1]:g}" if has_powers else scheduler
            line = [
                point
                for point in points
                if describe_guidance(point["guidance"]) == guidance
                and [point["scheduler"], point["power"], point["end_power"]] == [scheduler, *powers]
            ]
            for axes, (_, _, make_curve) in zip(column, panels):
                curve = make_curve(line)
                if not curve:
                    continue
                x, y, low, high = np.array(sorted(curve)).T
                x = shift * x
                axes.plot(x, y, "o-", color=f"C{number}", markersize=4, linewidth=1.4, label=label)
                axes.vlines(x, low, high, color=f"C{number}", linewidth=0.8, alpha=0.6)
        column[0].set_title(guidance, fontsize=9)
        for axes, (_, level, _) in zip(column, panels):
            axes.axhline(level, color="0.6", linewidth=0.8, zorder=0)
        column[-1].set_xscale("log", base=2)
        column[-1].xaxis.set_major_formatter(ticker.ScalarFormatter())
        column[-1].set_xlabel("forward passes per clip")
    for axes, (label, _, make_curve) in zip(grid[:, 0], panels):
        axes.set_ylabel(label)
        if make_curve is _error_curve:
            axes.set_yscale("log")
            for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                set_formatter(ticker.PercentFormatter(1, decimals=0))
    curves = {line.get_label(): line for axes in grid.flat for line in axes.lines if line.get_marker() == "o"}
    figure.legend(curves.values(), curves, fontsize=8, loc="outside right center")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def plot_scales(points: Sequence[dict[str, Any]]) -> "Figure":
    r"""
    Plots A of all controls, and the level of the drums, against the scale of one control: one column for each control.

    Args:
        points (`Sequence[dict]`): as [`~evaluation.mixer.evaluate_scales`] returns them.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    columns = list(dict.fromkeys(point["control"] for point in points if point["control"] != "all"))
    figure = import_optional("matplotlib.figure", "plot").Figure(figsize=(9.6, 5.0), layout="constrained")
    grid = figure.subplots(2, len(columns), sharex=True, sharey="row", height_ratios=[2, 1], squeeze=False)
    for column, control in zip(grid.T, columns):
        line = [point for point in points if point["control"] == control]
        scales = [point["scale"] for point in line]
        metrics = [[(row["control"], row["metric"]) for row in point["adherence"]] for point in line]
        for number, metric in enumerate(dict.fromkeys(metric for names in metrics for metric in names)):
            rows = [
                next((row for row in point["adherence"] if (row["control"], row["metric"]) == metric), None)
                for point in line
            ]
            values = np.array([[row[key] if row else math.nan for row in rows] for key in ("value", "low", "high")])
            width = 2.2 if metric[0] == control else 1.1
            column[0].plot(
                scales, values[0], "o-", color=f"C{number}", markersize=3.5, linewidth=width, label=": ".join(metric)
            )
            column[0].vlines(scales, *values[1:], color=f"C{number}", linewidth=0.8, alpha=0.6)
        levels = np.array(
            [[point["drum_level"][key] for key in ("value", "low", "high")] for point in line], dtype=float
        )
        column[1].plot(scales, levels[:, 0], "o-", color="0.3", markersize=3.5)
        column[1].vlines(scales, levels[:, 1], levels[:, 2], color="0.3", linewidth=0.8)
        column[0].set_title(control, fontsize=10)
        column[0].axhline(1, color="0.6", linewidth=0.8, zorder=0)
        column[1].axhline(0, color="0.6", linewidth=0.8, zorder=0)
        column[1].set_xlabel(f"scale of {control}")
        column[1].set_xticks(scales, [f"{scale:g}" for scale in scales], fontsize=8)
    grid[0, 0].set_ylabel("A (1: reference clips)")
    grid[1, 0].set_ylabel("drums to rest (dB)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside upper center", ncols=4)
    return figure


_Curve = list[tuple[float, float, float, float]]  # forward passes, value, and its lowest and highest values


def _sampler_panels(points: Sequence[dict[str, Any]]) -> list[tuple[str, float, Callable[..., _Curve]]]:
    """Label, marked level and curve of each panel."""
    panels: list[tuple[str, float, Callable[..., _Curve]]] = []
    if "adherence" in points[0]:
        measure = "beat strength" if points[0]["condition"] == "text" else "mean A"
        panels += [(f"{measure} (1: reference clips)", 1, _adherence_curve), ("kernel distance", 0, _distance_curve)]
    if "latent_error" in points[0]:
        panels.append(("error of the latents", 0.05, _error_curve))
    return panels


def _adherence_curve(points: Sequence[dict[str, Any]]) -> _Curve:
    """Mean A, and the lowest and highest A of a control; from captions only, beat strength with its interval."""
    curve = []
    for point in points:
        if point["condition"] == "text":
            strength = point["form"]["beat_strength"]
            if strength["value"] is not None:
                curve.append((point["forward_passes"], strength["value"], strength["low"], strength["high"]))
        elif values := [row["value"] for row in point["adherence"].values()]:
            curve.append((point["forward_passes"], point["mean_adherence"], min(values), max(values)))
    return curve


def _error_curve(points: Sequence[dict[str, Any]]) -> _Curve:
    """Error of the latents, without an interval."""
    return [(point["forward_passes"], *3 * [point["latent_error"]]) for point in points]


def _distance_curve(points: Sequence[dict[str, Any]]) -> _Curve:
    """Kernel distance and its confidence interval."""
    return [
        tuple(point[key] for key in ("forward_passes", "kernel_distance", "low", "high"))
        for point in points
        if point["kernel_distance"] is not None
    ]


_USUAL_A = (-0.3, 1.5)


def plot_uturns(curves: dict[str, Sequence[tuple[float, float, float, float]]], title: str) -> "Figure":
    r"""
    Plots how well properties of reference clips survive if the clips are noised to a flow time and denoised with their
    captions only.

    Args:
        curves (`dict`): as [`~evaluation.uturn.survival`] returns them.
        title (`str`): title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    times = sorted({time for curve in curves.values() for time, *_ in curve})
    for number, (label, curve) in enumerate(curves.items()):
        time, value, low, high = np.array(sorted(curve)).T
        # Equal distances between times, as they are denser near noise.
        x = np.array([times.index(t) for t in time]) + 0.04 * (number - (len(curves) - 1) / 2)
        axes.plot(x, value, "o-", color=f"C{number}", markersize=4, linewidth=1.4, label=label)
        axes.vlines(x, low, high, color=f"C{number}", linewidth=0.8, alpha=0.5)
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(times)), [f"{time:g}" for time in times])
    # Intervals of attributes that few captions name are wide.
    axes.set_ylim(*_USUAL_A)
    axes.set_xlabel("flow time (0: noise, 1: data)")
    axes.set_ylabel("A (1: reference clips)")
    figure.legend(fontsize=8, loc="outside right upper")
    axes.set_title(title, fontsize=9, loc="left")
    return figure


def plot_seam(
    before: Any, after: Any, border: float, title: str, region: tuple[float, float] | None = None
) -> "Figure":
    r"""
    Plots the waveform and the spectrogram around a border of an edit, before and after it.

    Args:
        before, after: the recording and the edited music, as [`~audio.io.load_audio`] takes them.
        border (`float`): the border in seconds.
        title (`str`): title of the figure.
        region (`tuple[float, float]`, *optional*): start and end of the regenerated region in seconds, which is
            shaded.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure(figsize=(9.0, 5.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex="row", sharey="row")
    colors = _THEMES["light"]
    for column, (name, audio) in enumerate({"before": before, "after": after}.items()):
        waveform, rate = load_audio(audio)
        samples = waveform.mean(dim=0)
        first, last = (round((border + sign * _SEAM_WAVEFORM) * rate) for sign in (-1, 1))
        first, last = max(first, 0), min(last, len(samples))
        times = 1000 * (torch.arange(first, last) / rate - border)
        wave, spectrogram = panels[:, column]
        wave.plot(times, samples[first:last], color=colors.ink, linewidth=0.6)
        wave.set_xlim(-1000 * _SEAM_WAVEFORM, 1000 * _SEAM_WAVEFORM)
        wave.set_xlabel("ms from the border")
        wave.set_title(name, fontsize=9)
        size = _SEAM_FFT
        spectrum = torch.stft(samples, size, size // 8, window=torch.hann_window(size), return_complex=True).abs()
        decibels = 20 * spectrum.clamp(min=1e-6).log10()
        extent = (-border, len(samples) / rate - border, 0, rate / 2000)
        image = {"origin": "lower", "aspect": "auto", "cmap": _colormap(colors.spectrogram), "extent": extent}
        loudest = float(decibels.max())
        spectrogram.imshow(decibels, vmin=loudest - _DYNAMIC_RANGE, vmax=loudest, **image)
        spectrogram.set_xlim(-_SEAM_SPECTROGRAM, _SEAM_SPECTROGRAM)
        spectrogram.set_xlabel("s from the border")
        for axes, unit in ((wave, 1000), (spectrogram, 1)):
            axes.axvline(0, color="#d5502c", linewidth=0.9, linestyle="--")
            if region is not None and column:
                limits = [unit * (limit - border) for limit in region]
                axes.axvspan(*limits, color="#d98e00", alpha=0.12, linewidth=0)
    panels[0, 0].set_ylabel("amplitude")
    panels[1, 0].set_ylabel("kHz")
    figure.suptitle(title, fontsize=9)
    return figure


def plot_chords_by_bar(
    requested: Sequence[tuple[str, float]],
    estimated: Sequence[tuple[str, float]],
    downbeats: Sequence[float],
    duration: float,
    title: str,
) -> "Figure":
    r"""
    Plots the requested chords of a long piece and the chords estimated from its audio, in rows of 16 bars. Estimated
    chords are green with the right root and mode, yellow with the right root, and red otherwise.

    Args:
        requested, estimated (`Sequence[tuple[str, float]]`): labels with their starts in seconds.
        downbeats (`Sequence[float]`): at least two downbeats in seconds.
        duration (`float`): length of the piece in seconds.
        title (`str`): title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib or mir_eval.
    """
    colors = _THEMES["light"]
    bars = to_bars(np.array([0.0, duration]), downbeats)
    num_rows = math.ceil((bars[1] - math.floor(bars[0])) / _BARS_PER_ROW)
    figure = import_optional("matplotlib.figure", "plot").Figure(
        figsize=(11, 0.5 + 0.62 * num_rows), layout="constrained"
    )
    rows = figure.subplots(num_rows, squeeze=False)[:, 0]
    transcription = Transcription(duration, list(estimated), np.zeros((0, 0)), np.zeros(0))
    matches = match_chords(transcription, RequestedControls(chords=list(requested)))
    lanes = [(1, start, end, colors.chip, 1.0, "") for _, start, end in _spans(requested, duration)]
    lanes += [(0, start, end, colors.agreement[agreement], 0.3, "") for start, end, agreement in matches]
    for lane, chords in ((1, requested), (0, estimated)):
        lanes += [(lane, start, end, "none", 1.0, label) for label, start, end in _spans(chords, duration)]
    for row, axes in enumerate(rows):
        left = math.floor(bars[0]) + row * _BARS_PER_ROW
        for lane, start, end, color, alpha, label in lanes:
            first, last = np.clip(to_bars(np.array([start, end]), downbeats), left, left + _BARS_PER_ROW)
            if last <= first:
                continue
            axes.barh(lane, last - first, 0.94, first, color=color, alpha=alpha, linewidth=0)
            text = _chord_name(label)
            if text and (last - first) * 0.62 * 72 > 4.5 * len(text):
                axes.text((first + last) / 2, lane, text, ha="center", va="center", size=7.5, color=colors.ink)
        axes.set_xlim(left, left + _BARS_PER_ROW)
        axes.set_xticks(range(left, left + _BARS_PER_ROW, 4), range(left + 1, left + _BARS_PER_ROW + 1, 4), size=7)
        axes.set_yticks([1, 0], ["target", "result"], size=7)
        axes.set_ylim(-0.5, 1.5)
        axes.tick_params(length=2)
        axes.grid(axis="x", color=colors.background, linewidth=1.5)
        axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return figure


def plot_sections(curves: dict[str, Sequence[tuple[float, float, float, float]]], title: str) -> "Figure":
    r"""
    Plots A over the time of long pieces.

    Args:
        curves (`dict`): by label, a list of `(time, value, low, high)` with the 95% confidence interval, as
            [`~evaluation.long_music.adherence_over_time`] returns them.
        title (`str`): title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        `ImportError`: without matplotlib.
    """
    figure = import_optional("matplotlib.figure", "plot").Figure(figsize=(8.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (label, curve) in enumerate(curves.items()):
        time, value, low, high = np.array(curve).T
        axes.plot(time, value, "o-", color=f"C{number}", markersize=3.5, linewidth=1.4, label=label)
        axes.fill_between(time, low, high, color=f"C{number}", linewidth=0, alpha=0.15)
    axes.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    axes.set_ylim(0, 1.3)
    axes.set_xlabel("time in the piece in seconds")
    axes.set_ylabel("A (0: chance, 1: references)")
    axes.legend(fontsize=8, loc="lower right")
    axes.set_title(title, fontsize=9, loc="left")
    return figure
