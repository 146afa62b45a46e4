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

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch

from diffusers_jasco.evaluation.plotting import plot_adherence, plot_music
from diffusers_jasco.evaluation.transcription import RequestedControls, Transcription


pytest.importorskip("matplotlib")
pytest.importorskip("mir_eval")
from matplotlib import pyplot  # noqa: E402
from matplotlib.collections import LineCollection  # noqa: E402
from matplotlib.colors import same_color  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from matplotlib.text import Text  # noqa: E402
from PIL import Image  # noqa: E402


RATE, DURATION = 16000, 4.0
AUDIO = 0.1 * torch.sin(torch.arange(int(DURATION * RATE)) * 2 * torch.pi * 440 / RATE)[None], RATE
REQUESTED = RequestedControls([("Bb", 0.0), ("F#m7", 2.0)], [(69, 0.0, 2.0), (72, 2.0, 4.0)], [0.0, 1.0, 2.0, 3.0])


def make_transcription() -> Transcription:
    salience = np.zeros((53, 345), dtype=np.float32)
    salience[69 - 43] = 1
    return Transcription(DURATION, [("Bb", 0.0), ("F", 2.0)], salience, np.array([0.0, 1.5, 2.02]))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def to_png(figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream)
    return stream.getvalue()


def test_figures_show_requested_and_estimated_controls_with_scores():
    figure = plot_music(AUDIO, REQUESTED, make_transcription(), "a quiet song")
    shown = texts(figure)
    assert "a quiet song" in shown
    for text in (
        "Chords",
        "50%",
        "of the time as requested — partial",
        "Melody",
        "of the melody as requested — partial",
        "Drums",
    ):
        assert text in shown
    assert shown.count("target") == 2 == shown.count("result")
    assert "same root or another octave " in shown and "different " in shown
    assert shown.count("B♭") == 2 and shown.count("F♯m7") == 1 and shown.count("F") == 1


def colors_of(figure, kind) -> list:
    return [color for item in figure.findobj(kind) for color in np.atleast_2d(item.get_edgecolor())]


@pytest.mark.parametrize("theme", ("light", "dark"))
def test_colors_show_agreement(theme):
    figure = plot_music(AUDIO, REQUESTED, make_transcription(), theme=theme)
    legend = [text for text in figure.findobj(Text) if text.get_text() == "■"][:3]
    same, near, other = (text.get_color() for text in legend)
    # Two of four requested onsets are detected, and two of three detected onsets were requested.
    onsets = colors_of(figure, LineCollection)
    counts = [sum(same_color(color, agreement) for color in onsets) for agreement in (same, near, other)]
    assert counts == [4, 0, 3]
    notes = [patch for patch in figure.findobj(Rectangle) if patch.get_height() == 1.2]
    assert [same_color(note.get_edgecolor(), color) for note, color in zip(notes, (same, other))] == [True, True]
    chords = [patch.get_facecolor() for patch in figure.findobj(Rectangle) if patch.get_alpha() == 0.3]
    assert [same_color(chord[:3], color) for chord, color in zip(chords, (same, other))] == [True, True]


def test_without_a_transcription_only_requested_controls_are_shown():
    shown = texts(plot_music(AUDIO, replace(REQUESTED, melody=None)))
    assert {"Chords", "Drums"} <= set(shown) and not {"Melody", "result", "as requested"} & set(shown)
    assert not {"Chords", "Melody", "Drums"} & set(texts(plot_music(AUDIO, None, make_transcription())))


def test_layouts_and_themes():
    backgrounds = {}
    for theme in ("light", "dark"):
        for narrow, width in ((False, 11 * 120), (True, 3.9 * 200)):
            figure = plot_music(AUDIO, REQUESTED, make_transcription(), "word " * 60, theme, narrow)
            picture = Image.open(BytesIO(to_png(figure))).convert("RGB")
            assert picture.width == width
            backgrounds[theme] = picture.getpixel((0, 0))
            # All text is inside the figure.
            for text in figure.findobj(Text):
                box = text.get_window_extent()
                assert not text.get_text() or (box.x0 >= 0 and box.x1 <= width and box.y0 >= 0), text.get_text()
    assert sum(backgrounds["light"]) > 3 * 240 and sum(backgrounds["dark"]) < 3 * 40
    with pytest.raises(ValueError, match="`theme` has to be 'light' or 'dark', but got 'pink'"):
        plot_music(AUDIO, theme="pink")


def test_empty_controls_are_shown_as_such():
    figure = plot_music(AUDIO, RequestedControls([], [], []), make_transcription())
    assert texts(figure).count("nothing to compare") == 3 and to_png(figure)


def test_titles_are_not_parsed_as_math():
    assert r"100 $ for \frac{1}{2} $" in texts(plot_music(AUDIO, title=r"100 $ for \frac{1}{2} $"))
    assert to_png(plot_music(AUDIO, title="$_^{"))


def test_any_audio_can_be_plotted():
    for samples, rate in ((torch.zeros(1, RATE), RATE), (torch.randn(2, 10), 8000), (torch.randn(900_000), 48000)):
        assert to_png(plot_music((samples, rate), REQUESTED))


def test_plotting_is_thread_safe_and_does_not_use_pyplot():
    def plot(_: int) -> bytes:
        return to_png(plot_music(AUDIO, REQUESTED, make_transcription(), "a quiet song", narrow=True))

    expected = plot(0)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(plot, range(8))) == {expected}
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[plot\]"'):
        plot_music(AUDIO)


def test_adherence_has_a_point_for_each_estimator_and_condition():
    row = {"low": 0.7, "high": 0.9, "counts": True}
    rows = {
        "all": [
            row | {"estimator": "one", "value": 0.8},
            row | {"estimator": "two", "value": 0.75, "counts": False},
        ],
        "none": [row | {"estimator": "one", "value": float("nan")}],
    }
    figure = plot_adherence(rows, "chords, root")
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert [float(line.get_xdata()[0]) for line in points] == [0.8, 0.75]
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, True]
    assert {"chords, root", "all", "none", "one", "two"} <= set(texts(figure))
