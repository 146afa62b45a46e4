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

"""Tests of the endpoints over plain HTTP, as curl calls them."""

import json
import re
import shutil
import subprocess

import pytest
import soundfile

from .conftest import SPACE


httpx = pytest.importorskip("httpx")
pytest.importorskip("gradio")

WORDS = {"text": "Am | F", "key": "A minor", "beats_per_bar": 4, "duration": 10, "tempo": 96, "repeat": True}
UPLOADED = {"path": "song.lab", "meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def call(server):
    """Calls an endpoint with named (`dict`) or positional (`list`) values. Returns status and response."""

    def call(endpoint: str, values) -> tuple[int, dict | list]:
        by_name = isinstance(values, dict)
        path = f"{server}gradio_api/call/{'v2/' if by_name else ''}{endpoint}"
        requested = httpx.post(path, json=values if by_name else {"data": values}, timeout=60)
        if requested.status_code != 200:
            return requested.status_code, requested.json()
        answer = httpx.get(f"{path}/{requested.json()['event_id']}", timeout=60).text
        event, data = re.search(r"event: (complete|error)\ndata: (.*)\n", answer).groups()
        assert "Traceback" not in data
        return 200 if event == "complete" else 500, json.loads(data)

    return call


def test_values_by_position_and_by_name(call):
    status, (by_position,) = call("chords_from_text", list(WORDS.values()))
    assert status == 200 and [chord["label"] for chord in by_position["chords"]] == ["Am", "F", "Am", "F"]
    assert call("chords_from_text", WORDS) == (200, [by_position])
    # Values with a default on the page may be left out.
    status, (shorter,) = call("chords_from_text", {"text": "Am | F", "duration": 4})
    assert status == 200 and len(shorter["chords"]) == 2


@pytest.mark.parametrize(
    "endpoint, values, message",
    [
        ("preview_chords", [], "Missing: chords, tempo, duration. The endpoint takes, in this order: chords, tempo,"),
        ("chords_from_text", ["Am | F", "A minor", 4], "Missing: duration, tempo, repeat."),
        ("chords_from_text", [*WORDS.values(), 1, 2], "There are 8 values instead of 6."),
        ("generate", ["rock"], "Missing: tempo, duration, use_chords, chords, drums, pattern,"),
        ("load_settings", [], "Missing: file."),
        ("stop", [1], "There are 1 values instead of 0"),
    ],
)
def test_the_number_of_values(call, endpoint, values, message):
    status, answer = call(endpoint, values)
    assert status == 500 and message in answer["error"]


@pytest.mark.parametrize(
    "endpoint, values, code, message",
    [
        ("chords_from_text", {}, 422, "Missing: text. The endpoint takes text, key, beats_per_bar, duration, tempo,"),
        ("load_settings", {}, 422, "Missing: file."),
        (
            "chords_from_text",
            {"text": "C", "speed": 3, "bpm": 4},
            422,
            "Unknown: speed, bpm. The endpoint takes text,",
        ),
        ("chords_from_text", {"speed": 3}, 422, "Unknown: speed. Missing: text."),
        ("generate", {"promt": "rock"}, 422, "Unknown: promt. The endpoint takes prompt, tempo,"),
        ("generat", {"prompt": "rock"}, 404, "There is no endpoint “generat”. Use one of generate, stop,"),
        ("fit", {}, 404, "There is no endpoint “fit”"),
        ("generat", ["rock"], 404, "There is no endpoint “generat”. Use one of generate, stop,"),
    ],
)
def test_names(call, endpoint, values, code, message):
    status, answer = call(endpoint, values)
    assert status == code and message in answer["detail"]


@pytest.mark.parametrize(
    "endpoint, values, message",
    [
        ("chords_from_text", {**WORDS, "duration": "ten"}, "“duration” has to be a number from 1 to 180, but is 'ten'."),
        ("chords_from_text", {**WORDS, "duration": None}, "“duration” has to be a number from 1 to 180, but is None."),
        ("chords_from_text", {**WORDS, "duration": True}, "“duration” has to be a number"),
        ("chords_from_text", {**WORDS, "duration": [10]}, "“duration” has to be a number"),
        ("chords_from_text", {**WORDS, "tempo": 9600}, "“tempo” has to be a number from 40 to 240, but is 9600."),
        ("chords_from_text", {**WORDS, "tempo": 1e308}, "“tempo” has to be a number from 40 to 240"),
        ("chords_from_text", {**WORDS, "key": "H minor"}, "“key” has to be one of C major, C# major,"),
        ("chords_from_text", {**WORDS, "key": {"a": []}}, "“key” has to be one of C major, C# major,"),
        ("chords_from_text", {**WORDS, "beats_per_bar": 99}, "“beats_per_bar” has to be one of 2, 3, 4, 5, 6, 7, but"),
        ("chords_from_text", {**WORDS, "repeat": "yes"}, "“repeat” has to be true or false, but is 'yes'."),
        ("chords_from_text", {**WORDS, "text": 7}, "“text” has to be a string, but is 7."),
        ("generate", {"seed": 1.5}, "“seed” has to be a whole number, but is 1.5."),
        ("generate", {"seed": -1}, "The seed has to be from 0 to 2147483647"),
        ("generate", {"steps": 1000}, "“steps” has to be a number from 1 to 100, but is 1000."),
        ("generate", {"variations": 2.5}, "The number of variations has to be a whole number, not 2.5"),
        ("generate", {"drums": "bongos"}, "“drums” has to be one of off, pattern, recording, but is 'bongos'."),
        ("generate", {"chords": "C F G"}, "the chord timeline has to be an object with 'bars', 'beats_per_bar', 'chords'"),
        ("generate", {"prompt": "la" * 500}, "The description has 1000 characters, but at most 500 are allowed."),
        ("chords_from_file", {"file": None}, "Choose a file first."),
        ("chords_from_file", {"file": "song.lab"}, "“file” has to be an uploaded file: {\"path\": "),
        ("chords_from_file", {"file": {"path": "song.lab"}}, "“file” has to be an uploaded file: {\"path\": "),
        ("chords_from_file", {"file": UPLOADED}, "“file” can’t be read: upload the file to this server first."),
        ("generate", {"recording": UPLOADED}, "“recording” can’t be read: upload the file to this server first."),
    ],
)  # fmt: skip
def test_wrong_values(call, endpoint, values, message):
    status, answer = call(endpoint, values)
    assert status == 500 and message in answer["error"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_of_the_readme(server, tmp_path):
    (commands,) = re.findall(r"```bash\n(space=.*?)```", (SPACE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = commands.replace("http://127.0.0.1:7860/", server)
    shown = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert soundfile.info(tmp_path / "song.wav").duration == 10
    assert '"seeds": [7]' in (tmp_path / "answer.txt").read_text()
    assert "event: complete" in shown and '"label": ' in shown
