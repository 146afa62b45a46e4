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

"""The options of `jasco-generate` for lead sheets, which supply the controls that other options don't give."""

import argparse
from pathlib import Path
from typing import Any

import torch

from ..controls.lead_sheet import LeadSheet, read_lead_sheet
from ..controls.lead_sheet.charts.ireal import is_ireal
from ..controls.lead_sheet.files import check_suffix
from ..controls.lead_sheet.playback import cut_controls
from ..generation.requests import cut_ending
from ..utils.arguments import check_writable, integer
from ..utils.errors import InputError
from .control_arguments import NO_BPM, options_in_beats, rename_errors


def add_lead_sheet_arguments(parser: argparse.ArgumentParser):
    group = parser.add_argument_group(
        "lead sheets (they supply the prompt, the duration, and the controls that other options don't give)"
    )
    add = group.add_argument
    add(
        "--lead_sheet",
        metavar="FILE",
        help="song in ABC, MusicXML, MIDI, ChordPro, iReal Pro, as a text chart, or JSON; --bpm changes its tempo",
    )
    add("--tune", help="number or title of a tune of --lead_sheet, if the file has several (default: the first)")
    add("--part", help="name or number of the melody's part of --lead_sheet (default: the most likely one)")
    add("--transpose", type=integer(-48, 48), help="semitones by which --lead_sheet is transposed")
    add(
        "--save_lead_sheet",
        metavar="FILE",
        help="write the lead sheet, or that of --suggest: .abc, .musicxml, .mxl, .mid, .lab or .json",
    )


class Sheet:
    r"""
    The lead sheet of a command, if there is one.

    Args:
        args (`argparse.Namespace`): the options of `jasco-generate`.

    Raises:
        [`InputError`], `FileNotFoundError`: if the file can't be read, or options are incompatible.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.sheet: LeadSheet | None = None
        if args.save_lead_sheet is not None:
            check_suffix(args.save_lead_sheet, "save_lead_sheet")
            check_writable(args.save_lead_sheet)
        if args.lead_sheet is None:
            for name in ("tune", "part", "transpose"):
                if getattr(args, name) is not None:
                    raise InputError(f"`{name}` requires `lead_sheet`.", name)
            if args.save_lead_sheet is not None and not args.suggest:
                raise InputError("`save_lead_sheet` requires `lead_sheet` or `suggest`.", "save_lead_sheet")
            return
        if args.suggest:
            raise InputError("Give either `lead_sheet` or `suggest`, not both.", "suggest")
        if args.bpm == NO_BPM:
            raise InputError("`bpm` can't be 'none' with `lead_sheet`, which has a tempo.", "bpm")
        if args.beats:
            raise InputError("Give either `lead_sheet` or `beats`, not both.", "beats")
        sheet = _read(args)
        sheet = sheet.transpose(args.transpose or 0)
        if args.bpm is not None:
            sheet = sheet.with_tempo(args.bpm)
        if args.groove is not None:
            with rename_errors("groove"):
                sheet = sheet.with_groove(args.groove)
        self.sheet = cut_ending(sheet) if args.loop else sheet

    def other_options(self) -> argparse.Namespace:
        """
        The options without those that the lead sheet takes: the groove, and the tempo. Options in bars or beats have the
        tempo and the time signature of the lead sheet.
        """
        if self.sheet is None:
            return self.args
        taken: dict[str, Any] = {"groove": None, "bpm": None}
        if options_in_beats(self.args) - {"groove"}:
            signature = self.sheet.time_signature
            taken["bpm"] = self.sheet.tempo * float(self.sheet.beat_unit / signature.beat)
            taken["beats_per_bar"] = self.args.beats_per_bar or int(signature.length / signature.beat)
        return argparse.Namespace(**vars(self.args) | taken)

    def complete(self, arguments: dict[str, Any], has_beats: bool, keeps_duration: bool) -> dict[str, Any]:
        r"""
        Adds the controls of the lead sheet to arguments of the pipeline, where they are missing.

        Args:
            arguments (`dict`): `prompt`, `duration` and the controls.
            has_beats (`bool`): whether the checkpoint has a beats control.
            keeps_duration (`bool`): whether the duration is that of a recording.
        """
        if self.sheet is None:
            return arguments
        supplied = self.sheet.to_controls(self.args.prompt)
        if has_beats and arguments["bpm"] is None:
            supplied["beats"] = self.sheet.beats()
        if keeps_duration:
            del supplied["duration"]
        if arguments["duration"] is not None:
            supplied = cut_controls(supplied, arguments["duration"])
        return arguments | {
            name: value for name, value in supplied.items() if name == "prompt" or arguments.get(name) is None
        }

    def finish(self, audio: torch.Tensor, sampling_rate: int) -> torch.Tensor:
        """Fades out music `(channels, samples)` if the lead sheet says so, unless the duration is another one."""
        if self.sheet is None or self.args.duration is not None:
            return audio
        return self.sheet.fade(audio, sampling_rate)

    def save(self, suggested: LeadSheet | None):
        """Writes the lead sheet, or the suggested one, if requested."""
        sheet = self.sheet or suggested
        if sheet is not None and self.args.save_lead_sheet is not None:
            sheet.save(self.args.save_lead_sheet)
            print(self.args.save_lead_sheet)


def _read(args: argparse.Namespace) -> LeadSheet:
    # Other texts are names of files, also without a suffix.
    source = args.lead_sheet if is_ireal(args.lead_sheet) else Path(args.lead_sheet)
    try:
        return read_lead_sheet(source, _number_or_name(args.part), _number_or_name(args.tune))
    except InputError as error:
        raise error.renamed("lead_sheet") if error.argument == "source" else error from None
    except FileNotFoundError:
        raise FileNotFoundError(f"`lead_sheet`: the file {args.lead_sheet} does not exist.") from None


def _number_or_name(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else text
