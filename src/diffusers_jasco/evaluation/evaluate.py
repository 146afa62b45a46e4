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

"""How well a pipeline follows its controls: it makes music under several sets of conditions, and listens to it."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from diffusers.utils import logging
from tqdm import tqdm

from ..audio.io import load_audio
from ..codecs import decode, encode
from ..controls import CONTROLS
from ..data.features import prepare_audio
from ..generation.batches import GenerationRequest, generate_clips
from ..utils.files import replace_file
from .adherence import Adherence, Metric, analyze, derangements, measure_adherence, score, score_floor, worst
from .control_estimators import ESTIMATORS, Estimator, builtin_salience
from .estimators import caption_probe
from .estimators.embeddings import Embedding, load_embedding
from .metrics.captions import measure_captions
from .metrics.distances import sound_distance
from .metrics.sample_sizes import MIN_CLIPS
from .metrics.sound import check_sound, compare_sound, spectral_distance


logger = logging.get_logger(__name__)

# What is given in each; the last two generate nothing.
CONDITIONS = {
    "all": ("text", *CONTROLS),
    "none": (),
    "text": ("text",),
    **{control: ("text", control) for control in CONTROLS},
    "swapped": ("text", *CONTROLS),
    "codec": (),
    "no_drums": (),
}
# What belongs to a clip's caption, and stays when controls are swapped.
_TEXT_KEYS = ("caption", "style", "tempo", "energy", "instruments")


@dataclass(frozen=True)
class References:
    r"""
    The clips that a model is asked for, and what is heard in them and by chance. Made once, it serves any number of
    evaluations: see [`analyze_references`].

    Args:
        items (`list[dict]`): the clips.
        estimators (`Sequence[Estimator]`): who listens.
        embedding (`Embedding`): what distances of sound are measured with.
        ceilings, floors (`dict`): as [`~evaluation.adherence.score`] and [`~evaluation.adherence.score_floor`] return them.
        vectors (`np.ndarray` of shape `(clips, dim)`): the clips' embeddings.
        sound (`list[dict]`): the clips' [`~evaluation.metrics.sound.SoundCheck`], with the rise at their own drums' onsets.
        seed (`int`): of noise, swaps, floors and intervals.
    """

    items: list[dict[str, Any]]
    estimators: Sequence[Estimator]
    embedding: Embedding
    ceilings: dict[Metric, np.ndarray]
    floors: dict[Metric, np.ndarray]
    vectors: np.ndarray
    sound: list[dict[str, Any]]
    seed: int


def analyze_references(
    items: Sequence[dict[str, Any]],
    estimators: Sequence[Estimator] = ESTIMATORS,
    embedding: Embedding | None = None,
    seed: int = 0,
    progress: bool = False,
) -> References:
    r"""
    Args:
        items (`Sequence[dict]`): at least 2 clips, such as those of [`~data.SyntheticMusic`] with `stems=True`, of
            [`~evaluation.items.read_items`] or [`~evaluation.handwritten.handwritten_items`]: `audio` `(1, samples)`,
            `sampling_rate`, `duration`, `caption`, `chords`, `melody`, `drum_onsets`, `beats`, `stems`; and `style`, `tempo`,
            `energy`, `instruments`, if they are known.
        estimators (`Sequence[Estimator]`): who listens.
        embedding (`Embedding`, *optional*): by default [`~evaluation.estimators.embeddings.spectral_statistics`].
        seed (`int`, defaults to `0`): of noise, swaps, floors and intervals.
        progress (`bool`, defaults to `False`): whether to show a progress bar.

    Raises:
        `ValueError`: for less than 2 clips.
    """
    embedding = embedding or load_embedding("spectrum")
    if len(items) < 2:
        raise ValueError(
            f"At least 2 clips are needed, as other clips' music is the floor, but there are {len(items)}."
        )
    known, estimate, vectors, sound = [], [], [], []
    for item in tqdm(items, desc="references", unit="clip", disable=not progress):
        audio = item["audio"], item["sampling_rate"]
        known.append(dict(item) | {"salience": builtin_salience(audio)})
        estimate += analyze([audio], estimators)
        vectors.append(embedding(audio))
        sound.append(dataclasses.asdict(check_sound(audio, item["drum_onsets"])))
    ceilings = score(estimate, known, estimators)
    floors = score_floor(estimate, known, seed, estimators=estimators)
    return References(known, estimators, embedding, ceilings, floors, np.stack(vectors), sound, seed)


def evaluate_pipeline(
    pipe: Any,
    items: Sequence[dict[str, Any]] | References,
    conditions: Sequence[str] = tuple(CONDITIONS),
    batch_size: int = 8,
    settings: dict[str, Any] | None = None,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
) -> dict[str, Any]:
    r"""
    Makes music for clips and measures how well it follows what was asked for.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        items (`Sequence[dict]` or `References`): the clips, or what [`analyze_references`] made of them.
        conditions (`Sequence[str]`): some of `CONDITIONS`:

            - `"all"`: caption, chords, drums and melody of the clip; `"none"`: nothing; `"text"`: the caption alone
            - `"chords"`, `"drums"`, `"melody"`: the caption and this control alone
            - `"swapped"`: the clip's caption with the controls of another clip, and scored against these
            - `"codec"`: no generation: the originals through the codec, the most that generation can reach
            - `"no_drums"`: no generation: the originals without their drums. Instruments that play on the beat meet many of the
              drums' onsets, too, so music that follows the drums has to be above this

            Those of a control that the checkpoint does not have are left out.
        batch_size (`int`, defaults to `8`): clips that are generated together.
        settings (`dict`, *optional*): `num_inference_steps`, `guidance_scale`, `text_guidance_scale` and `guidance_rescale`, where
            they are not the checkpoint's.
        cache (`Path`, *optional*): folder for the generated clips, `<condition>/<index>.wav`. Those that are there are not made
            again: whoever gives it sees to it that they are from the same model, clips and settings.
        progress (`bool`, defaults to `False`): whether to show progress bars.
        min_clips (`int`, defaults to `20`): scores of metrics that fewer clips have something for are NaN, and not reported.

    Returns:
        `dict`, ready for JSON: `num_clips`, `min_clips`, `embedding`, `ceilings` and `floors` (by `"estimator/metric"`, clip by clip),
        `originals` (their `sound`), and `conditions`: for each

        - `adherence`: every metric by every estimator as [`~evaluation.adherence.Adherence`] has it; `reported`: of each metric
          the worse one
        - `scores`: clip by clip; `controls_of`: which clip's controls each had; `given`: the conditions
        - `distance`: as [`~evaluation.metrics.distances.sound_distance`] returns it; `sound`: checks, clip by clip;
          `against_references`: as [`~evaluation.metrics.sound.compare_sound`] returns it
        - `captions`, if `"codec"` is among the conditions: what is heard of the captions' attributes, as
          [`~evaluation.metrics.captions.CaptionAdherence`] has it
        - `seconds_per_second`: seconds of making per second of music; clips that are in the cache cost next to nothing

    Raises:
        `ValueError`: for another condition.
    """
    if unknown := sorted(set(conditions) - CONDITIONS.keys()):
        raise ValueError(f"`conditions`: {', '.join(unknown)}: none of {', '.join(CONDITIONS)}.")
    num_clips = len(items.items if isinstance(items, References) else items)
    if num_clips < min_clips:
        logger.warning(
            f"Scores need at least {min_clips} clips (`min_clips`), but there are {num_clips}: none is reported."
        )
    references = items if isinstance(items, References) else analyze_references(items, progress=progress)
    result: dict[str, Any] = {
        "num_clips": len(references.items),
        "min_clips": min_clips,
        "embedding": references.embedding.name,
        "ceilings": _to_columns(references.ceilings),
        "floors": _to_columns(references.floors),
        "references": {"sound": references.sound},
        "conditions": {},
    }
    for name in conditions:
        given = [part for part in CONDITIONS[name] if part == "text" or part in pipe.transformer.controls]
        # Of a control that the checkpoint does not have there is nothing to measure by itself.
        if name in CONTROLS and name not in given:
            continue
        wanted = np.arange(len(references.items))
        if name == "swapped":
            wanted = derangements(len(wanted), 1, references.seed)[0]
        if name == "codec":
            clips = _through_codec(pipe, references.items, batch_size)
        elif name == "no_drums":
            clips = (item["audio"] - item["stems"].get("drums", 0) for item in references.items)
        else:
            requests = make_requests(references.items, wanted, given, settings or {}, references.seed)
            clips = _generate(pipe, requests, batch_size, cache and cache / name)
        result["conditions"][name] = _listen(pipe, clips, references, wanted, name, progress, min_clips) | {
            "given": given
        }
    if codec := result["conditions"].get("codec"):
        for name, condition in result["conditions"].items():
            if name != "codec":
                condition["captions"] = _measure_captions(condition, codec, references, min_clips)
    return result


def make_requests(
    items: Sequence[dict[str, Any]],
    wanted: np.ndarray,
    given: Sequence[str],
    settings: dict[str, Any],
    seed: int,
) -> list[GenerationRequest]:
    r"""
    Args:
        items (`Sequence[dict]`): the clips.
        wanted (`np.ndarray` of shape `(clips,)`): whose controls each clip has.
        given (`Sequence[str]`): what is given, of `"text"`, `"chords"`, `"drums"`, `"melody"`.
        settings (`dict`): as in [`evaluate_pipeline`].
        seed (`int`): of the noise.

    Returns:
        `list[GenerationRequest]`: one per clip. Its noise depends on the seed and the index only, not on what is given.
    """
    select = {
        "chords": lambda item: item["chords"] or None,
        "drums": lambda item: (item["stems"]["drums"], item["sampling_rate"]) if "drums" in item["stems"] else None,
        "melody": lambda item: item["melody"] or None,
    }
    return [
        GenerationRequest(
            name=f"{index:05d}",
            prompt=item["caption"] if "text" in given else None,
            controls={control: value(items[wanted[index]]) for control, value in select.items() if control in given},
            duration=item["duration"],
            seed=1_000_000 * seed + index,
            settings=settings,
        )
        for index, item in enumerate(items)
    ]


def flatten(result: dict[str, Any]) -> dict[str, float]:
    r"""
    The numbers that a training's log is interested in.

    Args:
        result (`dict`): as [`evaluate_pipeline`] returns it.

    Returns:
        `dict[str, float]`: `"<condition>/<control>/<metric>"`: A by the worse estimator; `"<condition>/captions/<attribute>"`;
        `"<condition>/kernel_distance"`.
    """
    values = {}
    for name, condition in result["conditions"].items():
        for row in condition["reported"]:
            values[f"{name}/{row['control']}/{row['metric']}"] = row["value"]
        for row in condition.get("captions", ()):
            if row["num_clips"] < row["min_clips"]:
                continue
            values[f"{name}/captions/{row['question']}"] = row["value"]
        if condition["distance"]["kernel_distance"] is not None:
            values[f"{name}/kernel_distance"] = condition["distance"]["kernel_distance"]
    return values


def _generate(
    pipe: Any, requests: list[GenerationRequest], batch_size: int, folder: Path | None
) -> Iterator[torch.Tensor]:
    """Waveforms (1, samples), from the folder where they are there."""

    def path(request: GenerationRequest) -> Path:
        return folder / f"{request.name}.wav"

    def is_done(request: GenerationRequest) -> bool:
        return folder is not None and path(request).is_file()

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    made = generate_clips(pipe, requests, batch_size, is_done)
    for request in requests:
        if not is_done(request):
            _, audio = next(made)
            if isinstance(audio, Exception):
                raise audio
            audio = audio.mean(dim=0, keepdim=True)
            if folder is None:
                yield audio
                continue
            # Peaks beyond full scale are a finding, so samples are kept as they are.
            with replace_file(path(request)) as partial:
                soundfile.write(partial, audio.T.numpy(), pipe.sampling_rate, subtype="FLOAT", format="WAV")
        yield load_audio(path(request))[0]


def _through_codec(pipe: Any, items: Sequence[dict[str, Any]], batch_size: int) -> Iterator[torch.Tensor]:
    """The originals, encoded and decoded: a waveform (1, samples) per clip."""
    for first in range(0, len(items), batch_size):
        audios = [prepare_audio(item, pipe.sampling_rate)["audio"] for item in items[first : first + batch_size]]
        # Clips of one length go together.
        same = len({audio.shape for audio in audios}) == 1
        for waveforms in [torch.stack(audios)] if same else [audio[None] for audio in audios]:
            decoded = decode(pipe.codec, encode(pipe.codec, waveforms))[..., : waveforms.shape[-1]]
            yield from decoded.mean(dim=1, keepdim=True).cpu()


def _listen(
    pipe: Any,
    clips: Iterator[torch.Tensor],
    references: References,
    wanted: np.ndarray,
    name: str,
    progress: bool,
    min_clips: int,
) -> dict[str, Any]:
    """What [`evaluate_pipeline`] says of one set of conditions."""
    targets = [
        references.items[other] | {key: item[key] for key in _TEXT_KEYS if key in item}
        for item, other in zip(references.items, wanted)
    ]
    estimate, vectors, sound, distances = [], [], [], []
    # What generates nothing has the originals' rate, but for the codec.
    makes_sound = name != "no_drums"
    seconds, started = 0.0, time.perf_counter()
    for index, clip in enumerate(tqdm(clips, desc=name, unit="clip", total=len(wanted), disable=not progress)):
        seconds += time.perf_counter() - started
        item = references.items[index]
        audio = clip, pipe.sampling_rate if makes_sound else item["sampling_rate"]
        estimate += analyze([audio], references.estimators)
        vectors.append(references.embedding(audio))
        sound.append(dataclasses.asdict(check_sound(audio, targets[index]["drum_onsets"])))
        if name == "codec":
            distances.append(spectral_distance(audio, (item["audio"], item["sampling_rate"])))
        started = time.perf_counter()

    scores = score(estimate, targets, references.estimators)
    # Captions stay with their clips.
    order = {
        estimator.name: np.arange(len(wanted)) if estimator.control == "text" else wanted
        for estimator in references.estimators
    }
    floors, ceilings = (
        {key: values[order[key[0]]] for key, values in bounds.items()}
        for bounds in (references.floors, references.ceilings)
    )
    rows = measure_adherence(scores, floors, ceilings, references.estimators, references.seed, min_clips)
    result = {
        "adherence": [_describe(row) for row in rows],
        "reported": [_describe(row) for row in worst(rows)],
        "scores": _to_columns(scores),
        "controls_of": wanted.tolist(),
        "distance": sound_distance(np.stack(vectors), references.vectors, min_clips),
        "sound": sound,
        "against_references": compare_sound(sound, references.sound),
        "seconds_per_second": seconds / sum(item["duration"] for item in references.items),
    }
    return result | ({"spectral_distance": distances} if name == "codec" else {})


def _measure_captions(
    condition: dict[str, Any], codec: dict[str, Any], references: References, min_clips: int
) -> list[dict[str, Any]]:
    """Of each attribute what is heard, if the caption probe is among those who listen."""
    if caption_probe.NAME not in {estimator.name for estimator in references.estimators}:
        return []
    columns = condition["scores"], _to_columns(references.ceilings), codec["scores"]
    scores = [{key: part[f"{caption_probe.NAME}/{key}"] for key in caption_probe.QUESTIONS} for part in columns]
    said = [caption_probe.read_caption(item) for item in references.items]
    return [dataclasses.asdict(row) for row in measure_captions(*scores, said, references.seed, min_clips)]


def _describe(row: Adherence) -> dict[str, Any]:
    return dataclasses.asdict(row) | {"counts": row.counts}


def _to_columns(scores: dict[Metric, np.ndarray]) -> dict[str, list[float]]:
    return {f"{estimator}/{metric}": values.tolist() for (estimator, metric), values in scores.items()}
