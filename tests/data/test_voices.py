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

"""Synthetic voices."""

import numpy as np
import pytest

from diffusers_jasco.data.synthetic.voices import VOICES, compose_melody, sing


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_tunes_stay_in_the_range_and_do_not_overlap(voice):
    notes = compose_melody(voice, 20.0, np.random.default_rng(1))
    assert all(voice.lowest <= key <= voice.highest and end - start > 0.05 for key, start, end in notes)
    assert all(before[2] <= after[1] + 1e-9 for before, after in zip(notes, notes[1:])) and notes[-1][2] < 20
    assert any(before[0] == after[0] for before, after in zip(notes, notes[1:]))
    if voice.fast:
        assert min(end - start for _, start, end in notes) < 0.12


def test_a_seed_determines_the_voice():
    voice = VOICES[0]
    notes = [(48, 0.2, 0.6), (50, 0.6, 0.9)]
    first, again, other = (sing(notes, 1.0, voice, np.random.default_rng(seed), 16000) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.shape == (16000,) and first.dtype == np.float32 and np.abs(first).max() == np.float32(0.5)
    # Noise only, where nobody sings.
    assert np.abs(first[15000:]).max() < 0.05
