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

"""`scripts/save_half_precision.py`."""

import pytest
import torch

from diffusers_jasco import JascoPipeline

from ..conftest import run_script


def test_a_student_is_saved_with_its_teacher(pipe, tmp_path):
    pipe.set_defaults(num_inference_steps=4, guidance_scale=1.0)
    pipe.save_pretrained(tmp_path / "student")
    pipe.set_defaults(num_inference_steps=12, guidance_scale=2.5)
    torch.nn.init.ones_(pipe.transformer.proj_out.weight)
    pipe.save_pretrained(tmp_path / "model")
    paths = "--checkpoint", tmp_path / "student", "--teacher", tmp_path / "model", "--output", tmp_path / "both"
    run_script("save_half_precision", *paths)
    assert {path.name for path in (tmp_path / "both/teacher").iterdir() if path.is_dir()} == {
        "transformer",
        "scheduler",
        "guider",
    }
    student = JascoPipeline.from_pretrained(tmp_path / "both", dtype=torch.float16)
    teacher = JascoPipeline.from_pretrained(tmp_path / "both/teacher", dtype=torch.float16)
    assert student.defaults["num_inference_steps"] == 4 and teacher.defaults["num_inference_steps"] == 12
    assert student.defaults["guidance_scale"] == 1.0 and teacher.defaults["guidance_scale"] == 2.5
    assert not (student.transformer.proj_out.weight == 1).all() and (teacher.transformer.proj_out.weight == 1).all()
    for file in ("codec/model.safetensors", "text_encoder/model.safetensors"):
        assert (tmp_path / "both" / file).stat().st_size < 0.55 * (tmp_path / "student" / file).stat().st_size
    components = JascoPipeline.from_pretrained(tmp_path / "both").components.values()
    assert {part.dtype for part in components if isinstance(part, torch.nn.Module)} == {torch.float32}
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "both").rglob("*.json"))


@pytest.mark.parametrize("option", ["--teacher", "--codec"])
def test_the_codec_has_to_have_the_same_encoder(pipe, tmp_path, option):
    pipe.save_pretrained(tmp_path / "student")
    torch.nn.init.ones_(pipe.codec.encoder.layers[0].conv.bias)
    pipe.save_pretrained(tmp_path / "other")
    other = tmp_path / ("other" if option == "--teacher" else "other/codec")
    with pytest.raises(ValueError, match=f"`{option}` has to have the encoder"):
        run_script(
            "save_half_precision", "--checkpoint", tmp_path / "student", option, other, "--output", tmp_path / "both"
        )
    assert not (tmp_path / "both").exists()
