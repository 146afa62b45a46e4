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

"""Beat tracking by librosa."""

from typing import Any

import numpy as np

from ...utils.optional_imports import compiles_with_numba, import_optional
from .spectra import SAMPLING_RATE, SILENCE, load_mono


_HOP = 256  # 16 ms


@compiles_with_numba
def track_beats(audio: Any) -> np.ndarray:
    r"""
    Tracks beats with librosa: the most regular sequence of strong onsets (Ellis, 2007).

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray`: beats in seconds.

    Raises:
        `ImportError`: without the package librosa.
    """
    librosa = import_optional("librosa", "eval")
    samples = load_mono(audio)
    if len(samples) < 4 * _HOP or np.abs(samples).max() < SILENCE:
        return np.zeros(0)
    _, beats = librosa.beat.beat_track(y=samples, sr=SAMPLING_RATE, hop_length=_HOP, trim=False, units="time")
    return np.asarray(beats, dtype=float)
