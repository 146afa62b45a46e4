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

"""Controls: what the music follows along its timeline. This package parses them and turns them into frames."""

from collections.abc import Sequence


# Every control, in the order of the channels behind the latents. A checkpoint has some of them.
CONTROLS = ("chords", "drums", "melody")
# One value per frame: the controls, and latents that are known already.
FRAME_CONDITIONS = (*CONTROLS, "context")


def null_value(name: str, chord_labels: Sequence[str] | None = None) -> int:
    r"""
    The value of a frame that does not have a control: the learned null of the model.

    Args:
        name (`str`): one of [`FRAME_CONDITIONS`].
        chord_labels (`Sequence[str]`, *optional*): the model's chord vocabulary; for `"chords"`.

    Returns:
        `int`: for chords the id after the last label, for all others 0.

    Raises:
        `ValueError`: for another name, and for `"chords"` without labels.
    """
    if name not in FRAME_CONDITIONS:
        raise ValueError(f"`name` has to be one of {', '.join(FRAME_CONDITIONS)}, but is {name!r}.")
    if name != "chords":
        return 0
    if not chord_labels:
        raise ValueError("`chord_labels` are missing: the null chord is the id after the last one.")
    return len(chord_labels)
