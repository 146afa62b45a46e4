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


"""Extraction of beats, chords, key, melody, drums, and their hits from audio."""

from .beats import Beats, extract_beats
from .chords import extract_chords
from .drum_hits import extract_drum_hits
from .drums import separate_drums
from .groove import extract_groove, groove_from_hits
from .key import extract_key
from .lead_sheet import extract_lead_sheet
from .melody import extract_melody, extract_salience
from .stems import Stems, change_stem_levels, separate_stems


__all__ = [
    "Beats",
    "Stems",
    "change_stem_levels",
    "extract_beats",
    "extract_chords",
    "extract_drum_hits",
    "extract_groove",
    "extract_key",
    "extract_lead_sheet",
    "extract_melody",
    "extract_salience",
    "groove_from_hits",
    "separate_drums",
    "separate_stems",
]
