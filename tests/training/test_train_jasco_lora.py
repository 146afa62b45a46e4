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

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from diffusers_jasco import JascoPipeline, JascoTransformerModel
from diffusers_jasco.training.weight_transfer import transfer_weights

from ..conftest import run_script
from .run_tools import read_log, read_steps, without_times


FILE = "pytorch_lora_weights.safetensors"


def train(data, base, output, *options):
    paths = ("--dataset", data / "train", "--validation_dataset", data / "dev", "--base", base, "--output", output)
    settings = ("--max_steps", 4, "--log_every", 1, "--validate_every", 2, "--batch_size", 2, "--rank", 4)
    run_script("train_jasco_lora", *paths, *settings, "--log_with", "none", "--cpu", "--learning_rate", 1e-2, *options)


def make_latents(pipe: JascoPipeline) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return pipe("clip 3 slow", chords="C:0 Am:0.5", output_type="latent", generator=generator).audios


@pytest.fixture(scope="module")
def lora(tmp_path_factory, data, run):
    output = tmp_path_factory.mktemp("lora") / "run"
    train(data, run, output, "--checkpoint_every", 2, "--keep_checkpoints", 0)
    return output


def test_the_pipeline_loads_the_trained_lora(lora, run):
    pipe = JascoPipeline.from_pretrained(run)
    before = make_latents(pipe)
    pipe.load_lora_weights(lora)
    assert not torch.equal(make_latents(pipe), before)
    pipe.unload_lora_weights()
    assert torch.equal(make_latents(pipe), before)
    with safe_open(lora / FILE, "pt") as file:
        config = json.loads(file.metadata()["lora_adapter_metadata"])
        assert all(".attn" in name for name in file.keys())
    assert config["transformer.r"] == 4 and config["transformer.lora_alpha"] == 4


def test_a_lora_learns_and_the_base_is_unchanged(tmp_path, data, run, lora):
    validation = [entry["validation_loss"] for entry in read_log(lora) if "validation_loss" in entry]
    assert len(validation) == 2
    before = load_file(run / "transformer" / "diffusion_pytorch_model.safetensors")
    train(data, run, tmp_path, "--max_steps", 60, "--drop_all", 0, "--validation_dataset", data / "train")
    validation = [entry["validation_loss"] for entry in read_log(tmp_path) if "validation_loss" in entry]
    assert validation[-1] < 0.97 * validation[0]
    after = load_file(run / "transformer" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_training_resumes_exactly(tmp_path, data, run, lora):
    train(data, run, tmp_path, "--max_minutes", 0)
    assert len(read_steps(tmp_path)) == 1
    # Checkpoints only contain the LoRA.
    checkpoint = tmp_path / "checkpoints" / "step-00000001"
    assert (checkpoint / "lora.safetensors").is_file() and not (checkpoint / "model.safetensors").exists()
    torch.manual_seed(123)
    run_script("train_jasco_lora", "--output", tmp_path, "--resume", "latest", "--max_minutes", 9)
    weights, expected = load_file(tmp_path / FILE), load_file(lora / FILE)
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)
    assert without_times(read_log(tmp_path)) == without_times(read_log(lora))


def test_projections_are_trained_on_request(tmp_path, data, run):
    train(data, run, tmp_path, "--max_steps", 1, "--lora_projections", "--alpha", 8)
    names = load_file(tmp_path / FILE)
    for part in ("attn1.to_q", "proj_in", "text_proj", "melody_proj", "ff_in"):
        assert any(part in name for name in names), part
    pipe = JascoPipeline.from_pretrained(run)
    pipe.load_lora_weights(tmp_path)
    assert pipe.transformer.peft_config["default_0"].lora_alpha == 8


def test_a_lora_learns_with_the_context_of_its_base(tmp_path, data, run):
    pipe = JascoPipeline.from_pretrained(run)
    transformer = JascoTransformerModel(**{**pipe.transformer.config, "context": True})
    transfer_weights(pipe.transformer, transformer)
    JascoPipeline(**pipe.components | {"transformer": transformer}).save_pretrained(tmp_path / "base")
    options = ("--context", 1.0, "--warmup_steps", 0, "--max_steps", 1)
    train(data, tmp_path / "base", tmp_path / "lora", "--lora_projections", *options)
    assert load_file(tmp_path / "lora" / FILE)["transformer.context_proj.lora_B.weight"].any()
    assert "mse_unknown" in read_log(tmp_path / "lora")[0]
    with pytest.raises(ValueError, match="--context needs a transformer"):
        train(data, run, tmp_path / "none", *options)


def test_mistakes_are_named(tmp_path, data, run, lora, capsys):
    with pytest.raises(SystemExit):
        train(data, run, tmp_path, "--rank", 0)
    assert "at least 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train(data, run, tmp_path, "--tempo_weight", 0.1)
    assert "--tempo_weight has to be 0" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--resume latest"):
        train(data, run, lora)


def test_muon_trains_the_matrices_of_a_lora(tmp_path, data, run):
    train(data, run, tmp_path, "--max_steps", 2, "--warmup_steps", 0, "--optimizer", "muon", "--lr_scheduler", "wsd")
    names = {name: weight for name, weight in load_file(tmp_path / FILE).items() if "lora_B" in name}
    assert names and all(weight.any() for weight in names.values())
