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

"""Opens MIDI files for the chord and the melody control."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.errors import InputError
from ..utils.optional_imports import import_optional


if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI


MIDI_SUFFIXES = (".mid", ".midi")


def load_midi(path: str | os.PathLike, name: str) -> "PrettyMIDI":
    r"""
    Args:
        path (`str` or `os.PathLike`): MIDI file.
        name (`str`): name of the argument, for messages.

    Raises:
        `ImportError`: without the package pretty_midi.
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a file that is no MIDI.
    """
    pretty_midi = import_optional("pretty_midi", "melody")
    path = Path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{name}`: there is no file {path}.")
    try:
        return pretty_midi.PrettyMIDI(str(path))
    # A broken file makes the parser fail in any way it can.
    except Exception as error:
        raise InputError(f"`{name}`: {path} can't be read as MIDI ({type(error).__name__}: {error}).", name) from error
