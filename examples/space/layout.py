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

"""The layout of the page."""

import html

import gradio as gr

import actions
from actions import ENGINE
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.controls.chord_files import CHORD_SUFFIXES
from diffusers_jasco.controls.chord_labels import NOTES
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.progressions import PROGRESSIONS
from diffusers_jasco.text_encoders import list_words
from parts import ChordTimeline, PianoRoll, StepSequencer, chord_tones
from settings import (
    BEATS_PER_BAR,
    CONTROL_SCALE,
    DURATION,
    GAIN,
    GUIDANCE,
    MAX_CANDIDATES,
    MAX_PROMPT,
    MAX_REGIONS,
    MAX_STEPS,
    MAX_VARIATIONS,
    STRENGTH,
    TEMPO,
    Settings,
)
from uploads import DRUM_FILES, GROOVE_SUFFIX, MELODY_FILES, TRACK_LABEL, chords_from_text
from widgets import PLAYER, Card, format_messages, message


PROMPTS = [
    "80s pop, synth bass, electric piano, drums",
    "calm ballad, piano and flute, no drums",
    "rock, overdriven guitar, organ, drums",
    "fast techno, synth lead, drums",
]
EDIT_FIELDS = ("edit", "source", "regions", "intro", "outro", "strength")
MIXER_FIELDS = ("chords_scale", "drums_scale", "melody_scale", "best_of", "drums_gain", "rest_gain")
KEYS = [f"{note} {mode}" for mode in ("major", "minor") for note in NOTES]


class Layout:
    """
    The fields of the page by name. `start` has their initial values, and `messages` a slot for messages about each field.
    """

    def __init__(self):
        self.start = Settings(
            prompt=PROMPTS[0],
            chords=chords_from_text("C | Am | F | G", "C major", 4, 10.0, 120.0, True),
            drums="pattern",
            pattern=actions.load_groove("rock backbeat"),
            melody={"beats": 20.0, "notes": []},
            steps=ENGINE.default_steps,
            guidance_scale=ENGINE.default_guidance_scale,
            text_guidance_scale=ENGINE.default_text_guidance_scale,
        )
        self.messages: dict[str, gr.HTML] = {}

    def _lay_out(self):
        """Adds the fields to the current `gr.Blocks`."""
        gr.HTML(
            "<h1>JASCO</h1>"
            "<p>Describe a piece, shape its chords, drums and melody, and see how closely the music follows.</p>",
            elem_id="header",
        )
        with gr.Row():
            with gr.Column(scale=3, min_width=340):
                self._lay_out_prompt()
                with gr.Tabs() as self.tabs:
                    with self._tab("Chords"):
                        self._lay_out_chords()
                    with self._tab("Drums"):
                        self._lay_out_drums()
                    with self._tab("Melody"):
                        self._lay_out_melody()
                    with gr.Tab("Mixer", id="mixer"):
                        self._lay_out_mixer()
                    with gr.Tab("Edit", id="edit"):
                        self._lay_out_edit()
            with gr.Column(scale=2, min_width=340):
                self._lay_out_generation()
                self.cards = [Card(number) for number in range(1, MAX_VARIATIONS + 1)]
                self._lay_out_comparison()
                self._lay_out_loading()

    def _tab(self, name: str) -> gr.Tab:
        """The tab of one control, if the checkpoint has it."""
        return gr.Tab(name, id=name.lower(), visible=name.lower() in ENGINE.controls)

    def _lay_out_prompt(self):
        self.prompt = gr.Textbox(
            self.start.prompt,
            label="Describe the music",
            placeholder="Style, instruments, mood, fast or slow, with or without drums",
            lines=2,
            max_length=MAX_PROMPT,
            elem_id="prompt",
        )
        gr.Examples(
            [[text] for text in PROMPTS],
            self.prompt,
            label="Examples",
            preload=False,
            api_visibility="private",
            elem_id="ideas",
        )
        self.messages["prompt"] = message()
        self.unknown_words = message()
        if ENGINE.known_words is not None:
            with gr.Accordion(f"Words that this model knows ({len(ENGINE.known_words)})", open=False, elem_id="known"):
                gr.HTML(f"<p>{html.escape(list_words(ENGINE.known_words))}</p>")
        with gr.Row(elem_id="measure"):
            self.tempo = gr.Slider(*TEMPO, self.start.tempo, step=1, label="Tempo (BPM)", min_width=200)
            time_signatures = [(f"{beats}/4", beats) for beats in range(BEATS_PER_BAR[0], BEATS_PER_BAR[1] + 1)]
            self.beats_per_bar = gr.Dropdown(
                time_signatures, value=4, label="Time signature", filterable=False, min_width=130, scale=0
            )
            self.duration = gr.Slider(
                *DURATION, self.start.duration, step=0.5, label="Duration (seconds)", min_width=200
            )
        self.loop = gr.Checkbox(
            False,
            label="Loop: whole bars, whose end continues into the beginning",
            elem_classes="plain",
            elem_id="loop",
        )
        self.messages["tempo"] = self.messages["duration"] = self.messages["loop"] = message()

    def _lay_out_chords(self):
        self.use_chords = gr.Checkbox(True, label="Follow these chords", elem_classes="plain", elem_id="use-chords")
        self.chords = ChordTimeline(self.start.chords, bpm=self.start.tempo, elem_id="timeline")
        self.messages["chords"] = message()
        with gr.Accordion("Type chords or choose a progression", open=False):
            with gr.Row():
                self.progression = gr.Dropdown(
                    list(PROGRESSIONS), value=None, label="Progression", filterable=False, min_width=140
                )
                self.key = gr.Dropdown(KEYS, value="C major", label="Key", filterable=False, min_width=140)
            self.chord_text = gr.Textbox(
                label="Chords",
                info="By bar, as Roman numerals in the key, or with start times in seconds",
                placeholder="C | Am | F G | %     or     ii7 V7 Imaj7     or     C:0 Am:2.5",
                elem_id="words",
            )
            self.placed = gr.State(("", ""))  # the text that was placed on the timeline last, and its key
            with gr.Row(elem_classes="bar"):
                self.repeat = gr.Checkbox(True, label="Repeat until the end", min_width=180)
                self.place_chords = gr.Button("Add to the timeline", size="sm", elem_id="place")
        with gr.Accordion("Extract chords from a recording or file", open=False):
            self.chord_file = gr.File(
                label=f"Recording, or {', '.join(CHORD_SUFFIXES)}", height=110, elem_id="chord-file"
            )
            with gr.Row(elem_classes="bar"):
                self.chord_start = gr.Number(0, minimum=0, label="Start at (seconds)", min_width=120)
                self.find_chords = gr.Button("Extract chords", size="sm")

    def _lay_out_drums(self):
        self.drums = gr.Radio(
            [("Let the model choose", "off"), ("Pattern", "pattern"), ("Recording", "recording")],
            value=self.start.drums,
            label="Drums",
            show_label=False,
            container=False,
            elem_id="drums-from",
        )
        with gr.Column() as self.pattern_panel:
            names = [name for name in GROOVES if actions.is_playable(name)]
            with gr.Row(elem_classes="bar"):
                self.groove = gr.Dropdown(
                    names, value=None, label="Start from a groove", filterable=False, min_width=240
                )
                self.load_pattern = gr.UploadButton(
                    "Load .groove.json", size="sm", file_types=[GROOVE_SUFFIX], elem_id="load-pattern"
                )
                self.save_pattern = gr.Button("Save .groove.json", size="sm", elem_id="save-pattern")
            self.pattern = StepSequencer(self.start.pattern, bpm=self.start.tempo, elem_id="steps")
        with gr.Column(visible=False) as self.recording_panel:
            self.drum_file = gr.Audio(
                label="Drum recording, or a song with drums",
                type="filepath",
                sources=["upload", "microphone"],
                **PLAYER,
                elem_id="drum-file",
            )
            self.any_drum_file = gr.UploadButton(
                "Load a MIDI, .groove.json or audio file",
                size="sm",
                file_types=list(DRUM_FILES),
                elem_id="any-drum-file",
            )
            self.drum_source = gr.State(None)  # the last file that was loaded or recorded
            with gr.Row(elem_classes="bar"):
                self.separate = gr.Checkbox(False, label="Full mix: separate the drums", min_width=180)
                self.drum_start = gr.Number(0, minimum=0, label="Start at (seconds)", min_width=120)
                self.use_drums = gr.Button("Use recording", size="sm", elem_id="use-drums")
                self.edit_drums = gr.Button("Edit as steps", size="sm", elem_id="edit-drums")
            self.recording = gr.Audio(
                label="Drums as the model receives them",
                type="filepath",
                interactive=False,
                **PLAYER,
                elem_id="recording",
            )
        self.messages["drums"] = message()

    def _lay_out_melody(self):
        self.use_melody = gr.Checkbox(True, label="Follow this melody", elem_classes="plain", elem_id="use-melody")
        self.melody = PianoRoll(
            self.start.melody,
            bpm=self.start.tempo,
            chord_tones=chord_tones(self.start.chords),
            elem_id="roll",
        )
        self.messages["melody"] = message()
        with gr.Accordion("Hum or load a melody", open=False):
            self.melody_audio = gr.Audio(
                label="Hum, sing, whistle or load a recording",
                type="filepath",
                sources=["microphone", "upload"],
                **PLAYER,
                elem_id="melody-audio",
            )
            with gr.Row(elem_classes="bar"):
                self.one_voice = gr.Checkbox(True, label="Single voice or instrument", min_width=180)
                self.melody_start = gr.Number(0, minimum=0, label="Start at (seconds)", min_width=120)
                self.find_melody = gr.Button("Extract melody", size="sm")
            self.melody_track = gr.Textbox(
                "",
                label=TRACK_LABEL,
                info="Name or number of the track, then Enter. Leave empty to find the melody automatically.",
                max_length=100,
            )
            # Gradio's recorder accepts only what browsers classify as audio, so MIDI and WebM files need this button.
            self.melody_file = gr.UploadButton(
                "Load a MIDI or audio file", size="sm", file_types=list(MELODY_FILES), elem_id="melody-file"
            )

    def _lay_out_mixer(self):
        gr.HTML("<p>How strictly the music follows each control: 0 ignores it, 1 is normal, and 2 exaggerates it.</p>")
        for name in CONTROLS[:3]:
            scale = gr.Slider(
                *CONTROL_SCALE,
                1.0,
                step=0.05,
                label=f"Strength of the {name}",
                visible=name in ENGINE.controls,
                elem_id=f"{name}-scale",
            )
            setattr(self, f"{name}_scale", scale)
        self.best_of = gr.Slider(
            1,
            MAX_CANDIDATES,
            self.start.best_of,
            step=1,
            label="Candidates",
            info="For each take, the candidate that follows its controls best is kept.",
            elem_id="best-of",
        )
        with gr.Row():
            gain = {"step": 0.5, "min_width": 150}
            self.drums_gain = gr.Slider(*GAIN, self.start.drums_gain, label="Level of the drums (dB)", **gain)
            self.rest_gain = gr.Slider(*GAIN, self.start.rest_gain, label="Level of the rest (dB)", **gain)
        with gr.Row(elem_classes="bar"):
            self.reset_mixer = gr.Button("Reset the mixer", size="sm", elem_id="reset-mixer")
        slot = message()
        for name in MIXER_FIELDS:
            self.messages[name] = slot

    def _lay_out_edit(self):
        self.edit = gr.Radio(
            [("New music", "off"), ("Parts of a recording", "regions"), ("Variation of a recording", "variation")],
            value=self.start.edit,
            label="Generate",
            show_label=False,
            container=False,
            elem_id="edit",
        )
        with gr.Column(visible=False) as self.source_panel:
            self.source = gr.Audio(
                label="Recording",
                type="filepath",
                sources=["upload", "microphone"],
                **PLAYER,
                elem_id="source",
            )
        with gr.Column(visible=False) as self.regions_panel:
            self.regions = gr.Textbox(
                self.start.regions,
                label="Parts to regenerate (seconds)",
                info="The rest of the recording stays as it is, and so do its sampling rate and its channels.",
                placeholder="12-15, 45-52",
                max_length=MAX_REGIONS,
                elem_id="regions",
            )
            with gr.Row():
                added = {"minimum": 0, "maximum": DURATION[1], "min_width": 150}
                self.intro = gr.Number(self.start.intro, label="Add before (seconds)", **added, elem_id="intro")
                self.outro = gr.Number(self.start.outro, label="Add after (seconds)", **added, elem_id="outro")
        with gr.Column(visible=False) as self.strength_panel:
            self.strength = gr.Slider(
                *STRENGTH, self.start.strength, step=0.05, label="Strength", info="How much changes"
            )
        slot = message()
        for name in EDIT_FIELDS:
            self.messages[name] = slot

    def _lay_out_generation(self):
        with gr.Row():
            self.variations = gr.Slider(1, MAX_VARIATIONS, 1, step=1, label="Variations", min_width=150)
            self.seed = gr.Number(
                self.start.seed,
                label="Seed",
                info="The same seed gives the same music",
                precision=0,
                min_width=150,
                elem_id="seed",
            )
        self.new_seed = gr.Checkbox(True, label="New seed each time", elem_classes="plain", elem_id="new-seed")
        with gr.Accordion("Advanced", open=False):
            self.steps = gr.Slider(
                1,
                MAX_STEPS,
                self.start.steps,
                step=1,
                label="Steps",
                info=f"This model was distilled for {ENGINE.default_steps} steps."
                if ENGINE.is_distilled
                else "More steps are slower and more accurate.",
            )
            self.guidance_scale = gr.Slider(
                *GUIDANCE,
                self.start.guidance_scale,
                step=0.1,
                label="Guidance",
                info="How strictly the description and controls are followed.",
            )
            self.text_guidance_scale = gr.Slider(
                *GUIDANCE,
                self.start.text_guidance_scale,
                step=0.1,
                label="Text guidance",
                info="Extra weight of the description alone.",
            )
        with gr.Row():
            self.go = gr.Button("Generate", variant="primary", scale=3, min_width=160, elem_id="go")
            self.stop = gr.Button("Stop", variant="stop", interactive=False, scale=1, min_width=80, elem_id="stop")
        self.status = gr.HTML(
            format_messages("Your takes appear here."),
            min_height=60,
            elem_id="status",
            elem_classes="message",
        )
        for name in ("generate", "seed", "variations", "steps", "guidance_scale", "text_guidance_scale"):
            self.messages[name] = self.status

    def _lay_out_comparison(self):
        with gr.Accordion("Compare takes", open=False, elem_id="compare"):
            self.compared = []
            for name in "AB":
                choice = gr.Dropdown([], label=f"Take {name}", filterable=False)
                player = gr.Audio(label=f"Take {name}", show_label=False, interactive=False, **PLAYER)
                self.compared.append((choice, player))

    def _lay_out_loading(self):
        with gr.Accordion("Load settings", open=False, elem_id="load"):
            self.settings_file = gr.File(
                label="ZIP from this page, or its settings.json",
                height=110,
                elem_id="settings-file",
            )
            self.messages["file"] = message()
