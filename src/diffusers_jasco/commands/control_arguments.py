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

"""The controls of `jasco-generate`: converts command-line options to arguments of the pipeline."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..audio.io import AUDIO_SUFFIXES, load_audio
from ..controls import CONTROLS
from ..controls.beats import FASTEST, SLOWEST
from ..controls.chords import (
    bars_from_roman,
    chords_from_roman,
    is_in_bars,
    is_repeated,
    read_bars,
    repeat_chords,
)
from ..controls.drum_machine import GROOVES, Groove, is_groove_name, load_groove
from ..controls.lead_sheet import LeadSheet
from ..controls.note_text import is_note_text
from ..controls.progressions import PROGRESSIONS, bars_from_progression
from ..generation.suggestions import Suggestion, plan_suggestion
from ..inputs import InputError, SingleVoice, read_beats, read_chords, read_drums, read_melody
from ..utils.arguments import integer, number
from ..utils.bundled import resolve_checkpoint
from ..utils.cli import without_warnings
from ..utils.errors import shorten
from ..utils.files import looks_like_path


DEFAULT_BPM = 120.0
NO_BPM = "none"


def add_control_arguments(parser: argparse.ArgumentParser):
    controls = parser.add_argument_group("controls")
    add = controls.add_argument
    add(
        "--suggest",
        action="store_true",
        help="suggest chords, drums and a melody in the style that the prompt names, for the controls that are not given;"
        " --seed also decides the suggestion, and --bpm, --beats_per_bar and --key override the prompt",
    )
    add(
        "--chords",
        help="'C:0 Am:2.5' (start times in seconds), a chord, MIDI (song.mid, song.mid#piano) or audio file, or chords in"
        " bars: 'C | Am | F G'",
    )
    add(
        "--progression",
        metavar="NAME",
        help=f"chord progression in --key, repeated until the end; one of: {', '.join(PROGRESSIONS)}",
    )
    add(
        "--key",
        help="key of --progression (default: C), of --chords in Roman numerals, or of --suggest, such as Bb or Am",
    )
    add("--repeat_chords", action="store_true", help="repeat --chords until the end")
    add(
        "--drums",
        help="recording of drums (with --separate_drums, of full music), MIDI file (song.mid, song.mid#drums), or groove"
        " (loop.groove.json)",
    )
    add(
        "--groove",
        metavar="NAME",
        help=f"drum machine instead of --drums; a file such as loop.groove.json, or one of: {', '.join(GROOVES)}",
    )
    add("--separate_drums", action="store_true", help="extract the drums from the recording --drums first")
    add(
        "--normalize_drums",
        action=argparse.BooleanOptionalAction,
        help="normalize --drums to the loudness of the training data (default: as the checkpoint specifies)",
    )
    add(
        "--melody",
        help="notes of one beat each ('C4 D4 E4 -': '-' holds, '.' rests, 'C4:2' lasts 2 beats), or a MIDI (song.mid,"
        " song.mid#vocals), .npz, .th, .pt or audio file",
    )
    add(
        "--melody_method",
        choices=("builtin", "monophonic"),
        help="how the melody of an audio file is estimated: builtin for full music (default), or monophonic for a single"
        " voice (humming, singing, whistling)",
    )
    add(
        "--start",
        type=number(0, unit="seconds"),
        default=0.0,
        help="position in recordings, MIDI and chord files, in seconds, at which the music begins (default: 0)",
    )
    add(
        "--bpm",
        type=lambda text: NO_BPM
        if text.lower() == NO_BPM
        else number(SLOWEST, FASTEST, unit="beats per minute")(text),
        help="tempo of the music (if the checkpoint has a beats control), and of chords in bars, --progression, --groove"
        " and notes (default: the groove's, one that fits the prompt if the checkpoint has a tempo model, or 120, except"
        " for chords in bars); 'none' for no beats control",
    )
    add(
        "--beats_per_bar",
        type=integer(1, 64),
        help="beats per bar (default: the groove's, those that fit the prompt, or 4)",
    )
    add(
        "--beats",
        type=_times_or_file,
        help="beats that the music follows, instead of --bpm: their times in seconds ('0 0.6 1.3'), the first of which is"
        " a downbeat, or a recording",
    )


def _times_or_file(text: str) -> list[float] | str:
    """The times in a text such as `"0 0.6 1.3"`, or the text itself if it is something else."""
    try:
        return [float(word) for word in text.replace(",", " ").split()] or text
    except ValueError:
        return text


class TempoSupport(NamedTuple):
    """Whether a checkpoint has a control `beats`, and a tempo model that chooses tempos."""

    beats: bool = False
    tempo_model: bool = False


def find_tempo_support(checkpoint: str) -> TempoSupport | None:
    """Reads the configuration of a local checkpoint in our layout or AudioCraft's; `None` for Hub ids."""
    with without_warnings():
        folder = Path(resolve_checkpoint(checkpoint))
    if not folder.exists():
        return None
    if not (folder / "model_index.json").is_file():
        return TempoSupport()
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    return TempoSupport(bool(config.get("beats")), (index.get("tempo_model") or [None])[0] is not None)


class Controls:
    r"""
    The requested controls. The constructor checks everything that can be checked without the checkpoint.

    Args:
        args (`argparse.Namespace`): the options of [`add_control_arguments`].

    Raises:
        [`InputError`], `FileNotFoundError`: if options are invalid or incompatible.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self._in_beats = options_in_beats(args)
        _check_combination(args, self._in_beats)
        with rename_errors("groove"):
            groove = None if args.groove is None else load_groove(args.groove)
        if groove and args.beats_per_bar and args.bpm != NO_BPM:
            groove.check_beats_per_bar(args.beats_per_bar)
        self.drums = groove or args.drums or None
        self.melody = SingleVoice(args.melody) if args.melody_method == "monophonic" else args.melody or None
        support = find_tempo_support(args.checkpoint)
        self.suggestion = self._plan_suggestion() if args.suggest else None
        self.suggested: LeadSheet | None = None  # known with the duration
        if support is not None:
            self._check_tempo(support)
        self._check()

    def _plan_suggestion(self) -> Suggestion:
        args = self.args
        given = {name: getattr(args, name) for name in CONTROLS}
        given["groove"] = self.drums if isinstance(self.drums, Groove) else None
        if args.progression is not None:
            given["chords"] = self._chords(1.0)
        bpm = False if args.bpm == NO_BPM else args.bpm
        return plan_suggestion(args.prompt, args.seed, given, bpm, args.beats_per_bar, args.key)

    def for_pipeline(
        self, duration: float, has_tempo_model: bool = False, available: Collection[str] = CONTROLS
    ) -> dict[str, Any]:
        r"""
        Converts the controls to arguments of the pipeline.

        Args:
            duration (`float`): duration in seconds.
            has_tempo_model (`bool`, defaults to `False`): whether the pipeline can choose a tempo.
            available (`Collection[str]`): the controls of the pipeline; others are not suggested.

        Returns:
            `dict`: arguments of the pipeline.
        """
        args = self.args
        # Chord files that are repeated are already cut at `start`, except for bars, to which it does not apply.
        beats = args.beats if isinstance(args.beats, str) else None
        files = [args.drums, beats, None if is_note_text(args.melody) else args.melody]
        is_cut = args.repeat_chords and looks_like_path(args.chords) and not (is_in_bars(args.chords) or any(files))
        arguments = {
            "chords": self._chords(duration),
            "drums": self.drums,
            "separate_drums": args.separate_drums,
            "normalize_drums": args.normalize_drums,
            "melody": self.melody,
            "start": 0.0 if is_cut else args.start,
            "bpm": self._bpm(has_tempo_model),
            "beats_per_bar": args.beats_per_bar,
            "beats": None if args.beats == "" else args.beats,
        }
        if self.suggestion is None:
            return arguments
        suggestion = self.suggestion
        if suggestion.chords is not None:
            suggestion = replace(suggestion, chords=arguments["chords"])
        print(f"Suggested {suggestion.describe()}", file=sys.stderr)
        self.suggested = suggestion.sheet(duration)
        suggested = suggestion.controls(duration)
        # The tempo has no effect on controls in seconds.
        has_tempo = suggestion.is_in_beats or "beats" in available
        tempo = {"bpm": suggestion.tempo, "beats_per_bar": suggestion.beats_per_bar}
        arguments |= tempo if has_tempo else dict.fromkeys(tempo)
        return arguments | {name: value for name, value in suggested.items() if name in available}

    def fit_duration(self, window: float) -> float | None:
        """The requested duration in seconds; with a suggestion, by default the whole bars within the trained window."""
        if self.args.duration is not None or self.suggestion is None:
            return self.args.duration
        return self.suggestion.fit(window)

    def _chords(self, duration: float) -> Any:
        args, chords = self.args, self.args.chords or None
        if args.progression is not None:
            with rename_errors("progression"):
                return _repeat(bars_from_progression(args.progression, args.key or "C"))
        if not is_in_bars(chords):
            return repeat_chords(read_chords(chords, start=args.start), duration) if args.repeat_chords else chords
        if args.key is not None:
            chords = bars_from_roman(read_bars(chords), args.key)
        return _repeat(read_bars(chords)) if args.repeat_chords else chords

    def _bpm(self, has_tempo_model: bool) -> float | bool | None:
        """The requested tempo, or a default one if the pipeline would need a tempo but have none."""
        if self.args.bpm is not None:
            return False if self.args.bpm == NO_BPM else self.args.bpm
        if not self._in_beats or self._needs_bpm or self._has_or_finds_tempo(has_tempo_model):
            return None
        return DEFAULT_BPM

    @property
    def _needs_bpm(self) -> bool:
        """Whether a missing tempo is an error: chords in bars have no default tempo."""
        return "chords" in self._in_beats and self.args.key is None

    def _has_or_finds_tempo(self, has_tempo_model: bool) -> bool:
        """Whether the music has a tempo without `bpm`. The pipeline chooses none with drums or a melody in seconds."""
        args = self.args
        is_free = not args.drums and (not args.melody or is_note_text(args.melody))
        return args.groove is not None or (has_tempo_model and is_free)

    def _check_tempo(self, support: TempoSupport):
        """Raises an error for a tempo that has no effect, and for a missing one."""
        bpm = self.args.bpm
        if bpm not in (None, NO_BPM) and not (support.beats or self._in_beats or self.suggestion):
            raise InputError(
                "`bpm` requires `chords` in bars, `progression`, `groove`, notes in `melody`, `suggest`, or a checkpoint with"
                " a beats control.",
                "bpm",
            )
        is_missing = bpm is None and not (self.suggestion or self._has_or_finds_tempo(support.tempo_model))
        if self._needs_bpm and is_missing and _is_readable(read_chords, self.args.chords, bpm=DEFAULT_BPM):
            raise InputError(
                f"`chords` has no times: for {shorten(self.args.chords)} in bars, add the tempo, such as --bpm 120; or"
                " give the start of each chord in seconds, as in 'C:0 Am:2.5'.",
                "chords",
            )

    def _check(self):
        """Reads every control once. Recordings are only loaded, because extraction takes long."""
        args = self.args
        if self._needs_bpm and not _is_readable(read_chords, args.chords, bpm=DEFAULT_BPM):
            if _is_readable(chords_from_roman, args.chords, "C"):
                raise InputError("`chords` are Roman numerals: add their `key`, such as --key C.", "chords")
        # The pipeline reads the controls again and repeats the warnings.
        with without_warnings():
            if is_audio(args.chords):
                load_audio(args.chords, "chords")
            else:
                read_chords(self._chords(1.0) or [], start=args.start, bpm=DEFAULT_BPM)
            if args.drums:
                read_drums(args.drums, 16000, 16000, start=args.start)
            if isinstance(args.beats, (list, tuple)):
                read_beats(args.beats)
            elif args.beats:
                load_audio(args.beats, "beats") if is_audio(args.beats) else read_beats(args.beats)
            if is_audio(args.melody):
                load_audio(args.melody, "melody")
            elif args.melody:
                read_melody(args.melody, 10, 10.0, args.start, DEFAULT_BPM)


def is_audio(value: Any) -> bool:
    return isinstance(value, str) and value.lower().endswith(AUDIO_SUFFIXES)


@contextmanager
def rename_errors(option: str) -> Iterator[None]:
    """Renames the argument `name` or `path` to the command-line option in errors raised within the block."""
    try:
        yield
    except InputError as error:
        raise error.renamed(option) if error.argument in ("name", "path") else error
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("`path`", f"`{option}`")) from None


def options_in_beats(args: argparse.Namespace) -> set[str]:
    """The options that are given in bars or beats."""
    is_given = {
        "chords": is_in_bars(args.chords),
        "progression": args.progression is not None,
        "groove": args.groove is not None,
        "melody": is_note_text(args.melody),
    }
    return {name for name, given in is_given.items() if given}


def _repeat(bars: str) -> str:
    """Adds a repeat sign to chords in bars, unless they have one."""
    return bars if is_repeated(bars) else f"{bars.rstrip('| ')} :|"


def _check_combination(args: argparse.Namespace, in_beats: set[str]):
    for first, second in (("chords", "progression"), ("drums", "groove")):
        if getattr(args, first) and getattr(args, second) is not None:
            raise InputError(f"Give either `{first}` or `{second}`, not both.", first)
    if is_groove_name(args.drums) and not os.path.exists(args.drums):
        raise InputError(
            f"`drums`: the file {shorten(args.drums)} does not exist; for the preset of this name, use `groove`.",
            "drums",
        )
    if args.beats and args.bpm is not None:
        raise InputError("Give either `bpm` or `beats`, not both.", "bpm")
    if args.beats and in_beats:
        raise InputError(
            "`beats` can't be used with `chords` in bars, `progression`, `groove` or notes in `melody`, which have a"
            " constant tempo: set `bpm` instead.",
            "beats",
        )
    if args.bpm == NO_BPM and in_beats - {"groove"}:
        raise InputError(
            f"`bpm` can't be '{NO_BPM}' with `chords` in bars, `progression` or notes in `melody`, which need a tempo:"
            f" omit `bpm`, or set a number such as {DEFAULT_BPM:g}.",
            "bpm",
        )
    required = {
        "key": ("chords", "progression", "suggest"),
        "repeat_chords": ("chords",),
        "separate_drums": ("drums",),
        "normalize_drums": ("drums", "groove", "suggest"),
    }
    for name, options in required.items():
        # Omitted switches are `False`, except that `normalize_drums` is `None`.
        unset = (None, "") if name == "normalize_drums" else (None, "", False)
        if getattr(args, name) not in unset and not any(getattr(args, option) for option in options):
            raise InputError(f"`{name}` requires {' or '.join(f'`{option}`' for option in options)}.", name)
    if args.melody_method is not None and not is_audio(args.melody):
        raise InputError(
            f"`melody_method` requires an audio file as `melody`, but it is {shorten(args.melody)}.", "melody_method"
        )
    if args.key is not None and args.chords and not is_in_bars(args.chords):
        raise InputError("`key` requires Roman numerals, but `chords` has labels with times.", "key")


def _is_readable(read: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
    try:
        # The pipeline reads the controls again and repeats the warnings.
        with without_warnings():
            read(*arguments, **options)
    except (InputError, OSError):
        return False
    return True
