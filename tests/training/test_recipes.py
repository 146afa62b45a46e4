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

"""Tests of options that a checkpoint stores and that continued training inherits."""

import json
from pathlib import Path

import pytest
import yaml

from diffusers_jasco import JascoPipeline
from diffusers_jasco.training.recipes import OBJECTIVE, read_training_options

from .run_tools import ROOT


NANO = ROOT / "pipelines/jasco-nano"


def continue_from(source: Path, data: Path, output: Path, *options) -> list[str]:
    paths = ("--continue_from", source, "--dataset", data / "train", "--output", output)
    return [str(part) for part in (*paths, "--log_with", "none", "--cpu", *options)]


def test_a_checkpoint_stores_its_objective(run):
    config = json.loads((run / "transformer/config.json").read_text())["training_options"]
    tiny = yaml.safe_load(Path(__file__).with_name("tiny.yaml").read_text())
    expected = OBJECTIVE | {name: tiny[name] for name in OBJECTIVE if name in tiny}
    assert config == expected | {"learning_rate": 1e-3}
    assert JascoPipeline.from_pretrained(run).transformer.config.training_options == config


def test_the_objective_survives_saving_and_half_precision(run, tmp_path):
    JascoPipeline.from_pretrained(run).save_pretrained(tmp_path)
    assert read_training_options(tmp_path) == read_training_options(run) != {}


def test_continued_training_inherits_the_objective_and_fine_tunes(run, data, tmp_path, scripts, capsys):
    args = scripts[0].parse_args(continue_from(run, data, tmp_path))
    message = capsys.readouterr().out
    for name, value in read_training_options(run).items():
        if name != "learning_rate":
            assert getattr(args, name) == value, name
    assert args.learning_rate == pytest.approx(1e-4) and args.max_steps == 500 and args.warmup_steps == 20
    assert "--learning_rate 0.0001" in message and "--max_steps 500" in message and "time_sampling power" in message


def test_flags_override_inherited_options(run, data, tmp_path, scripts, capsys):
    options = ("--learning_rate", 3e-4, "--max_steps", 7, "--loss_weighting", "min_snr", "--drop_all", 0)
    args = scripts[0].parse_args(continue_from(run, data, tmp_path, *options))
    assert (args.learning_rate, args.max_steps, args.loss_weighting, args.drop_all) == (3e-4, 7, "min_snr", 0.0)
    assert args.time_sampling == "power" and args.drop_drums == 0.2


def test_training_from_scratch_keeps_its_defaults(data, tmp_path, scripts):
    options = ("--codec", "x", "--train_tokenizer", "--train_text_encoder", "--dataset", "x", "--output", tmp_path)
    args = scripts[0].parse_args([str(option) for option in options])
    assert {name: getattr(args, name) for name in OBJECTIVE} == OBJECTIVE
    assert (args.learning_rate, args.max_steps, args.warmup_steps) == (1e-4, 1000, 0)


def test_a_checkpoint_without_options_gets_audiocrafts_objective(data, tmp_path, scripts, capsys):
    args = scripts[0].parse_args(continue_from(ROOT / "tests/fixtures/chords-drums", data, tmp_path))
    assert {name: getattr(args, name) for name in OBJECTIVE} == OBJECTIVE
    assert args.learning_rate == pytest.approx(1e-5)
    assert "Its objective is unknown" in capsys.readouterr().out


def test_fine_tuning_with_a_recipe_for_training_from_scratch_warns(data, tmp_path, scripts, warnings):
    config = ("--config", ROOT / "training/configs/nano.yaml")
    scripts[0].parse_args(continue_from(NANO, data, tmp_path, *config))
    assert "--learning_rate 0.002 is high for continued training" in warnings.text
    warnings.clear()
    args = scripts[0].parse_args(
        continue_from(NANO, data, tmp_path, "--config", ROOT / "training/configs/finetune.yaml")
    )
    assert args.learning_rate == pytest.approx(2e-4) and args.time_sampling == "power" and not warnings.text


def test_fine_tuning_again_does_not_reduce_the_learning_rate(run, data, tmp_path, scripts):
    scripts[0].main(
        continue_from(run, data, tmp_path / "once", "--max_steps", 1, "--batch_size", 2, "--drop_all", 0.3)
    )
    assert read_training_options(tmp_path / "once") == read_training_options(run) | {"drop_all": 0.3}
    args = scripts[0].parse_args(continue_from(tmp_path / "once", data, tmp_path / "twice"))
    assert args.learning_rate == pytest.approx(1e-4) and args.drop_all == 0.3


def test_the_objective_of_nano_is_that_of_its_recipe():
    recipe = yaml.safe_load((ROOT / "training/configs/nano.yaml").read_text())
    options = read_training_options(NANO)
    assert read_training_options("jasco-nano") == options
    assert read_training_options("jasco-nano-teacher") == read_training_options(NANO / "teacher") != {}
    assert options["learning_rate"] == float(recipe["learning_rate"])
    assert all(options.get(name, default) == recipe.get(name, default) for name, default in OBJECTIVE.items())


def test_a_new_tokenizer_for_pretrained_embeddings_is_rejected(run, data, tmp_path, scripts, capsys):
    with pytest.raises(SystemExit):
        scripts[0].parse_args(continue_from(run, data, tmp_path, "--train_tokenizer"))
    assert "--new_words" in capsys.readouterr().err
