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


def make_heard() -> Transcription:
    salience = np.zeros((53, 345), dtype=np.float32)
    salience[69 - 43] = 1
    return Transcription(DURATION, [("Bb", 0.0), ("F", 2.0)], salience, np.array([0.0, 1.5, 2.02]))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def to_png(figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream)
    return stream.getvalue()


def test_what_was_asked_stands_beside_what_is_heard_and_its_scores():
    figure = plot_music(AUDIO, REQUESTED, make_heard(), "a quiet song")
    shown = texts(figure)
    assert "a quiet song" in shown
    for words in (
        "Chords",
        "50 %",
        "of the time as requested — partly",
        "Melody",
        "of the melody as requested — partly",
        "Drums",
    ):
        assert words in shown
    assert shown.count("target") == 2 == shown.count("result")
    assert "root only or another octave " in shown and "otherwise " in shown
    assert shown.count("B♭") == 2 and shown.count("F♯m7") == 1 and shown.count("F") == 1


def colors_of(figure, kind) -> list:
    return [color for item in figure.findobj(kind) for color in np.atleast_2d(item.get_edgecolor())]


@pytest.mark.parametrize("theme", ("light", "dark"))
def test_colours_tell_where_they_agree(theme):
    figure = plot_music(AUDIO, REQUESTED, make_heard(), theme=theme)
    legend = [text for text in figure.findobj(Text) if text.get_text() == "■"][:3]
    same, near, other = (text.get_color() for text in legend)
    # Of four onsets asked for two are heard, and of three heard ones two were asked for.
    onsets = colors_of(figure, LineCollection)
    assert [sum(same_color(color, one) for color in onsets) for one in (same, near, other)] == [4, 0, 3]
    notes = [patch for patch in figure.findobj(Rectangle) if patch.get_height() == 1.2]
    assert [same_color(note.get_edgecolor(), color) for note, color in zip(notes, (same, other))] == [True, True]
    chords = [patch.get_facecolor() for patch in figure.findobj(Rectangle) if patch.get_alpha() == 0.3]
    assert [same_color(chord[:3], color) for chord, color in zip(chords, (same, other))] == [True, True]


def test_without_a_recogniser_only_what_was_asked_is_drawn():
    shown = texts(plot_music(AUDIO, replace(REQUESTED, melody=None)))
    assert {"Chords", "Drums"} <= set(shown) and not {"Melody", "result", "as requested"} & set(shown)
    assert not {"Chords", "Melody", "Drums"} & set(texts(plot_music(AUDIO, None, make_heard())))


def test_pictures_for_desktops_and_phones_in_two_themes():
    backgrounds = {}
    for theme in ("light", "dark"):
        for narrow, width in ((False, 11 * 120), (True, 3.9 * 200)):
            figure = plot_music(AUDIO, REQUESTED, make_heard(), "word " * 60, theme, narrow)
            picture = Image.open(BytesIO(to_png(figure))).convert("RGB")
            assert picture.width == width
            backgrounds[theme] = picture.getpixel((0, 0))
            # Everything written is inside of the picture.
            for text in figure.findobj(Text):
                box = text.get_window_extent()
                assert not text.get_text() or (box.x0 >= 0 and box.x1 <= width and box.y0 >= 0), text.get_text()
    assert sum(backgrounds["light"]) > 3 * 240 and sum(backgrounds["dark"]) < 3 * 40
    with pytest.raises(ValueError, match="`theme` has to be 'light' or 'dark', but is 'pink'"):
        plot_music(AUDIO, theme="pink")


def test_empty_controls_are_drawn_as_such():
    figure = plot_music(AUDIO, RequestedControls([], [], []), make_heard())
    assert texts(figure).count("nothing to compare") == 3 and to_png(figure)


def test_titles_are_taken_literally():
    assert r"100 $ for \frac{1}{2} $" in texts(plot_music(AUDIO, title=r"100 $ for \frac{1}{2} $"))
    assert to_png(plot_music(AUDIO, title="$_^{"))


def test_any_audio_can_be_drawn():
    for samples, rate in ((torch.zeros(1, RATE), RATE), (torch.randn(2, 10), 8000), (torch.randn(900_000), 48000)):
        assert to_png(plot_music((samples, rate), REQUESTED))


def test_threads_draw_the_same_as_one_and_leave_pyplot_alone():
    def draw(_: int) -> bytes:
        return to_png(plot_music(AUDIO, REQUESTED, make_heard(), "a quiet song", narrow=True))

    alone = draw(0)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(draw, range(8))) == {alone}
    assert pyplot.get_fignums() == []


def test_without_matplotlib_an_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[plot\]"'):
        plot_music(AUDIO)


def test_adherence_has_a_point_for_each_recogniser_and_condition():
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
