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
from pathlib import Path

import pytest
import soundfile
import torch

from ..conftest import run_script
from .clips import RATE, play_drums, play_melody


NANO = Path(__file__).parents[2] / "pipelines" / "jasco-nano"


def read_table(text: str) -> dict[str, str]:
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return dict(rows)


def test_reconstruction_is_measured(tmp_path, capsys):
    pytest.importorskip("mir_eval")
    onsets = [0.25, 0.75, 1.25, 1.75, 2.25]
    drums = play_drums(onsets, 3.0)
    melody = play_melody([(60, 0.0, 1.5), (67, 1.5, 3.0)], 3.0)
    for name, audio in (("mix.wav", 0.5 * (drums + melody)), ("drums.wav", drums), ("lead.wav", melody)):
        soundfile.write(tmp_path / name, audio[0].numpy(), RATE)
    soundfile.write(
        tmp_path / "noise.wav", 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0)).numpy(), RATE
    )
    item = {"file_name": "mix.wav", "stems": {"drums": "drums.wav"}, "drum_onsets": onsets}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(item) + "\n")

    run_script("evaluate_codec", "--codec", NANO, "--dataset", tmp_path, tmp_path / "lead.wav", tmp_path / "mix.wav")
    table = read_table(capsys.readouterr().out)
    assert float(table["onset F1, reference drums"]) == 1.0 and float(table["onset F1, decoded drums"]) > 0.7
    rises = [float(table[f"rise at onsets, {kind} drums"].split()[0]) for kind in ("reference", "decoded")]
    assert rises[0] > rises[1] > 3
    distances = [float(table[f"spectral distance, {name}"].split()[0]) for name in ("lead.wav", "1 mixes")]
    assert all(0 < distance < 15 for distance in distances)


def test_missing_inputs_raise_an_error(capsys):
    with pytest.raises(SystemExit):
        run_script("evaluate_codec", "--codec", NANO)
    assert "audio files or --dataset" in capsys.readouterr().err
