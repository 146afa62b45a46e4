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

"""The older unittest mixin (tests/pipelines/test_pipelines_common.py) that the in-tree audio pipelines still use."""

import unittest
from unittest import mock

import diffusers
import torch

from . import adapter as S
from ._harness import mixins


common = mixins("pipelines.test_pipelines_common")
torch_device = mixins("testing_utils").torch_device


class TestPipelineLegacy(common.PipelineTesterMixin, unittest.TestCase):
    pipeline_class = S.pipeline_class()
    params = S.PIPELINE_PARAMS
    batch_params = S.PIPELINE_BATCH_PARAMS
    required_optional_params = S.PIPELINE_OPTIONAL_PARAMS
    test_attention_slicing = False
    test_xformers_attention = False
    test_layerwise_casting = True
    test_group_offloading = True

    def get_dummy_components(self):
        return S.pipeline_components()

    def get_dummy_inputs(self, device, seed=0):
        inputs = S.pipeline_inputs(torch.Generator("cpu").manual_seed(seed))
        inputs["output_type"] = "np"  # this mixin compares numpy arrays
        return inputs

    def test_encode_prompt_works_in_isolation(self):
        # `ReturnNameVisitor` looks the class up in `diffusers.pipelines`: pretend it is in tree for this test.
        cls = self.pipeline_class
        with mock.patch.object(diffusers.pipelines, cls.__name__, cls, create=True):
            self._isolation()

    def _isolation(self):
        super().test_encode_prompt_works_in_isolation(extra_required_param_value_dict=S.PIPELINE_ENCODE_PROMPT_EXTRA)
