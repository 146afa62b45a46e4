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

"""Tests of scripts/run_ablations.py."""

import pytest
import yaml

from .run_tools import ROOT, arguments, launch, read_log


SCRIPT = ROOT / "scripts" / "run_ablations.py"


@pytest.mark.slow
def test_arms_are_trained_compared_and_skipped_when_finished_whether_or_not_others_fail(data, tmp_path):
    arms = {
        "base": None,
        "broken": {"drop_text": 2},
        "rotary": {"transformer": {"position_embedding": "rotary"}, "drop_text": 0.3},
    }
    file = {"common": {"transformer": {"num_layers": 4}}, "arms": arms}
    (tmp_path / "arms.yaml").write_text(yaml.safe_dump(file))
    common = [*arguments(data, tmp_path)[:-2], "--drop_text", "0.2"]
    options = ["--arms", tmp_path / "arms.yaml", "--output", tmp_path / "out", "--max_steps", 2, "--processes", 1]
    for _ in range(2):
        process = launch(*map(str, options), "--", *common, script=SCRIPT)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 1, errors[-2000:]
        assert [line for line in errors.splitlines() if line.startswith("run_ablations: ")] == [
            "run_ablations: arm broken failed with exit code 1; its error is above."
        ]
        assert "Traceback" not in errors and "--drop_text" in errors and "--mixed_precision" not in errors
    del arms["broken"]
    logs = {name: read_log(tmp_path / "out" / name) for name in arms}
    assert all([entry["step"] for entry in log if "loss" in entry] == [1, 2] for log in logs.values())
    configs = {name: yaml.safe_load((tmp_path / "out" / name / "config.yaml").read_text()) for name in arms}
    assert configs["rotary"]["transformer"]["position_embedding"] == "rotary"
    assert "position_embedding" not in configs["base"]["transformer"]
    assert all(config["transformer"]["num_layers"] == 4 for config in configs.values())
    assert (configs["base"]["drop_text"], configs["rotary"]["drop_text"]) == (0.2, 0.3), "arms override"

    rows = (tmp_path / "out" / "ablations.md").read_text().splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["base", "rotary"]
    head, row = ([cell.strip() for cell in line.split("|")] for line in (rows[0], rows[2]))
    last = next(entry for entry in reversed(logs["base"]) if "validation_loss" in entry)
    assert row[head.index("all conditions")] == f"{last['validation_loss']:.3f}"
    assert row[head.index("text")] == f"{last['validation_loss_text']:.3f}"
    assert last["validation_loss_text"] != last["validation_loss"]
