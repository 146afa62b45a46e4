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


import numpy as np
import pytest

from diffusers_jasco.controls.chord_labels import default_chord_labels, normalize_chord, parse_chord
from diffusers_jasco.controls.melody import HIGHEST_PITCH, LOWEST_PITCH
from diffusers_jasco.evaluation.evaluate import analyze_references
from diffusers_jasco.evaluation.handwritten import SKETCHES, handwritten_items
from diffusers_jasco.evaluation.items import read_items
from diffusers_jasco.evaluation.metrics.chord_qualities import FAMILIES, chord_family
from diffusers_jasco.evaluation.metrics.onsets import score_onsets

from .clips import RATE, make_item, write_dataset


def test_clips_of_a_dataset_are_cut_and_their_onsets_are_estimated(tmp_path):
    clips = [make_item(seed) for seed in range(4)]
    write_dataset(tmp_path, clips)
    items = read_items(tmp_path, 8000, num_clips=2, duration=3.0)
    assert [item["file_name"] for item in items] == ["0.flac", "2.flac"]
    for item, clip in zip(items, clips[::2]):
        assert item["audio"].shape == item["stems"]["drums"].shape == (1, 24000) and item["sampling_rate"] == 8000
        assert item["chords"] == [chord for chord in clip["chords"] if chord[1] < 3]
        assert item["melody"][-1][2] <= 3 and item["caption"] == "music"
        assert score_onsets(item["drum_onsets"], [o for o in clip["drum_onsets"] if o < 3])["onset_f1"] > 0.9


def test_onsets_and_beats_of_a_dataset_are_used(tmp_path):
    grid = {"beats": [1.0, 1.5, 2.0, 2.5, 4.5], "downbeats": [1.0, 2.5, 4.5]}
    write_dataset(tmp_path, [make_item(0)], drum_onsets=[1.0, 2.0, 5.0], **grid)
    (item,) = read_items(tmp_path, RATE, duration=4.0)
    assert item["drum_onsets"] == [1.0, 2.0]
    assert item["beats"] == [1.0, 1.5, 2.0, 2.5] and item["downbeats"] == [1.0, 2.5]


def test_unknown_beats_of_a_dataset_are_estimated_but_not_its_downbeats(tmp_path):
    write_dataset(tmp_path, [make_item(0)], beats=None, downbeats=None)
    (item,) = read_items(tmp_path, RATE, duration=4.0)
    assert item["beats"] and item["downbeats"] == []


def test_chords_and_melody_of_a_dataset_are_optional(tmp_path):
    write_dataset(tmp_path, [make_item(0)], chords=None, melody=None)
    (item,) = read_items(tmp_path, RATE, duration=4.0)
    assert item["chords"] == [] and item["melody"] == []


def test_short_clips_and_missing_datasets(tmp_path, warnings):
    with pytest.raises(FileNotFoundError, match="metadata.jsonl"):
        read_items(tmp_path, RATE)
    write_dataset(tmp_path, [make_item(0), make_item(1, duration=8.0)])
    assert len(read_items(tmp_path, RATE, duration=7.0)) == 1
    assert "Skipped 1 clips" in warnings.text
    with pytest.raises(ValueError, match="None of the 2 clips .* at least 10 s"):
        read_items(tmp_path, RATE)


def test_handwritten_controls_are_in_the_range_of_the_model():
    items = handwritten_items(RATE, 10.0)
    assert len(items) == len(SKETCHES)
    for item in items:
        assert item["audio"].shape == item["stems"]["drums"].shape == (1, 160000) and item["audio"].abs().max() <= 1
        assert all(normalize_chord(label)[0] in default_chord_labels() for label, _ in item["chords"])
        assert all(LOWEST_PITCH <= pitch <= HIGHEST_PITCH for pitch, _, _ in item["melody"])
        starts = [start for _, start in item["chords"]]
        assert starts[0] == 0 and starts == sorted(starts) and starts[-1] < 10 and len(set(starts)) == len(starts)
        # The melody is as long as the chords.
        assert item["melody"][-1][2] > 9 and len(item["beats"]) == pytest.approx(item["tempo"] / 6, abs=1)
        assert item["downbeats"] == pytest.approx(item["beats"][:: item["beats_per_bar"]])


def test_handwritten_controls_have_all_chords_the_whole_range_and_odd_beats():
    items = handwritten_items(8000, 10.0)
    requested = [label for item in items for label, start in item["chords"] if start < 9.5]
    assert set(default_chord_labels()) - set(requested) == {"N", "UNK"}
    assert {chord_family(parse_chord(label)) for label in requested} == set(FAMILIES)
    pitches = [pitch for item in items for pitch, _, _ in item["melody"]]
    assert min(pitches) <= LOWEST_PITCH + 1 and max(pitches) >= HIGHEST_PITCH - 1
    assert len(set(pitches)) > 0.9 * (HIGHEST_PITCH - LOWEST_PITCH + 1)
    # Some onsets are off the sixteenth-note grid, and some drum parts are sparse.
    steps = [(4 * np.array(item["drum_onsets"]) * item["tempo"] / 60, item) for item in items]
    assert sum(np.abs(step - step.round()).max() > 0.3 for step, _ in steps) >= 2
    assert min(len(item["drum_onsets"]) for item in items) < 10
    # Melodies of walks consist of chord tones.
    for item in items[8:]:
        for pitch, start, _ in item["melody"]:
            label = [label for label, chord_start in item["chords"] if chord_start <= start + 0.01][-1]
            assert pitch % 12 in parse_chord(label).pitch_classes


def test_handwritten_controls_are_estimated_from_their_rendering():
    references = analyze_references(handwritten_items(RATE, 6.0)[::2])
    for key in [("segment templates", "majmin"), ("chord extractor", "majmin"), ("note fit", "pitch")]:
        assert np.nanmean(references.ceilings[key]) > 0.85 and np.nanmean(references.floors[key]) < 0.2, key
    key = "percussive flux", "onset_f1"
    assert np.nanmean(references.ceilings[key]) > 0.85 and np.nanmean(references.floors[key]) < 0.5
