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

"""Loading of the three pipelines, and its warnings and progress bars."""

import shutil
from unittest import mock

import diffusers
import pytest
import torch
import transformers
from diffusers import AutoPipelineForText2Audio, DiffusionPipeline, FlowMatchHeunDiscreteScheduler
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2AUDIO_PIPELINES_MAPPING

from diffusers_jasco import (
    JascoAudioToAudioPipeline,
    JascoInpaintPipeline,
    JascoPipeline,
    register_auto_pipeline,
)

from ..conftest import FIXTURES, load_pipeline


CLASSES = (JascoPipeline, JascoInpaintPipeline, JascoAudioToAudioPipeline)


@pytest.fixture
def folder(pipe, tmp_path):
    pipe.set_defaults(num_inference_steps=3)
    pipe.scheduler = FlowMatchHeunDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path)
    return tmp_path


def test_loading_half_precision_causes_no_warnings(pipe, folder, warnings):
    pipe.to(torch.float16).to(torch.bfloat16)
    JascoPipeline.from_pretrained(folder, dtype=torch.float16)
    components = {name: pipe.components[name] for name in ("tokenizer", "text_encoder", "codec")}
    JascoPipeline.from_pretrained(FIXTURES / "chords-drums-melody", dtype=torch.float16, **components)
    assert not warnings.records, warnings.text


def test_a_diffusers_scheduler_with_a_number_of_steps_loads_without_warnings(folder, warnings):
    for loader in (JascoPipeline, DiffusionPipeline):
        assert loader.from_pretrained(folder).defaults["num_inference_steps"] == 3
    assert not warnings.records, warnings.text


def test_loading_shows_one_progress_bar(folder, capsys):
    # Training in the same process may have disabled them.
    diffusers.utils.logging.enable_progress_bar()
    transformers.utils.logging.enable_progress_bar()
    JascoPipeline.from_pretrained(folder)
    shown = capsys.readouterr().err
    assert "Loading pipeline components" in shown and "Loading weights" not in shown
    from transformers import T5EncoderModel

    T5EncoderModel.from_pretrained(folder / "text_encoder")
    assert "Loading weights" in capsys.readouterr().err, "other loads still show Transformers' bars"


def test_a_guider_passed_for_audiocrafts_layout(pipe):
    assert load_pipeline("chords-drums", guider=pipe.guider).guider is pipe.guider


@pytest.mark.parametrize("saved", CLASSES)
def test_a_folder_loads_as_any_of_the_pipelines(pipe, tmp_path, saved):
    pipe.set_defaults(num_inference_steps=3, guidance_scale=2.0)
    saved.from_pipe(pipe).save_pretrained(tmp_path)
    assert type(DiffusionPipeline.from_pretrained(tmp_path)) is saved
    for loader in CLASSES:
        loaded = loader.from_pretrained(tmp_path, dtype=torch.bfloat16)
        assert type(loaded) is loader and loaded.defaults == pipe.defaults
        assert loaded.transformer.dtype == torch.bfloat16
        assert loaded.config.audiocraft == pipe.config.audiocraft
    for name, weight in loaded.transformer.state_dict().items():
        assert torch.equal(weight, pipe.transformer.state_dict()[name].bfloat16()), name


@pytest.mark.parametrize("loader", CLASSES)
def test_a_folder_within_a_pipeline_shares_its_other_components(pipe, tmp_path, loader):
    pipe.save_pretrained(tmp_path)
    pipe.set_defaults(num_inference_steps=7, guidance_scale=2.5)
    torch.nn.init.ones_(pipe.transformer.proj_out.weight)
    pipe.save_pretrained(tmp_path / "teacher")
    for name in ("codec", "text_encoder", "tokenizer"):
        shutil.rmtree(tmp_path / "teacher" / name)
    teacher = loader.from_pretrained(tmp_path / "teacher", dtype=torch.bfloat16)
    assert type(teacher) is loader and teacher.defaults == pipe.defaults
    assert (teacher.transformer.proj_out.weight == 1).all() and teacher.transformer.dtype == torch.bfloat16
    assert teacher.codec.dtype == torch.bfloat16
    for name, weight in teacher.codec.state_dict().items():
        assert torch.equal(weight, pipe.codec.state_dict()[name].to(weight.dtype)), name
    with pytest.raises(OSError):
        loader.from_pretrained(shutil.move(tmp_path / "teacher", tmp_path.parent / f"{tmp_path.name}-alone"))


@pytest.mark.parametrize("loader", CLASSES[1:])
def test_the_editing_pipelines_load_from_other_sources(pipe, loader):
    components = {name: pipe.components[name] for name in ("tokenizer", "text_encoder", "codec")}
    original = loader.from_pretrained(FIXTURES / "chords-drums-melody", **components)
    assert type(original) is loader and original.config.audiocraft == pipe.config.audiocraft
    nano = loader.from_pretrained("jasco-nano")
    assert type(nano) is loader and nano.frame_rate == 25 and nano.guider is not None


def test_auto_pipelines_load_checkpoints_after_the_registration(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    with mock.patch.dict(AUTO_TEXT2AUDIO_PIPELINES_MAPPING):
        AUTO_TEXT2AUDIO_PIPELINES_MAPPING.pop("jasco", None)
        with pytest.raises(ValueError, match="can't find a pipeline linked to JascoPipeline"):
            AutoPipelineForText2Audio.from_pretrained(tmp_path)
        register_auto_pipeline()
        register_auto_pipeline()
        scheduler = FlowMatchHeunDiscreteScheduler()
        loaded = AutoPipelineForText2Audio.from_pretrained(tmp_path, dtype=torch.float16, scheduler=scheduler)
        assert type(loaded) is JascoPipeline and loaded.transformer.dtype == torch.float16
        assert type(loaded.scheduler) is FlowMatchHeunDiscreteScheduler
        assert type(AutoPipelineForText2Audio.from_pipe(pipe)) is JascoPipeline
        assert list(AUTO_TEXT2AUDIO_PIPELINES_MAPPING.values()).count(JascoPipeline) == 1
