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

"""Tests of option checks, which run before anything is loaded, and of training on small collections."""

import json

import pytest
import torch
from transformers import EncodecModel

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data.features import write_features
from diffusers_jasco.training.batches import fitting_batch_size

from ..conftest import run_script
from ..data.test_features import make_items
from .run_tools import CODEC, arguments, read_steps


class Loaded(Exception):
    """Raised if anything is loaded."""


def test_an_explicit_request_for_an_accelerator_fails_without_one(data, tmp_path, scripts, monkeypatch, capsys):
    options = arguments(data, tmp_path, "--no-cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert not scripts[0].parse_args(options).cpu
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        scripts[0].parse_args(options)
    assert "--no-cpu needs a GPU or another accelerator, but PyTorch finds none" in capsys.readouterr().err


@pytest.fixture
def nothing_loads(monkeypatch):
    def load(*args, **kwargs):
        raise Loaded

    monkeypatch.setattr(JascoPipeline, "from_pretrained", load)
    monkeypatch.setattr(EncodecModel, "from_pretrained", load)
    monkeypatch.setattr(torch, "load", load)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--batch_size", 0), "--batch_size has to be at least 1, but is 0"),
        (("--max_steps", 0), "--max_steps has to be at least 1"),
        (("--learning_rate", -1), "--learning_rate has to be 0 or more"),
        (("--learning_rate", "nan"), "--learning_rate has to be 0 or more"),
        (("--drop_all", 1.5), "--drop_all has to be from 0 to 1"),
        (("--drop_melody", -0.1), "--drop_melody has to be from 0 to 1"),
        (("--time_power", 0), "--time_power has to be above 0"),
        (("--warmup_steps", -1), "--warmup_steps has to be 0 or more"),
        (("--num_workers", -1), "--num_workers has to be 0 or more"),
        (("--lr_scheduler", "wds"), "--lr_scheduler: invalid choice: 'wds' (choose from "),
        (("--lr_scheduler", "piecewise_constant"), "--lr_scheduler: invalid choice: 'piecewise_constant'"),
        (("--dataset_weights", 1, 2), "--dataset_weights has to be one number above 0"),
        (("--dataset_weights", 0), "--dataset_weights has to be one number above 0"),
        (("--evaluate_every", 1, "--evaluation_conditions", "all", "drumz"), "drumz"),
    ],
    ids=str,
)
@pytest.mark.parametrize("script", ["train_jasco", "train_jasco_lora"])
def test_bad_options_are_rejected_before_loading(data, run, tmp_path, script, option, message, nothing_loads, capsys):
    base = ("--continue_from",) if script == "train_jasco" else ("--base",)
    with pytest.raises(SystemExit):
        run_script(script, *base, run, "--dataset", data / "train", "--output", tmp_path / "run", *option)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, "one line, without the usage"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--dataset", "absent-folder"), "'absent-folder' is not a dataset"),
        (("--validation_dataset", "absent-folder"), "'absent-folder' is not a dataset"),
        (("--evaluate_every", 1, "--evaluation_dataset", "absent"), "--evaluation_dataset has to be"),
        (("--generate_every", 1, "--evaluation_dataset", "synthetic:8"), "--evaluation_clips"),
    ],
    ids=str,
)
@pytest.mark.parametrize("script", ["train_jasco", "train_jasco_lora"])
def test_missing_data_is_named_before_loading(data, run, tmp_path, script, option, message, nothing_loads):
    base = ("--continue_from",) if script == "train_jasco" else ("--base",)
    with pytest.raises(ValueError, match=message):
        run_script(script, *base, run, "--dataset", data / "train", "--output", tmp_path / "run", *option)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "valid"), "--only valid needs --validation_dataset"),
        (("--best",), "--best needs --only"),
        (("--transformer", "{beets: true}"), "--transformer: unknown options beets. There are: activation_fn, "),
        (("--text_encoder_config", "{width: 8}"), "--text_encoder_config: unknown options width. There are: "),
        (("--new_words", "opera"), "--new_words needs --continue_from"),
        (("--optimizer", "muon", "--use_8bit_adam"), "--use_8bit_adam can't be used with --optimizer muon"),
        (("--optimizer", "muon", "--mixed_precision", "fp16"), "--mixed_precision has to be bf16 or no"),
    ],
    ids=str,
)
def test_options_name_others_that_they_require(data, tmp_path, scripts, capsys, options, message):
    flags = ("--codec", CODEC, "--train_tokenizer", "--train_text_encoder", "--dataset", data, "--output", tmp_path)
    with pytest.raises(SystemExit):
        scripts[0].parse_args([str(flag) for flag in (*flags, *options)])
    assert message in capsys.readouterr().err


def test_values_of_a_configuration_file_are_checked_too(data, tmp_path, scripts, capsys):
    (tmp_path / "bad.yaml").write_text("train_text_encoder: true\nema_decay: 1.0\n")
    with pytest.raises(SystemExit):
        scripts[0].parse_args(arguments(data, tmp_path, "--config", tmp_path / "bad.yaml", "--train_tokenizer"))
    assert "--ema_decay has to be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("batch_size", "items", "processes", "expected"), [(6, 4, 1, 4), (6, 6, 1, 6), (4, 7, 2, 3), (1, 1, 1, 1)]
)
def test_the_batch_size_fits_the_data(batch_size, items, processes, expected, warnings):
    assert fitting_batch_size(batch_size, items, processes) == expected
    assert ("batch size" in warnings.text) == (expected < batch_size)


def test_fewer_clips_than_processes_are_rejected():
    with pytest.raises(ValueError, match="1 clips for training, fewer than processes"):
        fitting_batch_size(4, 1, 2)


def test_training_on_two_clips_reduces_the_batch_size(run, tmp_path, scripts, warnings):
    write_features(make_items(count=2), EncodecModel.from_pretrained(CODEC).eval(), tmp_path / "few")
    options = ("--batch_size", 6, "--max_steps", 2, "--log_every", 1, "--log_with", "none", "--cpu")
    for script, base in (("train_jasco", "--continue_from"), ("train_jasco_lora", "--base")):
        warnings.clear()
        run_script(script, base, run, "--dataset", tmp_path / "few", "--output", tmp_path / script, *options)
        assert "The batch size is 2 instead of 6" in warnings.text
        assert len(read_steps(tmp_path / script)) == 2


def test_training_on_a_collection_without_validation_split(run, tmp_path, warnings):
    folder = tmp_path / "few"
    write_features(make_items(count=2), EncodecModel.from_pretrained(CODEC).eval(), folder / "features/train")
    (folder / "summary.json").write_text(json.dumps({"clips": {"train": 2}}))
    options = ("--batch_size", 2, "--max_steps", 1, "--log_with", "none", "--cpu", "--validation_dataset", folder)
    run_script("train_jasco", "--continue_from", run, "--dataset", folder, "--output", tmp_path / "run", *options)
    assert "There is no validation" in warnings.text
