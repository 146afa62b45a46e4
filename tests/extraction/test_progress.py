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

import warnings

import pytest

from diffusers_jasco.extraction import extract_beats, extract_chords, extract_melody, separate_drums

from ..evaluation.clips import play_chords


RATE = 32000


@pytest.mark.parametrize("extract", [extract_chords, extract_melody, separate_drums, extract_beats])
@pytest.mark.parametrize("seconds", [0.03, 3.49])
def test_progress_ends_with_the_recording(extract, seconds, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # tqdm's, if it exceeds the total
        extract(play_chords([("C", 0.0)], 4.0, RATE)[..., : round(seconds * RATE)], RATE, progress=True)
    assert f"100%|██████████| {seconds:.0f}/{seconds:.0f} s" in capsys.readouterr().err or seconds < 1
    extract(play_chords([("C", 0.0)], 1.0, RATE), RATE)
    assert capsys.readouterr().err == ""
