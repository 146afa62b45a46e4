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

"""Training goes on from a model whose layers may differ."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.configuration_utils import FrozenDict
from torch import nn

from ..controls.chord_labels import UNKNOWN_CHORD, normalize_chord
from ..loaders.audiocraft import find_audiocraft_checkpoint
from ..loaders.audiocraft.files import INDEX_FILE, MODEL_FILE, TRAINING_FILE
from ..models.transformer_jasco import JascoTransformerModel
from ..pipelines.pipeline_jasco import JascoPipeline


# What the outputs and the inputs of a module are; for all that is not here, both are the model's width.
_AXES = {
    "chord_embedding": ("chords", "chord_labels"),
    "drums_proj": ("drums", "latents"),
    "melody_proj": ("melody", "pitches"),
    "text_proj": ("width", "text"),
    "time_embed.linear_1": ("time", "frequencies"),
    "time_embed.linear_2": ("time", "time"),
    "time_embed_proj": ("width", "time"),
    "proj_in": ("width", "channels"),
    "skip_proj": ("width", "merged"),
    "ff_in": ("feed_forward", "width"),
    "ff_out": ("width", "feed_forward"),
    "proj_out": ("latents", "width"),
}

# Options with which the same weights make other music, and the weights whose row says so.
_OPTIONS = {
    "latents_mean": ("proj_in.weight",),
    "latents_std": ("proj_in.weight",),
    "drums_blur": ("drums_proj.weight",),
    "time_scale": ("time_embed.linear_1.weight",),
    "num_attention_heads": ("attn1.to_q.weight", "attn2.to_q.weight"),
    "pre_norm": ("norm1.weight", "norm2.weight", "norm3.weight"),
    "activation_fn": ("ff_in.weight",),
    "preconditioning": ("proj_out.weight",),
}

_BLOCKS = "transformer_blocks"
# What ends the parts of a block that are added to its input.
_BLOCK_OUTPUTS = ("attn1.to_out.0", "attn2.to_out.0", "ff_out")

_WITHOUT_EFFECT = " (without effect at first)"
_MAX_LISTED = 12


@dataclass(frozen=True)
class TransferredWeight:
    r"""
    What became of one weight.

    Args:
        status (`str`):
            `"loaded"`, `"partly loaded"` and `"new"` say where a weight of the target comes from; `"dropped"` is one of the
            source of which nothing was used.
        target (`str`, *optional*): its name in the target, unless dropped.
        target_shape (`tuple[int, ...]`, *optional*): its shape there.
        source (`str`, *optional*): its name in the source, unless new.
        source_shape (`tuple[int, ...]`, *optional*): its shape there.
        note (`str`): what differs.
        changes_output (`bool`): whether the target makes other music than the source because of it.
    """

    status: Literal["loaded", "partly loaded", "new", "dropped"]
    target: str | None = None
    target_shape: tuple[int, ...] | None = None
    source: str | None = None
    source_shape: tuple[int, ...] | None = None
    note: str = ""
    changes_output: bool = False


def load_source(source: str | os.PathLike, **arguments: Any) -> JascoPipeline:
    r"""
    Loads the pipeline that training goes on from, in float32 on the CPU.

    Args:
        source (`str` or `os.PathLike`):
            A Hub id; the folder of a pipeline, or of a run (then it is the pipeline of its last checkpoint); a folder in the
            original's layout; a `checkpoint.th` of the original's training or its folder (then it has the best weights).
        arguments:
            Of [`JascoPipeline.from_pretrained`]: where on the Hub (`revision`, `token`, …), `variant`, components.

    Returns:
        [`JascoPipeline`]: the pipeline.

    Raises:
        `FileNotFoundError`: if a folder holds none of these.
        as [`JascoPipeline.from_pretrained`].
    """
    is_ours = Path(source, INDEX_FILE).is_file()
    if os.path.isdir(source) and not is_ours and find_audiocraft_checkpoint(source) is None:
        raise FileNotFoundError(
            f"In {source} there is nothing to continue from: neither a pipeline ({INDEX_FILE}) nor a checkpoint of the"
            f" original ({MODEL_FILE} or {TRAINING_FILE}). A run has a pipeline from its first checkpoint on."
        )
    return JascoPipeline.from_pretrained(source, dtype=torch.float32, **arguments)


@torch.no_grad()
def transfer_weights(source: JascoTransformerModel, target: JascoTransformerModel) -> list[TransferredWeight]:
    r"""
    Loads into one model what fits of another one's weights. What is new starts without an effect wherever that is
    possible, so that the output is still the source's: layers ignore new channels of their input, new blocks of a pre-norm
    model pass on what they get, so do new skip connections, and new biases are zero. What else is new stays as it is.

    Blocks are added and left out in the middle, so that the outer ones keep their skip connections. Chords are matched by
    their notes: one that the source lacks starts from the nearest, and what is no chord from the unknown or the null one.

    Args:
        source ([`JascoTransformerModel`]): the model to go on from.
        target ([`JascoTransformerModel`]): a new model, changed in place.

    Returns:
        `list[TransferredWeight]`: each weight of the target once, then each of the source of which nothing was used.
    """
    match = _Match(source.config, target.config)
    old = dict(source.named_parameters())
    rows = []
    for path, module in target.named_modules():
        for kind, weight in module.named_parameters(recurse=False):
            name = f"{path}.{kind}"
            origin = match.source_name(name)
            if origin in old:
                is_embedding = isinstance(module, nn.Embedding)
                rows.append(_load(match, name, weight, origin, old[origin], is_embedding))
            else:
                has_weight = match.source_name(f"{path}.weight") in old
                rows.append(_initialise(match, name, weight, has_weight))

    used, names = {row.source for row in rows}, {row.target for row in rows}
    for name, weight in old.items():
        if name not in used:
            note = match.why_dropped(name, name in names)
            rows.append(TransferredWeight("dropped", None, None, name, tuple(weight.shape), note, True))
    return rows


def to_table(rows: Sequence[TransferredWeight]) -> str:
    r"""
    What became of the weights, for people: a table in Markdown, in which weights with the same fate and shape share a line,
    and so do blocks; then what that does to the output.

    Args:
        rows (`Sequence[TransferredWeight]`): what [`transfer_weights`] returned.
    """
    # For each fate of a weight its blocks, then for each fate and range of blocks the weights.
    blocks, names = {}, {}
    for row in rows:
        (number, module, kind), origin = _split(row.target or row.source), _split(row.source or row.target)[0]
        shapes = dict.fromkeys(str(shape) for shape in (row.source_shape, row.target_shape) if shape is not None)
        shift = None if number is None else number - origin
        fate = (row.status, shift, " → ".join(shapes), "changes" if row.changes_output else "", row.note)
        blocks.setdefault((fate, f"{module}.{kind}"), []).append(number)
    for (fate, name), numbers in blocks.items():
        names.setdefault((fate, numbers[0], numbers[-1]), []).append(name)

    lines = ["| | weights | shape | output | note |", "| --- | --- | --- | --- | --- |"]
    order = ("loaded", "partly loaded", "new", "dropped")
    for (fate, first, last), group in sorted(names.items(), key=lambda item: order.index(item[0][0][0])):
        status, shift, *rest = fate
        where = "" if first is None else f"blocks {first}–{last}: "
        if shift:
            where = f"blocks {first}–{last} (in the source {first - shift}–{last - shift}): "
        lines.append(f"| {' | '.join([status, where + ', '.join(group), *rest])} |")

    effect = "is not the source's at first" if any(row.changes_output for row in rows) else "is the source's at first"
    return "\n".join([*lines, "", f"The output {effect}."])


@dataclass(frozen=True)
class _Axis:
    """
    What the units along an axis of a weight come from.

    Args:
        origin (`torch.Tensor` of shape `(units,)`): the unit of the source that each continues, or -1.
        is_added (`torch.Tensor` of shape `(units,)`): units without an origin whose readers can ignore them at first.
        source_units (`int`): how many the source has.
        note (`str`): what differs.
        changes_output (`bool`): whether that changes the output, however the new ones start.
    """

    origin: torch.Tensor
    is_added: torch.Tensor
    source_units: int
    note: str = ""
    changes_output: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all units of the source are used, once, and there are no others."""
        return sorted(self.origin.tolist()) == list(range(self.source_units))


def _fixed_axis(name: str, old: int, new: int) -> _Axis:
    """Units that mean something just together: all are kept, or none."""
    same = old == new
    origin = torch.arange(new) if same else torch.full((new,), -1)
    return _Axis(origin, torch.zeros(new, dtype=torch.bool), old, _difference(name, old, new), not same)


def _growing_axis(name: str, old: int | None, new: int | None, is_input: bool = False) -> _Axis:
    """Units that each mean something alone: common ones are kept. To have less of what a user gives is no change."""
    is_less = (new or 0) < (old or 0)
    origin = torch.arange(new or 0)
    is_added = origin >= (old or 0)
    note = _difference(name, old, new) + (_WITHOUT_EFFECT if is_added.any() else "")
    return _Axis(origin.masked_fill(is_added, -1), is_added, old or 0, note, is_less and not is_input)


def _chord_axis(old: list[str], new: list[str]) -> _Axis:
    """Rows of the chord embedding: the vocabulary and, last, the null chord."""
    ids = {label: number for number, label in enumerate(old)}
    origin, guesses = [], []
    for label in new:
        try:
            start, difference = normalize_chord(label, old)
        except ValueError:
            start, difference = UNKNOWN_CHORD, "what it is"
        origin.append(ids.get(start, len(old)))
        if difference is not None or start not in ids:
            guesses.append(f"{label} from {start if start in ids else 'the null chord'}")
    origin.append(len(old))

    note = "" if new == old else f"chord_labels: {len(new) - len(guesses)} are known"
    if guesses:
        note += f", {len(guesses)} are new ({_list(guesses)})"
    if dropped := [label for number, label in enumerate(old) if number not in origin]:
        note += f", {len(dropped)} are dropped ({_list(dropped)})"
    return _Axis(torch.tensor(origin), torch.zeros(len(origin), dtype=torch.bool), len(old) + 1, note)


def _join(*axes: _Axis) -> _Axis:
    """One axis after the other."""
    origins, start = [], 0
    for axis in axes:
        origins.append(torch.where(axis.origin < 0, -1, axis.origin + start))
        start += axis.source_units
    note = _join_notes(axis.note for axis in axes)
    is_added = torch.cat([axis.is_added for axis in axes])
    return _Axis(torch.cat(origins), is_added, start, note, any(axis.changes_output for axis in axes))


class _Match:
    """What corresponds to what in two models, by their configurations."""

    def __init__(self, old: FrozenDict, new: FrozenDict):
        dims = [config.num_attention_heads * config.attention_head_dim for config in (old, new)]
        width = _fixed_axis("width", *dims)
        latents = _fixed_axis("in_channels", old.in_channels, new.in_channels)
        frequencies = _fixed_axis("time_embed_dim", old.time_embed_dim, new.time_embed_dim)
        controls = {
            name: _growing_axis(f"{name}_dim", old[f"{name}_dim"], new[f"{name}_dim"])
            for name in ("chords", "drums", "melody")
        }
        self.axes = controls | {
            "chord_labels": _chord_axis(old.chord_labels or [], new.chord_labels or []),
            "latents": latents,
            "pitches": _growing_axis("melody_bins", old.melody_bins, new.melody_bins, is_input=True),
            "channels": _join(latents, *controls.values()),
            "text": _fixed_axis("text_dim", old.text_dim, new.text_dim),
            "frequencies": frequencies,
            "time": _join(*[frequencies] * 4),
            "width": width,
            "merged": _join(width, width),
            "feed_forward": _growing_axis("ff_inner_dim", old.ff_inner_dim, new.ff_inner_dim),
        }

        # The source's block for each of the target's: as many as both have of the first ones and of the last ones.
        kept = min(old.num_layers, new.num_layers) if width.is_whole else 0
        self.blocks = {block: block for block in range((kept + 1) // 2)}
        self.blocks |= {new.num_layers - back: old.num_layers - back for back in range(1, kept // 2 + 1)}
        self.block_note = _join_notes([width.note, _difference("num_layers", old.num_layers, new.num_layers)])
        self.is_identity_possible = new.pre_norm and kept > 0

        differences = {option: _difference(option, old[option], new[option]) for option in _OPTIONS}
        self._options = {
            name: _join_notes(differences[option] for option, names in _OPTIONS.items() if name in names)
            for name in sum(_OPTIONS.values(), ())
        }

    def source_name(self, name: str) -> str | None:
        """The source's name of a weight of the target, if its block is one of the source's."""
        block, module, kind = _split(name)
        if block is None:
            return name
        return f"{_BLOCKS}.{self.blocks[block]}.{module}.{kind}" if block in self.blocks else None

    def axes_of(self, name: str) -> tuple[_Axis, _Axis]:
        """What the outputs and the inputs of the module with this weight come from."""
        outputs, inputs = _AXES.get(_split(name)[1], ("width", "width"))
        return self.axes[outputs], self.axes[inputs]

    def other_options(self, name: str) -> str:
        """The options that differ, and with which this weight makes other music."""
        _, module, kind = _split(name)
        return self._options.get(f"{module}.{kind}", "")

    def why_dropped(self, name: str, has_target: bool) -> str:
        """Why a weight of the source was not used. `has_target`: whether the target has one of this name."""
        block, outputs, inputs = _split(name)[0], *self.axes_of(name)
        if block is not None and block not in self.blocks.values():
            return self.block_note
        if has_target:
            return _join_notes([outputs.note, inputs.note])
        if not len(outputs.origin):
            return f"{outputs.note}: its learnt null goes with it"
        return "the target has none"


def _load(
    match: _Match, name: str, weight: torch.Tensor, origin: str, old: torch.Tensor, is_embedding: bool
) -> TransferredWeight:
    """Copies what the weight and the source's have in common."""
    shape, old_shape = tuple(weight.shape), tuple(old.shape)
    if is_embedding:  # the other way round than in a linear layer
        weight, old = weight.T, old.T
    axes = match.axes_of(name)[: weight.ndim]
    kept = [(axis.origin >= 0).nonzero()[:, 0] for axis in axes]
    weight[_grid(kept)] = old[_grid([axis.origin[units] for axis, units in zip(axes, kept)])].to(weight)
    if weight.ndim == 2:
        weight[_grid([kept[0], axes[1].is_added.nonzero()[:, 0]])] = 0

    options = match.other_options(name)
    note = _join_notes([*(axis.note for axis in axes), options])
    changes = bool(options) or any(axis.changes_output for axis in axes)
    if not all(map(len, kept)):
        return TransferredWeight("new", name, shape, note=note, changes_output=changes)
    status = "loaded" if all(axis.is_whole for axis in axes) else "partly loaded"
    return TransferredWeight(status, name, shape, origin, old_shape, note, changes)


def _initialise(match: _Match, name: str, weight: torch.Tensor, has_weight: bool) -> TransferredWeight:
    """Starts what the source does not have. `has_weight`: of this module it lacks just the bias."""
    block, module, kind = _split(name)
    outputs, _ = match.axes_of(name)
    note, is_silent, is_zero = "the source has none", True, False
    if module == "skip_proj" and match.blocks:
        is_zero = kind == "bias"
        if kind == "weight":
            nn.init.eye_(weight)  # all of what comes from the block before, nothing of the skip
    elif block is not None and block not in match.blocks:
        note, is_silent = match.block_note, match.is_identity_possible
        is_zero = is_silent and module in _BLOCK_OUTPUTS
    elif outputs.is_added.all():
        note = outputs.note
    else:
        is_silent = is_zero = has_weight
    if is_zero:
        nn.init.zeros_(weight)
    if is_silent:
        note = note.removesuffix(_WITHOUT_EFFECT) + _WITHOUT_EFFECT
    return TransferredWeight("new", name, tuple(weight.shape), note=note, changes_output=not is_silent)


def _split(name: str) -> tuple[int | None, str, str]:
    """The number of a weight's block, the module, by its name in the block, and which of its weights it is."""
    path, _, kind = name.rpartition(".")
    if not path.startswith(f"{_BLOCKS}."):
        return None, path, kind
    _, block, module = path.split(".", 2)
    return int(block), module, kind


def _grid(units: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The index of some rows, or of some rows and columns."""
    return (units[0],) if len(units) == 1 else (units[0][:, None], units[1])


def _difference(name: str, old: Any, new: Any) -> str:
    """What differs, or nothing."""
    if old == new:
        return ""
    return f"another {name}" if isinstance(old, list) or isinstance(new, list) else f"{name} {old} → {new}"


def _join_notes(notes: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(note for note in notes if note))


def _list(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + rest
