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

import math

import pytest
import torch

from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.metrics.edits import (
    aspect_adherence,
    inside_against_surroundings,
    measure_variation,
    preservation,
)

from .clips import RATE, make_item, play_chords, play_drums


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> torch.Tensor:
    return level * torch.randn(1, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_samples_outside_of_regions_are_preserved(tmp_path):
    original = noise(4.0)
    edited = original.clone()
    edited[:, RATE : 2 * RATE] = 0
    assert preservation((edited, RATE), (original, RATE), [(1.0, 2.0)]) == 0
    assert preservation((edited, RATE), (original, RATE), []) == pytest.approx(
        original[:, RATE : 2 * RATE].abs().max()
    )
    # One sample, on either side of the region.
    for sample in (RATE - 1, 2 * RATE):
        leaking = edited.clone()
        leaking[0, sample] += 0.01
        assert preservation((leaking, RATE), (original, RATE), [(1.0, 2.0)]) == pytest.approx(0.01, abs=1e-6)
    assert preservation((edited, RATE), (original, RATE), [(0.0, 4.0)]) == 0


def test_originals_of_another_shape_or_rate_and_wrong_regions_raise_errors():
    original = noise(2.0)
    with pytest.raises(ValueError, match="shape of `original`"):
        preservation((original[:, 1:], RATE), (original, RATE), [])
    with pytest.raises(ValueError, match="sampling rate of `original`"):
        preservation((original, 2 * RATE), (original, RATE), [])
    for regions in ([(1.0, 2.5)], [(-0.1, 1.0)], [(1.0, 1.0)], [(0.0, 1.0), (0.5, 1.5)]):
        with pytest.raises(ValueError, match="within the 2 s"):
            preservation((original, RATE), (original, RATE), regions)
        with pytest.raises(ValueError, match="within the 2 s"):
            inside_against_surroundings((original, RATE), regions)


def test_a_louder_region_differs_from_its_surroundings():
    original = noise(8.0)
    even = inside_against_surroundings((original, RATE), [(3.0, 5.0)])
    assert even["worst"] < 0.6
    louder = original.clone()
    louder[:, 3 * RATE : 5 * RATE] *= 2
    levels = inside_against_surroundings((louder, RATE), [(3.0, 5.0)])
    assert levels["worst"] == pytest.approx(6.02, abs=0.6)
    # Relative to the original, the difference is exact.
    change = inside_against_surroundings((louder, RATE), [(3.0, 5.0)], (original, RATE))
    assert change["bands"] == pytest.approx(dict.fromkeys(levels["bands"], 6.02), abs=0.01)
    assert inside_against_surroundings((original, RATE), [(3.0, 5.0)], (original, RATE))["worst"] == 0


def test_a_region_that_is_too_bright_is_found_in_its_band():
    time = torch.arange(8 * RATE) / RATE
    audio = noise(8.0, 0.02)
    audio[:, 3 * RATE : 5 * RATE] += 0.1 * torch.sin(2 * math.pi * 4000 * time[3 * RATE : 5 * RATE])
    levels = inside_against_surroundings((audio, RATE), [(3.0, 5.0)])
    assert levels["worst_band"] == "4 kHz" and levels["worst"] > 10
    assert all(abs(level) < 0.6 for band, level in levels["bands"].items() if band != "4 kHz")


def test_surroundings_exclude_other_regions():
    audio = noise(8.0)
    audio[:, 2 * RATE : 4 * RATE] *= 10
    # Next to a loud region, both its own difference and that of its neighbor depend on what counts as surroundings.
    alone = inside_against_surroundings((audio, RATE), [(2.0, 4.0)])["bands"]["1 kHz"]
    assert alone == pytest.approx(20, abs=0.6)
    both = inside_against_surroundings((audio, RATE), [(4.0, 6.0), (2.0, 4.0)])["bands"]["1 kHz"]
    assert both == pytest.approx((20 + 0) / 2, abs=0.6)
    nothing = inside_against_surroundings((audio, RATE), [(0.0, 8.0)])
    assert nothing == {"bands": {}, "worst_band": None, "worst": pytest.approx(math.nan, nan_ok=True)}


@pytest.fixture(scope="module")
def clips() -> list[dict]:
    return [make_item(seed) for seed in range(4)]


def test_equal_audio_does_not_vary(clips):
    recording = clips[0]["audio"], RATE
    assert measure_variation(recording, recording) == pytest.approx({"log_mel": 0, "chroma": 1, "onsets": 1})
    # Both are cut to the shorter length.
    assert measure_variation((clips[0]["audio"][:, : 3 * RATE], RATE), recording)["chroma"] > 0.99


@pytest.mark.parametrize("kind", ["noise", "other clip"])
def test_variations_are_monotone_in_their_strength(clips, kind):
    recording = clips[0]["audio"]
    other = noise(6.0, recording.std()) if kind == "noise" else clips[1]["audio"]
    mixes = [math.sqrt(1 - share) * recording + math.sqrt(share) * other for share in (0, 0.1, 0.3, 0.6, 1)]
    measures = [measure_variation((mix, RATE), (recording, RATE)) for mix in mixes]
    for name, sign in (("log_mel", 1), ("chroma", -1), ("onsets", -1)):
        values = [sign * measure[name] for measure in measures]
        assert values == sorted(values) and len(set(values)) == 5
    assert measures[-1]["log_mel"] > 5 and measures[-1]["onsets"] < 0.3 and measures[-1]["chroma"] < 0.5


def test_harmony_and_rhythm_are_measured_separately():
    chords, onsets = [("C", 0.0), ("F", 2.0), ("G", 4.0)], [0.3, 0.9, 1.5, 2.4, 3.3, 3.9, 5.1]
    recording = play_chords(chords, 6.0) + play_drums(onsets, 6.0)
    other_drums = play_chords(chords, 6.0) + play_drums([onset + 0.15 for onset in onsets], 6.0)
    other_chords = play_chords([("F#", 0.0), ("B", 2.0), ("C#", 4.0)], 6.0) + play_drums(onsets, 6.0)
    measures = [measure_variation((audio, RATE), (recording, RATE)) for audio in (other_drums, other_chords)]
    assert measures[0]["chroma"] > 0.9 and measures[0]["onsets"] < 0.5
    assert measures[1]["chroma"] < 0.2 and measures[1]["onsets"] > 0.9


def test_silence_has_neither_harmony_nor_rhythm(clips):
    silence, recording = (torch.zeros(1, 6 * RATE), RATE), (clips[0]["audio"], RATE)
    values = measure_variation(silence, recording)
    assert values["chroma"] == values["onsets"] == 0 and values["log_mel"] > 20
    values = measure_variation(recording, silence)
    assert math.isnan(values["chroma"]) and math.isnan(values["onsets"])


def test_kept_aspects_are_relative_to_the_round_trip(clips):
    pytest.importorskip("mir_eval")
    estimators = [estimator for estimator in ESTIMATORS if estimator.name in ("segment templates", "noise flux")]
    same = [(clip["audio"], RATE) for clip in clips]
    # Drums are replaced, chords are kept.
    varied = [
        (clip["audio"] - play_drums(clip["drum_onsets"], 6.0, seed=seed) + play_drums(other["drum_onsets"], 6.0), RATE)
        for seed, (clip, other) in enumerate(zip(clips, clips[1:] + clips[:1]))
    ]
    kept = aspect_adherence(same, same, clips, estimators, min_clips=2)
    assert set(kept.values()) == {1.0} and ("noise flux", "onset_f1") in kept
    kept = aspect_adherence(varied, same, clips, estimators, min_clips=2)
    assert kept["segment templates", "root"] > 0.9 and kept["noise flux", "onset_f1"] < 0.4
    # A variation cannot keep properties that the codec loses.
    assert aspect_adherence(varied, varied, clips, estimators, min_clips=2)["segment templates", "root"] == 1
    # There are too few clips for the default.
    assert aspect_adherence(same, same, clips, estimators) == {}
