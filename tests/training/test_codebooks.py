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

from copy import deepcopy

import pytest
import torch

from diffusers_jasco import SpectralCodecModel
from diffusers_jasco.codecs import codebooks
from diffusers_jasco.training.codec.codebooks import (
    CodebookTrainer,
    fit_codebook,
    fit_codebooks,
    quantization_errors,
)

from .test_loop import ReadsInOperators, ReadsInPython


@pytest.fixture
def codec():
    """A codec with two codebooks, as in EnCodec, of four vectors with two channels."""
    codec = SpectralCodecModel(latent_dim=2, codebook_size=4, hidden_dim=8, num_layers=1)
    codec.quantizer.layers.append(type(codec.quantizer.layers[0])(4, 2))
    codec.quantizer.layers[0].embed.copy_(torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]]))
    codec.quantizer.layers[1].embed.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    return codec


def test_the_codebook_fits_clusters():
    generator = torch.Generator().manual_seed(0)
    centers = 10 * torch.randn(8, 4, generator=generator)
    points = centers.repeat(100, 1) + 0.01 * torch.randn(800, 4, generator=generator)
    codebook, lost = fit_codebook(points, 16, generator)
    assert codebook.shape == (16, 4) and lost < 0.2
    with pytest.raises(ValueError, match="needs at least 16 latents, but got 5"):
        fit_codebook(points[:5], 16, generator)


def test_later_codebooks_fit_the_residual(codec):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(500, 2, generator=generator)
    fit_codebooks(codec, latents, generator)
    errors = quantization_errors(codec, latents[None])
    # With four vectors, a third of the variance of a 2D normal distribution is lost, with four more much less.
    assert errors[0] < 0.45 * latents.square().sum() and errors[1] < 0.5 * errors[0]
    first, second = (codebook.embed for codebook in codebooks(codec))
    nearest = first[torch.cdist(latents, first).argmin(1)]
    assert errors[0] == pytest.approx((latents - nearest).square().sum().item(), rel=1e-5)
    residual = latents - nearest
    residual = residual - second[torch.cdist(residual, second).argmin(1)]
    assert errors[1] == pytest.approx(residual.square().sum().item(), rel=1e-5)


def test_a_step_updates_averages_and_commits_latents(codec):
    before, trainer = deepcopy(codec), CodebookTrainer(codec, decay=0.5)
    latents = torch.tensor([[[1.0, 1.0], [3.0, 1.0], [8.0, 9.0]]], requires_grad=True)
    loss = trainer(latents, torch.Generator())
    # In the first codebook, (0, 0) gets two latents, (8, 8) one, and the others none: their sizes are 1.5, 1, 0.5,
    # 0.5.
    assert trainer.cluster_size[0].tolist() == [1.5, 0.5, 0.5, 1.0]
    expected = torch.tensor([[2.0 / 1.5, 1.0 / 1.5], [8.0, 0.0], [0.0, 8.0], [8.0, 8.5]])
    torch.testing.assert_close(codec.quantizer.layers[0].embed, expected)
    # The residuals (1, 1), (3, 1) and (0, 1) are quantized by the second codebook to (1, 0) or (0, 1), (1, 0), (0, 1).
    squares = (1 + 1 + 9 + 1 + 0 + 1) / 6, (1 + 4 + 1) / 6
    variance = latents.detach()[0].var(dim=0, unbiased=False).mean().item()
    assert loss.item() == pytest.approx(sum(squares) / 2 / variance)
    # A step against the gradient reduces the distance to the codebooks, relative to the variance of the latents.
    loss.backward()
    moved = (latents - 0.1 * latents.grad).detach()
    shares = [
        quantization_errors(before, part).sum() / part.var(dim=1, unbiased=False).sum() for part in (latents, moved)
    ]
    assert shares[1] < shares[0]


def test_dead_vectors_are_reset_to_latents(codec):
    trainer = CodebookTrainer(codec, decay=0.5)
    latents = torch.full((1, 50, 2), 2.0) + 0.01 * torch.arange(50)[:, None]
    for step in range(3):
        trainer(latents, torch.Generator().manual_seed(step))
    first = codec.quantizer.layers[0].embed
    assert ((first > 1.9) & (first < 2.6)).all()
    # Without the reset, three of the four vectors would still be far away.
    errors = quantization_errors(codec, latents)
    assert errors[0] < 0.5 * (latents - latents.mean()).square().sum()


def test_a_step_does_not_synchronize_with_the_device(codec):
    reads = []
    trainer = CodebookTrainer(codec)
    with ReadsInPython(reads), ReadsInOperators(reads):
        trainer(torch.randn(1, 60, 2), torch.Generator().manual_seed(0))
    assert not reads


def test_training_resumes_from_the_state(codec):
    latents = torch.randn(1, 60, 2, generator=torch.Generator().manual_seed(1))
    trainer = CodebookTrainer(codec)
    trainer(latents, torch.Generator().manual_seed(0))
    state = {name: value.clone() for name, value in trainer.state_dict().items()}
    weights = {name: value.clone() for name, value in codec.state_dict().items()}
    trainer(latents, torch.Generator().manual_seed(1))
    expected = [codebook.embed.clone() for codebook in codebooks(codec)]

    codec.load_state_dict(weights)
    resumed = CodebookTrainer(codec)
    resumed.load_state_dict(state)
    resumed(latents, torch.Generator().manual_seed(1))
    assert all(torch.equal(codebook.embed, embed) for codebook, embed in zip(codebooks(codec), expected))


def test_the_commitment_loss_does_not_depend_on_the_scale(codec):
    latents = torch.randn(1, 60, 2, generator=torch.Generator().manual_seed(1))
    losses = []
    for scale in (0.01, 1.0):
        scaled = deepcopy(codec)
        for codebook in codebooks(scaled):
            codebook.embed.mul_(scale)
        losses.append(CodebookTrainer(scaled)(scale * latents, torch.Generator()).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
