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
Runs `training/train_jasco.py` with FSDP2 on the CPU. Accelerate only enables FSDP on GPUs, so it is enabled here after
the accelerator is created, with the options that the launcher reads from a configuration file.
"""

import runpy
import sys
from pathlib import Path

import accelerate
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


class CpuAccelerator(accelerate.Accelerator):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        # Each access to `AcceleratorState` updates it from `PartialState`.
        self.state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
        assert self.is_fsdp2


if __name__ == "__main__":
    accelerate.Accelerator = CpuAccelerator
    script = Path(__file__).parents[2] / "training" / "train_jasco.py"
    runpy.run_path(str(script))["main"](sys.argv[1:])
