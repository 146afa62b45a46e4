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

import math
import runpy
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from diffusers_jasco import JascoTransformerModel


ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "training/configs"
SCRIPT = runpy.run_path(str(ROOT / "scripts/estimate_training_memory.py"))
STATES = {"weights": 4, "gradients": 4, "AdamW": 8, "EMA": 4}  # bytes per weight


@pytest.fixture(scope="module")
def transformer():
    config = yaml.safe_load((CONFIGS / "chords-drums-melody-1B.yaml").read_text())
    with torch.device("meta"):
        return config, JascoTransformerModel(**config["transformer"])


def estimate(config: dict, num_processes: int, name: str = "fsdp2") -> dict[str, int]:
    accelerate = yaml.safe_load((CONFIGS / f"accelerate/{name}.yaml").read_text())
    return SCRIPT["estimate"](config, accelerate, num_processes)


@pytest.mark.parametrize("name, num_processes", [("fsdp2", 8), ("fsdp2_nodes", 16)])
def test_the_shards_of_the_1b_model(transformer, name, num_processes):
    config, model = transformer
    # Rows of each weight are divided, rounded up.
    count = sum(math.ceil(len(p) / num_processes) * (p.numel() // len(p)) for p in model.parameters())
    whole = sum(p.numel() for p in model.parameters())
    assert whole / num_processes <= count < 1.001 * whole / num_processes
    sizes = estimate(config, num_processes, name)
    assert {key: sizes[key] for key in STATES} == {key: count * size for key, size in STATES.items()}

    blocks = sorted(sum(p.numel() for p in block.parameters()) for block in model.transformer_blocks)
    assert sizes["largest block"] == 2 * blocks[-1]  # bf16
    assert sizes["gathered"] == 2 * (whole - sum(blocks) + blocks[-1] + blocks[-2])


def test_the_table(capsys):
    SCRIPT["main"](["--config", str(CONFIGS / "nano_1.yaml"), "--num_processes", "1", "8"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("nano_1: ") and "M parameters" in lines[0]
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == ["| GPUs", "| 1", "| 8"]


def test_configurations_that_do_not_shard_are_rejected(tmp_path):
    with pytest.raises(ValueError, match="ddp.yaml does not configure FSDP"):
        SCRIPT["main"](
            ["--config", str(CONFIGS / "nano_1.yaml"), "--accelerate", str(CONFIGS / "accelerate/ddp.yaml")]
        )
    (tmp_path / "muon.yaml").write_text("optimizer: muon\n")
    with pytest.raises(ValueError, match="uses Muon, which can't be used with FSDP"):
        SCRIPT["main"](["--config", str(tmp_path / "muon.yaml")])


@pytest.mark.parametrize("path", sorted((CONFIGS / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_configurations(path):
    config = load_config_from_file(str(path))
    assert config.num_processes == 8 * config.num_machines and config.mixed_precision == "bf16"
