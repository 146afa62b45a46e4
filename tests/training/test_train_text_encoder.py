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


import json

import pytest
import torch
from transformers import AutoTokenizer, T5EncoderModel

from ..conftest import run_script


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    run_script("train_tokenizer", "--synthetic_clips", 50, "--output", folder)
    return folder


def pretrain(tokenizer, output, *options):
    options = ("--batch_size", 32, "--learning_rate", 4e-3, *options)
    run_script("train_text_encoder", "--tokenizer", tokenizer, "--output", output, *options)
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_the_text_encoder_learns_what_captions_say(tokenizer, tmp_path):
    clips = "--num_clips", 400, "--validation_clips", 100
    log = pretrain(tokenizer, tmp_path / "a", *clips, "--max_steps", 250, "--log_every", 25)
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]
    # One of 27 styles, and one of 10 families of instruments: the most frequent ones are right less often.
    assert log[-1]["style"] > 0.35 and log[-1]["lead"] > 0.35

    encoder = T5EncoderModel.from_pretrained(tmp_path / "a")
    vocabulary = AutoTokenizer.from_pretrained(tokenizer)
    assert encoder.config.vocab_size == len(vocabulary)
    tokens = vocabulary(["slow blues", "fast techno with synth lead"], padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])[0]
    assert outputs.shape == (2, tokens["input_ids"].shape[1], 128) and outputs.isfinite().all()


def test_the_result_does_not_depend_on_the_number_of_processes(tokenizer, tmp_path):
    for processes in (1, 2):
        clips = "--num_clips", 20, "--validation_clips", 5
        pretrain(tokenizer, tmp_path / str(processes), *clips, "--max_steps", 3, "--processes", processes)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "12")
    assert first == second


def test_options_are_checked(tokenizer, tmp_path, capsys):
    with pytest.raises(SystemExit):
        pretrain(tokenizer, tmp_path, "--learning_rate", -1)
    assert "--learning_rate has to be 0 or more, but is -1.0." in capsys.readouterr().err
