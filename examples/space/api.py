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

"""The page's actions as named, typed API endpoints that report bad input as errors."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

import gradio as gr

import actions
from actions import TOKENS
from page import CONCURRENCY, Page
from settings import FieldError, Settings
from uploads import chords_from_file, chords_from_text, melody_from_file, pattern_from_file


def add_endpoints(page: Page):
    """Adds the endpoints to a page. The page's fields describe their parameters."""
    with gr.Row(visible=False):
        trigger = gr.Button("API")
        file = gr.File(label="file")
        wavs = gr.File(label="WAV files", file_count="multiple")
        zips = gr.File(label="ZIP files", file_count="multiple")
        report = gr.JSON(label="report")
        settings = gr.JSON(label="settings")
        audio = gr.Audio(label="audio", type="filepath")
        groove = gr.File(label="groove")
        runs = gr.Number(label="runs", precision=0)

    def endpoint(name: str, function: Callable, inputs: list, outputs: list, **options: Any):
        @wraps(function)
        def run(*arguments, **named):
            try:
                return function(*arguments, **named)
            except FieldError as error:
                raise gr.Error(str(error), title=error.field, print_exception=False) from error

        # Gradio adds the request.
        page.blocks.parameters[name] = [value for value in signature(function).parameters if value != "request"]
        trigger.click(run, inputs, outputs, api_name=name, **options)

    generation = {"concurrency_id": "generate", "concurrency_limit": CONCURRENCY}
    analysis = {"concurrency_id": "analysis", "concurrency_limit": CONCURRENCY}
    timing = [page.beats_per_bar, page.duration, page.tempo]
    endpoint(
        "generate", generate, [*page.fields.values(), page.recording, page.source], [wavs, zips, report], **generation
    )
    endpoint("stop", stop, [], [runs], queue=False)
    endpoint("load_settings", load_settings, [file], [settings, page.recording])
    endpoint("chords_from_text", chords_from_text, [page.chord_text, page.key, *timing, page.repeat], [page.chords])
    endpoint("chords_from_file", chords_from_file, [file, page.chord_start, *timing], [page.chords], **analysis)
    endpoint(
        "drums_from_file",
        actions.drums_from_file,
        [file, page.drum_start, page.separate],
        [page.recording],
        **analysis,
    )
    endpoint(
        "pattern_from_file",
        pattern_from_file,
        [file, page.drum_start, page.separate, page.beats_per_bar],
        [page.pattern, page.tempo, page.beats_per_bar],
        **analysis,
    )
    endpoint("pattern_to_file", actions.pattern_to_file, [page.pattern, page.tempo], [groove])
    endpoint(
        "melody_from_file",
        melody_from_file,
        [file, page.melody_start, page.one_voice, page.duration, page.tempo, page.melody_track],
        [page.melody],
        **analysis,
    )
    endpoint("preview_chords", actions.preview_chords, [page.chords, page.tempo, page.duration], [audio])
    endpoint("preview_drums", actions.preview_drums, [page.pattern, page.tempo, page.duration], [audio])
    endpoint("preview_melody", actions.preview_melody, [page.melody, page.tempo, page.duration], [audio])


def generate(request: gr.Request, *values):
    """
    Generates music: a WAV and a ZIP (with controls and settings) for each variation, and a report with the seeds and a score
    for each control.
    """
    *values, recording, source = values
    settings = Settings(*values)
    takes, remarks = actions.make_takes(settings, recording, TOKENS.issue(request.session_hash), source=source)
    report = {
        "remarks": remarks,
        "seeds": [take.settings.seed for take in takes],
        "scores": [
            {name: {"value": score.value, "words": score.words} for name, score in take.scores.items()}
            for take in takes
        ],
    }
    return [str(take.wav) for take in takes], [str(take.zip) for take in takes], report


# Gradio reads the parameter names of an endpoint from its function. Here they are the fields of the settings.
generate.__signature__ = Signature(
    [
        Parameter("request", Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request),
        *(Parameter(item.name, Parameter.POSITIONAL_OR_KEYWORD) for item in fields(Settings)),
        *(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=None) for name in ("recording", "source")),
    ]
)


def stop(request: gr.Request):
    """Stops all runs of this session within one step, and returns their number."""
    return TOKENS.revoke(request.session_hash)


def load_settings(file):
    """The values of all fields from a download, and the drum recording if there is one."""
    settings, recording, _ = actions.load_settings(file)
    return settings.to_json(), recording
