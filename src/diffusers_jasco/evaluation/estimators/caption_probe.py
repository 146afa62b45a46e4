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

"""Whether music is what its caption says: what a small network hears, that has learned from originals of the synthetic music."""

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ...data.synthetic.captions import (
    DRUM_WORDS,
    ENERGY_WORDS,
    LEAD_FORMS,
    TEMPO_WORDS,
    instrument_words,
    mentions,
    style_words,
    tempo_word,
)
from ...data.synthetic.instruments import LEAD_FAMILIES
from .caption_model import CaptionModel, band_levels
from .spectra import load_mono


NAME = "caption probe"  # of the estimator
QUESTIONS = ("style", "lead", "tempo", "energy", "drums")
_FAMILY_OF = {instrument: family for family, instruments in LEAD_FAMILIES.items() for instrument in instruments}


def true_answers(item: dict[str, Any]) -> dict[str, str | None]:
    r"""
    Args:
        item (`dict`): a clip of synthetic music, or a line of its `metadata.jsonl`. What it lacks has no answer.

    Returns:
        `dict[str, str | None]`: its `style`; `lead`, the family of the instrument that plays the tune (one of
        [`~data.synthetic.instruments.LEAD_FAMILIES`], or "none" without a tune); `tempo`: slow, medium or fast; `energy`: calm, medium or
        energetic; `drums`: yes or no.
    """
    lead, onsets = item.get("instruments"), item.get("drum_onsets")
    if lead is not None:
        lead = _FAMILY_OF.get(lead["lead"]) if "lead" in lead else "none"
    return {
        "style": item.get("style"),
        "lead": lead,
        "tempo": tempo_word(item["tempo"]) if item.get("tempo") else None,
        "energy": item.get("energy"),
        "drums": None if onsets is None else "yes" if onsets else "no",
    }


def read_caption(item: dict[str, Any]) -> dict[str, str | None]:
    r"""
    Args:
        item (`dict`): `caption`, and what [`true_answers`] reads. Music may have got another clip's drums, so whether there are
            any is read from the caption alone.

    Returns:
        `dict[str, str | None]`: of the true answers those that the caption gives, in one of the words of [`~data.synthetic.captions`];
        `None` where it leaves the question open.
    """
    caption, answers = (item.get("caption") or "").lower(), true_answers(item)
    words = dict.fromkeys(QUESTIONS, ())
    if answers["style"] is not None:
        words["style"] = style_words(answers["style"])
    if answers["lead"] not in (None, "none"):
        # Another part may have the same instrument.
        names = instrument_words(item["instruments"]["lead"])
        words["lead"] = [name if "lead" in name else form.format(name) for name in names for form in LEAD_FORMS]
    if answers["tempo"] is not None:
        numbers = re.findall(r"\d+(?= bpm)", caption)
        words["tempo"] = [
            *TEMPO_WORDS[answers["tempo"]],
            *(f"{number} bpm" for number in numbers if abs(int(number) - item["tempo"]) < 1),
        ]
    if answers["energy"] is not None:
        words["energy"] = ENERGY_WORDS[answers["energy"]]
    said = {question: answers[question] if mentions(caption, words[question]) else None for question in QUESTIONS}
    # "drums" is in "no drums", too; and sentences have "with piano and a beat".
    drums = {answer: [word.removeprefix("with ") for word in DRUM_WORDS[answer]] for answer in ("no", "yes")}
    return said | {"drums": next((answer for answer in drums if mentions(caption, drums[answer])), None)}


@lru_cache(maxsize=1)
def _model() -> CaptionModel:
    model = CaptionModel.from_pretrained(Path(__file__).parent / "weights" / "captions")
    return model.float().eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def predict_answers(audio: Any) -> dict[str, str]:
    """By question what is heard in audio of any length, as [`~evaluation.estimators.spectra.load_mono`] takes it."""
    model = _model()
    logits = model(band_levels(load_mono(audio))[None])
    return {question: model.config.answers[question][int(logits[question].argmax())] for question in QUESTIONS}


def score_answers(estimate: dict[str, str], item: dict[str, Any]) -> dict[str, float]:
    """By question 1 where what is heard is what the caption says, 0 where it is not, NaN where the caption leaves it open."""
    said = read_caption(item)
    return {
        question: math.nan if said[question] is None else float(said[question] == estimate[question])
        for question in QUESTIONS
    }
