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
from safetensors.torch import load_file
from transformers import EncodecModel

from diffusers_jasco import JascoPipeline, JascoTempoModel
from diffusers_jasco.data.features import write_features
from diffusers_jasco.text_encoders import load_text_encoder
from diffusers_jasco.training.components import load_components
from diffusers_jasco.training.datasets import make_batches
from diffusers_jasco.training.tempo_objective import is_tempo_correct, tempo_cells, tempo_errors

from ..data.test_features import make_items
from .run_tools import CODEC, arguments, assert_same_weights, read_log, without_times


CONFIG = {"tempos": [100.0, 104.0, 108.16], "beats_per_bar": [2, 3, 4]}


def test_known_tempos_and_meters_select_cells():
    tempo, beats_per_bar = torch.tensor([103.0, 104.0, 0.0, 0.0, 300.0]), torch.tensor([3, 0, 4, 0, 5])
    cells = tempo_cells(tempo, beats_per_bar, CONFIG)
    expected = torch.zeros(5, 3, 3, dtype=torch.bool)
    expected[0, 1, 1] = expected[1, :, 1] = expected[2, 2] = True
    # Neither is known, or the model has neither.
    expected[3:] = True
    assert torch.equal(cells, expected)


def test_the_error_is_the_likelihood_of_the_cells():
    logits = torch.zeros(4, 3, 3, requires_grad=True)
    cells = tempo_cells(torch.tensor([104.0, 104.0, 0, 0]), torch.tensor([3, 0, 4, 0]), CONFIG)
    errors = tempo_errors(logits, cells)
    assert errors.tolist() == pytest.approx([math.log(9), math.log(3), math.log(3), 0], abs=1e-6)
    errors.sum().backward()
    assert logits.grad[0, 1, 1] < 0 < logits.grad[0, 0, 0] and logits.grad[3].abs().max() < 1e-6


def test_a_tempo_is_correct_within_4_percent():
    logits = torch.zeros(3, 3, 3)
    logits[:, 2, 1] = 5.0
    assert is_tempo_correct(logits, torch.tensor([104.0, 108.1, 109.0]), CONFIG).tolist() == [True, True, False]


def test_the_loss_decreases_to_the_entropy_of_the_words():
    torch.manual_seed(0)
    model = JascoTempoModel(text_dim=8)
    # The first word means 60 or 120, the second one 90 beats per minute; the null text has all of them.
    states, mask = torch.randn(2, 1, 8)[[0, 0, 1, 1, 0, 1, 0]], torch.ones(7, 1, dtype=torch.bool)
    mask[4:] = False
    tempo, beats_per_bar = torch.tensor([60.0, 120, 90, 90, 60, 90, 120]), torch.tensor([4, 4, 3, 3, 4, 3, 4])
    cells = tempo_cells(tempo, beats_per_bar, model.config)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    before = tempo_errors(model(states, mask), cells).mean().item()
    for _ in range(300):
        optimizer.zero_grad()
        tempo_errors(model(states, mask), cells).mean().backward()
        optimizer.step()
    after = tempo_errors(model(states, mask), cells).detach()
    assert before == pytest.approx(math.log(3 * 45), abs=1e-4)
    assert after[:2].mean() == pytest.approx(math.log(2), abs=0.05) and after[2:4].max() < 0.05
    assert after[4:].mean() == pytest.approx(math.log(3), abs=0.05)


OPTIONS = ("--transformer", "{beats: true}", "--tempo_weight", 0.5, "--optimizer", "muon", "--lr_scheduler", "wsd")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A feature cache of clips at 240 beats per minute in 2/4."""
    grid = {"beats": [0.1, 0.35, 0.6, 0.85], "downbeats": [0.1, 0.6]}
    folder = tmp_path_factory.mktemp("clips") / "cache"
    # The tempo model has no tempos above 225.
    items = [item | (grid if i else {"tempo": 120, "time_signature": "4/4"}) for i, item in enumerate(make_items())]
    write_features(items, EncodecModel.from_pretrained(CODEC).eval(), folder)
    return folder


def test_a_run_trains_the_tempo_model_and_resumes_exactly(tmp_path, data, clips, scripts):
    options = (*OPTIONS, "--dataset", clips, "--validation_dataset", clips, "--max_steps", 6, "--learning_rate", 0.02)
    scripts[0].main(arguments(data, tmp_path / "straight", *options))
    scripts[0].main(arguments(data, tmp_path / "parts", *options, "--max_minutes", 0))
    scripts[0].main(arguments(data, tmp_path / "parts", *options, "--resume", "latest"))
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 6)
    assert without_times(read_log(tmp_path / "straight")) == without_times(read_log(tmp_path / "parts"))
    name = "tempo_model/diffusion_pytorch_model.safetensors"
    straight, parts = (load_file(tmp_path / run / name) for run in ("straight", "parts"))
    assert all(torch.equal(straight[key], parts[key]) for key in straight)
    assert straight["proj_out.weight"].any(), "its EMA weights are saved"
    log = read_log(tmp_path / "straight")
    losses = [entry["validation_tempo_loss"] for entry in log if "validation_tempo_loss" in entry]
    assert losses[-1] < losses[0] < math.log(135)
    assert all(0 <= entry["validation_tempo_accuracy"] <= 1 for entry in log if "validation_loss" in entry)
    assert any(entry.get("tempo_loss") for entry in log)


def test_continued_training_keeps_the_tempo_model(tmp_path, data, clips, scripts):
    common = ("--dataset", clips, "--max_steps", 2)
    scripts[0].main(arguments(data, tmp_path / "first", *OPTIONS, *common))
    paths = ("--continue_from", tmp_path / "first", "--output", tmp_path / "second", "--dataset", clips)
    options = (*paths, *common, "--batch_size", 2, "--log_with", "none", "--cpu")
    args = scripts[0].parse_args([str(option) for option in options])
    assert args.tempo_weight == 0.5
    scripts[0].main([str(option) for option in (*options, "--tempo_weight", 0)])
    first, second = (JascoPipeline.from_pretrained(tmp_path / name).tempo_model for name in ("first", "second"))
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def test_a_frozen_text_encoder_or_encoded_captions(tmp_path, data, scripts):
    scripts[0].main(arguments(data, tmp_path / "first", "--max_steps", 1))
    tokenizer, text_encoder = load_text_encoder(tmp_path / "first")
    items = [item | {"tempo": 100, "time_signature": "3/4"} for item in make_items()]
    codec = EncodecModel.from_pretrained(CODEC).eval()
    write_features(items, codec, tmp_path / "clips")
    write_features(items, codec, tmp_path / "encoded", tokenizer=tokenizer, text_encoder=text_encoder)
    common = ("--max_steps", 3, "--warmup_steps", 0, "--learning_rate", 0.02, "--log_every", 1, "--batch_size", 4)
    for name in ("clips", "encoded"):
        paths = (
            "--continue_from",
            tmp_path / "first",
            "--dataset",
            tmp_path / name,
            "--output",
            tmp_path / f"{name}-run",
        )
        scripts[0].main([str(option) for option in (*paths, *OPTIONS, *common, "--log_with", "none", "--cpu")])
        losses = [entry["tempo_loss"] for entry in read_log(tmp_path / f"{name}-run") if "tempo_loss" in entry]
        assert losses[-1] < losses[0] == pytest.approx(math.log(135), abs=1e-4)


def test_the_tempo_needs_beats(tmp_path, data, scripts):
    with pytest.raises(ValueError, match="--tempo_weight needs a transformer with the option `beats`"):
        scripts[0].main(arguments(data, tmp_path, "--tempo_weight", 0.1))
    with pytest.raises(ValueError, match="--only_beats needs a transformer with the option `beats`"):
        scripts[0].main(arguments(data, tmp_path, "--only_beats", 0.1))


def test_caches_without_beats_or_tempos_get_a_warning(tmp_path, data, clips, scripts, warnings):
    def warned(*options) -> str:
        args = scripts[0].parse_args(arguments(data, tmp_path, "--transformer", "{beats: true}", *options))
        warnings.clear()
        pipeline, info, _ = load_components(args)
        make_batches(args, info, pipeline)
        return warnings.text

    assert f"{data / 'train'}: no clip has beats, so" in warned()
    assert f"{data / 'train'}: no clip has beats or a tempo, so" in warned("--tempo_weight", 0.1)
    assert "no clip has" not in warned("--tempo_weight", 0.1, "--dataset", clips)
    only_tempo = [item | {"tempo": 120} for item in make_items()]
    write_features(only_tempo, EncodecModel.from_pretrained(CODEC).eval(), tmp_path / "tempo")
    assert "no clip has beats, so" in warned("--tempo_weight", 0.1, "--dataset", tmp_path / "tempo")
