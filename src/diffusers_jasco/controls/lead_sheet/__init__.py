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

"""Lead sheets: chords, melody and form of a song in bars, read from and written to the formats of musicians."""

from .bars import JUMPS, Bar, ChordMark, Hit, Note, Section, TempoMark, TimeSignature
from .files import read_lead_sheet
from .layout import bars_from_timeline
from .sheet import ENDINGS, LeadSheet


__all__ = [
    "ENDINGS",
    "JUMPS",
    "Bar",
    "ChordMark",
    "Hit",
    "LeadSheet",
    "Note",
    "Section",
    "TempoMark",
    "TimeSignature",
    "bars_from_timeline",
    "read_lead_sheet",
]
