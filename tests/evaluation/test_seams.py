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
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_jasco.codecs import decode, encode, load_codec
from diffusers_jasco.evaluation.metrics.seams import detect_seams, latent_changes, seam_features, seam_ratio

from ..conftest import run_script
from .clips import make_item


NANO = Path(__file__).parents[2] / "pipelines" / "jasco-nano"
RATE = 24000
FRAME_RATE = 25.0
BORDERS = [1.31, 2.71, 4.13, 5.37, 6.89]


@pytest.fixture(scope="module")
def codec():
    return load_codec(NANO)


def random_walk(frames: int = 400, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, dim)).cumsum(axis=0)


def noisy_features(
    seed: int, frames: int = 500, borders: list[float] | None = None, strength: float = 0
) -> np.ndarray:
    """Noise, of which one feature is shifted at borders."""
    features = np.random.default_rng(seed).standard_normal((frames, 6))
    features[(np.array(borders or []) * FRAME_RATE).astype(int), 2] += strength
    return features


def test_steps_and_bends_of_known_latents():
    change, bend = latent_changes(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [6.0, 8.0]]))
    assert change.tolist() == [5, 5, 5, 0] and bend.tolist() == [0, 0, 2.5, 2.5]
    assert [values.tolist() for values in latent_changes(torch.ones(2, 3))] == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="at least 2 frames"):
        latent_changes(np.zeros((1, 3)))


def test_the_ratio_is_1_without_seams():
    ratio = seam_ratio(random_walk(4000), [(10 * k, 10 * k + 1.0) for k in range(1, 15)], FRAME_RATE)
    assert ratio == pytest.approx({"V": 1, "W": 1}, abs=0.1)


def test_jumps_raise_the_ratio_and_blurs_lower_it():
    overlaps = [(4.0, 4.0), (8.0, 8.0), (12.0, 12.0)]
    jumping, blurred = random_walk(), random_walk()
    for time, _ in overlaps:
        frame = round(time * FRAME_RATE)
        jumping[frame:] += 20
        blurred[frame] = (blurred[frame - 1] + blurred[frame + 1]) / 2
    # Each cut is at the border of two frames, and the jump is in the second.
    jumps = seam_ratio(jumping, overlaps, FRAME_RATE)
    assert jumps["V"] > 10 and jumps["W"] > 5
    blurs = seam_ratio(blurred, [(start + 0.02, end + 0.02) for start, end in overlaps], FRAME_RATE)
    assert blurs["V"] < 0.9 and blurs["W"] < 1e-6


def test_overlaps_are_compared_at_the_same_metrical_position():
    # There is an onset at each downbeat, every 2 s.
    latents = 0.1 * random_walk()
    for frame in range(0, 400, 50):
        latents[frame:] += 10 * (-1) ** (frame // 50)
    overlaps = [(6.0, 6.0), (10.0, 10.0)]
    assert seam_ratio(latents, overlaps, FRAME_RATE)["V"] > 20
    assert seam_ratio(latents, overlaps, FRAME_RATE, np.arange(0, 16, 2.0))["V"] == pytest.approx(1, abs=0.1)
    # Downbeats are extrapolated.
    assert seam_ratio(latents, overlaps, FRAME_RATE, [4.0, 6.0])["V"] == pytest.approx(1, abs=0.1)


def test_ratios_of_invalid_overlaps():
    latents = random_walk()
    assert math.isnan(seam_ratio(latents, [(0.0, 16.0)], FRAME_RATE)["V"])
    assert math.isnan(seam_ratio(latents, [], FRAME_RATE)["W"])
    with pytest.raises(ValueError, match="within the 16 s"):
        seam_ratio(latents, [(15.0, 17.0)], FRAME_RATE)
    with pytest.raises(ValueError, match="at least two"):
        seam_ratio(latents, [(1.0, 2.0)], FRAME_RATE, [0.0])


def test_visible_borders_are_found_and_invisible_ones_are_not():
    pytest.importorskip("sklearn")
    borders = [np.random.default_rng(seed).uniform(1, 19, 8).tolist() for seed in range(12)]
    found = detect_seams(
        [noisy_features(i, borders=b, strength=6) for i, b in enumerate(borders)], borders, FRAME_RATE
    )
    assert found.auc > 0.99 and found.low > 0.98 and len(found.aucs) == 12
    nothing = detect_seams([noisy_features(i) for i in range(12)], borders, FRAME_RATE)
    assert abs(nothing.auc - 0.5) < 0.08 and nothing.low < 0.5 < nothing.high


def test_areas_without_seams_are_not_biased():
    pytest.importorskip("sklearn")
    # Pooled over pieces, scores would depend on the numbers of borders, which differ.
    aucs = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        borders = [rng.uniform(1, 19, count).tolist() for count in (1, 16) * 4]
        aucs.append(detect_seams([noisy_features(100 * seed + i) for i in range(8)], borders, FRAME_RATE).auc)
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.04)


def test_borders_near_the_ends_do_not_count():
    pytest.importorskip("sklearn")
    borders = [[0.1, 3.0 + seed, 19.9] for seed in range(6)]
    features = [noisy_features(seed) for seed in range(6)]
    for piece in features:
        piece[:10] += 10
        piece[-10:] += 10
    inner = detect_seams(features, [[time] for _, time, _ in borders], FRAME_RATE)
    np.testing.assert_array_equal(detect_seams(features, borders, FRAME_RATE).aucs, inner.aucs)


def test_borders_at_beats_are_compared_with_beats():
    pytest.importorskip("sklearn")
    beats = np.arange(1.0, 19.0, 0.6)
    features = [noisy_features(seed, borders=beats.tolist(), strength=6) for seed in range(12)]
    borders = [np.random.default_rng(seed).choice(beats, 6, replace=False).tolist() for seed in range(12)]
    assert detect_seams(features, borders, FRAME_RATE).auc > 0.9
    assert abs(detect_seams(features, borders, FRAME_RATE, [beats] * 12).auc - 0.5) < 0.1


def test_pieces_without_borders_are_ignored():
    pytest.importorskip("sklearn")
    borders = [[4.0, 8.0], [5.0, 12.0], []]
    features = [noisy_features(i, borders=times, strength=6) for i, times in enumerate(borders)]
    found = detect_seams(features, borders, FRAME_RATE)
    assert np.isnan(found.aucs).tolist() == [False, False, True] and found.auc > 0.9
    with pytest.raises(ValueError, match="in at least 2 pieces"):
        detect_seams(features, [[4.0], [], []], FRAME_RATE)
    with pytest.raises(ValueError, match="each of the 3 pieces"):
        detect_seams(features, borders[:2], FRAME_RATE)


@pytest.fixture(scope="module")
def pieces() -> list[torch.Tensor]:
    # With few pieces, the area depends on chance more than on the codec.
    items = [make_item(seed, 8.0) for seed in range(8)]
    return [torch.nn.functional.interpolate(item["audio"][None], scale_factor=1.5, mode="linear")[0] for item in items]


def detect(audios, codec, borders=BORDERS) -> float:
    features = [seam_features((audio, RATE), codec) for audio in audios]
    return detect_seams(features, [borders] * len(audios), FRAME_RATE).auc


def test_cuts_are_found_in_audio(codec, pieces):
    pytest.importorskip("sklearn")
    cut = []
    for piece in pieces:
        starts = [round(border * RATE) for border in BORDERS]
        # Earlier cuts shift later ones, so the last one is cut first.
        for start in reversed(starts):
            piece = torch.cat([piece[:, :start], piece[:, start + 128 :]], dim=1)
        cut.append(piece)
    moved = [border - k * 128 / RATE for k, border in enumerate(BORDERS)]
    assert detect(cut, codec, moved) > 0.9


def test_blurs_are_found_in_audio(codec, pieces):
    pytest.importorskip("sklearn")
    blurred = []
    for piece in pieces:
        latents = encode(codec, piece[None])
        frames = (np.array(BORDERS) * FRAME_RATE).astype(int)
        frames = np.concatenate([frames, frames + 1])
        changed = latents.clone()
        changed[:, frames] = (latents[:, frames - 1] + latents[:, frames + 1]) / 2
        blurred.append(decode(codec, changed)[0])
    assert detect(blurred, codec) > 0.75


def test_features_have_the_frames_of_the_codec(codec, pieces):
    features = seam_features((pieces[0], RATE), codec)
    assert features.shape[0] == 200 and np.isfinite(features).all()
    # Silence, another sampling rate, and stereo.
    assert np.isfinite(seam_features((torch.zeros(1, RATE), RATE), codec)).all()
    assert seam_features((torch.zeros(2, 16000), 16000), codec).shape == (25, features.shape[1])


def test_the_table_of_the_script(capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("tinysoundfont")
    options = ["--num_pieces", 2, "--num_borders", 2, "--duration", 4, "--renderer", "tinysoundfont"]
    run_script("evaluate_seams", "--codec", NANO, *options)
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["pieces", "borders", "AUC", "95%", "V", "W"]
    values = {(row[0], row[1]): float(row[2]) for row in rows[2:]}
    assert len(values) == 12 and all(0 <= value <= 1 for value in values.values())
    with pytest.raises(SystemExit):
        run_script("evaluate_seams", "--codec", NANO, "--duration", 5)
    assert "at least 10 s for 8 borders" in capsys.readouterr().err


def test_latents_of_any_type_and_invalid_overlaps():
    latents = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    ratio = seam_ratio(latents.bfloat16().requires_grad_(), [(2.0, 2.0)], 25)
    assert ratio == pytest.approx(seam_ratio(latents, [(2.0, 2.0)], 25), rel=0.02)
    with pytest.raises(ValueError, match="`overlaps` have to be pairs"):
        seam_ratio(latents, [2.0], 25)
    with pytest.raises(ValueError, match="`frame_rate` has to be above 0"):
        seam_ratio(latents, [(2.0, 2.0)], 0)
