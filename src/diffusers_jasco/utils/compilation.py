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

"""`torch.compile`."""

import torch
from torch import nn


def is_compiled(module: nn.Module) -> bool:
    """Whether a module or a part of it is compiled: by `torch.compile`, `compile`, or `compile_repeated_blocks`."""
    optimized = torch._dynamo.eval_frame.OptimizedModule
    return any(isinstance(part, optimized) or part._compiled_call_impl is not None for part in module.modules())
