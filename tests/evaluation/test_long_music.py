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


import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.codecs import decode, encode, load_codec
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.evaluation import resource_use
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.long_music import (
    SECTION_PROMPTS,
    adherence_over_time,
    describe,
    evaluate_changes,
    find_overlaps,
    find_pieces,
    measure_piece,
    summarize_pieces,
)
from diffusers_jasco.evaluation.plotting import plot_chords_by_bar, plot_sections

from ..conftest import load_pipeline, run_script
from .clips import RATE, make_item, play_chords, play_drums


NANO = Path(__file__).parents[2] / "pipelines/jasco-nano"
FRAME_RATE = 25.0
SECONDS = 20.0
OVERLAPS = [(5.0, 6.0), (12.0, 13.0)]
QUICK = [estimator for estimator in ESTIMATORS if estimator.name in ("blind estimate", "percussive flux")]


@pytest.fixture(scope="module")
def pipe() -> SimpleNamespace:
    return SimpleNamespace(codec=load_codec(NANO), sampling_rate=24000, frame_rate=FRAME_RATE)


def make_piece(seed: int) -> dict:
    item = make_item(seed, SECONDS)
    labels = np.random.default_rng(seed).permutation(["C", "Dm", "F", "G", "Am", "Bb"])
    item["chords"] = [(str(labels[number % 6]), 2.0 * number) for number in range(10)]
    onsets = np.cumsum(np.random.default_rng(seed).choice([0.3, 0.4, 0.7], 60))
    item["drum_onsets"] = onsets[onsets < SECONDS - 0.2].tolist()
    drums = play_drums(item["drum_onsets"], SECONDS, seed=seed)
    item["audio"] = play_chords(item["chords"], SECONDS) + drums
    return item | {"stems": {"drums": drums}, "downbeats": [2.0 * bar for bar in range(10)]}


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return [make_piece(seed) for seed in range(2)]


def measure(pipe, items, change=lambda latents: latents) -> dict:
    """Measures of the references through the codec, with changed latents."""
    pieces = []
    for item in items:
        latents = encode(pipe.codec, resample(item["audio"], RATE, pipe.sampling_rate)[None])
        audio = decode(pipe.codec, change(latents))[0]
        pieces.append(measure_piece(audio, item, pipe, OVERLAPS, QUICK))
    return summarize_pieces(pieces, FRAME_RATE, QUICK, min_clips=2)


@pytest.fixture(scope="module")
def untouched(pipe, items) -> dict:
    return measure(pipe, items)


def test_references_are_steady(untouched):
    for row in untouched["last_against_first"].values():
        assert row["value"] == pytest.approx(1, abs=0.05) and row["low"] <= row["value"] <= row["high"]
    assert abs(untouched["drift"]["slope"]["value"]) < 10 and untouched["loudness_deviation"]["largest"] < 0.5
    assert untouched["seams"]["overlaps"]["V"]["value"] == pytest.approx(1, abs=0.3)
    curves = adherence_over_time(untouched)
    assert curves.keys() == {"chords", "drums"} and [time for time, *_ in curves["chords"]] == [5, 15]
    assert json.loads(json.dumps(untouched)) == untouched


def test_blurred_overlaps_are_found(pipe, items, untouched):
    def blur(latents):
        means = torch.nn.functional.avg_pool1d(latents.transpose(1, 2), 5, 1, 2).transpose(1, 2)
        blurred = latents.clone()
        for start, end in OVERLAPS:
            frames = slice(round(start * FRAME_RATE), round(end * FRAME_RATE))
            blurred[:, frames] = means[:, frames]
        return blurred

    before, after = untouched["seams"], measure(pipe, items, blur)["seams"]
    assert after["overlaps"]["V"]["value"] < 0.8 * before["overlaps"]["V"]["value"]
    assert after["between"]["V"]["value"] > 1.2 * after["overlaps"]["V"]["value"]
    assert after["overlaps"]["auc"]["value"] > max(0.8, before["overlaps"]["auc"]["value"] + 0.2)


def test_wrong_chords_and_hits_and_a_crescendo_are_found(pipe, items, untouched):
    def spoil(latents):
        # The last 10 s repeat the first ones, with other chords and hits.
        spoiled = latents.clone()
        spoiled[:, 250:] = latents[:, :250]
        return spoiled

    result = measure(pipe, items, spoil)
    assert result["last_against_first"]["chords"]["value"] < 0.7
    assert result["last_against_first"]["chords"]["first"] == pytest.approx(1, abs=0.1)
    assert result["last_against_first"]["drums"]["value"] < 0.7
    louder = [item | {"audio": item["audio"] * torch.linspace(0.3, 1, item["audio"].shape[-1])} for item in items]
    pieces = [
        measure_piece(resample(loud["audio"], RATE, 24000), item, pipe, OVERLAPS, QUICK[:1])
        for loud, item in zip(louder, items)
    ]
    assert min(piece.loudness_deviation for piece in pieces) > 1.5


def test_pieces_are_steady_and_have_all_instruments():
    music = SyntheticMusic("validation", 20, "both", renderer=None)
    found = find_pieces(music, 5)
    for index in found:
        piece = music.score(index)
        assert piece.annotations["form"] == "steady" and {"drums", "lead"} <= piece.notes.keys()
    assert len(set(found)) == 5
    with pytest.raises(ValueError, match="`count` has to be at most"):
        find_pieces(music, 21)


def test_overlaps_of_windows():
    assert find_overlaps(450, 250, 50, 1, 25.0) == [(8.0, 10.0)]
    assert find_overlaps(250, 250, 50, 1, 25.0) == []


def test_intervals_ignore_missing_values():
    row = describe([1.0, -3.0, float("nan"), 2.0])
    assert (row["num"], row["value"], row["median_size"], row["largest"]) == (3, 0, 2, 3)
    assert row["low"] < 0 < row["high"] and describe([float("nan")])["num"] == 0


def test_the_contrast_of_sections_is_that_of_their_levels():
    pytest.importorskip("tinysoundfont")
    calls = []

    class Pipe:
        sampling_rate = 1000

        def __call__(self, prompt, drums, duration, **options):
            (calm, start), (loud, change) = prompt
            calls.append((calm, loud, change, drums))
            audio = 0.1 * torch.randn(1, 1, round(duration * 1000), generator=options["generator"])
            audio[..., round(change * 1000) :] *= 2 if drums is None else 4
            return SimpleNamespace(audios=audio)

    music = SyntheticMusic("validation", 100, "both", 12.0, 16000, "tinysoundfont", stems=True, start="downbeat")
    result = evaluate_changes(Pipe(), music, num_pieces=2)
    assert result["words"]["value"] == pytest.approx(6, abs=0.3)
    assert result["words and drums"]["value"] == pytest.approx(12, abs=0.3)
    assert [row[:2] for row in result["prompts"]] == list(SECTION_PROMPTS[:2])
    for _, _, change, drums in calls:
        if drums is not None:
            waveform, rate = drums
            assert (waveform[:, : round(change * rate)] == 0).all() and waveform.abs().max() > 0


def test_the_cost_alternates_between_short_and_long_pieces():
    pipe, lengths = load_pipeline("chords-drums-melody"), []
    pipe.set_progress_bar_config(disable=True)
    pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, output: lengths.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    row = resource_use.measure_cost(pipe, 2.0, 2, {"num_inference_steps": 1, "windows_per_batch": 99})
    # Three windows of a long piece, the last of which is shorter, after three short pieces; all with two branches
    assert lengths == [2] + 2 * [2, 2, 2, 4, 2] and len(row["short"]) == 6 and len(row["long"]) == 2
    assert row["window"] == 1 and 0 < row["low"] <= row["high"]


def test_the_sizes_of_a_piece_in_memory(tmp_path):
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path)
    row = resource_use._measure_peak(str(tmp_path), 2.0, 1)
    rate = 32000
    assert row["audio"] == row["recording"] == 4 * 2 * rate / 1e6 and row["peak"] > row["audio"]
    assert 0 < row["controls"] < row["audio"]


def test_figures():
    chords = [("C", 0.0), ("F#m", 4.0), ("Bb", 6.0)]
    figure = plot_chords_by_bar(chords, [("C", 0.0), ("F#", 4.2)], [2.0 * bar for bar in range(25)], 50.0, "pop")
    assert len(figure.axes) == 2
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["C", "F♯m", "B♭", "C", "F♯"]
    figure = plot_sections({"chords": [(5.0, 0.9, 0.8, 1.0), (15.0, 0.8, 0.7, 0.9)]}, "pop")
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[5, 0.9], [15, 0.8]]


@pytest.fixture
def options(tmp_path) -> list:
    pytest.importorskip("tinysoundfont")
    load_pipeline("chords-drums-melody").save_pretrained(tmp_path / "checkpoint")
    options = ["--checkpoint", tmp_path / "checkpoint", "--renderer", "tinysoundfont", "--output", tmp_path / "out"]
    return options + ["--num_pieces", 2, "--num_inference_steps", 1, "--window_overlap", 0.2]


def test_the_script_measures_loops_and_changes(options, tmp_path, capsys):
    options += ["--loop_duration", 6, "--change_duration", 5]
    run_script("evaluate_long_music", *options, "--parts", "loops", "changes")
    table = capsys.readouterr().out
    assert "| seam of the repeated piece, loop: V, W, AUC |" in table and "calm piano" in table
    loops = json.loads((tmp_path / "out/loops.json").read_text())
    assert loops["num_loops"] == 2 and 0 <= loops["loop"]["auc"]["value"] <= 1


@pytest.mark.slow
def test_the_script_resumes_and_writes_a_table_and_figures(options, tmp_path, capsys):
    options += ["--duration", 20]
    run_script("evaluate_long_music", *options, "--parts", "pieces")
    out = tmp_path / "out"
    written = (out / "pieces.json").stat().st_mtime_ns
    run_script("evaluate_long_music", *options, "--parts", "pieces", "cost", "memory")
    table = capsys.readouterr().out
    assert "| seams, overlaps: V, W, AUC |" in table and "peak memory of 600 s" in table
    assert (out / "pieces.json").stat().st_mtime_ns == written and (out / "long_music.md").is_file()
    assert all((out / name).stat().st_size > 1000 for name in ("sections.png", "chords.png"))
    with pytest.raises(ValueError, match="another num_rounds"):
        run_script("evaluate_long_music", *options, "--num_rounds", 5)


@pytest.mark.parametrize("way", ["middle", "alternating", "bars", "sequential", "blocks"])
def test_compared_windows_own_each_frame(way):
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts/compare_windows.py"))
    blocks = script["place_blocks"](way, 900, 250, 50, [0, 90, 190, 290, 390, 520, 700])
    known = torch.zeros(900, dtype=torch.bool)
    for block in blocks:
        count = torch.zeros(900, dtype=torch.long)
        for frames, is_owned in block:
            count[frames[is_owned]] += 1
        assert (count <= 1).all() and (count[~known] == 1).any()
        known |= count == 1
    assert known.all()
    assert len(blocks) == {"sequential": 5, "blocks": 3}.get(way, 1)
    starts = [int(frames[0]) for block in blocks for frames, _ in block]
    assert starts == ([0, 190, 390, 520, 700] if way == "bars" else [0, 162, 325, 487, 650])


@pytest.mark.slow
def test_windows_are_compared(options, capsys):
    options = [option for option in options if option not in ("--window_overlap", 0.2)]
    output = options.index("--output")
    del options[output : output + 2]
    run_script("compare_windows", *options, "--duration", 20, "--overlaps", 0.2, "--ways", "middle", "blocks")
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows[-2:]] == ["| middle, 0.2 s", "| blocks, 0.2 s"]
    assert len({row.count("|") for row in rows[-4:]}) == 1
