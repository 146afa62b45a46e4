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

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffusers_jasco import JascoGuidance, JascoTransformerModel
from diffusers_jasco.codecs import LOOP_FADE, decode, decode_loop, encode, load_codec
from diffusers_jasco.conditioning import JascoConditioning, TextSection, make_context
from diffusers_jasco.inputs import InputError
from diffusers_jasco.pipelines.denoising import GuidedVelocity
from diffusers_jasco.pipelines.windows import WindowedVelocity, place_windows


ROOT = Path(__file__).parents[2]
SHAPES = [
    (251, 250, 50, 1),
    (1500, 250, 50, 1),
    (1501, 500, 100, 3),
    (2000, 500, 375, 3),
    (37, 10, 0, 1),
    (9, 10, 2, 3),
]


@pytest.mark.parametrize(("num_frames", "window", "overlap", "multiple"), SHAPES)
@pytest.mark.parametrize("loop", [False, True])
def test_windows_cover_each_frame_once(num_frames, window, overlap, multiple, loop):
    windows = place_windows(num_frames, window, overlap, multiple, loop)
    owned = torch.cat([frames[is_owned] for frames, is_owned in windows])
    assert owned.sort().values.tolist() == list(range(num_frames))
    following = windows[1:] + windows[: int(loop)]
    for (before, _), (after, _) in zip(windows, following):
        assert after[0] % multiple == 0 and len(set(before.tolist()) & set(after.tolist())) >= min(overlap, num_frames)
    for frames, is_owned in windows:
        assert len(frames) <= window and is_owned.any()
        assert ((frames[1:] - frames[:-1]) % num_frames == 1).all()
    assert windows[0].frames[0] == 0 and (loop or windows[-1].frames[-1] == num_frames - 1)


def test_the_border_of_two_windows_is_in_the_middle_of_their_overlap():
    first, second = place_windows(16, 10, 4)
    assert first.frames[first.is_owned].tolist() == list(range(8))
    assert second.frames[second.is_owned].tolist() == list(range(8, 16))
    before, after = place_windows(12, 8, 2, loop=True)
    assert before.frames[before.is_owned].tolist() == list(range(1, 7))
    assert after.frames.tolist() == [6, 7, 8, 9, 10, 11, 0, 1]
    assert after.frames[after.is_owned].tolist() == [7, 8, 9, 10, 11, 0]


@pytest.fixture
def transformer() -> JascoTransformerModel:
    torch.manual_seed(0)
    model = JascoTransformerModel(
        in_channels=3, num_layers=1, num_attention_heads=2, attention_head_dim=8, ff_inner_dim=16, text_dim=5,
        drums_dim=None, melody_dim=None, chord_labels=["N", "C"], context=True, sample_size=8,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.context_proj.weight)
    return model


def guided(transformer, num_sections: int = 1) -> GuidedVelocity:
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randn(2, 2 + number, 5, generator=generator) for number in range(num_sections)]
    sections = tuple(
        TextSection(10 * number, states, torch.ones(2, 2 + number, dtype=torch.bool))
        for number, states in enumerate(texts)
    )
    chords = torch.randint(2, (2, 20), generator=generator)
    context = make_context(torch.randn(2, 20, 3, generator=generator), torch.rand(2, 20, generator=generator) < 0.5)
    conditioning = JascoConditioning(sections, {"chords": chords}, transformer.null_controls, context)
    return GuidedVelocity(transformer, JascoGuidance(2.0, 0.5, 0.7), conditioning)


@torch.no_grad()
@pytest.mark.parametrize("windows_per_batch", [1, 2, 8])
def test_each_window_has_the_velocity_of_a_piece_of_its_own(transformer, windows_per_batch):
    velocity, windows = guided(transformer), place_windows(20, 8, 3)
    latents = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(2))
    result = WindowedVelocity(velocity, windows, windows_per_batch)(latents, 0.25)
    for frames, is_owned in windows:
        conditioning = velocity.conditioning.slice(int(frames[0]), int(frames[-1]) + 1)
        alone = GuidedVelocity(transformer, velocity.guider, conditioning)(latents[:, frames], 0.25)
        torch.testing.assert_close(result[:, frames[is_owned]], alone[:, is_owned], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_each_frame_follows_the_text_of_its_section(transformer):
    velocity, windows = guided(transformer, num_sections=2), place_windows(20, 8, 3)
    latents = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(2))
    result = WindowedVelocity(velocity, windows, 2)(latents, 0.25)
    for section, frames in zip(velocity.conditioning.sections, (slice(0, 10), slice(10, 20))):
        single = replace(velocity.conditioning, sections=(section._replace(first_frame=0),))
        plain = WindowedVelocity(GuidedVelocity(transformer, velocity.guider, single), windows)(latents, 0.25)
        torch.testing.assert_close(result[:, frames], plain[:, frames], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(result[:, :10], plain[:, :10], atol=1e-3)


CALL = {"prompt": "a", "num_inference_steps": 2, "output_type": "latent", "chords": "C:0 F:1.5 G:2.2"}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_long_pieces_in_a_batch_equal_single_ones(pipe):
    prompts = ["a song", "another"]
    options = CALL | {"duration": 2.6, "window_overlap": 0.3}
    batch = pipe(**options | {"prompt": prompts}, generator=[generator(0), generator(1)], windows_per_batch=2).audios
    assert batch.shape == (2, 130, pipe.transformer.config.in_channels)
    for row, prompt, seed in zip(batch, prompts, (0, 1)):
        single = pipe(**options | {"prompt": prompt}, generator=generator(seed)).audios[0]
        torch.testing.assert_close(row, single, atol=1e-4, rtol=1e-4)


def test_the_noise_of_a_longer_piece_begins_with_that_of_a_shorter_one(pipe):
    window = pipe.transformer.config.sample_size
    noises = [
        pipe.prepare_latents(2, frames, torch.device("cpu"), generator(0))
        for frames in (window, window + 7, 3 * window)
    ]
    for shorter, longer in zip(noises, noises[1:]):
        assert torch.equal(longer[:, : shorter.shape[1]], shorter)


def test_late_chords_reach_the_end_of_a_long_piece(pipe):
    audios = [
        pipe(**CALL | {"chords": chords, "duration": 3.0}, generator=generator(0)).audios[0]
        for chords in ("C:0 F:1.5 G:2.7", "C:0 F:1.5 A:2.7")
    ]
    assert not torch.allclose(audios[0][140:], audios[1][140:], atol=1e-3)
    # The first window ends before the change, and each frame depends on its own window only.
    assert torch.equal(audios[0][:20], audios[1][:20])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_overlap": 0.9}, "`window_overlap` has to be"),
        ({"window_overlap": -1}, "`window_overlap` has to be"),
        ({"windows_per_batch": 0}, "`windows_per_batch` has to be"),
    ],
)
def test_invalid_windows_are_rejected(pipe, options, message):
    with pytest.raises(InputError, match=message):
        pipe(**CALL | options)


def test_sections_of_the_prompt(pipe):
    options = CALL | {"duration": 1.0, "num_inference_steps": 1}
    calm, loud = (pipe(**options | {"prompt": text}, generator=generator(0)).audios for text in ("calm", "loud"))
    timeline = [("calm", 0.0), ("loud", 0.4)]
    both = pipe(**options | {"prompt": timeline}, generator=generator(0)).audios
    torch.testing.assert_close(both, torch.cat([calm[:, :20], loud[:, 20:]], dim=1), atol=1e-5, rtol=1e-5)
    # Another piece in the batch, whose text changes at other times, makes no difference.
    batch = pipe(**options | {"prompt": [timeline, "loud"]}, generator=[generator(0), generator(0)]).audios
    torch.testing.assert_close(batch, torch.cat([both, loud]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([("a", 1.0), ("b", 2.0)], "`prompt` has to begin at 0 seconds"),
        ([("a", 0.0), ("b", 2.0), ("c", 2.0)], "'c' begins at 2 s, after 2 s"),
        (
            ["a", [("a", 0.0), ("b", float("nan"))]],
            r"`prompt\[1\]` has to have finite starts in seconds, but 'b' begins at nan",
        ),
        ([("a", 0.0), "b"], r"`prompt\[0\]` has to be a `str`, a timeline"),
        ([(3, 0.0)], r"`prompt\[0\]` has to be a `str`, a timeline"),
    ],
)
def test_invalid_timelines_are_rejected(pipe, prompt, message):
    with pytest.raises(InputError, match=message):
        pipe(**CALL | {"prompt": prompt})


def test_sections_after_the_end_cause_a_warning(pipe, warnings):
    pipe(**CALL | {"prompt": [("a", 0.0), ("b", 5.0)], "duration": 1.0})
    assert "The section 'b' of the prompt begins at 5 s, after the end of the music at 1 s" in warnings.text


def test_a_loop_has_the_same_surroundings_everywhere(transformer):
    velocity = guided(transformer)
    latents = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(2))
    windows = place_windows(20, 8, 3, loop=True)
    with torch.no_grad():
        result = WindowedVelocity(velocity, windows)(latents, 0.25)
    frames, is_owned = windows[-1]
    assert 19 in frames and 0 in frames
    with torch.no_grad():
        alone = velocity.for_part(velocity.conditioning.take(frames), "")(latents[:, frames], 0.25)
    torch.testing.assert_close(result[:, frames[is_owned]], alone[:, is_owned], atol=1e-5, rtol=1e-5)


def test_repeated_loops_have_no_click(pipe):
    audio = pipe(**CALL | {"duration": 2.0, "output_type": "pt"}, loop=True, generator=generator(0)).audios
    assert audio.shape[-1] == 2.0 * pipe.sampling_rate
    latents = pipe(**CALL | {"duration": 2.0}, loop=True, generator=generator(0)).audios
    several = pipe.decode_latents(latents.repeat(1, 3, 1))[..., audio.shape[-1] : 2 * audio.shape[-1]]
    fade = round(LOOP_FADE * pipe.sampling_rate)
    torch.testing.assert_close(audio[..., fade:], several[..., fade:], atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_the_seam_of_a_spectral_codec_is_smooth():
    codec = load_codec(ROOT / "pipelines/jasco-nano/codec")
    time = torch.arange(24000 * 4) / 24000
    latents = encode(codec, 0.3 * torch.sin(2 * math.pi * 196.3 * time)[None, None])[:, 50:93]
    steps = {}
    for name, audio in (("loop", decode_loop(codec, latents)), ("plain", decode(codec, latents))):
        around = torch.cat([audio[0, 0, -100:], audio[0, 0, :100]]).double()
        curvature = around.diff(n=2).abs()
        steps[name] = (curvature[90:108].max() / curvature[:80].max()).item()
    assert steps["loop"] < 1.5 and steps["plain"] > 2 * steps["loop"]


def test_the_duration_of_a_loop_is_rounded_to_frames(pipe, warnings):
    audio = pipe(**CALL | {"duration": 1.013, "output_type": "pt"}, loop=True, generator=generator(0)).audios
    assert audio.shape[-1] == round(1.02 * pipe.sampling_rate) and "1.02 s instead of 1.013 s" in warnings.text
