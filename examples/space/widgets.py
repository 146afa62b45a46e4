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

"""Small widgets: messages next to fields, and the card of a finished take."""

import html
from typing import Any

import gradio as gr

from takes import Take


# Options of all audio players: the page's color, and no share or download buttons.
PLAYER = {"buttons": [], "waveform_options": gr.WaveformOptions(waveform_progress_color="#6366f1")}


def message() -> gr.HTML:
    """An empty slot for messages about a field."""
    return gr.HTML("", visible=False, elem_classes="message")


def say(messages: list[str] | str, kind: str = "remark") -> dict:
    """An update of a message slot: remarks, an error (`kind="error"`), or nothing."""
    text = format_messages(messages, kind)
    return gr.update(value=text, visible=bool(text))


def format_messages(messages: list[str] | str, kind: str = "remark") -> str:
    messages = [messages] if isinstance(messages, str) else messages
    role = "alert" if kind == "error" else "status"
    return "".join(f'<p class="{kind}" role="{role}">{html.escape(text)}</p>' for text in messages)


class Card:
    """
    Shows a finished take: seed, player, scores, picture and downloads.

    Args:
        number (`int`): number of the card, from 1.
    """

    def __init__(self, number: int):
        with gr.Column(visible=False, elem_classes="card") as self.column:
            self.title = gr.HTML()
            self.player = gr.Audio(
                label=f"Take {number}", show_label=False, interactive=False, elem_classes="player", **PLAYER
            )
            self.scores = gr.HTML()
            self.picture = gr.Image(
                label="Target and result",
                alt_text="Spectrogram of the music, with its chords, melody and drums below: target and result",
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                elem_classes="picture",
            )
            with gr.Row(elem_classes="downloads"):
                self.wav = gr.DownloadButton("WAV", size="sm", min_width=80)
                self.flac = gr.DownloadButton("FLAC", size="sm", min_width=80)
                self.zip = gr.DownloadButton("ZIP with settings", size="sm", min_width=80)
        self.components = list(vars(self).values())

    def show(self, take: Take | None) -> dict[Any, Any]:
        """Updates by component that show a take, or hide the card."""
        if take is None:
            return {self.column: gr.update(visible=False)}
        return {
            self.column: gr.update(visible=True),
            self.title: f"<h3>Take {take.number} <small>{describe_settings(take)}</small></h3>",
            self.player: gr.update(value=str(take.wav), loop=take.settings.loop),
            self.scores: format_scores(take),
            self.picture: str(take.picture),
            self.wav: str(take.wav),
            self.flac: gr.update(value=str(take.flac) if take.flac.exists() else None, visible=take.flac.exists()),
            self.zip: str(take.zip),
        }


def format_scores(take: Take) -> str:
    """How closely each control was followed, in words and numbers."""
    if take.settings.edit == "regions":
        return format_messages("The recording with its new parts.")
    if not take.scores:
        return format_messages("Generated from the description alone.")
    items = []
    for score in take.scores.values():
        finding, _, words = score.sentence.partition(" — ")
        kind = score.words.replace(" ", "-")
        items.append(f'<li class="{kind}">{html.escape(finding)} — <em>{html.escape(words)}</em></li>')
    return f'<ul class="scores">{"".join(items)}</ul>'


def describe_settings(take: Take) -> str:
    """The seed, and the settings of the mixer that are not the usual ones."""
    settings = take.settings
    items = [f"seed {settings.seed}"]
    items += [f"{name} × {scale:g}" for name, scale in settings.control_scales().items() if scale != 1]
    items += [f"best of {settings.best_of}"] if settings.best_of > 1 else []
    gains = {"drums": settings.drums_gain, "rest": settings.rest_gain}
    items += [f"{name} {gain:+g} dB" for name, gain in gains.items() if gain]
    return " · ".join(items)


def describe_take(take: Take) -> str:
    """One line of the list of takes."""
    words = take.settings.prompt[:40] or "no description"
    content = "edit" if take.settings.edit == "regions" else ", ".join(take.scores) or "description only"
    return f"{take.number}: {words} · {content} · {describe_settings(take)}"
