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

"""The data of a run: what its options name, as batches of the form that its model needs."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
from diffusers.utils import logging
from torch.utils.data import Dataset

from ..data.clips import ClipDataset
from ..data.features import FeatureDataset, collate_features, wordings
from ..data.mixing import MixedDataset
from ..data.online_encoding import BatchEncoder, measure_latents
from ..data.opening import DEFAULT_SECONDS, is_on_hub, open_dataset
from ..data.streams import ClipStream
from ..data.synthetic.music import SyntheticMusic
from ..pipelines.pipeline_jasco import JascoPipeline
from ..text_encoders import text_encoder_hash
from .batches import EpochBatches, InterleavedBatches, StreamBatches


logger = logging.get_logger(__name__)

MEASURED_ITEMS = 64


def load_datasets(
    args: argparse.Namespace, pipeline: JascoPipeline, process_index: int = 0, num_processes: int = 1
) -> tuple[EpochBatches | StreamBatches | InterleavedBatches, tuple[Dataset, Callable] | None]:
    r"""
    The data that a run is trained and validated on.

    Args:
        args (`argparse.Namespace`): the options of `training/train_jasco.py`.
        pipeline ([`JascoPipeline`]): the run's pipeline.
        process_index (`int`), num_processes (`int`): which process this is.

    Returns:
        `tuple`: the batches of the training, and if there is a validation, its data set and what makes a batch of items.

    Raises:
        `ValueError`: for data sets that can't be used together, or not with this pipeline.
    """
    config = pipeline.transformer.config
    open_split = partial(
        open_dataset,
        codec=pipeline.codec,
        labels=config.chord_labels,
        drums_blur=config.drums_blur,
        latents_mean=config.latents_mean,
        latents_std=config.latents_std,
        renderer=args.renderer,
    )
    encode = BatchEncoder(pipeline.codec, config.drums_blur, config.latents_mean, config.latents_std)

    def open_all(num_frames: int | None) -> list[Dataset]:
        options = {"split": "train", "num_frames": num_frames, "seed": args.seed}
        return [open_split(spec, streaming=_is_streamed(spec, args), **options) for spec in args.dataset]

    datasets = open_all(args.num_frames)
    # Always the same wordings and crops, so its seed is not the run's.
    held_out = {"split": "validation", "seed": 0}
    validation = None
    if args.validation_dataset is not None:
        validation = open_split(args.validation_dataset, num_frames=args.num_frames, **held_out)
    num_frames = min(dataset.num_frames for dataset in [*datasets, *([] if validation is None else [validation])])
    if args.num_frames is None:
        num_frames = min(num_frames, round(DEFAULT_SECONDS * pipeline.frame_rate))
    if any(dataset.num_frames != num_frames for dataset in datasets):
        datasets = open_all(num_frames)
    if validation is not None and validation.num_frames != num_frames:
        validation = open_split(args.validation_dataset, num_frames=num_frames, **held_out)
    for given in [*datasets, *([] if validation is None else [validation])]:
        # A LoRA does not train it.
        _check_text_embeds(given, pipeline, getattr(args, "train_text_encoder", False))
    if process_index == 0 and args.drop_text < 1:
        for spec, given in zip(args.dataset, datasets):
            _warn_without_captions(spec, given)

    def make_batches(dataset: Dataset) -> EpochBatches | StreamBatches:
        is_encoded = all(isinstance(part, FeatureDataset) for part in getattr(dataset, "datasets", [dataset]))
        batches_class = StreamBatches if isinstance(dataset, ClipStream) else EpochBatches
        return batches_class(
            dataset,
            args.batch_size,
            collate_fn=collate_features if is_encoded else list,
            seed=args.seed,
            process_index=process_index,
            num_processes=num_processes,
            num_workers=args.num_workers,
            # Audio is encoded in this process, where the GPU is.
            encode=None if is_encoded else encode,
        )

    if len(datasets) == 1:
        batches = make_batches(datasets[0])
    elif not any(isinstance(dataset, ClipStream) for dataset in datasets):
        weights = [len(dataset) for dataset in datasets] if args.dataset_weights is None else args.dataset_weights
        batches = make_batches(MixedDataset(datasets, weights, args.seed))
    elif args.dataset_weights is None:
        raise ValueError("`dataset_weights` are needed: how many clips a stream has is not known.")
    else:
        batches = InterleavedBatches([make_batches(dataset) for dataset in datasets], args.dataset_weights)
    return batches, None if validation is None else (validation, encode)


def _is_streamed(spec: str, args: argparse.Namespace) -> bool:
    """Whether a data set is read while training: with `streaming`, those of the Hub; there has to be one of them."""
    return args.streaming and (is_on_hub(spec) or not any(map(is_on_hub, args.dataset)))


def _check_text_embeds(dataset: Any, pipeline: JascoPipeline, train_text_encoder: bool):
    """Text embeddings of a cache are of no use for a text encoder that is trained, or another one."""
    if not isinstance(dataset, FeatureDataset) or dataset.info["text_encoder_hash"] is None:
        return
    if train_text_encoder:
        problem = "which would not change with a text encoder that is trained"
    elif dataset.info["text_encoder_hash"] != text_encoder_hash(pipeline.tokenizer, pipeline.text_encoder):
        problem = "which are of another text encoder or tokenizer"
    else:
        return
    raise ValueError(
        f"{dataset.folder} holds text embeddings, {problem}: encode the data set without them, or with it."
    )


def _warn_without_captions(spec: str, dataset: Dataset):
    """Clips without captions are no error, but nothing about text is learnt from them."""
    if isinstance(dataset, ClipStream) or isinstance(getattr(dataset, "rows", None), SyntheticMusic):
        return  # not known before; never without
    captions = list(_captions_of(dataset))
    if missing := sum(not any(clip) for clip in captions):
        logger.warning(
            f"{spec}: {missing} of {len(captions)} clips have no caption. Nothing about text is learnt from them."
        )


def latent_statistics(
    spec: str, codec: torch.nn.Module, args: argparse.Namespace
) -> tuple[float | list[float], float | list[float]]:
    r"""
    Mean and standard deviation of a codec's latents: those of a feature cache, or else measured on some clips.

    Args:
        spec (`str`): a data set.
        codec (`torch.nn.Module`): the codec.
        args (`argparse.Namespace`): the options of `training/train_jasco.py`.
    """
    dataset = open_dataset(
        spec, codec, num_frames=args.num_frames, renderer=args.renderer, streaming=_is_streamed(spec, args)
    )
    if isinstance(dataset, FeatureDataset):
        return dataset.info["latents_mean"], dataset.info["latents_std"]
    if isinstance(dataset, ClipStream):
        items = islice(dataset, MEASURED_ITEMS)
    else:
        stride = max(len(dataset) // MEASURED_ITEMS, 1)
        items = (dataset[index] for index in range(0, len(dataset), stride)[:MEASURED_ITEMS])
    return measure_latents(items, codec)


def read_captions(specs: Iterable[str], codec: torch.nn.Module, args: argparse.Namespace) -> Iterable[str]:
    r"""
    All wordings of the captions of data sets.

    Raises:
        `ValueError`: with `streaming`, as they are needed before the training.
    """
    if args.streaming:
        raise ValueError(
            "`train_tokenizer` needs all captions before the training, and `streaming` reads them in its course:"
            " make a tokenizer of some captions with training/train_tokenizer.py, and give it as `tokenizer`."
        )
    for spec in specs:
        dataset = open_dataset(spec, codec, num_frames=args.num_frames, renderer=args.renderer)
        for captions in _captions_of(dataset):
            yield from captions


def _captions_of(dataset: FeatureDataset | ClipDataset) -> Iterator[list[str]]:
    """The wordings of each clip."""
    if isinstance(dataset, FeatureDataset):
        yield from dataset.captions
    elif isinstance(dataset.rows, SyntheticMusic):
        yield from map(dataset.rows.captions, range(len(dataset.rows)))
    else:
        rows = dataset.rows
        if hasattr(rows, "column_names"):
            columns = [name for name in ("captions", "caption", "text") if name in rows.column_names]
            # Rows without columns are no rows.
            rows = rows.select_columns(columns) if columns else [{}] * len(rows)
        for row in rows:
            yield wordings({"caption": row.get("text")} | row)
