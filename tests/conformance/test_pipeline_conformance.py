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

"""diffusers' pytest-style pipeline mixins (tests/pipelines/testing_utils) against the adapter's pipeline."""

import inspect

import diffusers
import pytest
import torch

from . import adapter as S
from ._harness import LIFT, lift, mixins


utils = mixins("pipelines.testing_utils")
testing_utils = mixins("testing_utils")
torch_device = testing_utils.torch_device


class Config(utils.BasePipelineTesterConfig):
    required_input_params_in_call_signature = S.PIPELINE_PARAMS
    batch_input_params = S.PIPELINE_BATCH_PARAMS
    optional_input_params = S.PIPELINE_OPTIONAL_PARAMS
    output_shape = S.PIPELINE_OUTPUT_SHAPE

    @property
    def pipeline_class(self):
        return S.pipeline_class()

    def get_dummy_components(self, **transformer_overrides):
        return S.pipeline_components(**transformer_overrides)

    def get_dummy_inputs(self):
        return S.pipeline_inputs(self.get_generator(0))

    @pytest.fixture(autouse=True)
    def pretend_in_tree(self, monkeypatch):
        # `ReturnNameVisitor` (test_encode_prompt_works_in_isolation) looks the class up in `diffusers.pipelines`.
        monkeypatch.setattr(diffusers.pipelines, self.pipeline_class.__name__, self.pipeline_class, raising=False)


class PipelineTests(utils.PipelineTesterMixin):
    def test_encode_prompt_works_in_isolation(self):
        super().test_encode_prompt_works_in_isolation(extra_required_param_value_dict=S.PIPELINE_ENCODE_PROMPT_EXTRA)

    # ---- what the mixin leaves to each audio pipeline (cf. tests/pipelines/stable_audio_3, longcat_audio_dit) ----
    def test_num_waveforms_per_prompt(self):
        pipe = self.get_pipeline().to(torch_device)
        for batch_size in (1, 2):
            for num in (1, 3):
                inputs = self.get_dummy_inputs()
                for key in self.batch_input_params:
                    if key in inputs:
                        inputs[key] = batch_size * [inputs[key]]
                audios = pipe(**inputs, num_waveforms_per_prompt=num)[0]
                assert audios.shape[0] == batch_size * num

    def test_output_types(self):
        pipe = self.get_pipeline().to(torch_device)
        pt = self.run_pipe(pipe, output_type="pt")
        np_ = self.run_pipe(pipe, output_type="np")
        latent = self.run_pipe(pipe, output_type="latent")
        assert torch.is_tensor(pt) and torch.is_tensor(latent) and not torch.is_tensor(np_)
        assert abs(pt.cpu().float().numpy() - np_).max() < 1e-5

    def test_latents_input_is_used(self):
        pipe = self.get_pipeline().to(torch_device)
        start = self.run_pipe(pipe, output_type="latent", num_inference_steps=1)
        a = self.run_pipe(pipe, latents=torch.zeros_like(start), output_type="latent")
        b = self.run_pipe(pipe, latents=torch.zeros_like(start), output_type="latent")
        c = self.run_pipe(pipe, latents=torch.ones_like(start), output_type="latent")
        assert torch.equal(a, b) and not torch.allclose(a, c)

    def test_generator_list(self):
        pipe = self.get_pipeline().to(torch_device)
        inputs = self.get_dummy_inputs()
        for key in self.batch_input_params:
            if key in inputs:
                inputs[key] = 2 * [inputs[key]]
        inputs["generator"] = [self.get_generator(0), self.get_generator(0)]
        two = pipe(**inputs)[0]
        assert torch.allclose(two[0], two[1], atol=1e-5)
        inputs["generator"] = [self.get_generator(0)]
        with pytest.raises(ValueError):
            pipe(**inputs)

    def test_interrupt(self):
        pipe = self.get_pipeline().to(torch_device)
        seen = []

        def stop(pipe, i, t, kwargs):
            seen.append(i)
            pipe._interrupt = True
            return kwargs

        self.run_pipe(pipe, callback_on_step_end=stop, num_inference_steps=3)
        assert seen == [0]

    def test_components_are_unchanged(self):
        # pipelines.md gotcha 7: no per-call mutation of a registered component.
        pipe = self.get_pipeline().to(torch_device)
        modules = {n: m for n, m in pipe.components.items() if isinstance(m, torch.nn.Module)}
        before = {
            n: ({k: v.clone() for k, v in m.state_dict().items()}, m.training, m.dtype) for n, m in modules.items()
        }
        self.run_pipe(pipe)
        for n, m in modules.items():
            state, training, dtype = before[n]
            assert m.training == training and m.dtype == dtype, n
            assert all(torch.equal(v, state[k]) for k, v in m.state_dict().items()), n

    def test_model_cpu_offload_seq_names_every_module(self):
        pipe = self.get_pipeline()
        modules = {n for n, m in pipe.components.items() if isinstance(m, torch.nn.Module)}
        listed = set(pipe.model_cpu_offload_seq.split("->"))
        assert modules <= listed | set(pipe._exclude_from_cpu_offload), (
            f"not in model_cpu_offload_seq: {modules - listed}"
        )

    def test_call_is_no_grad_and_annotated(self):
        pipe = self.get_pipeline().to(torch_device)
        assert not self.run_pipe(pipe).requires_grad
        signature = inspect.signature(self.pipeline_class.__call__)
        assert signature.return_annotation is not inspect.Signature.empty, "0.42 annotates every __call__'s return"

    def test_swapped_schedulers_agree(self):
        """Every solver integrates the same ODE: Euler variants agree step by step, the others converge to them.

        This is what notices a velocity of the wrong sign or a model time taken from the wrong end of the schedule.
        """

        def latents(scheduler, steps):
            pipe = self.get_pipeline()
            pipe.scheduler = scheduler
            pipe.to(torch_device)
            pipe.set_progress_bar_config(disable=True)
            return self.run_pipe(pipe, num_inference_steps=steps, output_type="latent").float()

        fine = latents(S.make_scheduler(), 64)
        coarse = latents(S.make_scheduler(), 4)
        start = self.run_pipe(
            self.get_pipeline().to(torch_device), num_inference_steps=1, output_type="latent"
        ).float()
        scale = max(float((start - fine).norm()), float((coarse - fine).norm()), 1e-3 * float(fine.norm()))
        for name, (scheduler, same_grid) in S.PIPELINE_SWAP_SCHEDULERS(self.pipeline_class).items():
            if same_grid:
                testing_utils.assert_tensors_close(latents(scheduler, 4), coarse, atol=1e-4, rtol=1e-4, msg=name)
            else:
                error = float((latents(scheduler, 24) - fine).norm())
                assert error < 0.3 * scale, f"{name}: {error:.3g} from the fine Euler solution, scale {scale:.3g}"


class TestPipeline(Config, PipelineTests):
    pass


class TestPipelineMemory(Config, utils.MemoryTesterMixin):
    pass


if LIFT and torch_device == "cpu":

    class TestPipelineMemoryOnCPU(
        Config,
        lift(
            utils.MemoryTesterMixin, {"test_pipeline_with_accelerator_device_map", "test_layerwise_casting_inference"}
        ),
    ):
        pass


class TestPipelineLoRA(Config, utils.LoraTesterMixin):
    pass


for _name in S.PIPELINE_CACHE_MIXINS:
    globals()[f"TestPipeline{_name.removesuffix('TesterMixin')}"] = type(
        f"TestPipeline{_name.removesuffix('TesterMixin')}", (Config, getattr(utils, _name)), {}
    )


# ---- the pipelines with the same components that edit recordings ----
def editing_config(pipeline, extra):
    class EditingConfig(Config):
        required_input_params_in_call_signature = S.EDITING_PARAMS
        pipeline_class = pipeline

        def get_dummy_inputs(self):
            return super().get_dummy_inputs() | extra

    return EditingConfig


for _pipeline, _extra in S.editing_pipelines().items():
    _config = editing_config(_pipeline, _extra)
    for _suffix, _mixin in (("", PipelineTests), ("Memory", utils.MemoryTesterMixin), ("LoRA", utils.LoraTesterMixin)):
        _name = f"Test{_pipeline.__name__}{_suffix}"
        globals()[_name] = type(_name, (_config, _mixin), {"__module__": __name__})
