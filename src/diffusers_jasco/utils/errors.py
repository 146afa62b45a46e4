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

"""The error for arguments that can't be used."""

import re
from collections.abc import Sequence
from typing import Any


class InputError(ValueError):
    r"""
    An argument that can't be used. Its attributes say which one and where, so that programs need not parse the message.

    Args:
        message (`str`): what is wrong, and what would be right.
        argument (`str`): name of the argument, such as `"chords"` or `"guidance_scale"`.
        position (`int`, *optional*): index of the chord, note or other element at fault within the argument, from 0.
        prompt (`int`, *optional*): index of the prompt whose control is at fault, where each prompt has its own.
    """

    # The defaults are for pickle, which makes the error from its message and sets the attributes afterwards.
    def __init__(
        self, message: str, argument: str | None = None, position: int | None = None, prompt: int | None = None
    ):
        super().__init__(message)
        self.argument = argument
        self.position = position
        self.prompt = prompt

    def for_prompt(self, index: int) -> "InputError":
        """The same error of one of several prompts, whose message says which one."""
        return type(self)(f"For prompt {index}: {self}", self.argument, self.position, index)

    def renamed(self, argument: str) -> "InputError":
        """The same error under the name that the caller knows the argument by."""
        message = str(self).replace(f"`{self.argument}`", f"`{argument}`")
        return type(self)(message, argument, self.position, self.prompt)

    def moved(self, position: int) -> "InputError":
        """The same error at the position that the element at fault has in what the user gave."""
        message = re.sub(rf"\b(position|note) {self.position}\b", rf"\1 {position}", str(self), count=1)
        return type(self)(message, self.argument, position, self.prompt)


class EmptyInputError(InputError):
    """The error for an argument that holds nothing, such as a recording without samples."""


def shorten(value: Any) -> str:
    """The `repr` of a value for a message, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def list_names(names: Sequence[str], limit: int = 12) -> str:
    """Names for a message: the first ones, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
