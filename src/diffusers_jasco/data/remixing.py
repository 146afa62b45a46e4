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

"""
Random mixes of a clip's stems, and drum stems as users have them: quiet, or with other instruments in the background.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch

from ..audio.loudness import limit_peaks
from ..utils.seeding import derive_seed


STEM_GAIN = 20.0  # dB; largest change of a stem's level
MUTED_SHARE = 0.2  # probability that a stem is muted
INAUDIBLE = -30.0  # dB; stems with a lower level, relative to the loudest one, are muted
DRUMS_GAIN = (-20.0, 6.0)  # dB; range of the level of varied drums
BLEED_SHARE = 0.5  # probability that a stem is in the background of varied drums
BLEED_GAIN = (-30.0, -10.0)  # dB; range of its level relative to that of the drums
# Stems with these names determine controls. The rest of a mix that is not in any stem is not muted.
DRUMS, LEAD, REST = "drums", "lead", "rest"
_SILENT = 1e-3  # level, relative to the mix, of stems that are silent in a clip


def remix_item(
    item: dict[str, Any], key: tuple[Any, ...], remix: float = 0.0, vary_drums: float = 0.0
) -> dict[str, Any]:
    r"""
    Changes the levels of a clip's stems, and the recording of its drums, at random. The result depends only on the
    clip and the key.

    In a remixed clip, each stem gets a random gain of up to ± 20 dB, or is muted. The mix keeps its level. The controls
    follow the audible stems: if the drums are muted, the drum control is omitted; if the lead is, the melody is a rest.
    The melody is unknown where a stem of a clip without a lead stem is muted, and so are the chords if only drums are
    left. Captions are not used: they may name muted instruments, and models that are trained with text should generate
    the balance of the original mixes.

    Varied drums are at −20 to +6 dB, with some of the other stems in the background, at −30 to −10 dB relative to the
    drums. They only affect the control.

    Args:
        item (`dict`): a clip with `audio` and `stems`, all of shape `(1, samples)`, and its annotations.
        key (`tuple`): identifies the random numbers.
        remix (`float`, defaults to `0.0`): probability that the clip is remixed.
        vary_drums (`float`, defaults to `0.0`): probability that its drums are varied.

    Returns:
        `dict`: the clip, whose only stem is that of the drums, with `has_text` (whether its captions are used).
    """
    generator = torch.Generator().manual_seed(derive_seed("remix", *key))
    is_remixed, is_varied = (torch.rand(2, generator=generator) < torch.tensor([remix, vary_drums])).tolist()
    parts = _parts(item)
    gains, background = torch.rand(2, len(parts), 2, generator=generator)
    item = item | {"has_text": True}
    if is_remixed and item["stems"]:
        item, parts = _remix(item, parts, gains)
    drums = item["stems"].get(DRUMS)
    if is_varied and drums is not None:
        others = {name: part for name, part in parts.items() if name != DRUMS}
        drums = _vary_drums(drums, others, background, torch.rand(1, generator=generator))
    return item | {"stems": {} if drums is None else {DRUMS: drums}}


def add_remixes(item: dict[str, Any], index: int, remixes: float) -> Iterator[dict[str, Any]]:
    r"""
    Yields a clip, and then remixes of it, in half of which the drums are varied, too; see [`remix_item`].

    Args:
        item (`dict`): a clip with `audio` and `stems`, all of shape `(1, samples)`, and its annotations.
        index (`int`): number of the clip, which seeds the random numbers.
        remixes (`float`): mean number of remixes per clip. With `0.2`, a random fifth of the clips has one.
    """
    yield item
    generator = torch.Generator().manual_seed(derive_seed("number of remixes", index))
    for number in range(math.floor(remixes + torch.rand((), generator=generator).item())):
        yield remix_item(item, (index, number), remix=1.0, vary_drums=0.5)


def _parts(item: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The stems that are not silent, and the rest of the mix."""
    audio, stems = item["audio"], item["stems"]
    rest = audio - sum(stems.values(), torch.zeros_like(audio))
    threshold = _SILENT * _level(audio)
    return {name: part for name, part in (stems | {REST: rest}).items() if _level(part) > threshold}


def _remix(
    item: dict[str, Any], parts: dict[str, torch.Tensor], draws: torch.Tensor
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Returns the remixed clip and its audible parts, for two random numbers per part."""
    gains = _from_db(STEM_GAIN * (2 * draws[: len(parts), 0] - 1)).tolist()
    mixed = {
        name: gain * part
        for (name, part), gain, mute in zip(parts.items(), gains, draws[:, 1].tolist())
        if name == REST or mute >= MUTED_SHARE
    }
    loudest = max((_level(part) for part in mixed.values()), default=0.0)
    audible = {name: part for name, part in mixed.items() if _level(part) > loudest * 10 ** (INAUDIBLE / 20)}
    if not audible:
        return item, parts
    audio = torch.stack(list(audible.values())).sum(dim=0)
    scale = _level(item["audio"]) / max(_level(audio), 1e-9)
    audible = {name: scale * part for name, part in audible.items()}
    muted = set(parts) - set(audible)
    item = item | {"audio": limit_peaks(scale * audio, item["sampling_rate"]), "has_text": False}
    if DRUMS in muted:
        item = item | {"stems": {name: stem for name, stem in item["stems"].items() if name != DRUMS}}
    if item.get("melody") is not None and muted - {DRUMS}:
        melody_if_muted = [] if LEAD in muted else item["melody"] if LEAD in item["stems"] else None
        item = item | {"melody": melody_if_muted}
    if set(audible) <= {DRUMS}:
        item = item | {"chords": None}
    return item, audible


def _vary_drums(
    drums: torch.Tensor, others: dict[str, torch.Tensor], draws: torch.Tensor, level: torch.Tensor
) -> torch.Tensor:
    """Returns drums at another level, with others in the background, for two random numbers per part."""
    varied = drums
    for part, (share, gain) in zip(others.values(), draws.tolist()):
        if share < BLEED_SHARE:
            low, high = BLEED_GAIN
            background = _level(drums) * 10 ** ((low + (high - low) * gain) / 20)
            varied = varied + part * (background / max(_level(part), 1e-9))
    low, high = DRUMS_GAIN
    return (varied * _from_db(low + (high - low) * level)).clamp(-1, 1)


def _from_db(gain: torch.Tensor) -> torch.Tensor:
    return 10 ** (gain / 20)


def _level(part: torch.Tensor) -> float:
    return part.square().mean().sqrt().item()
