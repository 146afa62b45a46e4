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

import pytest
import torch

from diffusers_jasco.data.latent_statistics import LatentStatistics
from diffusers_jasco.training.codec.discriminator import (
    MultiScaleSTFTDiscriminator,
    adversarial_losses,
    discriminator_loss,
)
from diffusers_jasco.training.codec.objective import (
    balance_losses,
    bass_loss,
    imitation_loss,
    octave_loss,
    spectral_loss,
)


def test_weights_are_shares_of_the_gradient():
    decoded = torch.zeros(2, 1, 4, requires_grad=True)
    first, second = 3 * decoded[0].sum(), 500 * decoded[1].sum()
    balance_losses(decoded, [(1.0, first), (2.0, second)]).backward()
    # The first loss keeps its scale; the gradient of the second one gets twice that norm.
    torch.testing.assert_close(decoded.grad[0], torch.full((1, 4), 3.0))
    torch.testing.assert_close(decoded.grad[1], torch.full((1, 4), 6.0))


def test_balancing_a_loss_with_zero_gradient():
    decoded = torch.ones(1, 1, 4, requires_grad=True)
    balance_losses(decoded, [(1.0, decoded.sum()), (3.0, 0 * decoded.sum())]).backward()
    torch.testing.assert_close(decoded.grad, torch.ones(1, 1, 4))


def test_hinge_losses_and_feature_matching():
    def make_outputs(*scores):
        return [(torch.tensor(scores), [torch.tensor([[2.0, -2.0], [1.0, 1.0]])])]

    # max(0, 1 - s) for recordings, the first half, and max(0, 1 + s) for decoded audio, the second half.
    assert discriminator_loss(make_outputs(3.0, 0.5, -2.0, -0.5)).item() == pytest.approx(0.25 + 0.25)
    hinge, matching = adversarial_losses(make_outputs(3.0, 0.5, 2.0, -0.5))
    assert hinge.item() == pytest.approx(0.75) and matching.item() == pytest.approx((1 + 3) / 2 / 2)


def test_the_discriminator_learns_and_guides_the_codec():
    torch.manual_seed(0)
    time = torch.arange(4096) / 8000
    real = torch.sin(2 * math.pi * 440 * time).expand(2, 1, -1) * 0.5
    fake = (0.2 * torch.randn(2, 1, 4096)).requires_grad_()
    discriminator = MultiScaleSTFTDiscriminator(num_filters=4)
    outputs = discriminator(torch.cat([real, fake]))
    assert len(outputs) == 5 and all(len(features) == 5 and scores.shape[:2] == (4, 1) for scores, features in outputs)
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        loss = discriminator_loss(discriminator(torch.cat([real, fake.detach()])))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]

    # A step against the gradient makes the noise look more like the tone. Identical audio has no feature matching
    # loss.
    hinge, matching = adversarial_losses(discriminator(torch.cat([real, fake])))
    (gradient,) = torch.autograd.grad(hinge + matching, fake)
    moved = fake - 0.5 * gradient / gradient.norm()
    after = adversarial_losses(discriminator(torch.cat([real, moved])))
    assert sum(after) < hinge + matching
    same = adversarial_losses(discriminator(torch.cat([real, real])))
    assert same[1] == 0


def test_statistics_cover_all_frames():
    generator = torch.Generator().manual_seed(0)
    parts = [3 * torch.randn(1, frames, 4, generator=generator) + 1 for frames in (7, 30)]
    statistics = LatentStatistics()
    for part in parts:
        statistics.add(part)
    values = torch.cat(parts, dim=1)[0].double()
    result = statistics.gather().to_dict()
    assert result["num_frames"] == 37
    assert result["mean"] == pytest.approx(values.mean().item())
    assert result["std"] == pytest.approx(values.std(unbiased=False).item())
    assert result["channel_mean"] == pytest.approx(values.mean(0).tolist())
    assert result["channel_std"] == pytest.approx(values.std(0, unbiased=False).tolist())


def test_the_octave_loss_weights_bass_and_melody_equally():
    rate = 24000
    time = torch.arange(rate)[None, None] / rate

    def play(bass: float, melody: float, hiss: float = 0.02) -> torch.Tensor:
        # Three partials per note; pitches are MIDI note numbers.
        tones = [
            0.2 / part * torch.sin(2 * math.pi * part * 440 * 2 ** ((pitch - 69) / 12) * time)
            for pitch in (bass, melody)
            for part in (1, 2, 3)
        ]
        return sum(tones) + hiss * torch.randn(time.shape, generator=torch.Generator().manual_seed(0))

    music = play(36, 72)
    wrong = {"bass": play(38, 72), "lead": play(36, 74)}
    octaves, spectra = (
        {name: loss(audio, music).item() for name, audio in wrong.items()} for loss in (octave_loss, spectral_loss)
    )
    assert octave_loss(music, music).item() < 1e-6
    assert octaves["bass"] > 0.7 * octaves["lead"] and spectra["bass"] < 0.7 * spectra["lead"]
    # A hiss that is too soft and one that is too loud cost about the same.
    softer, louder = (octave_loss(play(36, 72, hiss), music).item() for hiss in (0.01, 0.04))
    assert softer > 0.1 and softer == pytest.approx(louder, rel=0.3)


def test_the_bass_loss_compares_notes_regardless_of_their_loudness():
    bass = torch.zeros(1, 4, 6)
    bass[..., 2] = 0.5
    assert bass_loss(bass, bass) == 0
    wrong, soft = bass.roll(1, dims=-1), 0.1 * bass
    assert bass_loss(wrong, bass) > 1.9 and bass_loss(soft.roll(1, dims=-1), soft) > 1.6
    assert bass_loss(0.9 * bass, bass) < 0.1
    # Silence is not divided by zero.
    assert bass_loss(torch.zeros_like(bass), torch.zeros_like(bass)) == 0


def test_the_imitation_loss_compares_the_bass_only_as_a_whole():
    oscillators, noise = torch.zeros(1, 4, 8), torch.full((1, 8, 3), 0.1)
    oscillators[..., 2] = oscillators[..., 5] = 0.5

    def loss(oscillators: torch.Tensor, noise: torch.Tensor = noise) -> float:
        return imitation_loss((oscillators, noise), reference, num_bass=4).item()

    reference = oscillators, noise
    assert loss(oscillators) == 0
    # The third of four oscillators of the bass, and the second of the other four.
    bass, others = oscillators.split(4, dim=-1)
    assert loss(torch.cat([bass.roll(1, dims=-1), others], dim=-1)) == 0
    assert loss(torch.cat([bass, others.roll(1, dims=-1)], dim=-1)) > 1
    assert loss(torch.cat([0.5 * bass, others], dim=-1)) == pytest.approx(0.3 * math.log(2), rel=0.02)
    assert loss(oscillators, 2 * noise) == pytest.approx(math.log(2), rel=0.05)
