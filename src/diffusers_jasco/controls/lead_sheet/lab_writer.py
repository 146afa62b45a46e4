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

"""Writes the chords of a lead sheet as an annotation: one line per chord with its start and end in seconds."""

from ..chord_syntax import NO_CHORD
from ..chord_tables import to_harte_segments
from ..chord_timeline import Chords
from .playback import Clock, duration_of
from .sheet import LeadSheet


def to_lab(sheet: LeadSheet) -> str:
    r"""
    Writes the chords as played, with repeats written out, in the syntax of Harte et al.: `start`, `end` and chord,
    separated by tabs.

    Args:
        sheet ([`LeadSheet`]): the sheet.

    Returns:
        `str`: the content of a `.lab` file. The time before the first chord, and a sheet without chords, are `N`.
    """
    played = sheet.expand()
    clock = Clock(played)
    chords: Chords = []
    for label, start in played.chords:
        if not chords or chords[-1][0] != label:
            chords.append((label, clock(start)))
    if not chords or chords[0][1] > 0:
        chords.insert(0, (NO_CHORD, 0.0))
    segments = to_harte_segments(chords, duration_of(played))
    return "".join(f"{start!r}\t{end!r}\t{label}\n" for start, end, label in segments)
