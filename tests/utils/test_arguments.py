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

import argparse
import os

import pytest

from diffusers_jasco.utils.arguments import CommandParser, check_writable, device, integer, list_devices, number, seed
from diffusers_jasco.utils.cli import rename_arguments
from diffusers_jasco.utils.errors import InputError


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (number(), "-1.5e3", -1500.0),
        (number(0, 1), "1", 1.0),
        (integer(1), "3", 3),
        (integer(), "-2", -2),
        (seed, "9223372036854775807", 2**63 - 1),
        (device, "cpu", "cpu"),
    ],
)
def test_valid_values(kind, text, value):
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize(
    "kind, text, message",
    [
        (number(), "inf", "a number"),
        (number(), "1,5", "'1,5'"),
        (number(above=0, unit="seconds"), "0", "a number of seconds above 0"),
        (integer(1), "2.5", "a whole number, at least 1, but is '2.5'"),
        (integer(1, 8), "9", "from 1 to 8"),
        (integer(1), "9" * 5000, "a whole number"),
        (seed, "9223372036854775808", "a whole number"),
        (device, "cuda:99", "there is no device 'cuda:99'; available devices: "),
        (device, "", "there is no device ''"),
        (device, "gpu", "there is no device 'gpu'"),
    ],
)
def test_errors_describe_valid_values(kind, text, message):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        kind(text)
    assert message in str(error.value) and len(str(error.value)) < 300


def test_parser_errors_are_one_line(capsys):
    parser = CommandParser(prog="make", description="Makes.")
    parser.add_argument("--steps", type=integer(1))
    with pytest.raises(SystemExit) as error:
        parser.parse_args(["--steps", "0"])
    assert error.value.code == 2
    assert (
        capsys.readouterr().err
        == "make: --steps: has to be a whole number, at least 1, but is 0 (--help lists the options)\n"
    )
    assert list_devices()[-1] == "cpu"


def test_check_writable_creates_nothing(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "a.wav")
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    device = ["/dev/null/a.wav"] if os.name == "posix" else []
    for path in (tmp_path / "file" / "a.wav", tmp_path / ("a" * 300), *device):
        with pytest.raises(InputError, match="`output`: .* can't be written") as error:
            check_writable(path)
        assert error.value.argument == "output"


def test_arguments_are_replaced_by_options():
    flags = {"num_inference_steps": "--steps", "repeat_chords": "--repeat_chords"}
    assert rename_arguments("Set `repeat_chords=True` or `num_inference_steps=8`, not `guider=None`.", flags) == (
        "Set --repeat_chords or --steps 8, not `guider=None`."
    )
    message = "`num_inference_steps` and `guider`: `repeat_chords(chords, 10)` repeats."
    assert rename_arguments(message, flags) == "--steps and `guider`: --repeat_chords repeats."
