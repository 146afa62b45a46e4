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


"""Pretraining of small text encoders: from a caption, they tell the properties of the clip."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from ..data import SyntheticMusic
from ..evaluation.estimators.caption_probe import true_answers
from ..utils.engines import LocalEngine


STEMS = ("bass", "comp", "pad", "lead")


class Composer:
    """Composes clips: their captions, and their properties."""

    def __init__(self, split: str, num_clips: int):
        self.music = SyntheticMusic(split, num_clips, "both", renderer=None)

    def __call__(self, index: int) -> tuple[list[str], dict[str, str | None]]:
        clip = self.music.score(index).annotations
        return clip["captions"], {
            **true_answers(clip),
            **{f"{stem} instrument": clip["instruments"].get(stem, "none") for stem in STEMS},
            "tempo range": str(round(6 * math.log2(clip["tempo"]))),  # sixths of an octave
            "time signature": clip["time_signature"],
            "mode": clip["key"].split()[-1],
            "form": clip["form"],
        }


def compose_clips(split: str, num_clips: int, processes: int) -> list[tuple[list[str], dict[str, str | None]]]:
    """Captions and properties of clips. They are sorted, so that they do not depend on the number of processes."""
    clips = LocalEngine(processes, threads=1).map(Composer(split, num_clips), range(num_clips))
    return [clip for _, clip in sorted(tqdm(clips, total=num_clips, desc=split), key=lambda pair: pair[0])]


class PropertyModel(torch.nn.Module):
    """
    A text encoder with a linear classifier for each property.

    Args:
        text_encoder ([`~transformers.T5EncoderModel`]): the text encoder.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): its tokenizer.
        values (`dict[str, list[str]]`): property → its values.
    """

    def __init__(
        self, text_encoder: T5EncoderModel, tokenizer: PreTrainedTokenizerBase, values: dict[str, list[str | None]]
    ):
        super().__init__()
        self.text_encoder, self.tokenizer, self.values = text_encoder, tokenizer, values
        width = text_encoder.config.d_model
        self.classifiers = torch.nn.ModuleDict({name: torch.nn.Linear(width, len(values[name])) for name in values})

    def forward(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Property → logits (captions, values)."""
        tokens = self.tokenizer(list(captions), padding=True, return_tensors="pt").to(self.text_encoder.device)
        outputs = self.text_encoder(**{name: tokens[name] for name in ("input_ids", "attention_mask")})[0]
        weights = tokens["attention_mask"][..., None] / tokens["attention_mask"].sum(1)[:, None, None]
        pooled = (weights * outputs).sum(1)
        return {name: classifier(pooled) for name, classifier in self.classifiers.items()}

    def save_pretrained(self, folder: Path):
        """Saves the text encoder."""
        self.text_encoder.save_pretrained(folder)
