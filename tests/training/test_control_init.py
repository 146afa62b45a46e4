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


import pytest
import torch

from diffusers_jasco import JascoTransformerModel
from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.training.control_init import init_controls_from_notes


def make_model(**options):
    sizes = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "ff_inner_dim": 32, "text_dim": 16}
    return JascoTransformerModel(in_channels=8, **sizes | options)


@pytest.mark.parametrize("chords_dim, melody_dim", [(32, 24), (16, 8)])
def test_related_chords_and_pitches_start_close_to_each_other(chords_dim, melody_dim):
    torch.manual_seed(0)
    model = make_model(chords_dim=chords_dim, melody_dim=melody_dim)
    init_controls_from_notes(model)
    labels = default_chord_labels()
    table = model.chord_embedding.weight

    def distance(first, second):
        return (table[labels.index(first)] - table[labels.index(second)]).norm()

    assert distance("C", "C7") < distance("C", "F#")
    assert distance("Am", "C") < distance("Ebm", "C")
    assert distance("C", "C/E") > 0.5
    pitches = model.melody_proj.weight.T
    # G3 and G4 compared with G3 and an unrelated pitch between them.
    assert (pitches[12] - pitches[24]).norm() < (pitches[12] - pitches[18]).norm() + 0.5
    assert (pitches[12] - pitches[13]).norm() > 0.5


def test_nulls_and_absent_controls():
    model = make_model(chords_dim=24)
    init_controls_from_notes(model)
    assert torch.equal(model.chord_embedding.weight[model.null_controls["chords"]], torch.zeros(24))
    assert torch.equal(model.chord_embedding.weight[0], torch.zeros(24)) and default_chord_labels()[0] == "N"
    init_controls_from_notes(make_model(chords_dim=None, melody_dim=None))
