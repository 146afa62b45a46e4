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

"""Checks API calls: errors name the value that is missing, unknown or wrong."""

import json
import math
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse
from gradio.route_utils import FnIndexInferError

from diffusers_jasco.inputs import InputError
from diffusers_jasco.utils.errors import list_names, shorten
from diffusers_jasco.utils.numbers import to_float, to_integer
from uploads import readable


FILE_META = {"_type": "gradio.FileData"}


class CheckedBlocks(gr.Blocks):
    """
    Gradio's `Blocks` with checked endpoints. Without these checks, Gradio answers calls with unusable values by
    `{"error": null}` or "Internal Server Error".

    `parameters` lists the parameter names of each endpoint in order.
    """

    def __init__(self, **options: Any):
        self.parameters: dict[str, list[str]] = {}
        super().__init__(**options)

    async def preprocess_data(self, block_fn, inputs, state, explicit_call=False):
        if (names := self.parameters.get(block_fn.api_name)) is None:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        check_values(names, block_fn.inputs, inputs)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error:
            raise
        except Exception as error:
            # Only files can still be at fault: all other values were checked above.
            values = zip(names, block_fn.inputs, inputs)
            files = [
                name for name, field, value in values if isinstance(field, (gr.File, gr.Audio)) and value is not None
            ]
            message = f"“{', '.join(files) or block_fn.api_name}” can’t be read: upload the file to this server first."
            raise gr.Error(message, title=", ".join(files)) from error

    @property
    def exception_handlers(self) -> dict[type[Exception], Any]:
        """Handlers for the exceptions that Gradio raises for unknown endpoints and for unknown or missing parameter names."""
        return dict.fromkeys((FnIndexInferError, KeyError, TypeError), self._explain)

    async def _explain(self, request: Request, error: Exception) -> JSONResponse:
        endpoint = request.path_params.get("api_name")
        if endpoint is None:
            raise error
        if endpoint not in self.parameters:
            message = f"There is no endpoint “{endpoint[:60]}”. Use one of {', '.join(self.parameters)}."
            return JSONResponse({"detail": message}, status_code=404)
        body = await request.json()
        parameters = self.get_api_info()["named_endpoints"][f"/{endpoint}"]["parameters"]
        names = [parameter["parameter_name"] for parameter in parameters]
        required = [value["parameter_name"] for value in parameters if not value["parameter_has_default"]]
        unknown = [name[:60] for name in body if name not in names]
        missing = [name for name in required if name not in body]
        if not unknown and not missing:
            raise error
        faults = [
            f"{what}: {list_names(which)}." for what, which in (("Unknown", unknown), ("Missing", missing)) if which
        ]
        message = f"{' '.join(faults)} The endpoint takes {', '.join(names)}."
        return JSONResponse({"detail": message}, status_code=422)


def check_values(names: list[str], fields: list[gr.components.Component], values: list[Any]):
    """Raises a `gr.Error` that names the wrong value of a call. `fields` describe the parameters."""
    if len(values) != len(names):
        order = f"The endpoint takes, in this order: {', '.join(names)}."
        if len(values) < len(names):
            message = f"Missing: {', '.join(names[len(values) :])}. {order}"
        else:
            message = f"There are {len(values)} values instead of {len(names)}. {order}"
        raise gr.Error(message, title="data", print_exception=False)
    for name, field, value in zip(names, fields, values):
        try:
            _check_value(name, field, value)
        except InputError as error:
            raise gr.Error(readable(str(error)), title=name, print_exception=False) from None


def _check_value(name: str, field: gr.components.Component, value: Any):
    expected = None
    if isinstance(field, (gr.Slider, gr.Number)):
        low = -math.inf if field.minimum is None else field.minimum
        high = math.inf if field.maximum is None else field.maximum
        to_float(value, name, low, high)
        if field.precision == 0:
            to_integer(value, name)
    elif isinstance(field, (gr.Radio, gr.Dropdown)):
        choices = [choice for _, choice in field.choices]
        expected = None if value in choices else f"one of {', '.join(map(str, choices))}"
    elif isinstance(field, gr.Checkbox):
        expected = None if isinstance(value, bool) else "true or false"
    elif isinstance(field, gr.Textbox):
        expected = None if isinstance(value, str) else "a string"
    elif isinstance(field, (gr.File, gr.Audio)) and value is not None:
        is_file = isinstance(value, dict) and isinstance(value.get("path"), str) and value.get("meta") == FILE_META
        expected = None if is_file else f'an uploaded file: {{"path": ..., "meta": {json.dumps(FILE_META)}}}'
    # The custom components check their own values.
    if expected is not None:
        raise InputError(f"`{name}` has to be {expected}, but is {shorten(value)}.", name)
