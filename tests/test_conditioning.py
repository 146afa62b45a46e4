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

from diffusers_jasco.conditioning import JascoConditioning, TextSection
from diffusers_jasco.controls.beats import Tempo


LABELS = 7
NULL_CHORD = LABELS


def make(batch: int = 2, frames: int = 6, sections: int = 1, **fields) -> JascoConditioning:
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(shape, generator=generator)

    mask = torch.tensor([[True] * 4, [True, True, False, False]])[:batch]
    return JascoConditioning(
        tuple(TextSection(2 * i, randn(batch, 4, 3), mask, mask) for i in range(sections)),
        controls={
            "chords": torch.randint(0, LABELS, (batch, frames), generator=generator),
            "drums": randn(batch, frames, 5),
        },
        nulls={"chords": NULL_CHORD, "drums": 0},
        **fields,
    )


def test_a_branch_keeps_its_conditions_and_nulls_the_others():
    conditioning = make(context=torch.ones(2, 6, 5))
    branch = conditioning.keep({"text", "drums"})
    assert (branch.controls["chords"] == NULL_CHORD).all() and branch.controls["chords"].dtype == torch.int64
    assert torch.equal(branch.controls["drums"], conditioning.controls["drums"])
    assert torch.equal(branch.sections[0].mask, conditioning.sections[0].mask)
    null = conditioning.keep(())
    assert not null.sections[0].mask.any() and (null.controls["drums"] == 0).all()
    assert torch.equal(null.context, conditioning.context), "the context stays in every branch"
    assert (conditioning.controls["chords"] < NULL_CHORD).all(), "the source is unchanged"


def test_masks_of_samples_and_frames():
    conditioning = make()
    frames = torch.tensor([[True] * 6, [False, False, True, True, False, True]])
    masked = conditioning.mask(
        {"chords": frames, "drums": torch.tensor([False, True]), "text": torch.tensor([True, False])}
    )
    assert ((masked.controls["chords"] != NULL_CHORD) == frames).all()
    assert (masked.controls["drums"][0] == 0).all()
    assert torch.equal(masked.controls["drums"][1], conditioning.controls["drums"][1])
    assert masked.sections[0].mask.any(dim=1).tolist() == [True, False]
    assert masked.mask({}).controls["chords"] is masked.controls["chords"], "without an entry a condition is kept"


def test_a_row_of_zeros_is_not_a_missing_control():
    conditioning = make()
    conditioning.controls["drums"][0] = 0
    assert conditioning.presence["drums"].tolist() == [True, True]
    partly = make(given={"drums": torch.tensor([True, False])})
    assert partly.presence["drums"].tolist() == [True, False] and partly.presence["chords"].all()


def test_slices_are_independent_timelines():
    conditioning = make(sections=3, context=torch.arange(12.0).reshape(2, 6, 1), duration=5.5)
    part = conditioning.slice(3, 5)
    assert part.num_frames == 2 and part.duration is None
    assert torch.equal(part.controls["chords"], conditioning.controls["chords"][:, 3:5])
    assert part.context[0, :, 0].tolist() == [3.0, 4.0]
    # The sections begin at frames 0, 2 and 4.
    assert [section.first_frame for section in part.sections] == [0, 1]
    assert torch.equal(part.sections[0].states, conditioning.sections[1].states)
    assert len(conditioning.slice(0, 2).sections) == 1
    with pytest.raises(ValueError, match="Frames 4 to 7"):
        conditioning.slice(4, 7)


def test_tempos_follow_slices_repeats_and_batches():
    tempos = (Tempo(96.0, 4), None)
    conditioning = make(tempos=tempos)
    assert conditioning.repeat(2).tempos == (tempos[0], tempos[0], None, None)
    assert conditioning.slice(0, 2).tempos == conditioning.keep(()).tempos == tempos
    assert JascoConditioning.cat([conditioning, make()]).tempos == (*tempos, None, None)
    with pytest.raises(ValueError, match="`tempos` has 1 element"):
        make(tempos=(None,))


def test_tensor_nulls_follow_slices_repeats_and_batches():
    silence = torch.arange(2.0)[:, None, None].expand(2, 6, 5)
    conditioning = make()
    conditioning.nulls["drums"] = silence
    null = conditioning.slice(1, 3).repeat(2).keep(())
    assert null.controls["drums"][:, 0, 0].tolist() == [0, 0, 1, 1] and null.controls["drums"].shape == (4, 2, 5)
    both = JascoConditioning.cat([conditioning, conditioning]).keep(())
    assert both.controls["drums"][:, 0, 0].tolist() == [0, 1, 0, 1]


def test_branches_as_one_batch():
    conditioning = make()
    both = JascoConditioning.cat([conditioning, conditioning.keep(())])
    kwargs = both.model_kwargs()
    assert kwargs.keys() == {"encoder_hidden_states", "encoder_attention_mask", "text_mask", "chords", "drums"}
    assert both.batch_size == 4 and kwargs["chords"][2:].unique().tolist() == [NULL_CHORD]
    assert torch.equal(kwargs["encoder_attention_mask"][2:], conditioning.sections[0].attention_mask)
    repeated = conditioning.repeat(3).model_kwargs()
    assert torch.equal(repeated["drums"][3:], conditioning.controls["drums"][1:].expand(3, 6, 5))
    # Without padding there is no attention mask, unless another part has one.
    unpadded = [make(batch=1), make(batch=1)]
    unpadded = [
        JascoConditioning((part.sections[0]._replace(attention_mask=None),), part.controls, part.nulls)
        for part in unpadded
    ]
    assert JascoConditioning.cat(unpadded).model_kwargs()["encoder_attention_mask"] is None
    mixed = JascoConditioning.cat([unpadded[0], make(batch=1)]).model_kwargs()["encoder_attention_mask"]
    assert mixed.tolist() == [[True] * 4] * 2


def test_frames_and_batch_sizes_have_to_match():
    section = make().sections[0]
    with pytest.raises(
        ValueError, match=r"`drums` has to have batch size and frames \(2, 6\), but has shape \(2, 5, 3\)"
    ):
        JascoConditioning((section,), {"chords": torch.zeros(2, 6), "drums": torch.zeros(2, 5, 3)})
    with pytest.raises(ValueError, match="`num_frames` is required"):
        JascoConditioning((section,))
    assert JascoConditioning((section,), num_frames=9).slice(2, 5).num_frames == 3


def test_batches_of_different_parts():
    partly, given = make(given={"drums": torch.tensor([True, False])}), make()
    both = JascoConditioning.cat([given, partly])
    assert both.presence["drums"].tolist() == [True, True, True, False]
    given.nulls["drums"] = torch.ones(2, 6, 5)
    for parts in ([given, partly], [partly, given]):
        null = JascoConditioning.cat(parts).keep(()).controls["drums"]
        assert null[:, 0, 0].tolist() == ([1, 1, 0, 0] if parts[0] is given else [0, 0, 1, 1])
    with pytest.raises(ValueError, match="frames, controls or context differ"):
        JascoConditioning.cat([given, given.slice(0, 3)])
    with pytest.raises(ValueError, match="frames, controls or context differ"):
        JascoConditioning.cat([given, make(context=torch.zeros(2, 6, 1))])


def test_unknown_conditions():
    for derive in (lambda: make().keep({"txt"}), lambda: make().mask({"drum": False})):
        with pytest.raises(ValueError, match="Conditions have to be of text, chords, .*, but got (txt|drum)"):
            derive()
    section = make().sections[0]
    with pytest.raises(ValueError, match="`nulls` has no entry for drums"):
        JascoConditioning((section,), {"drums": torch.zeros(2, 6, 5)}).keep(())


def test_the_transformer_takes_one_text():
    conditioning = make(sections=2)
    with pytest.raises(ValueError, match="2 sections"):
        conditioning.model_kwargs()
    with pytest.raises(ValueError, match="`slice` them"):
        JascoConditioning.cat([conditioning, conditioning])
    assert conditioning.slice(0, 2).model_kwargs()["chords"].shape == (2, 2)
