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

from diffusers_jasco.training.warmup_stable_decay import WarmupStableDecay

from .run_tools import arguments, assert_same_weights, read_log, read_steps, without_times


def make(max_steps: int, decay_share: float = 0.25, warmup_steps: int = 2) -> WarmupStableDecay:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    return WarmupStableDecay(optimizer, warmup_steps, max_steps, decay_share)


def rates(schedule: WarmupStableDecay, steps: int) -> list[float]:
    """The learning rates of the next steps."""
    values = []
    for _ in range(steps):
        values.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return values


def test_the_rate_rises_stays_and_falls_to_0():
    schedule = make(16)
    assert rates(schedule, 16) == [0, 1] + [2] * 11 + [1.5, 1, 0.5]
    assert schedule.get_last_lr() == [0]


def test_a_warmup_that_is_longer_than_the_run_ends_with_the_start_of_the_decay():
    schedule = make(8, decay_share=0.5, warmup_steps=16)
    assert rates(schedule, 8) == [0, 0.125, 0.25, 0.375, 0.5, 0.375, 0.25, 0.125]
    assert schedule.get_last_lr() == [0]
    # The decay may also start earlier than planned.
    schedule = make(1000, decay_share=0.5, warmup_steps=16)
    rates(schedule, 4)
    schedule.start_decay()
    assert rates(schedule, 4) == [0.5, 0.375, 0.25, 0.125]


def test_a_resumed_run_may_have_another_length_while_the_rate_is_constant():
    before = make(1000)
    assert rates(before, 8) == [0, 1] + [2] * 6
    longer, at_once = make(16), make(12, decay_share=0.5)
    longer.load_state_dict(before.state_dict())
    assert rates(longer, 8) == [2] * 5 + [1.5, 1, 0.5]
    # The decay would have started at step 6.
    at_once.load_state_dict(before.state_dict())
    assert (at_once.decay_start, rates(at_once, 4)) == (8, [2, 1.5, 1, 0.5])
    same, other = make(12, decay_share=0.5), make(20)
    same.load_state_dict(at_once.state_dict())
    assert same.get_last_lr() == [0]
    with pytest.raises(ValueError, match="`max_steps`.* 12, 0.5 and None.*since step 8"):
        other.load_state_dict(at_once.state_dict())
    # Older checkpoints have no minutes.
    older = at_once.state_dict()
    del older["total_minutes"]
    same.load_state_dict(older)


def test_the_decay_can_start_at_any_step():
    schedule = make(1000)
    rates(schedule, 12)
    schedule.start_decay()
    assert (schedule.decay_start, schedule.max_steps) == (12, 16)
    assert rates(schedule, 4) == [2, 1.5, 1, 0.5]
    schedule.start_decay()
    assert schedule.max_steps == 16, "the decay has started before"


OPTIONS = ("--optimizer", "muon", "--lr_scheduler", "wsd", "--decay_share", 0.5)


def test_legs_of_a_run_equal_one_run(tmp_path, data, scripts):
    scripts[0].main(arguments(data, tmp_path / "straight", *OPTIONS, "--max_steps", 6))
    # The length of the first leg's run was a guess.
    scripts[0].main(arguments(data, tmp_path / "legs", *OPTIONS, "--max_steps", 100, "--max_minutes", 0))
    assert len(read_steps(tmp_path / "legs")) == 1
    scripts[0].main(
        ["--output", str(tmp_path / "legs"), "--resume", "latest", "--max_steps", "6", "--max_minutes", "9"]
    )
    assert_same_weights(tmp_path / "straight", tmp_path / "legs", 6)
    assert without_times(read_log(tmp_path / "straight")) == without_times(read_log(tmp_path / "legs"))
    found = [entry["learning_rate"] for entry in read_steps(tmp_path / "legs")]
    assert found == pytest.approx([0, 1e-3, 1e-3, 1e-3, 2e-3 / 3, 1e-3 / 3])


def test_a_run_ends_after_its_minutes_with_a_decayed_rate(tmp_path, data, scripts):
    # The decay starts after the first step, and takes half of the run.
    scripts[0].main(arguments(data, tmp_path, *OPTIONS, "--max_steps", 100, "--total_minutes", 1e-9))
    assert [entry["step"] for entry in read_steps(tmp_path)] == [1, 2]
    assert (tmp_path / "checkpoints" / "step-00000002").is_dir()
    assert read_log(tmp_path)[-1]["step"] == 2, "hooks are called at the end"


def test_minutes_can_be_changed_until_the_decay_starts(tmp_path, data, scripts):
    resume = ["--output", str(tmp_path), "--resume", "latest"]
    options = (*OPTIONS, "--max_steps", 100, "--total_minutes", 60, "--max_minutes", 0)
    scripts[0].main(arguments(data, tmp_path, *options))
    # The decay starts after the second step, and ends after the fourth.
    scripts[0].main([*resume, "--total_minutes", "1e-9"])
    scripts[0].main(resume)
    assert [entry["step"] for entry in read_steps(tmp_path)] == [1, 2, 3]
    with pytest.raises(ValueError, match="`total_minutes` have to stay 100, 0.5 and 1e-09, .* since step 2"):
        scripts[0].main([*resume, "--total_minutes", "60"])


def test_total_minutes_need_the_schedule(tmp_path, data, scripts, capsys):
    with pytest.raises(SystemExit):
        scripts[0].parse_args(arguments(data, tmp_path, "--total_minutes", 5))
    assert "--total_minutes needs --lr_scheduler wsd, but it is cosine" in capsys.readouterr().err
