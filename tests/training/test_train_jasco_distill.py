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

import pytest
import torch
from safetensors.torch import load_file

from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, JascoTransformerModel
from diffusers_jasco.training.distillation import TrajectoryObjective

from ..conftest import run_script
from .run_tools import read_log, read_steps, without_times


TIMES = (0.0, 0.3, 0.6)


def distill(data, teacher, output, *options):
    paths = (
        "--dataset",
        data / "train",
        "--validation_dataset",
        data / "dev",
        "--teacher",
        teacher,
        "--output",
        output,
    )
    settings = ("--max_steps", 4, "--log_every", 1, "--validate_every", 2, "--batch_size", 2, "--substeps", 1)
    settings += ("--log_with", "none", "--cpu", "--learning_rate", 3e-3, "--times", *TIMES, "--guidance_scale", 2.0)
    run_script("train_jasco_distill", *paths, *settings, *options)


def make_latents(pipe: JascoPipeline, **kwargs) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return pipe("clip 3 slow", chords="C:0 Am:0.5", output_type="latent", generator=generator, **kwargs).audios


@pytest.fixture(scope="module")
def student(tmp_path_factory, data, run):
    output = tmp_path_factory.mktemp("distilled") / "run"
    distill(data, run, output, "--checkpoint_every", 2, "--keep_checkpoints", 0)
    return output


def test_the_student_is_a_pipeline_with_its_own_defaults(student):
    pipe = JascoPipeline.from_pretrained(student)
    calls = []
    pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((len(kwargs["hidden_states"]), kwargs["timestep"][0].item())),
        with_kwargs=True,
    )
    make_latents(pipe)
    assert calls == [(1, pytest.approx(time)) for time in TIMES], "one branch at each time"
    calls.clear()
    make_latents(pipe, num_inference_steps=2)
    assert calls == [(1, 0.0), (1, 0.5)], "other numbers of steps have the uniform grid"


def test_the_student_learns_the_trajectories_of_its_teacher(tmp_path, data, run):
    distill(data, run, tmp_path, "--max_steps", 40, "--validation_dataset", data / "train", "--drop_controls", 0.0)
    losses = [entry["validation_loss"] for entry in read_log(tmp_path) if "validation_loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    teacher, student = JascoPipeline.from_pretrained(run), JascoPipeline.from_pretrained(tmp_path)
    exact = make_latents(teacher, guidance_scale=2.0, num_inference_steps=100)
    own = (make_latents(student) - exact).norm()
    assert own < 0.8 * (make_latents(teacher, guidance_scale=1.0, num_inference_steps=3) - exact).norm()


def test_training_resumes_exactly(tmp_path, data, run, student):
    distill(data, run, tmp_path, "--max_minutes", 0)
    assert len(read_steps(tmp_path)) == 1
    torch.manual_seed(123)
    run_script("train_jasco_distill", "--output", tmp_path, "--resume", "latest", "--max_minutes", 9)
    assert without_times(read_log(tmp_path)) == without_times(read_log(student))
    weights = [load_file(path / "transformer" / "diffusion_pytorch_model.safetensors") for path in (tmp_path, student)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_stored_trajectories_are_used_again(tmp_path, data, run):
    options = ("--trajectories_per_clip", 1, "--max_steps", 9)
    distill(data, run, tmp_path / "whole", *options)
    stored = sorted((tmp_path / "whole" / "trajectories").glob("*/*.safetensors"))
    names = {path.stem for path in stored}
    clips = {name for name in names if not name.startswith("validation")}
    assert clips and len(clips) < 18, "9 steps with 2 clips each are more than an epoch"
    points = load_file(stored[0])["points"]
    assert points.shape[0] == len(TIMES) + 1 and points.dtype == torch.float16
    # An interrupted run reads what is stored, and ends with the same weights.
    distill(data, run, tmp_path / "legs", *options, "--max_minutes", 0)
    run_script("train_jasco_distill", "--output", tmp_path / "legs", "--resume", "latest", "--max_minutes", 9)
    weights = [
        load_file(tmp_path / name / "transformer" / "diffusion_pytorch_model.safetensors")
        for name in ("whole", "legs")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_stored_trajectories_have_the_conditions_of_their_clips(tmp_path, data, run, monkeypatch):
    solved, used = {}, []
    solve = TrajectoryObjective.solve

    def record(self, batch, encode_text):
        result = solve(self, batch, encode_text)
        for index, key in enumerate(batch["key"]):
            conditions = batch["caption"][index], batch["chords"][index].tolist(), result["points"][:, index]
            if not key.startswith("validation"):
                used.append(key)
            other = solved.setdefault(key, conditions)
            assert other[:2] == conditions[:2]
            assert torch.equal(other[2], conditions[2])
        return result

    monkeypatch.setattr(TrajectoryObjective, "solve", record)
    distill(data, run, tmp_path, "--trajectories_per_clip", 1, "--max_steps", 12)
    assert len(set(used)) <= 12 < len(used), "clips are used in more than one epoch"


def test_trajectories_of_streams_are_not_stored(tmp_path, data, run, capsys):
    with pytest.raises(SystemExit):
        distill(data, run, tmp_path, "--trajectories_per_clip", 1, "--streaming")
    assert "--trajectories_per_clip can't be used with --streaming" in capsys.readouterr().err


def test_times_have_to_increase_from_0(tmp_path, data, run):
    with pytest.raises(ValueError, match="`times` has to increase from 0 to below 1, but is"):
        distill(data, run, tmp_path, "--times", 0.2, 0.5)


def test_a_grid_is_stored_in_the_scheduler(tmp_path, pipe):
    scheduler = FlowMatchEulerScheduler(num_inference_steps=2, inference_sigmas=[1.0, 0.3])
    scheduler.save_pretrained(tmp_path)
    pipe.scheduler = FlowMatchEulerScheduler.from_pretrained(tmp_path)
    options = {"chords": "C:0", "duration": 1.0, "output_type": "latent"}

    def generate(**kwargs):
        return pipe("rock", generator=torch.Generator().manual_seed(0), **options, **kwargs).audios

    assert torch.equal(generate(), generate(sigmas=[1.0, 0.3]))
    assert torch.equal(generate(), generate(num_inference_steps=2))
    assert torch.equal(generate(num_inference_steps=4), generate(sigmas=[1.0, 0.75, 0.5, 0.25]))
    pipe.set_defaults(num_inference_steps=3)
    assert torch.equal(generate(), generate(num_inference_steps=3))
    assert pipe.scheduler.config.inference_sigmas is None
    pipe.scheduler.save_pretrained(tmp_path)
    assert FlowMatchEulerScheduler.from_pretrained(tmp_path).config.num_inference_steps == 3
    with pytest.raises(ValueError, match="`inference_sigmas` has to have one number for each of 3 steps, but has 2"):
        FlowMatchEulerScheduler(num_inference_steps=3, inference_sigmas=[1.0, 0.3])


def test_the_student_learns_with_the_context_of_its_teacher(tmp_path, data, run):
    options = ["--dataset", data / "train", "--continue_from", run, "--log_with", "none", "--cpu"]
    options += [
        "--transformer",
        "{context: true}",
        "--context",
        0.8,
        "--max_steps",
        2,
        "--output",
        tmp_path / "teacher",
    ]
    run_script("train_jasco", *options)
    distill(data, tmp_path / "teacher", tmp_path / "student", "--trajectories_per_clip", 1)
    transformers = [
        JascoTransformerModel.from_pretrained(tmp_path / name, subfolder="transformer")
        for name in ("teacher", "student")
    ]
    assert not torch.equal(*(transformer.context_proj.weight for transformer in transformers))

    # Known frames of a trajectory are on a straight line, all others are not.
    points = torch.stack([load_file(path)["points"] for path in (tmp_path / "student").rglob("trajectories/*/*")])
    points, times = points.float(), torch.tensor([*TIMES, 1.0])[:, None, None]
    line = (1 - times) * points[:, :1] + times * points[:, -1:]
    is_straight = (points - line).abs().amax(dim=(1, 3)) < 0.01
    assert 0.1 < is_straight.float().mean() < 0.9
