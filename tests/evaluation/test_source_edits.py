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

from types import SimpleNamespace

import pytest

from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.controls.chord_labels import NO_CHORD
from diffusers_jasco.controls.chord_syntax import parse_chord
from diffusers_jasco.evaluation import source_edits
from diffusers_jasco.evaluation.source_edits import (
    evaluate_source_edits,
    other_chords,
    plan_source_edits,
    write_source_edits,
)

from .clips import RATE, make_item, play_chords, play_drums, play_melody


CHORDS = [("C", 0.0), ("G7", 2.0), (NO_CHORD, 4.0)]


def test_other_chords_contain_the_melody_on_strong_beats():
    item = make_item(0) | {
        "chords": CHORDS,
        "melody": [(76, 0.0, 0.9), (77, 2.0, 2.4), (74, 3.0, 3.4), (70, 3.5, 4.0)],
    }
    chords, fit = other_chords(item)
    assert [start for _, start in chords] == [0.0, 2.0, 4.0] and chords[2][0] == NO_CHORD
    first, second = (parse_chord(label) for label, _ in chords[:2])
    assert fit == 1 and 4 in first.pitch_classes and {2, 5} <= second.pitch_classes
    assert first.root != 0 and second.root != 7
    assert other_chords(item) == (chords, fit)


def test_notes_that_no_chord_contains_lower_the_fit():
    item = make_item(0) | {"chords": [("C", 0.0)], "melody": [(72, 0.0, 0.5), (73, 1.0, 1.5), (74, 2.0, 2.5)]}
    assert other_chords(item)[1] == pytest.approx(1 / 3)


@pytest.fixture
def items():
    items = [make_item(seed) for seed in range(2)]
    return [item | {"stems": {"drums": play_drums(item["drum_onsets"], item["duration"])}} for item in items]


class Musician:
    """Edits as they should be: new chords or drums, and all else as in the recording. Variations change nothing."""

    sampling_rate = RATE
    transformer = SimpleNamespace(controls=CONTROLS)

    def __init__(self, items):
        self.items = items

    def __call__(self, audio, strength, chords=None, drums=None, source_chords=None, **options):
        if source_chords is None:
            return SimpleNamespace(audios=audio[0][None])
        item = next(item for item in self.items if item["audio"] is audio[0])
        duration, onsets = item["duration"], item["drum_onsets"]
        drums = play_drums(onsets, duration) if drums is None else drums[0]
        played = 0.7 * play_chords(chords or item["chords"], duration) + 0.7 * play_melody(item["melody"], duration)
        return SimpleNamespace(audios=(played + drums)[None])


def test_edits_are_compared_with_variations(items, monkeypatch, tmp_path):
    monkeypatch.setattr(source_edits, "MIN_FIT", 0.0)
    monkeypatch.setattr(source_edits, "reconstruct", lambda pipe, items, size: [item["audio"] for item in items])
    edits = plan_source_edits(items)
    assert [edit.kind for edit in edits] == ["chords", "chords without melody", "drums"]
    result = evaluate_source_edits(Musician(items), edits, (0.9,), cache=tmp_path, min_clips=1)
    for kind, edited, control in (("all chords", 2, "chords"), ("drums", 1, "drums")):
        assert result[kind]["num_edits"] == edited
        edit, variation = (result[kind]["methods"][name] for name in ("edit", "strength 0.9"))
        assert {row["control"] for row in edit["new"]} == {control}
        assert all(row["value"] > 0.8 for row in edit["new"] + edit["kept"] if row["counts"])
        assert all(row["value"] < 0.5 for row in variation["new"] if row["counts"])
        assert all(row["value"] == pytest.approx(1) for row in variation["kept"] if row["counts"])
        assert edit["log_mel"]["value"] > variation["log_mel"]["value"] == 0
    assert len(list(tmp_path.glob("*/*.wav"))) == 6
    table = write_source_edits(result)
    assert "A of the new chords: root" in table and "drums: onset_f1" in table
    # Chords only, as for recordings without drums.
    result = evaluate_source_edits(Musician(items), edits[:2], (), cache=tmp_path, min_clips=1)
    assert list(result) == ["chords", "chords without melody", "all chords"]
