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

"""Errors for invalid arguments."""

import os
import re
from collections.abc import Sequence
from typing import Any


class InputError(ValueError):
    r"""
    An invalid argument. The attributes identify the argument and the position, so that programs need not parse the
    message.

    Args:
        message (`str`): the error message, which also describes valid values.
        argument (`str`): name of the argument, such as `"chords"` or `"guidance_scale"`.
        position (`int`, *optional*): zero-based index of the invalid element (chord, note, ...) within the argument.
        prompt (`int`, *optional*): index of the prompt with the invalid control, if each prompt has its own controls.
    """

    # The defaults are needed by pickle, which creates the error from its message alone and then sets the attributes.
    def __init__(
        self, message: str, argument: str | None = None, position: int | None = None, prompt: int | None = None
    ):
        super().__init__(message)
        self.argument = argument
        self.position = position
        self.prompt = prompt

    def for_prompt(self, index: int) -> "InputError":
        """A copy of the error whose message includes the index of the prompt."""
        return type(self)(f"For prompt {index}: {self}", self.argument, self.position, index)

    def renamed(self, argument: str) -> "InputError":
        """A copy of the error that uses the caller's name of the argument."""
        message = str(self).replace(f"`{self.argument}`", f"`{argument}`")
        return type(self)(message, argument, self.position, self.prompt)

    def moved(self, position: int) -> "InputError":
        """A copy of the error with the position of the invalid element in the user's input."""
        message = re.sub(rf"\b(position|note) {self.position}\b", rf"\1 {position}", str(self), count=1)
        return type(self)(message, self.argument, position, self.prompt)


class EmptyInputError(InputError):
    """An empty argument, such as a recording without samples."""


def shorten(value: Any) -> str:
    """The `repr` of a value, truncated to 60 characters for error messages. Paths look like strings."""
    text = repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def list_names(names: Sequence[str], limit: int = 12) -> str:
    """Joins the first names for an error message and adds the number of remaining ones."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
