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
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from diffusers.utils.logging import get_logger
from torch.nn import functional as F

from ..audio.io import AUDIO_SUFFIXES, load_audio
from ..controls.beats import FASTEST, SLOWEST
from ..controls.chords import chords_from_bars, chords_from_roman, is_in_bars, repeat_chords
from ..controls.drum_machine import GROOVES, find_groove
from ..controls.note_text import is_note_text, melody_from_text
from ..controls.progressions import PROGRESSIONS, chords_from_progression
from ..inputs import InputError, read_chords, read_drums, read_melody
from ..utils.arguments import integer, number
from ..utils.bundled import resolve_checkpoint
from ..utils.errors import shorten
from ..utils.files import looks_like_path


logger = get_logger(__name__)

DEFAULT_BPM = 120.0
NO_BPM = "none"
DEFAULT_BEATS_PER_BAR = 4


def add_control_arguments(parser: argparse.ArgumentParser):
    controls = parser.add_argument_group("controls")
    add = controls.add_argument
    add(
        "--chords",
        help="'C:0 Am:2.5' (start times in seconds), a chord, MIDI (song.mid, song.mid#piano) or audio file, or, with"
        " --bpm, chords in bars: 'C | Am | F G'",
    )
    add(
        "--progression",
        metavar="NAME",
        help=f"chord progression in --key, repeated until the end; one of: {', '.join(PROGRESSIONS)}",
    )
    add("--key", help="key of --progression (default: C) or of --chords in Roman numerals, such as Bb or Am")
    add("--repeat_chords", action="store_true", help="repeat --chords until the end")
    add(
        "--drums",
        help="recording of drums (with --separate_drums, of full music), or a MIDI file (song.mid, song.mid#drums)",
    )
    add("--groove", metavar="NAME", help=f"drum machine instead of --drums; one of: {', '.join(GROOVES)}")
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
        " and notes (default: the groove's, one that fits the prompt if the checkpoint has a tempo model, or 120);"
        " 'none' for no beats control",
    )
    add(
        "--beats_per_bar",
        type=integer(1, 64),
        help="beats per bar (default: the groove's, those that fit the prompt, or 4)",
    )
    add("--beats", metavar="FILE", help="recording whose beats the music follows, instead of --bpm")


class TempoSupport(NamedTuple):
    """Whether a checkpoint has a control `beats`, and a tempo model that chooses tempos."""

    beats: bool = False
    tempo_model: bool = False


def find_tempo_support(checkpoint: str) -> TempoSupport | None:
    """Reads the configuration of a local checkpoint in our layout or AudioCraft's; `None` for Hub ids."""
    with _silence():
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
        _check_combination(args)
        bpm = None if args.bpm == NO_BPM else args.bpm
        with _rename_errors("groove"):
            self.groove = None if args.groove is None else find_groove(args.groove, bpm)
        self.has_tempo = bpm is not None or self.groove is not None
        self.bpm = bpm or (self.groove.bpm if self.groove else DEFAULT_BPM)
        meter = DEFAULT_BEATS_PER_BAR if self.groove is None else self.groove.beats_per_bar
        self.beats_per_bar = args.beats_per_bar or meter
        self.melody = melody_from_text(args.melody, self.bpm) if is_note_text(args.melody) else args.melody or None
        self._support = find_tempo_support(args.checkpoint)
        if self._support is not None:
            self._check_tempo(self._support)
        self._check()

    def for_pipeline(
        self, duration: float, sampling_rate: int, support: TempoSupport = TempoSupport()
    ) -> dict[str, Any]:
        r"""
        Converts the controls to arguments of the pipeline.

        Args:
            duration (`float`): duration in seconds.
            sampling_rate (`int`): the pipeline's rate in Hz.
            support ([`TempoSupport`]): what the pipeline supports.

        Returns:
            `dict`: arguments of the pipeline.

        Raises:
            [`InputError`]: for a tempo that has no effect, or a missing one, if that depends on the checkpoint.
        """
        if self._support is None:
            self._check_tempo(support)
        drums = self.args.drums or None
        if self.groove is not None:
            # Padding compensates for `start`, which skips the beginning of recordings.
            padding = round(self.args.start * sampling_rate)
            drums = F.pad(self.groove.render(duration, sampling_rate), (padding, 0)), sampling_rate
        # Repeated chord files are already cut at `start` here; avoids the pipeline's warning about an unused `start`.
        is_start_used = self.args.repeat_chords and looks_like_path(self.args.chords) and not drums
        return {
            "chords": self._chords(duration),
            "drums": drums,
            "separate_drums": self.args.separate_drums,
            "normalize_drums": self.args.normalize_drums,
            "melody": self.melody if self._places_notes(support) else self.args.melody,
            "start": 0.0 if is_start_used and not isinstance(self.melody, str) else self.args.start,
            **self._tempo(support),
        }

    def _places_notes(self, support: TempoSupport) -> bool:
        """Whether notes and bars have the tempo `bpm`; otherwise the pipeline chooses one."""
        is_chosen = support.tempo_model and not self.has_tempo and not self.args.beats and self.args.bpm is None
        return not is_chosen or self.args.progression is not None or self.args.key is not None

    def _tempo(self, support: TempoSupport) -> dict[str, Any]:
        """The tempo as arguments of the pipeline."""
        args = self.args
        if args.beats:
            return {"beats": args.beats, "beats_per_bar": args.beats_per_bar}
        if not any(support):
            return {}
        if args.bpm == NO_BPM:
            return {"bpm": False}
        is_placed = self.has_tempo or args.progression is not None or args.key is not None or is_note_text(args.melody)
        if self._places_notes(support) and is_placed:
            return {"bpm": self.bpm, "beats_per_bar": self.beats_per_bar}
        return {"beats_per_bar": args.beats_per_bar}

    def _chords(self, duration: float) -> Any:
        args, chords = self.args, self.args.chords or None
        repeat_until = duration if args.repeat_chords else None
        if args.progression is not None:
            num_bars = math.ceil(duration * self.bpm / 60 / self.beats_per_bar - 1e-6)
            with _rename_errors("progression"):
                return chords_from_progression(
                    args.progression, args.key or "C", self.bpm, self.beats_per_bar, max(1, num_bars)
                )
        if chords is None:
            return None
        if is_in_bars(chords):
            if args.key is not None:
                return chords_from_roman(chords, args.key, self.bpm, self.beats_per_bar, repeat_until)
            if self.has_tempo:
                return chords_from_bars(chords, self.bpm, self.beats_per_bar, repeat_until)
            return chords
        return repeat_chords(read_chords(chords, start=args.start), duration) if args.repeat_chords else chords

    def _check_tempo(self, support: TempoSupport):
        """Raises an error for a tempo that has no effect, and for a missing one."""
        args, in_bars = self.args, is_in_bars(self.args.chords)
        has_effect = support.beats or in_bars or args.progression is not None
        if args.bpm not in (None, NO_BPM) and not (has_effect or args.groove or is_note_text(args.melody)):
            raise InputError(
                "`bpm` requires `chords` in bars, `progression`, `groove`, notes in `melody`, or a checkpoint with a beats"
                " control.",
                "bpm",
            )
        if args.beats_per_bar not in (None, DEFAULT_BEATS_PER_BAR) and not has_effect:
            logger.warning("`beats_per_bar` has no effect: it applies only to `chords` in bars and to `progression`.")
        needs_tempo = args.repeat_chords or self._places_notes(support)
        if in_bars and args.key is None and not self.has_tempo and needs_tempo:
            _check_times(args.chords)

    def _check(self):
        """Reads every control once. Recordings are only loaded, because extraction takes long."""
        with _silence():
            if is_audio(self.args.chords):
                load_audio(self.args.chords, "chords")
            else:
                read_chords(self._chords(1.0) or [], start=self.args.start, bpm=self.bpm)
            if self.args.drums:
                read_drums(self.args.drums, 16000, 16000, start=self.args.start)
            if self.args.beats:
                load_audio(self.args.beats, "beats")
            if is_audio(self.melody):
                load_audio(self.melody, "melody")
            elif self.melody is not None:
                read_melody(self.melody, 10, 10.0, self.args.start)


def is_audio(value: Any) -> bool:
    return isinstance(value, str) and value.lower().endswith(AUDIO_SUFFIXES)


@contextmanager
def _rename_errors(option: str) -> Iterator[None]:
    """Renames the argument `name` to the command-line option in errors raised within the block."""
    try:
        yield
    except InputError as error:
        raise error.renamed(option) if error.argument == "name" else error


def _check_combination(args: argparse.Namespace):
    for first, second in (("chords", "progression"), ("drums", "groove")):
        if getattr(args, first) and getattr(args, second) is not None:
            raise InputError(f"Give either `{first}` or `{second}`, not both.", first)
    if args.beats and args.bpm not in (None, NO_BPM):
        raise InputError("Give either `bpm` or `beats`, not both.", "bpm")
    is_constant = args.groove is not None or args.progression is not None or is_note_text(args.melody)
    if args.beats and (is_constant or is_in_bars(args.chords)):
        raise InputError(
            "`beats` can't be used with `chords` in bars, `progression`, `groove` or notes in `melody`, which have a"
            " constant tempo: set `bpm` instead.",
            "beats",
        )
    required = {
        "key": ("chords", "progression"),
        "repeat_chords": ("chords",),
        "separate_drums": ("drums",),
        "normalize_drums": ("drums", "groove"),
    }
    for name, options in required.items():
        # Omitted switches are `False`, except that `normalize_drums` is `None`.
        unset = (None, "") if name == "normalize_drums" else (None, "", False)
        if getattr(args, name) not in unset and not any(getattr(args, option) for option in options):
            raise InputError(f"`{name}` requires {' or '.join(f'`{option}`' for option in options)}.", name)
    if args.key is not None and args.chords and not is_in_bars(args.chords):
        raise InputError("`key` requires Roman numerals, but `chords` has labels with times.", "key")


def _check_times(chords: str):
    """For chords in bars or Roman numerals, raises an error that names the missing option."""
    if _is_readable(read_chords, chords):
        return
    if _is_readable(_read_bars, chords):
        raise InputError(
            f"`chords` has no times: for {shorten(chords)} in bars, add the tempo, such as --bpm 120; or give the"
            " start of each chord in seconds, as in 'C:0 Am:2.5'.",
            "chords",
        )
    if _is_readable(chords_from_roman, chords, "C"):
        raise InputError("`chords` are Roman numerals: add their `key`, such as --key C.", "chords")


def _read_bars(text: str):
    read_chords(chords_from_bars(text))


def _is_readable(read: Callable[..., Any], *arguments: Any) -> bool:
    try:
        with _silence():
            read(*arguments)
    except (InputError, OSError):
        return False
    return True


@contextmanager
def _silence() -> Iterator[None]:
    """Suppresses warnings, because the pipeline reads the controls again and repeats them."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
