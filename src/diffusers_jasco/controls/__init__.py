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

"""Time-varying controls that the music follows. This package parses them and converts them to frames."""

from collections.abc import Sequence


# All controls, of which a checkpoint supports some. Chords, drums and melody are the channels after the latents, in
# this order.
CONTROLS = ("chords", "drums", "melody", "beats")
# Conditions with one value per frame: the controls, and latents that are already known.
FRAME_CONDITIONS = (*CONTROLS, "context")


def null_value(name: str, chord_labels: Sequence[str] | None = None) -> int:
    r"""
    The value of frames without a control, for which the model has learned a null embedding.

    Args:
        name (`str`): one of [`FRAME_CONDITIONS`].
        chord_labels (`Sequence[str]`, *optional*): the chord vocabulary of the model; required for `"chords"`.

    Returns:
        `int`: the id after the last label for chords, 0 for all other conditions.

    Raises:
        `ValueError`: if the name is unknown, or `chord_labels` are missing for `"chords"`.
    """
    if name not in FRAME_CONDITIONS:
        raise ValueError(f"`name` has to be one of {', '.join(FRAME_CONDITIONS)}, but is {name!r}.")
    if name != "chords":
        return 0
    if not chord_labels:
        raise ValueError("`chord_labels` are missing: the null chord is the id after the last one.")
    return len(chord_labels)
