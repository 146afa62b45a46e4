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

"""diffusers' model tester mixins (tests/models/testing_utils) against the adapter's transformer."""

import torch

from . import adapter as S
from ._harness import COMPILE, LIFT, lift, mixins


utils = mixins("models.testing_utils")
torch_device = mixins("testing_utils").torch_device


class Config(utils.BaseModelTesterConfig):
    main_input_name = S.MODEL_MAIN_INPUT

    @property
    def model_class(self):
        return S.model_class()

    @property
    def output_shape(self):
        return S.MODEL_OUTPUT_SHAPE

    def get_init_dict(self):
        return S.model_config()

    def get_dummy_inputs(self):
        return S.model_inputs(torch_device)


class TestModel(Config, utils.ModelTesterMixin):
    def test_output_shape_is_exact(self, base_model_output):
        # `ModelTesterMixin.test_output` cannot fail on the shape (`a == b or self.output_shape` is always true).
        assert tuple(base_model_output.shape[1:]) == tuple(S.MODEL_OUTPUT_SHAPE)

    def test_class_attributes(self):
        # What .ai/references/models.md asks of every new transformer, beyond what the mixins look at.
        cls = S.model_class()
        names = {type(m).__name__ for m in cls(**self.get_init_dict()).modules()}
        assert cls._supports_gradient_checkpointing is True
        assert cls._no_split_modules and set(cls._no_split_modules) <= names
        assert cls._repeated_blocks and set(cls._repeated_blocks) <= names

    def test_no_float64_and_no_nan_in_half_precision(self):
        torch.manual_seed(0)
        model = S.model_class()(**self.get_init_dict()).eval().to(torch_device, torch.bfloat16)
        inputs = {
            k: v.to(torch.bfloat16) if torch.is_tensor(v) and v.is_floating_point() else v
            for k, v in self.get_dummy_inputs().items()
        }
        with torch.no_grad():
            out = model(**inputs, return_dict=False)[0]
        assert out.dtype == torch.bfloat16 and not out.isnan().any()

    def test_fullgraph_no_graph_break(self):
        # Dynamo only (backend="eager"): the graph-break half of TorchCompileTesterMixin in seconds, with no compiler.
        torch._dynamo.reset()
        model = S.model_class()(**self.get_init_dict()).eval().to(torch_device)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
            compiled(**self.get_dummy_inputs())
            compiled(**self.get_dummy_inputs())
        torch._dynamo.reset()

    def test_compile_repeated_blocks_without_recompilation(self):
        torch._dynamo.reset()
        model = S.model_class()(**self.get_init_dict()).eval().to(torch_device)
        model.compile_repeated_blocks(fullgraph=True, backend="eager")
        # A block that is called with and without a skip input compiles twice: MODEL_RECOMPILE_LIMIT.
        with torch.no_grad(), torch._dynamo.config.patch(recompile_limit=S.MODEL_RECOMPILE_LIMIT):
            model(**self.get_dummy_inputs())
            model(**self.get_dummy_inputs())
        torch._dynamo.reset()


class TestModelAttention(Config, utils.AttentionTesterMixin):
    pass


class TestModelAttentionBackend(Config, utils.AttentionBackendTesterMixin):
    pass


class TestModelLoRA(Config, utils.LoraTesterMixin):
    pass


class TestModelTraining(Config, utils.TrainingTesterMixin):
    def test_gradient_checkpointing_is_applied(self):
        super().test_gradient_checkpointing_is_applied(expected_set=S.MODEL_GRADIENT_CHECKPOINTING_CLASSES)

    def test_gradient_checkpointing_function_is_called(self):
        # models.md gotcha 3: the flag without the branch in `forward` silently trains with no checkpointing, and
        # `test_gradient_checkpointing_equivalence` cannot see it.
        model = S.model_class()(**self.get_init_dict()).train().to(torch_device)
        seen = []
        model.enable_gradient_checkpointing(
            lambda module, *args: (seen.append(type(module).__name__), module(*args))[1]
        )
        model(**self.get_dummy_inputs(), return_dict=False)[0].mean().backward()
        repeated = [m for m in model.modules() if type(m).__name__ in (model._repeated_blocks or seen)]
        assert seen and len(seen) == len(repeated), f"{len(seen)} checkpointed calls for {len(repeated)} blocks"


class TestModelMemory(Config, utils.MemoryTesterMixin):
    pass


class TestModelCompile(Config, utils.TorchCompileTesterMixin):
    def test_torch_compile_repeated_blocks(self):
        super().test_torch_compile_repeated_blocks(recompile_limit=S.MODEL_RECOMPILE_LIMIT)


if LIFT and torch_device == "cpu":

    class TestModelShardedOnCPU(
        Config, lift(utils.ModelTesterMixin, {"test_sharded_checkpoints", "test_sharded_checkpoints_with_variant"})
    ):
        pass

    class TestModelMemoryOnCPU(Config, lift(utils.MemoryTesterMixin, {"test_layerwise_casting_memory"})):
        pass

    if COMPILE:

        class TestModelCompileOnCPU(
            Config,
            lift(
                utils.TorchCompileTesterMixin,
                {
                    "test_torch_compile_recompilation_and_graph_break",
                    "test_torch_compile_repeated_blocks",
                    "test_compile_works_with_aot",
                },
            ),
        ):
            def test_torch_compile_repeated_blocks(self):
                super().test_torch_compile_repeated_blocks(recompile_limit=S.MODEL_RECOMPILE_LIMIT)


for _name in S.MODEL_CACHE_MIXINS:
    globals()[f"TestModel{_name.removesuffix('TesterMixin')}"] = type(
        f"TestModel{_name.removesuffix('TesterMixin')}", (Config, getattr(utils, _name)), {}
    )


class AllOptions(Config):
    """A model with all options that are off by default."""

    def get_init_dict(self):
        return S.model_config() | S.MODEL_OPTIONS

    def get_dummy_inputs(self):
        return S.model_inputs(torch_device, all_controls=True)


for _name, _class in list(globals().items()):
    if _name.startswith("TestModel"):
        globals()[f"{_name}WithAllOptions"] = type(f"{_name}WithAllOptions", (AllOptions, _class), {})
