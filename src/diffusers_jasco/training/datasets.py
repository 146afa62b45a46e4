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

"""Datasets of a run, which are opened once, and their batches."""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from diffusers.utils import logging
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..data.clips import ClipDataset
from ..data.features import FeatureDataset, collate_features
from ..data.growing import GrowingFeatures
from ..data.mixing import MixedDataset
from ..data.online_encoding import BatchEncoder, measure_latents
from ..data.opening import DEFAULT_SECONDS, is_on_hub, is_synthetic, open_dataset
from ..data.streams import ClipStream
from ..pipelines.pipeline_jasco import JascoPipeline
from ..text_encoders import is_word_tokenizer, split_words, text_encoder_hash, warn_of_unknown_captions
from ..utils.errors import list_names
from .batches import EpochBatches, InterleavedBatches, StreamBatches, fitting_batch_size


logger = logging.get_logger(__name__)

MEASURED_ITEMS = 64  # used to measure latent statistics
EncodedDataset = FeatureDataset | GrowingFeatures


@dataclass(frozen=True)
class DatasetInfo:
    r"""
    The open datasets of a run, and the information that is needed to create its model.

    Args:
        codec (`torch.nn.Module`): the codec that encodes them.
        datasets (`list[FeatureDataset | GrowingFeatures | ClipDataset | ClipStream]`): the datasets for training.
        validation (`FeatureDataset`, `GrowingFeatures` or `ClipDataset`, *optional*): the dataset for validation.
        num_frames (`int`): latent frames per item, at most those of the shortest clip.
    """

    codec: torch.nn.Module
    datasets: list[EncodedDataset | ClipDataset | ClipStream]
    validation: EncodedDataset | ClipDataset | None
    num_frames: int

    def latent_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel of the first dataset, measured on some clips unless cached."""
        dataset = self.datasets[0]
        if isinstance(dataset, EncodedDataset):
            return dataset.info["latents_mean"], dataset.info["latents_std"]
        if isinstance(dataset, ClipStream):
            items = islice(dataset, MEASURED_ITEMS)
        else:
            stride = max(len(dataset) // MEASURED_ITEMS, 1)
            items = (dataset[index] for index in range(0, len(dataset), stride)[:MEASURED_ITEMS])
        return measure_latents(items, self.codec)

    def captions(self) -> Iterator[str]:
        r"""
        Iterates over all captions of the training data.

        Raises:
            `ValueError`: for streams, whose captions are only read during training.
        """
        if any(isinstance(dataset, ClipStream) for dataset in self.datasets):
            raise ValueError(
                "`train_tokenizer` needs all captions before training starts, but `streaming` only reads them during"
                " training: train a tokenizer on some captions with training/train_tokenizer.py, and pass it as"
                " `tokenizer`."
            )
        return (caption for dataset in self.datasets for captions in dataset.captions for caption in captions)


def open_datasets(args: argparse.Namespace, codec: torch.nn.Module) -> DatasetInfo:
    r"""
    Opens the datasets of a run.

    Args:
        args (`argparse.Namespace`): the options of `training/train_jasco.py`.
        codec (`torch.nn.Module`): the codec.

    Raises:
        `ValueError`: for datasets that do not exist, have another codec, or have clips shorter than `--num_frames`.
    """
    sets = [(spec, "train", _is_streamed(spec, args)) for spec in args.dataset]
    validation_dataset = _existing_validation(args.validation_dataset)
    if validation_dataset is not None:
        sets.append((validation_dataset, "validation", False))
    opened: dict[int, EncodedDataset | ClipDataset | ClipStream] = {}
    frame_rate = codec.config.sampling_rate / codec.config.hop_length
    num_frames = args.num_frames
    # Synthetic music and streams, which are opened last, get the length of the other datasets.
    for has_length in (True, False):
        for number, (spec, split, is_streamed) in enumerate(sets):
            if has_length != (is_synthetic(spec) or is_streamed):
                options = {"streaming": is_streamed, "renderer": args.renderer}
                opened[number] = open_dataset(spec, codec, split, num_frames, **options)
        if num_frames is None:
            lengths = [dataset.num_frames for dataset in opened.values()]
            num_frames = min([round(DEFAULT_SECONDS * frame_rate), *lengths])
    datasets = [opened[number] for number in range(len(sets))]
    validation = None if validation_dataset is None else datasets.pop()
    return DatasetInfo(codec, datasets, validation, num_frames)


def make_batches(
    args: argparse.Namespace,
    data: DatasetInfo,
    pipeline: JascoPipeline,
    process_index: int = 0,
    num_processes: int = 1,
) -> tuple[EpochBatches | StreamBatches | InterleavedBatches, tuple[Dataset, Callable] | None]:
    r"""
    Configures the datasets for the run's model and creates the batches for training and validation.

    Args:
        args (`argparse.Namespace`):
            The options of `training/train_jasco.py`. `batch_size` is lowered if a dataset has fewer items than a
            batch.
        data (`DatasetInfo`): the run's datasets.
        pipeline ([`JascoPipeline`]): the run's pipeline.
        process_index (`int`), num_processes (`int`): index of this process, and number of processes.

    Returns:
        `tuple`: the training batches, and a tuple of the validation dataset and a function that turns its items into
        a batch, or `None` without validation.

    Raises:
        `ValueError`: for datasets that can't be used together, or not with this pipeline.
    """
    config = pipeline.transformer.config
    encoding = {name: config[name] for name in ("drums_blur", "latents_mean", "latents_std")}
    encoding["null_melody"] = pipeline.transformer.null_controls.get("melody", 0)
    encode = BatchEncoder(pipeline.codec, **encoding)
    # Fixed seed: validation uses the same captions and crops in every run.
    for dataset, seed in [*((dataset, args.seed) for dataset in data.datasets), (data.validation, 0)]:
        if dataset is not None:
            _check_text_embeds(dataset, pipeline, args)
            options = encoding if isinstance(dataset, EncodedDataset) else {}
            if dataset is not data.validation:
                options = options | _remix_options(dataset, args)
            dataset.configure(labels=config.chord_labels, num_frames=data.num_frames, seed=seed, **options)
    if process_index == 0 and args.drop_text < 1:
        for spec, dataset in zip(args.dataset, data.datasets):
            _warn_without_captions(spec, dataset)
            _warn_of_unknown_words(spec, dataset, pipeline.tokenizer)
        _warn_of_unused_words(args, data.datasets, pipeline.tokenizer)
    if process_index == 0 and "beats" in pipeline.transformer.controls:
        for dataset in data.datasets:
            if isinstance(dataset, EncodedDataset):
                _warn_without_beats(dataset, args.tempo_weight > 0)

    def batches_of(dataset: Dataset) -> EpochBatches | StreamBatches:
        is_encoded = all(isinstance(part, EncodedDataset) for part in getattr(dataset, "datasets", [dataset]))
        batches_class = StreamBatches if isinstance(dataset, ClipStream) else EpochBatches
        return batches_class(
            dataset,
            args.batch_size,
            collate_fn=collate_features if is_encoded else list,
            seed=args.seed,
            process_index=process_index,
            num_processes=num_processes,
            num_workers=args.num_workers,
            # Audio is encoded in this process, which has the GPU.
            encode=None if is_encoded else encode,
        )

    datasets, weights = data.datasets, args.dataset_weights
    has_open_end = any(isinstance(dataset, (ClipStream, GrowingFeatures)) for dataset in datasets)
    if len(datasets) > 1 and not has_open_end:
        datasets = [MixedDataset(datasets, list(map(len, datasets)) if weights is None else weights, args.seed)]
    elif len(datasets) > 1 and weights is None:
        raise ValueError(
            "`dataset_weights` is required, as the number of clips in a stream or a growing cache is unknown."
        )
    sizes = [len(dataset) for dataset in datasets if not isinstance(dataset, ClipStream)]
    if sizes:
        args.batch_size = fitting_batch_size(args.batch_size, min(sizes), num_processes, process_index == 0)
    batches = (
        batches_of(datasets[0]) if len(datasets) == 1 else InterleavedBatches(list(map(batches_of, datasets)), weights)
    )
    return batches, None if data.validation is None else (data.validation, encode)


def _existing_validation(spec: str | None) -> str | None:
    """Returns the validation dataset, or `None` with a warning for a prepared folder without a validation split."""
    summary = None if spec is None else Path(spec, "summary.json")
    if summary is None or not summary.is_file() or "validation" in json.loads(summary.read_text())["clips"]:
        return spec
    logger.warning(f"There is no validation, as {spec} has no validation split (see --shares of prepare_dataset.py).")
    return None


def _is_streamed(spec: str, args: argparse.Namespace) -> bool:
    """Whether a dataset is streamed: with `streaming`, all Hub datasets; an error if there are none."""
    return args.streaming and (is_on_hub(spec) or not any(map(is_on_hub, args.dataset)))


def _remix_options(dataset: Dataset | ClipStream, args: argparse.Namespace) -> dict[str, float]:
    """The options of remixes that are not 0; an error for a feature cache, which has no audio."""
    # Runs of older versions lack these options.
    options = {name: getattr(args, name, 0.0) for name in ("remix", "vary_drums")}
    options = {name: probability for name, probability in options.items() if probability}
    if options and isinstance(dataset, EncodedDataset):
        raise ValueError(
            f"--{next(iter(options))} needs audio, but {dataset.folder} is a feature cache: pass the clips instead"
            " (`synthetic`, or the subfolder `dataset` or `train` of a prepared folder), or add remixes to the cache"
            " (--remixes of scripts/encode_features.py)."
        )
    return options


def _check_text_embeds(dataset: Dataset | ClipStream, pipeline: JascoPipeline, args: argparse.Namespace):
    """Rejects cached text embeddings if the text encoder is trained or is another one."""
    if not isinstance(dataset, EncodedDataset) or dataset.info["text_encoder_hash"] is None:
        return
    if getattr(args, "train_text_encoder", False):  # not an option of LoRA training
        problem = "which can't be used while the text encoder is trained"
    elif getattr(args, "new_words", None):
        problem = "in which the words of --new_words are unknown"
    elif dataset.info["text_encoder_hash"] != text_encoder_hash(pipeline.tokenizer, pipeline.text_encoder):
        problem = "which are from another text encoder or tokenizer"
    else:
        return
    raise ValueError(
        f"{dataset.folder} contains text embeddings, {problem}: encode the dataset again without text embeddings."
    )


def _warn_without_captions(spec: str, dataset: EncodedDataset | ClipDataset | ClipStream):
    """Warns of clips without captions, which are allowed."""
    if is_synthetic(spec) or isinstance(dataset, ClipStream):
        return  # synthetic music always has captions; those of streams are not known yet
    captions = list(dataset.captions)
    if missing := sum(not any(clip) for clip in captions):
        logger.warning(
            f"{spec}: {missing} of {len(captions)} clips have no caption. The model does not learn text from them."
        )


def _warn_without_beats(dataset: EncodedDataset, trains_tempo: bool):
    """Warns of feature caches from which the model can't learn beats, or the tempo."""
    missing = [] if dataset.has_beats() else ["beats"]
    if trains_tempo and not dataset.has_tempo():
        missing.append("a tempo")
    if missing:
        logger.warning(
            f"{dataset.folder}: no clip has {' or '.join(missing)}, so they can't be learned from it. Prepare the clips"
            " with beats (scripts/prepare_dataset.py), and encode them again."
        )


def _warn_of_unused_words(
    args: argparse.Namespace,
    datasets: list[EncodedDataset | ClipDataset | ClipStream],
    tokenizer: PreTrainedTokenizerBase,
):
    """Warns of new words that no caption contains."""
    new_words = getattr(args, "new_words", None)
    if not new_words or any(isinstance(dataset, ClipStream) for dataset in datasets):
        return
    missing = dict.fromkeys(word for text in new_words for word in split_words(text, tokenizer))
    for spec, dataset in zip(args.dataset, datasets):
        if is_synthetic(spec) or isinstance(dataset, ClipStream):
            continue
        for caption in (caption for clip in dataset.captions for caption in clip):
            for word in split_words(caption, tokenizer):
                missing.pop(word, None)
            if not missing:
                return
    logger.warning(f"--new_words: no caption contains {list_names(list(missing))}, so it can't be learned.")


def _warn_of_unknown_words(
    spec: str, dataset: EncodedDataset | ClipDataset | ClipStream, tokenizer: PreTrainedTokenizerBase
):
    """Warns of captions with words that the tokenizer does not know, all of which become `<unk>`."""
    if is_synthetic(spec) or isinstance(dataset, ClipStream):
        return  # tokenizers know the words of synthetic music; the captions of streams are not known yet
    warn_of_unknown_captions(
        spec,
        (caption for clip in dataset.captions for caption in clip),
        tokenizer,
        " To teach some of them: --new_words {words}" if is_word_tokenizer(tokenizer) else "",
    )
