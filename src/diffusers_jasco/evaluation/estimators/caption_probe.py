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

"""Checks whether music matches its caption, with a small network trained on the package's synthetic music."""

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
        item (`dict`): a clip of synthetic music, or a line of its `metadata.jsonl`. Missing keys give `None`.

    Returns:
        `dict[str, str | None]`: `style`; `lead`, the family of the lead instrument (one of
        [`~data.synthetic.instruments.LEAD_FAMILIES`], or "none" without a lead); `tempo`: slow, medium or fast;
        `energy`: calm, medium or energetic; `drums`: yes or no.
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
        item (`dict`): `caption`, and the keys that [`true_answers`] reads. `drums` is read from the caption only, as
            the item may have the drums of another clip.

    Returns:
        `dict[str, str | None]`: the true answers that the caption mentions in the words of
        [`~data.synthetic.captions`], `None` for the others.
    """
    caption, answers = (item.get("caption") or "").lower(), true_answers(item)
    words = dict.fromkeys(QUESTIONS, ())
    if answers["style"] is not None:
        words["style"] = style_words(answers["style"])
    if answers["lead"] not in (None, "none"):
        # An accompanying part may have the same instrument.
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
    mentioned = {question: answers[question] if mentions(caption, words[question]) else None for question in QUESTIONS}
    # "no" comes first, as "no drums" contains "drums". "with" may be apart: "with piano and a beat".
    drums = {answer: [word.removeprefix("with ") for word in DRUM_WORDS[answer]] for answer in ("no", "yes")}
    return mentioned | {"drums": next((answer for answer in drums if mentions(caption, drums[answer])), None)}


@lru_cache(maxsize=1)
def _model() -> CaptionModel:
    model = CaptionModel.from_pretrained(Path(__file__).parent / "weights" / "captions")
    return model.float().eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def predict_answers(audio: Any) -> dict[str, str]:
    """Estimated answers by question, for audio as [`~evaluation.estimators.spectra.load_mono`] takes it."""
    model = _model()
    logits = model(band_levels(load_mono(audio))[None])
    return {question: model.config.answers[question][int(logits[question].argmax())] for question in QUESTIONS}


def score_answers(estimate: dict[str, str], item: dict[str, Any]) -> dict[str, float]:
    """By question: 1 if the estimate agrees with the caption, 0 if it differs, NaN if the caption has no answer."""
    reference = read_caption(item)
    return {
        question: math.nan if reference[question] is None else float(reference[question] == estimate[question])
        for question in QUESTIONS
    }
