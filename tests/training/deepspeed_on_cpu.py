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

"""
Runs `training/train_jasco.py` with DeepSpeed on the CPU. Accelerate only enables DeepSpeed on GPUs, so it is enabled
here after the accelerator is created, with the options that the launcher reads from a configuration file.
"""

import runpy
import sys
from pathlib import Path

import accelerate
import deepspeed
from accelerate import PartialState
from accelerate.utils import DeepSpeedPlugin, DistributedType


class CpuAccelerator(accelerate.Accelerator):
    def __init__(self, *args, mixed_precision: str, **kwargs):
        super().__init__(*args, **kwargs)
        deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)
        plugin = DeepSpeedPlugin()
        plugin.set_mixed_precision(mixed_precision)
        plugin.select(_from_accelerator_state=True)
        self.state.deepspeed_plugins, self.deepspeed_engine_wrapped = plugin, None
        # Each access to `AcceleratorState` updates it from `PartialState`.
        self.state.distributed_type = PartialState().distributed_type = DistributedType.DEEPSPEED


if __name__ == "__main__":
    accelerate.Accelerator = CpuAccelerator
    script = Path(__file__).parents[2] / "training" / "train_jasco.py"
    runpy.run_path(str(script))["main"](sys.argv[1:])
