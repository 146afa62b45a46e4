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

"""Music for many requests: in batches, each clip by a seed of its own."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from ..audio.export import check_export, export_audio
from ..audio.metadata import fit_metadata
from ..controls import CONTROLS
from ..utils.files import replace_file


if TYPE_CHECKING:
    from ..pipelines.pipeline_jasco import JascoPipeline


@dataclass(frozen=True)
class GenerationRequest:
    r"""
    One clip to make.

    Args:
        name (`str`): what tells it from the others.
        prompt (`str`, *optional*): the text.
        controls (`dict[str, Any]`): of [`~controls.CONTROLS`] those that the clip has, as [`JascoPipeline`] takes them.
        separate_drums (`bool`, defaults to `False`): whether `drums` is a full mix.
        duration (`float`, *optional*): seconds; by default what the model was trained on.
        seed (`int`, defaults to `0`): seed of the noise.
        settings (`dict`): `num_inference_steps`, `guidance_scale`, `text_guidance_scale` and `guidance_rescale`, where they are
            not the checkpoint's.
        start (`float`, defaults to `0.0`): seconds into files and recordings at which the clip begins.
        normalize_drums (`bool`, *optional*): whether `drums` is brought to the model's loudness; by default the checkpoint's.
    """

    name: str
    prompt: str | None = None
    controls: dict[str, Any] = field(default_factory=dict)
    separate_drums: bool = False
    duration: float | None = None
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    start: float = 0.0
    normalize_drums: bool | None = None

    def describe(self) -> dict[str, Any]:
        """All of it, ready for JSON; of waveforms and matrices a hash."""
        values = {"name": self.name, "prompt": self.prompt, **self.controls, **vars(self)}
        # Without defaults that are new, so that clips of earlier versions are known as done.
        new = {"start": 0.0, "normalize_drums": None}
        absent = {"controls", *(name for name, default in new.items() if values[name] == default)}
        return {key: _to_json(value) for key, value in values.items() if key not in absent}

    @property
    def shared(self) -> tuple:
        """What all requests of one batch have in common."""
        return self.separate_drums, self.normalize_drums, self.duration, tuple(sorted(self.settings.items()))


def plan_batches(requests: Sequence[GenerationRequest], batch_size: int) -> list[list[GenerationRequest]]:
    r"""
    Neighbors of the same length and settings go together. The plan depends on the whole list, not on what is made already:
    rounding may differ with the batch's size, so that a run that goes on gives the same bytes only in the same batches.

    Args:
        requests (`Sequence[GenerationRequest]`): all clips of a run.
        batch_size (`int`): clips per batch, at most.
    """
    batches: list[list[GenerationRequest]] = []
    for request in requests:
        if not batches or len(batches[-1]) == batch_size or batches[-1][0].shared != request.shared:
            batches.append([])
        batches[-1].append(request)
    return batches


@torch.no_grad()
def generate_batch(pipe: "JascoPipeline", requests: Sequence[GenerationRequest]) -> list[torch.Tensor]:
    r"""
    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): a batch of [`plan_batches`].

    Returns:
        `list[torch.Tensor]`: a waveform `(channels, samples)` per request, float32 on the CPU.

    Raises:
        `ValueError`, `OSError`: as the pipeline, for a control that can't be read or that the checkpoint does not have.
    """
    first = requests[0]
    controls = {name: [request.controls.get(name) for request in requests] for name in CONTROLS}
    audios = pipe(
        [request.prompt for request in requests],
        **{name: values for name, values in controls.items() if any(value is not None for value in values)},
        separate_drums=first.separate_drums,
        normalize_drums=first.normalize_drums,
        start=[request.start for request in requests],
        duration=first.duration,
        generator=[torch.Generator().manual_seed(request.seed) for request in requests],
        **first.settings,
    ).audios
    return list(audios.float().cpu())


def generate_clips(
    pipe: "JascoPipeline",
    requests: Sequence[GenerationRequest],
    batch_size: int = 8,
    is_done: Callable[[GenerationRequest], bool] = lambda request: False,
) -> Iterator[tuple[GenerationRequest, torch.Tensor | Exception]]:
    r"""
    Makes clips one batch after the other. A request that can't be met does not stop the others.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): clips to make, with different names.
        batch_size (`int`, defaults to `8`): clips per batch, at most.
        is_done (`Callable`): whether a request's clip is there already. Others of its batch are made as if it were not.

    Yields:
        Each request that is not done, in order, with its waveform `(channels, samples)`, or with the `ValueError` or `OSError`
        that says why there is none.
    """
    for batch in plan_batches(requests, batch_size):
        missing = {request.name for request in batch if not is_done(request)}
        if not missing:
            continue
        try:
            results: list[torch.Tensor | Exception] = list(generate_batch(pipe, batch))
        except (ValueError, OSError):
            # One of them is to blame.
            results = [_generate_one(pipe, request) for request in batch]
        yield from ((request, result) for request, result in zip(batch, results) if request.name in missing)


def _generate_one(pipe: "JascoPipeline", request: GenerationRequest) -> torch.Tensor | Exception:
    try:
        return generate_batch(pipe, [request])[0]
    except (ValueError, OSError) as error:
        return error


def save_clips(
    pipe: "JascoPipeline",
    requests: Sequence[GenerationRequest],
    folder: str | os.PathLike,
    batch_size: int = 8,
    suffix: str = ".flac",
    loudness: float | None = None,
    progress: bool = False,
    metadata: dict[str, Any] | None = None,
) -> list[dict[str, str]]:
    r"""
    Makes clips and writes them: `<name>.flac`, and `<name>.json` with the request, the sampling rate and a hash of the model.
    Clips that are there, of the same request by the same model, are not made again.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): clips to make, with different names.
        folder (`str` or `os.PathLike`): where to write.
        batch_size (`int`, defaults to `8`): clips per batch, at most.
        suffix (`str`, defaults to `".flac"`): or another one of [`~audio.export.FORMATS`].
        loudness (`float`, *optional*): in LUFS, see [`~audio.export_audio`].
        progress (`bool`, defaults to `False`): whether to show a progress bar.
        metadata (`dict`, *optional*):
            Entries for the metadata in the files, such as `{"checkpoint": "jasco-nano"}`, beside those of the request. By
            default the files have none.

    Returns:
        `list[dict]`: `name` and `error` of the requests that could not be met.
    """
    check_export(f"clip{suffix}", pipe.sampling_rate)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"sampling_rate": pipe.sampling_rate, "loudness": loudness, "model": hash_pipeline(pipe)}

    def describe(request: GenerationRequest) -> str:
        return json.dumps(request.describe() | about, ensure_ascii=False, indent=1) + "\n"

    def tag(request: GenerationRequest) -> dict[str, Any]:
        values = request.describe() | request.settings | {"loudness": loudness}
        return {key: value for key, value in values.items() if value is not None and key != "settings"}

    def is_done(request: GenerationRequest) -> bool:
        audio, description = folder / f"{request.name}{suffix}", folder / f"{request.name}.json"
        if not (audio.is_file() and description.is_file()):
            return False
        return description.read_text(encoding="utf-8") == describe(request)

    errors = []
    done = sum(map(is_done, requests))
    with tqdm(total=len(requests), initial=done, unit="clip", disable=not progress) as bar:
        for request, audio in generate_clips(pipe, requests, batch_size, is_done):
            bar.update()
            # What is old is not taken for new if the run ends between the two files.
            (folder / f"{request.name}.json").unlink(missing_ok=True)
            if isinstance(audio, Exception):
                errors.append({"name": request.name, "error": str(audio)})
                continue
            tags = None if metadata is None else fit_metadata(metadata | tag(request) | {"model": about["model"]})
            export_audio(audio, folder / f"{request.name}{suffix}", pipe.sampling_rate, loudness, tags)
            with replace_file(folder / f"{request.name}.json") as partial:
                partial.write_text(describe(request), encoding="utf-8")
    return errors


def _to_json(value: Any) -> Any:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        array = np.ascontiguousarray(torch.as_tensor(value).detach().cpu().numpy())
        return {"shape": list(array.shape), "blake2b": hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()}
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    return str(value) if isinstance(value, os.PathLike) else value


def hash_pipeline(pipe: "JascoPipeline") -> str:
    r"""
    Tells models apart: a hash of the configuration and of all weights, by which music of an older model is known as such.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.

    Returns:
        `str`: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    scheduler = {key: value for key, value in pipe.scheduler.config.items() if not key.startswith("_")}
    description = [pipe.defaults, type(pipe.guider).__name__, type(pipe.scheduler).__name__, scheduler]
    digest.update(json.dumps(description, sort_keys=True, default=str).encode())
    for name in ("text_encoder", "codec", "transformer"):
        for key, tensor in getattr(pipe, name).state_dict().items():
            digest.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
