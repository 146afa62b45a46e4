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

"""The demo script generates its clips."""

import runpy
from pathlib import Path

import pytest
import soundfile


DEMO = Path(__file__).parents[2] / "examples/demo.py"


def test_the_demo_writes_five_clips_with_figures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    runpy.run_path(str(DEMO))["main"](tmp_path)
    sounds = sorted(tmp_path.glob("*.wav"), key=lambda sound: sound.stem)
    names = ["1-text", "1-text-suggestion", "2-chords", "3-chords-drums", "4-everything"]
    assert [sound.stem for sound in sounds] == names
    assert all(soundfile.info(sound).duration == 10.0 for sound in sounds)
    assert all(sound.with_suffix(".png").stat().st_size > 10_000 for sound in sounds)
    output = capsys.readouterr().out
    assert '"rock, overdriven guitar and organ, drums" with chords, drums, melody' in output
    assert '"fast techno, synth lead, drums" (' in output
    assert '"fast techno, synth lead, drums" with chords, drums, melody (' in output
