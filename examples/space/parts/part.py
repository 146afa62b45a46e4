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

"""Base class of the three custom components, and checks of their values."""

import math
from pathlib import Path
from typing import Any

import gradio as gr


FOLDER = Path(__file__).parent
SHARED = ("shared.css", "shared.js", "playback.js")
MAX_BEATS = 768  # three minutes at the fastest tempo


class Part(gr.HTML):
    r"""
    A component drawn by JavaScript and CSS of this folder. It triggers `change` whenever its value changes, and `input` when
    the user changes it.

    Args:
        value (`dict`): initial value.
        files (`tuple[str]`): its `.js` and `.css` files, loaded after the shared ones.
        label (`str`): title of the component.
        properties (`dict`): further values for the JavaScript.
        kwargs: arguments of [`gr.HTML`], and values that override `properties`.
    """

    def __init__(self, value: dict, files: tuple[str, ...], label: str, properties: dict[str, Any], **kwargs):
        def read(ending: str) -> str:
            names = [name for name in (*SHARED, *files) if name.endswith(ending)]
            return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)

        kwargs = {"container": True, "padding": False, **properties, **kwargs}
        super().__init__(
            value,
            label=label,
            html_template='<div class="part"></div>',
            css_template=read(".css"),
            js_on_load=read(".js"),
            apply_default_css=False,
            **kwargs,
        )

    def redraw(self, **changes: Any) -> dict:
        """
        An update of some properties (and the value) that resends all others, since Gradio forgets them in a tab that was never
        open.
        """
        return gr.update(**{**self.props, **changes})

    def check(self, value: Any) -> dict:
        """Returns the value in the form that the page's functions take, or raises `ValueError`."""
        raise NotImplementedError

    def preprocess(self, payload: Any) -> dict:
        # API clients may send anything.
        try:
            return self.check(payload)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def postprocess(self, value: Any) -> dict:
        return self.check(value)

    def example_payload(self) -> dict:
        return self.example_value()


def check_keys(value: Any, keys: set[str], name: str, optional: set[str] = frozenset()):
    """Raises `ValueError` unless `value` is a dictionary with exactly these keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} has to be an object with {_list(keys)}, but is a {type(value).__name__}.")
    if missing := keys - optional - value.keys():
        raise ValueError(f"{name} has no {_list(missing)}.")
    if unknown := value.keys() - keys:
        raise ValueError(f"{name} has {_list(unknown)}, but may only have {_list(keys)}.")


def check_list(value: Any, name: str, maximum: int) -> list:
    if not isinstance(value, list):
        raise ValueError(f"{name} has to be a list, but is a {type(value).__name__}.")
    if len(value) > maximum:
        raise ValueError(f"{name} has {len(value)} entries, but at most {maximum} are allowed.")
    return value


def check_number(value: Any, name: str, low: float, high: float) -> float:
    """Returns `value` as a float in [low, high], or raises `ValueError`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} has to be a number from {low:g} to {high:g}, but is {str(value)[:40]!r}.")
    return float(value)


def check_whole_number(value: Any, name: str, low: int, high: int) -> int:
    """Returns `value` as an int in [low, high], or raises `ValueError`."""
    number = check_number(value, name, low, high)
    if number != int(number):
        raise ValueError(f"{name} has to be a whole number, but is {number:g}.")
    return int(number)


def _list(names: set[str]) -> str:
    return ", ".join(repr(str(name)[:40]) for name in sorted(names, key=str))
