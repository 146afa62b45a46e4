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


"""Initialization of the control layers from music theory, which small models need not learn from data then."""

import torch

from ..controls.chord_labels import is_no_chord, parse_chord
from ..controls.melody import LOWEST_PITCH
from ..models.transformer_jasco import JascoTransformerModel


@torch.no_grad()
def init_controls_from_notes(transformer: JascoTransformerModel):
    r"""
    Initializes the chord embedding from the pitch classes and bass of each chord, and the melody projection from the
    pitch class and height of each pitch, so that similar chords and pitches start close to each other. Layers that are
    narrower than these features get a random projection of them; additional columns start with small random values.

    Args:
        transformer ([`JascoTransformerModel`]): changed in place. Controls that it does not have are skipped.
    """
    controls = transformer.controls
    if "chords" in controls:
        weight = transformer.chord_embedding.weight
        weight.copy_(_fit_width(_describe_chords(transformer.config.chord_labels, len(weight)), weight.shape[1]))
    if "melody" in controls:
        weight = transformer.melody_proj.weight
        weight.copy_(_fit_width(_describe_pitches(weight.shape[1]), weight.shape[0]).T)


def _describe_chords(labels: list[str], rows: int) -> torch.Tensor:
    """Pitch classes and the bass of chords: (rows, 24). Rows without a chord (N, the null) are zero."""
    table = torch.zeros(rows, 24)
    for index, label in enumerate(labels):
        chord = None if is_no_chord(label) else parse_chord(label)
        if chord is not None:
            table[index, list(chord.pitch_classes)] = 1
            table[index, 12 + chord.bass_pitch_class] = 1
    return table * 2


def _describe_pitches(rows: int) -> torch.Tensor:
    """Pitch class and four overlapping pitch ranges: (rows, 16)."""
    pitches = LOWEST_PITCH + torch.arange(rows)
    classes = torch.nn.functional.one_hot(pitches % 12, 12).float()
    centers = torch.linspace(0, rows - 1, 4)
    heights = torch.exp(-(((torch.arange(rows)[:, None] - centers) / 10) ** 2))
    return torch.cat([classes, heights], dim=1) * 2


def _fit_width(table: torch.Tensor, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    if width >= table.shape[1]:
        rest = 0.1 * torch.randn(len(table), width - table.shape[1], generator=generator)
        return torch.cat([table, rest], dim=1)
    return table @ torch.randn(table.shape[1], width, generator=generator) / width**0.5
