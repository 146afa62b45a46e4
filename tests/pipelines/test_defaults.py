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

"""Where the defaults of a call live, and that they stay with what a pipeline is made of."""

import copy
import json
import shutil

import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

from diffusers_jasco import (
    AudiocraftGuidance,
    FlowMatchDopri5Scheduler,
    FlowMatchEulerScheduler,
    JascoGuidance,
    JascoPipeline,
)
from diffusers_jasco.inputs import InputError


CHORDS = [("C", 0.0), ("Am", 0.5)]
DEFAULTS = {"num_inference_steps": 3, "guidance_scale": 2.0, "text_guidance_scale": 0.5, "guidance_rescale": 0.7}


def latents(pipe, **arguments) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    return pipe("80s pop", chords=CHORDS, generator=noise, output_type="latent", **arguments).audios


@pytest.fixture
def pipe(pipe):
    pipe.set_defaults(**DEFAULTS)
    return pipe


@pytest.fixture
def expected(pipe):
    return latents(pipe, **DEFAULTS)


@pytest.fixture
def folder(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "new")
    return tmp_path / "new"


@pytest.fixture
def old_folder(folder):
    """The same pipeline as it was saved before it had a guider."""
    old = folder.with_name("old")
    shutil.copytree(folder, old)
    shutil.rmtree(old / "guider")
    for path, remove, add in (
        (old / "model_index.json", "guider", {f"default_{name}": value for name, value in DEFAULTS.items()}),
        (old / "scheduler/scheduler_config.json", "num_inference_steps", {}),
    ):
        config = json.loads(path.read_text())
        del config[remove]
        path.write_text(json.dumps(config | add))
    return old


def test_defaults_are_those_of_the_components(pipe, expected):
    assert pipe.defaults == DEFAULTS
    assert torch.equal(latents(pipe), expected) and pipe.num_timesteps == 3
    assert isinstance(pipe.guider, JascoGuidance) and pipe.scheduler.config.num_inference_steps == 3


def test_components_and_from_pipe_keep_the_defaults(pipe, expected):
    for other in (JascoPipeline(**pipe.components), JascoPipeline.from_pipe(pipe), copy.deepcopy(pipe)):
        assert other.defaults == DEFAULTS
        assert torch.equal(latents(other), expected)


@pytest.mark.parametrize("loader", [JascoPipeline, DiffusionPipeline])
@pytest.mark.parametrize("name", ["folder", "old_folder"])
def test_folders_keep_the_defaults(request, expected, name, loader, tmp_path):
    """Also those that were saved before there was a guider; saved again, they are like the others."""
    loaded = loader.from_pretrained(request.getfixturevalue(name))
    assert loaded.defaults == DEFAULTS and torch.equal(latents(loaded), expected)
    assert torch.equal(latents(JascoPipeline(**loaded.components)), expected)
    loaded.save_pretrained(tmp_path / "again")
    index = json.loads((tmp_path / "again/model_index.json").read_text())
    assert index["guider"] == ["diffusers_jasco", "JascoGuidance"]
    assert not [key for key in index if key.startswith("default_")]
    assert json.loads((tmp_path / "again/scheduler/scheduler_config.json").read_text())["num_inference_steps"] == 3
    again = loader.from_pretrained(tmp_path / "again")
    assert again.defaults == DEFAULTS and torch.equal(latents(again), expected)


def test_a_folder_without_defaults_uses_those_of_the_classes(old_folder):
    index = json.loads((old_folder / "model_index.json").read_text())
    index = {key: value for key, value in index.items() if not key.startswith("default_")}
    (old_folder / "model_index.json").write_text(json.dumps(index))
    pipe = JascoPipeline.from_pretrained(old_folder)
    assert pipe.guider is None
    assert pipe.defaults == {
        "num_inference_steps": 100,
        "guidance_scale": 5.0,
        "text_guidance_scale": 0.0,
        "guidance_rescale": 0.0,
    }


@pytest.mark.parametrize(
    "swap",
    [
        lambda pipe: FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config),
        lambda pipe: FlowMatchEulerDiscreteScheduler(),
        lambda pipe: FlowMatchEulerScheduler(),
    ],
    ids=["from_config", "Diffusers' own", "ours"],
)
def test_a_swapped_scheduler_keeps_the_number_of_steps(pipe, expected, swap, tmp_path):
    pipe.scheduler = swap(pipe)
    assert pipe.defaults == DEFAULTS
    torch.testing.assert_close(latents(pipe), expected, atol=1e-5, rtol=1e-5)
    pipe.save_pretrained(tmp_path)
    for other in (
        JascoPipeline(**pipe.components),
        JascoPipeline.from_pipe(pipe),
        JascoPipeline.from_pretrained(tmp_path),
    ):
        assert other.defaults == DEFAULTS


def test_the_number_of_steps_survives_an_adaptive_scheduler(pipe, expected):
    pipe.scheduler = FlowMatchDopri5Scheduler(rtol=1e-2, atol=1e-2)
    assert pipe.defaults == DEFAULTS | {"num_inference_steps": None}
    latents(pipe)
    for scheduler in (FlowMatchEulerScheduler.from_config(pipe.scheduler.config), FlowMatchEulerScheduler()):
        pipe.scheduler = scheduler
        assert torch.equal(latents(pipe), expected)


@pytest.mark.parametrize("name", ["folder", "old_folder"])
def test_a_scheduler_passed_to_from_pretrained_keeps_the_number_of_steps(request, name):
    scheduler = FlowMatchHeunDiscreteScheduler()
    loaded = JascoPipeline.from_pretrained(request.getfixturevalue(name), scheduler=scheduler)
    assert loaded.defaults == DEFAULTS and type(loaded.scheduler) is FlowMatchHeunDiscreteScheduler
    assert "num_inference_steps" not in scheduler.config, "the given one stays as it was"
    own = JascoPipeline.from_pretrained(
        request.getfixturevalue(name),
        scheduler=FlowMatchEulerScheduler(num_inference_steps=7),
        guider=JascoGuidance(4),
    )
    assert own.defaults["num_inference_steps"] == 7 and own.defaults["guidance_scale"] == 4.0


def test_scales_of_a_call_replace_the_guiders_one_by_one(pipe):
    only = {"guidance_scale": 3.0}
    assert torch.equal(latents(pipe, **only), latents(pipe, **DEFAULTS | only))
    scales = {"guidance_scale": 3.0, "text_guidance_scale": 0.0, "guidance_rescale": 0.0}
    assert torch.equal(latents(pipe, guider=JascoGuidance(3.0)), latents(pipe, **scales))
    assert pipe.defaults == DEFAULTS, "a call changes no default"


def test_audiocraft_compatible_calls_use_the_scales_of_the_guider(pipe):
    direct = latents(pipe, guider=AudiocraftGuidance(2.0, 0.5, 0.7), audiocraft_compatible=True)
    assert torch.equal(latents(pipe, audiocraft_compatible=True), direct)


def test_a_guider_is_optional_and_can_be_added_later(pipe, tmp_path):
    pipe.guider = None
    assert pipe.defaults["guidance_scale"] == 5.0
    assert torch.equal(latents(pipe), latents(pipe, guider=JascoGuidance()))
    pipe.save_pretrained(tmp_path / "none")
    assert JascoPipeline.from_pretrained(tmp_path / "none").guider is None
    pipe.guider = AudiocraftGuidance(1.5)
    pipe.save_pretrained(tmp_path / "some")
    loaded = JascoPipeline.from_pretrained(tmp_path / "some")
    assert type(loaded.guider) is AudiocraftGuidance and loaded.guider.guidance_scale == 1.5


def test_pipelines_share_no_defaults(pipe):
    other, same = JascoPipeline.from_pipe(pipe), JascoPipeline(**pipe.components)
    other.guider.guidance_scale = 4.0
    other.scheduler.register_to_config(num_inference_steps=9)
    same.set_defaults(num_inference_steps=8, guidance_scale=1.0)
    assert pipe.defaults == DEFAULTS
    with pytest.raises(InputError, match="`num_inference_steps`"):
        pipe.set_defaults(num_inference_steps=0)
    with pytest.raises(InputError, match="`guidance_scale`"):
        pipe.set_defaults(guidance_scale=-1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_from_pipe_changes_no_dtype(pipe, dtype):
    pipe.transformer.to(dtype)
    weights = next(pipe.transformer.parameters())
    other = JascoPipeline.from_pipe(pipe)
    assert other.transformer is pipe.transformer and next(other.transformer.parameters()) is weights
    assert (pipe.transformer.dtype, pipe.codec.dtype) == (dtype, torch.float32)
    assert other.config.audiocraft == pipe.config.audiocraft


def test_deprecated_arguments_next_to_their_replacements_cause_a_warning(pipe, warnings):
    JascoPipeline(**pipe.components)
    assert not warnings.records
    other = JascoPipeline(**pipe.components, default_guidance_scale=4.0, default_num_inference_steps=9)
    assert other.defaults == DEFAULTS
    assert "precedence over `default_guidance_scale`" in warnings.text
    assert "precedence over `default_num_inference_steps`" in warnings.text


def test_from_pipe_accepts_components_and_a_dtype(pipe):
    scheduler = FlowMatchEulerScheduler(num_inference_steps=7)
    other = JascoPipeline.from_pipe(pipe, scheduler=scheduler, dtype=torch.bfloat16)
    assert other.scheduler is scheduler and other.transformer.dtype == torch.bfloat16
