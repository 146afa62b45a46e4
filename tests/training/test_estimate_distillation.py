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

import importlib
from pathlib import Path

import pytest
import yaml

from diffusers_jasco import JascoTransformerModel


CONFIG = {
    "num_layers": 6,
    "num_attention_heads": 4,
    "attention_head_dim": 16,
    "ff_inner_dim": 128,
    "skip_connections": True,
    "sample_size": 100,
}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    return importlib.import_module("estimate_distillation")


def test_activations_are_extrapolated(script):
    estimate, block = script.activations_per_clip(CONFIG, tokens=8)
    counted = script.count_saved_bytes(CONFIG, 6, 2, 8) - script.count_saved_bytes(CONFIG, 6, 1, 8)
    assert estimate == pytest.approx(counted, rel=0.01) and 0 < 6 * block <= estimate


def test_the_tables(script, tmp_path, capsys):
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"transformer": CONFIG, "batch_size": 4}))
    script.main(["--config", str(tmp_path / "model.yaml"), "--branches", "2", "--num_steps", "3", "--substeps", "1"])
    text = capsys.readouterr().out
    weights = sum(weight.numel() for weight in JascoTransformerModel(**CONFIG).parameters())
    assert f"Transformer: {weights / 1e6:.0f}M weights" in text
    assert "| no | 12 | 9 |" in text and "| yes | 12 | 12 |" in text, "forward passes of the teacher and the student"
