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

"""Weight transfer from a model whose layers may differ."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from ..controls import CONTROLS
from ..controls.beats import NUM_BEAT_CHANNELS
from ..controls.chord_labels import UNKNOWN_CHORD, normalize_chord
from ..loaders.audiocraft import find_audiocraft_checkpoint
from ..loaders.audiocraft.files import INDEX_FILE, MODEL_FILE, TRAINING_FILE
from ..models.transformer_jasco import JascoTransformerModel
from ..pipelines.pipeline_jasco import JascoPipeline
from ..utils.errors import list_names


# Controls whose channels are concatenated to the latents.
CONCATENATED = tuple(name for name in CONTROLS if name != "beats")

# For each layer: options that determine its outputs and its inputs, and others that change the meaning of its weights.
_LAYERS = {
    "chord_embedding": (["chords_dim"], ["chord_labels"], []),
    "drums_proj": (["drums_dim"], ["in_channels"], ["drums_blur"]),
    "melody_proj": (["melody_dim"], ["melody_bins"], []),
    "text_proj": (["width"], ["text_dim"], []),
    "time_embed.linear_1": (["time_embed_dim"] * 4, ["time_embed_dim"], ["time_scale"]),
    "time_embed.linear_2": (["time_embed_dim"] * 4, ["time_embed_dim"] * 4, []),
    "time_embed_proj": (["width"], ["time_embed_dim"] * 4, []),
    "proj_in": (
        ["width"],
        ["in_channels", *(f"{name}_dim" for name in CONCATENATED)],
        ["latents_mean", "latents_std"],
    ),
    "beats_proj": (["width"], ["beat_channels"], []),
    "context_proj": (["width"], ["in_channels", "context_mask"], ["latents_mean", "latents_std"]),
    "presence_proj": (["width"], [f"has_{name}" for name in CONCATENATED], []),
    "time_modulation": (["width"] * 6, ["time_embed_dim"] * 4, []),
    "scale_shift_table": (["modulation"], ["width"], []),
    "skip_proj": (["width"], ["width", "width"], []),
    "norm1": (["width"], [], ["pre_norm"]),
    "norm2": (["width"], [], ["pre_norm"]),
    "norm3": (["width"], [], ["pre_norm"]),
    "attn1.to_q": (["width"], ["width"], ["num_attention_heads", "position_embedding", "rotary_window", "qk_norm"]),
    "attn2.to_q": (["width"], ["width"], ["num_attention_heads", "qk_norm"]),
    **{f"{name}.norm_{kind}": (["attention_head_dim"], [], []) for name in ("attn1", "attn2") for kind in "qk"},
    "ff_in": (["ff_inner_dim"], ["width"], ["activation_fn"]),
    "ff_out": (["width"], ["ff_inner_dim"], []),
    "proj_out": (["in_channels"], ["width"], ["preconditioning"]),
}
_OTHER_LAYER = (["width"], ["width"], [])
# Layers whose outputs are added to the residual stream.
_RESIDUALS = ("attn1.to_out.0", "attn2.to_out.0", "ff_out")
# Sizes whose common units are kept. Units of other sizes only work together: either all of them are kept, or none.
_RESIZABLE = (
    *(f"{name}_dim" for name in CONCATENATED),
    *(f"has_{name}" for name in CONCATENATED),
    "melody_bins",
    "ff_inner_dim",
)
# Layers that the model itself initializes with zeros.
_ADDITIONS = ("beats_proj", "context_proj", "presence_proj", "time_modulation", "scale_shift_table")

# Source units for units that the source lacks.
_ADDED = -1  # new units of a resizable size, which have no effect at first
_UNRELATED = -2  # units of another size that is not resizable

_WITHOUT_EFFECT = " (without effect at first)"


class TransferredWeight(NamedTuple):
    """Transfer result of one weight, with its name in the target (unless dropped) and in the source (unless new)."""

    status: Literal["loaded", "partly loaded", "new", "dropped"]
    target: str | None = None
    target_shape: tuple[int, ...] | None = None
    source: str | None = None
    source_shape: tuple[int, ...] | None = None
    note: str = ""  # how source and target differ
    changes_output: bool = False  # whether the difference changes the model's output


def load_source(source: str | os.PathLike, **arguments: Any) -> JascoPipeline:
    r"""
    Loads the pipeline that training starts from, in float32 on the CPU.

    Args:
        source (`str` or `os.PathLike`):
            A Hub id; the folder of a pipeline, or of a run (the pipeline of its last checkpoint); a folder in
            AudioCraft's layout; a `checkpoint.th` of AudioCraft's training, or its folder (for the best weights).
        arguments: arguments of [`JascoPipeline.from_pretrained`], where further errors are described.

    Raises:
        `FileNotFoundError`: if a folder contains none of these.
    """
    is_folder = os.path.isdir(source)
    if is_folder and not Path(source, INDEX_FILE).is_file() and find_audiocraft_checkpoint(source) is None:
        raise FileNotFoundError(
            f"There is nothing to continue from in {source}: neither a pipeline ({INDEX_FILE}) nor an AudioCraft"
            f" checkpoint ({MODEL_FILE} or {TRAINING_FILE}). A run saves a pipeline at its first checkpoint."
        )
    return JascoPipeline.from_pretrained(source, dtype=torch.float32, **arguments)


@torch.no_grad()
def transfer_weights(source: JascoTransformerModel, target: JascoTransformerModel) -> list[TransferredWeight]:
    r"""
    Loads the weights of `source` that fit into `target`, in place. Where possible, new weights start without effect,
    so that the output stays the same: layers ignore new input channels, new blocks of a pre-norm model and new skip
    connections are identities, and new biases are zero. Other new weights keep their initialization.

    Blocks are added or removed in the middle, so that the outer ones keep their skip connections. Chords are matched
    by their notes: a chord that the source lacks is initialized from the nearest one, any other label from the unknown
    or the null chord.

    Returns:
        `list[TransferredWeight]`: one entry for each weight of the target, then one for each unused weight of the
        source.
    """
    old_options, new_options = (
        {**model.config, "width": model.proj_in.out_features}
        | {f"has_{name}": int(name in model.controls) for name in CONCATENATED}
        | {"beat_channels": NUM_BEAT_CHANNELS, "modulation": 6, "context_mask": 1}
        # The angles of rotary positions depend on the window.
        | {"rotary_window": model.config.sample_size if model.config.position_embedding == "rotary" else None}
        for model in (source, target)
    )
    change = {option: _compare(option, old_options.get(option), value) for option, value in new_options.items()}
    # Blocks of different widths have nothing in common.
    blocks = {} if change["width"].note else _match_blocks(source.config.num_layers, target.config.num_layers)
    block_note = _join_notes([change["width"], change["num_layers"]])
    old, new = dict(source.named_parameters()), dict(target.named_parameters())

    rows = []
    for name, weight in new.items():
        block, layer, kind = _split(name)
        outputs, inputs, options = _find_changes(layer, change)
        origin = "" if block is None else f"transformer_blocks.{blocks.get(block)}."
        origin += "" if layer == kind else f"{layer}."
        old_name, known = f"{origin}{kind}", ()
        if old_name in old:
            status = _copy(layer, weight, old[old_name], outputs, inputs)
            if status != "new":
                known = (old_name, tuple(old[old_name].shape))
            changes = outputs + (inputs if weight.ndim == 2 else []) + (options if kind == "weight" else [])
            note, differs = _join_notes(changes), any(one.changes_output for one in changes)
        else:
            status, note, differs = "new", "the source has none", False
            if layer == "skip_proj" and blocks:
                # Passes the output of the previous block through and ignores the skip connection.
                nn.init.eye_(weight) if kind == "weight" else nn.init.zeros_(weight)
            elif block is not None and block not in blocks:
                note, differs = block_note, not (target.config.pre_norm and blocks)
                if not differs and layer in _RESIDUALS:
                    nn.init.zeros_(weight)
            elif layer in _ADDITIONS:
                nn.init.zeros_(weight)
            elif outputs[0].old_size == 0:  # of a control that the source lacks
                note = outputs[0].note
            elif f"{origin}weight" in old:
                nn.init.zeros_(weight)
            else:
                differs = True
            note = note.removesuffix(_WITHOUT_EFFECT) + _WITHOUT_EFFECT * (not differs)
        rows.append(TransferredWeight(status, name, tuple(weight.shape), *known, note=note, changes_output=differs))

    used = {row.source for row in rows}
    for name in (name for name in old if name not in used):
        block, layer, _ = _split(name)
        outputs, inputs, _ = _find_changes(layer, change)
        if block is not None and block not in blocks.values():
            note = block_note
        elif name in new:
            note = _join_notes(outputs + inputs)
        else:
            note = "the target has none" if outputs[0].units else f"{outputs[0].note}: includes its learned null"
        rows.append(TransferredWeight("dropped", None, None, name, tuple(old[name].shape), note, True))
    return rows


def to_table(rows: Sequence[TransferredWeight]) -> str:
    """
    Formats transferred weights as a Markdown table, in which weights and blocks with the same result and shape share a
    row, followed by a statement whether the output stays the same.
    """
    # The blocks of each (result, weight), then the weights of each (result, range of blocks).
    blocks, names = {}, {}
    for row in rows:
        (number, layer, kind), (origin, *_) = _split(row.target or row.source), _split(row.source or row.target)
        shift = None if number is None else number - origin
        shapes = dict.fromkeys(str(shape) for shape in (row.source_shape, row.target_shape) if shape is not None)
        result = (row.status, shift, " → ".join(shapes), "changes" * row.changes_output, row.note)
        blocks.setdefault((result, kind if layer == kind else f"{layer}.{kind}"), []).append(number)
    for (result, name), numbers in blocks.items():
        names.setdefault((result, numbers[0], numbers[-1]), []).append(name)

    lines = ["| | weights | shape | output | note |", "| --- | --- | --- | --- | --- |"]
    order = ("loaded", "partly loaded", "new", "dropped")
    for (result, first, last), group in sorted(names.items(), key=lambda item: order.index(item[0][0][0])):
        status, shift, *rest = result
        where = "" if first is None else f"blocks {first}–{last}"
        where += f" (in the source {first - shift}–{last - shift})" if shift else ""
        lines.append(f"| {' | '.join([status, where + ': ' * bool(where) + ', '.join(group), *rest])} |")
    effect = "differs from" if any(row.changes_output for row in rows) else "equals"
    return "\n".join([*lines, "", f"The initial output {effect} the source's."])


class _Change(NamedTuple):
    """Difference of the models in one option: whether it changes the output, and the source unit of each unit."""

    note: str
    changes_output: bool
    units: list[int]
    old_size: int


def _find_changes(layer: str, change: dict[str, _Change]) -> list[list[_Change]]:
    """Returns the changes of a layer's outputs, of its inputs, and of its other options."""
    return [[change[option] for option in options] for options in _LAYERS.get(layer, _OTHER_LAYER)]


def _compare(option: str, old: Any, new: Any) -> _Change:
    if option == "chord_labels":
        return _compare_chords(old or [], new or [])
    is_same = old == new
    old_size, new_size = (value if isinstance(value, int) else 0 for value in (old, new))
    note = f"different {option}" if list in (type(old), type(new)) else f"{option} {old} → {new}"
    if option not in _RESIZABLE:
        units = [unit if is_same else _UNRELATED for unit in range(new_size)]
        return _Change("" if is_same else note, not is_same, units, old_size)
    note = "" if is_same else note + _WITHOUT_EFFECT * (new_size > old_size)
    units = [unit if unit < old_size else _ADDED for unit in range(new_size)]
    # Fewer pitches do not change the output, as they can't be requested any more.
    return _Change(note, new_size < old_size and option != "melody_bins", units, old_size)


def _compare_chords(old: list[str], new: list[str]) -> _Change:
    """Compares the inputs of the chord embedding: the vocabulary, followed by the null chord."""
    units, guesses = [], []
    for label in new:
        try:
            start, difference = normalize_chord(label, old)
        except ValueError:
            start, difference = UNKNOWN_CHORD, "not a chord"
        units.append(old.index(start) if start in old else len(old))
        if difference is not None or start not in old:
            guesses.append(f"{label} from {start if start in old else 'the null chord'}")
    note = "" if new == old else f"chord_labels: {len(new) - len(guesses)} are known"
    if guesses:
        note += f", {len(guesses)} are new ({list_names(guesses)})"
    if dropped := [label for unit, label in enumerate(old) if unit not in units]:
        note += f", {len(dropped)} are dropped ({list_names(dropped)})"
    return _Change(note, False, [*units, len(old)], len(old) + 1)


def _match_blocks(old: int, new: int) -> dict[int, int]:
    """Maps blocks of the target to blocks of the source, half of them counted from the start, half from the end."""
    kept = min(old, new)
    first = (kept + 1) // 2
    return {block: block for block in range(first)} | {new - back: old - back for back in range(1, kept - first + 1)}


def _copy(layer: str, weight: torch.Tensor, old: torch.Tensor, outputs: list[_Change], inputs: list[_Change]) -> str:
    """Copies the common units, and returns the weight's status."""
    if layer == "chord_embedding":  # inputs × outputs
        weight, old = weight.T, old.T
    rows, columns = _units(outputs), _units(inputs)
    if weight.ndim == 1:
        weight, old, columns = weight[:, None], old[:, None], torch.zeros(1, dtype=torch.long)
    if (len(rows), len(columns)) != weight.shape:
        shape = (len(rows), len(columns))
        raise ValueError(f"{layer} has shape {tuple(weight.shape)}, but its options imply {shape}.")
    kept = (rows >= 0).nonzero(), (columns >= 0).nonzero().T
    weight[kept] = old[rows[kept[0]], columns[kept[1]]].to(weight)
    weight[kept[0], (columns == _ADDED).nonzero().T] = 0
    if not weight[kept].numel():
        return "new"
    is_whole = all(sorted(units.tolist()) == [*range(size)] for units, size in zip((rows, columns), old.shape))
    return "loaded" if is_whole else "partly loaded"


def _units(side: list[_Change]) -> torch.Tensor:
    """The source unit of each unit of a layer's outputs or inputs, which concatenate the units of several options."""
    units, start = [], 0
    for change in side:
        units += [unit + start if unit >= 0 else unit for unit in change.units]
        start += change.old_size
    return torch.tensor(units)


def _split(name: str) -> tuple[int | None, str, str]:
    """
    Splits the name of a weight into the number of its block, if any, its layer, and its name in the layer. A weight of
    the block itself is its own layer.
    """
    block, layer, kind = re.fullmatch(r"(?:transformer_blocks\.(\d+)\.)?(?:(.+)\.)?(\w+)", name).groups()
    return block and int(block), layer or kind, kind


def _join_notes(changes: Iterable[_Change]) -> str:
    return "; ".join(dict.fromkeys(change.note for change in changes if change.note))
