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

"""Batched generation of many clips, each with its own seed."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..audio.export import check_export, export_audio
from ..audio.io import check_file, open_audio
from ..audio.metadata import fit_metadata
from ..audio.paste import ENCODINGS, check_length, find_encoding, paste
from ..controls import CONTROLS
from ..controls.beats import Tempo
from ..controls.drum_machine import find_groove
from ..utils.errors import InputError
from ..utils.files import hash_file, replace_file


if TYPE_CHECKING:
    from ..pipelines.pipeline_jasco import JascoPipeline


SOURCES = ("source_prompt", "source_chords", "source_drums", "source_melody")


@dataclass(frozen=True)
class GenerationRequest:
    r"""
    A clip to generate.

    Args:
        name (`str`): unique name of the clip.
        prompt (`str` or `list[tuple[str, float]]`, *optional*): the text prompt, or a timeline of texts and their starts
            in seconds.
        controls (`dict[str, Any]`): the clip's controls (keys: [`~controls.CONTROLS`]), in any form that
            [`JascoPipeline`] accepts.
        separate_drums (`bool`, defaults to `False`): whether `drums` is a full mix.
        duration (`float`, *optional*): duration in seconds, by default the one that the model was trained on.
        seed (`int`, defaults to `0`): seed of the noise.
        settings (`dict`): `num_inference_steps`, `sigmas` (a `tuple`), `guidance_scale`, `text_guidance_scale` and
            `guidance_rescale`, where they differ from the checkpoint's defaults.
        start (`float`, defaults to `0.0`): position in control files and recordings, in seconds, at which the clip
            begins.
        normalize_drums (`bool`, *optional*):
            Whether to normalize `drums` to the loudness of the training data, by default as the checkpoint specifies.
        bpm (`float` or `False`, *optional*), beats_per_bar (`int`, *optional*): tempo, as [`JascoPipeline`] accepts it.
        groove (`str`, *optional*): name of a groove for [`~controls.drum_machine.find_groove`], instead of `drums`.
        loop (`bool`, defaults to `False`): whether the end continues with the beginning.
        window_overlap (`float`, *optional*): overlap of windows in seconds, for long music.
        audio (`str`, *optional*):
            A recording. With a `strength` or a `source_*`, it is varied by [`JascoAudioToAudioPipeline`]. Otherwise,
            regions are made anew by [`JascoInpaintPipeline`], or it is continued until `duration`, and the clip has its
            rate and its samples; see [`~audio.paste.paste`].
        regions (`list[tuple[float, float]]`): start and end of the regions of `audio` in seconds.
        audio_start_seconds (`float`, defaults to `0.0`): where `audio` begins in the music.
        strength (`float`, *optional*): how much of `audio` changes, in (0, 1].
        source_prompt, source_chords, source_drums, source_melody (*optional*):
            Description of `audio`, whose differences from `prompt` and `controls` change, in any form that
            [`JascoAudioToAudioPipeline`] accepts.
    """

    name: str
    prompt: str | list[tuple[str | None, float]] | None = None
    controls: dict[str, Any] = field(default_factory=dict)
    separate_drums: bool = False
    duration: float | None = None
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    start: float = 0.0
    normalize_drums: bool | None = None
    bpm: float | bool | None = None
    beats_per_bar: int | None = None
    groove: str | None = None
    loop: bool = False
    window_overlap: float | None = None
    audio: str | None = None
    regions: list[tuple[float, float]] = field(default_factory=list)
    audio_start_seconds: float = 0.0
    strength: float | None = None
    source_prompt: str | list[tuple[str | None, float]] | None = None
    source_chords: Any = None
    source_drums: Any = None
    source_melody: Any = None

    def describe(self) -> dict[str, Any]:
        """All fields as JSON-compatible values. Waveforms and matrices are replaced by hashes."""
        values = {"name": self.name, "prompt": self.prompt, **self.controls, **vars(self)}
        # Omits defaults of newer fields, so that clips generated by earlier versions still count as done.
        new_defaults: dict[str, Any] = {"start": 0.0, "normalize_drums": None, "bpm": None, "beats_per_bar": None}
        new_defaults |= {"groove": None, "loop": False, "window_overlap": None}
        new_defaults |= {"audio": None, "regions": [], "audio_start_seconds": 0.0, "strength": None}
        new_defaults |= dict.fromkeys(SOURCES)
        omitted = {"controls", *(name for name, default in new_defaults.items() if values[name] == default)}
        return {key: _to_json(value) for key, value in values.items() if key not in omitted}

    @property
    def batch_key(self) -> tuple:
        """Values that have to be equal for all requests in a batch."""
        shared = self.separate_drums, self.normalize_drums, self.duration, self.loop, self.window_overlap
        # Clips of the same recording have the same length. A batch would extend shorter ones.
        kinds = tuple(map(_kind_of_source, self.sources.values()))
        return (
            *shared,
            self.audio,
            self.audio_start_seconds,
            self.strength,
            kinds,
            tuple(sorted(self.settings.items())),
        )

    @property
    def sources(self) -> dict[str, Any]:
        """The description of the recording."""
        return {name: getattr(self, name) for name in SOURCES}

    @property
    def varies(self) -> bool:
        """Whether the whole recording changes."""
        return self.strength is not None or any(source is not None for source in self.sources.values())

    @property
    def keeps_samples(self) -> bool:
        """Whether the clip has the samples of its recording."""
        return self.audio is not None and not self.varies


def _kind_of_source(value: Any) -> str | None:
    """`None`, `"extract"`, or `"given"`."""
    return value if value is None or (isinstance(value, str) and value == "extract") else "given"


def plan_batches(requests: Sequence[GenerationRequest], batch_size: int) -> list[list[GenerationRequest]]:
    r"""
    Groups consecutive requests with the same duration and settings into batches. The plan depends on the whole list,
    not on which clips already exist: rounding errors may depend on the batch size, so a resumed run gives the same
    bytes only with the same batches.

    Args:
        requests (`Sequence[GenerationRequest]`): all clips of a run.
        batch_size (`int`): maximum number of clips per batch.
    """
    batches: list[list[GenerationRequest]] = []
    for request in requests:
        if not batches or len(batches[-1]) == batch_size or batches[-1][0].batch_key != request.batch_key:
            batches.append([])
        batches[-1].append(request)
    return batches


class GeneratedClip(NamedTuple):
    r"""
    A generated clip.

    Args:
        audio (`torch.Tensor` of shape `(channels, samples)`): the waveform, float32 on the CPU.
        tempo ([`~controls.beats.Tempo`], *optional*): its tempo, as the pipeline reports it.
    """

    audio: torch.Tensor
    tempo: Tempo | None


@torch.no_grad()
def generate_batch(pipe: "JascoPipeline", requests: Sequence[GenerationRequest]) -> list[GeneratedClip]:
    r"""
    Generates one batch.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): a batch of [`plan_batches`].

    Returns:
        `list[GeneratedClip]`: one per request.

    Raises:
        `ValueError`, `OSError`: from the pipeline, if a control can't be read or the checkpoint does not support it.
    """
    first = requests[0]
    inputs = {name: [request.controls.get(name) for request in requests] for name in CONTROLS}
    grooves = [request.groove and find_groove(request.groove) for request in requests]
    inputs["drums"] = [groove or drums for groove, drums in zip(grooves, inputs["drums"])]
    inputs |= {name: [getattr(request, name) for request in requests] for name in ("bpm", "beats_per_bar")}
    adapted, edit_arguments = _edit(pipe, requests)
    output = adapted(
        [request.source_prompt if request.prompt is None else request.prompt for request in requests],
        **edit_arguments,
        **{name: values for name, values in inputs.items() if any(value is not None for value in values)},
        separate_drums=first.separate_drums,
        normalize_drums=first.normalize_drums,
        start=[request.start for request in requests],
        duration=first.duration,
        loop=first.loop,
        window_overlap=first.window_overlap,
        generator=[torch.Generator().manual_seed(request.seed) for request in requests],
        **first.settings,
    )
    return [GeneratedClip(*clip) for clip in zip(output.audios.float().cpu(), output.tempos, strict=True)]


def _edit(pipe: "JascoPipeline", requests: Sequence[GenerationRequest]) -> tuple["JascoPipeline", dict[str, Any]]:
    """The pipeline for the recording of a batch, and its additional arguments."""
    from ..pipelines.pipeline_jasco_audio2audio import JascoAudioToAudioPipeline
    from ..pipelines.pipeline_jasco_inpaint import JascoInpaintPipeline

    first = requests[0]
    if first.audio is None:
        return pipe, {}
    kind = JascoInpaintPipeline if first.keeps_samples else JascoAudioToAudioPipeline
    adapted = kind.from_pipe(pipe)
    adapted.set_progress_bar_config(**getattr(pipe, "_progress_bar_config", {}))
    arguments: dict[str, Any] = {"audio": [first.audio] * len(requests)}
    if not first.keeps_samples:
        # All values of a batch are of one kind.
        sources = {
            name: value if _kind_of_source(value) != "given" else [request.sources[name] for request in requests]
            for name, value in first.sources.items()
        }
        return adapted, arguments | {"strength": first.strength} | sources
    starts, ends = ([[region[index] for region in request.regions] for request in requests] for index in (0, 1))
    arguments |= {"mask_start_seconds": starts, "mask_end_seconds": ends}
    return adapted, arguments | {"audio_start_seconds": first.audio_start_seconds}


def generate_clips(
    pipe: "JascoPipeline",
    requests: Sequence[GenerationRequest],
    batch_size: int = 8,
    is_done: Callable[[GenerationRequest], bool] = lambda request: False,
) -> Iterator[tuple[GenerationRequest, GeneratedClip | Exception]]:
    r"""
    Generates clips batch by batch. If a request fails, generation continues with the others.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): clips to generate, with unique names.
        batch_size (`int`, defaults to `8`): maximum number of clips per batch.
        is_done (`Callable`):
            Returns whether the clip of a request exists already. A batch is skipped if all its clips exist; otherwise
            it is generated as a whole.

    Yields:
        Each request that is not done, in order, with its clip, or with the `ValueError` or `OSError` that it caused.
    """
    for batch in plan_batches(requests, batch_size):
        missing = {request.name for request in batch if not is_done(request)}
        if not missing:
            continue
        try:
            results: list[GeneratedClip | Exception] = list(generate_batch(pipe, batch))
        except (ValueError, OSError):
            # Isolates the request that failed.
            results = [_generate_one(pipe, request) for request in batch]
        yield from ((request, result) for request, result in zip(batch, results) if request.name in missing)


def _generate_one(pipe: "JascoPipeline", request: GenerationRequest) -> GeneratedClip | Exception:
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
    Generates clips and saves each as `<name>.flac`, with `<name>.json` for the request, the sampling rate, hashes of
    the model and the recording, and the tempo. Existing clips of the same request, model and recording are kept. Edited
    and continued recordings keep their rate and their samples, so the format has to be lossless, and `loudness` can't be
    used. If FLAC can't hold the samples, those of a lossy file or floats, then the clip is `<name>.wav`.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`Sequence[GenerationRequest]`): clips to generate, with unique names.
        folder (`str` or `os.PathLike`): output folder.
        batch_size (`int`, defaults to `8`): maximum number of clips per batch.
        suffix (`str`, defaults to `".flac"`): file format; one of [`~audio.export.FORMATS`].
        loudness (`float`, *optional*): target loudness in LUFS; see [`~audio.export_audio`].
        progress (`bool`, defaults to `False`): whether to show a progress bar.
        metadata (`dict`, *optional*):
            Entries for the metadata in the audio files, such as `{"checkpoint": "jasco-nano"}`, in addition to those
            of the request. By default, the files have no metadata.

    Returns:
        `list[dict]`: `name` and `error` of failed requests.
    """
    check_export(f"clip{suffix}", pipe.sampling_rate)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run_info = {"sampling_rate": pipe.sampling_rate, "loudness": loudness, "model": hash_pipeline(pipe)}
    errors, rates, paths = [], {}, {}
    digests: dict[str, str] = {}  # of the recordings
    for request in requests:
        paths[request.name] = folder / f"{request.name}{suffix}"
        try:
            if request.audio is not None and request.audio not in digests:
                digests[request.audio] = hash_file(check_file(request.audio, "audio"))
            if request.keeps_samples:
                paths[request.name], rates[request.name] = _check_recording(request, paths[request.name], loudness)
        except (ValueError, OSError) as error:
            errors.append({"name": request.name, "error": str(error)})
    failed = {error["name"] for error in errors}
    requests = [request for request in requests if request.name not in failed]

    def describe(request: GenerationRequest, tempo: Tempo | None) -> str:
        extra: dict[str, Any] = {} if tempo is None else {"tempo": tempo._asdict()}
        extra |= {"sampling_rate": rates[request.name]} if request.name in rates else {}
        extra |= {"files": {"audio": digests[request.audio]}} if request.audio is not None else {}
        return json.dumps(request.describe() | run_info | extra, ensure_ascii=False, indent=1) + "\n"

    def save(request: GenerationRequest, audio: torch.Tensor, tempo: Tempo | None):
        path, tags = paths[request.name], None
        if metadata is not None:
            options = _as_options(request, loudness, tempo, digests)
            tags = fit_metadata(metadata | options | {"model": run_info["model"]})
        if request.audio is None or not request.keeps_samples:
            export_audio(audio, path, pipe.sampling_rate, loudness, tags)
            return
        try:
            paste(request.audio, audio, pipe.sampling_rate, request.regions, path, request.audio_start_seconds, tags)
        except OSError as error:
            # If the recording can be read, the output can't be written, which concerns all clips.
            if os.access(request.audio, os.R_OK):
                raise
            raise InputError(f"`audio` can't be read anymore: {error}", "audio") from error

    def is_done(request: GenerationRequest) -> bool:
        audio, description = paths[request.name], folder / f"{request.name}.json"
        if not (audio.is_file() and description.is_file()):
            return False
        try:
            recorded = json.loads(description.read_text(encoding="utf-8"))
        except ValueError:
            return False
        recorded.pop("tempo", None)  # follows from the other entries
        return recorded == json.loads(describe(request, None))

    done = sum(map(is_done, requests))
    with tqdm(total=len(requests), initial=done, unit="clip", disable=not progress) as bar:
        for request, result in generate_clips(pipe, requests, batch_size, is_done):
            bar.update()
            # Removes the old file first, so that an interrupted run cannot pair it with the new audio.
            (folder / f"{request.name}.json").unlink(missing_ok=True)
            if not isinstance(result, Exception):
                try:
                    save(request, *result)
                except InputError as error:
                    result = error
            if isinstance(result, Exception):
                errors.append({"name": request.name, "error": str(result)})
                continue
            with replace_file(folder / f"{request.name}.json") as partial:
                partial.write_text(describe(request, result.tempo), encoding="utf-8")
    return errors


def _check_recording(request: GenerationRequest, path: Path, loudness: float | None) -> tuple[Path, int]:
    """Checks that a clip can have all samples of its recording. Returns its path and the recording's rate in Hz."""
    if loudness is not None:
        raise InputError("`loudness` can't be used with `audio`, whose samples are kept.", "loudness")
    source = open_audio(request.audio, "audio")
    if path.suffix not in ENCODINGS:
        raise InputError(
            f"Clips that keep the samples of `audio` ({request.audio}) have to be .wav or .flac, but are {path.suffix}.",
            "suffix",
        )
    wav = path.with_name(path.name.removesuffix(path.suffix) + ".wav")
    if path.suffix == ".flac" and find_encoding(wav, source) not in ENCODINGS[".flac"]:
        path = wav
    find_encoding(path, source)
    if request.duration is not None:
        end = request.audio_start_seconds + source.frames / source.samplerate
        check_length(request.duration, end, bool(request.regions or request.audio_start_seconds))
    return path, source.samplerate


def _as_options(
    request: GenerationRequest, loudness: float | None, tempo: Tempo | None, digests: dict[str, str]
) -> dict[str, Any]:
    """A request as options of `jasco-generate`, for the metadata of its file."""
    values = request.describe() | request.settings | {"loudness": loudness}
    values |= {"bpm": "none"} if request.bpm is False else {}
    values |= {} if tempo is None else {"tempo": tempo._asdict()}
    if audio := values.pop("audio", None):
        kind = "edit" if request.duration is None and not request.audio_start_seconds else "extend"
        kind = "vary" if request.varies else kind
        values |= {kind: audio, "files": {kind: digests[audio]}}
        values["intro"] = values.pop("audio_start_seconds", None)
        values["regions"] = ",".join(f"{start}-{end}" for start, end in values.pop("regions", [])) or None
    return {key: value for key, value in values.items() if value is not None and key != "settings"}


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
    Hashes the configuration and all weights of a pipeline, to identify the model that generated a clip.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.

    Returns:
        `str`: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    scheduler = {key: value for key, value in pipe.scheduler.config.items() if not key.startswith("_")}
    description = [pipe.defaults, type(pipe.guider).__name__, type(pipe.scheduler).__name__, scheduler]
    digest.update(json.dumps(description, sort_keys=True, default=str).encode())
    for name in ("text_encoder", "codec", "transformer", "tempo_model"):
        model = getattr(pipe, name)
        for key, tensor in () if model is None else model.state_dict().items():
            digest.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
