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

"""Evaluates a pipeline's adherence to its controls on music that it generates under several sets of conditions."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from ..data.features import beat_grid, prepare_audio
from ..generation.batches import GenerationRequest, Workers, generate_clips
from ..utils.files import replace_file
from .adherence import Adherence, Metric, analyze, derangements, measure_adherence, score, score_floor, worst
from .control_estimators import ESTIMATORS, Estimator, builtin_salience
from .estimators import caption_probe
from .estimators.embeddings import Embedding, load_embedding
from .metrics.captions import measure_captions
from .metrics.distances import sound_distance
from .metrics.form import Form, compare_form, form_floor, measure_form
from .metrics.sample_sizes import MIN_CLIPS
from .metrics.sound import check_sound, compare_sound, spectral_distance


logger = logging.get_logger(__name__)

# Inputs of the pipeline in each setting; the last two are baselines without generation.
CONDITIONS = {
    "all": ("text", *CONTROLS),
    "none": (),
    "text": ("text",),
    **{control: ("text", control) for control in CONTROLS},
    "quiet_drums": ("text", "drums"),
    "swapped": ("text", *CONTROLS),
    "codec": (),
    "no_drums": (),
}
Audio = tuple[torch.Tensor, int]  # waveform and sampling rate in Hz
# Gain of the drums in the setting `quiet_drums`: -40 dB.
_QUIET = 0.01
# Keys that belong to a clip's caption, which is kept when controls are swapped.
_TEXT_KEYS = ("caption", "style", "tempo", "energy", "instruments")


@dataclass(frozen=True)
class References:
    r"""
    Reference clips with their analysis, from [`analyze_references`]. It can be reused for any number of evaluations.

    Args:
        items (`list[dict]`): the clips.
        estimators (`Sequence[Estimator]`): estimators of the controls.
        embedding (`Embedding`): embedding for distances of sound.
        ceilings, floors (`dict`): as [`~evaluation.adherence.score`] and [`~evaluation.adherence.score_floor`] return
            them.
        vectors (`np.ndarray` of shape `(clips, dim)`): the clips' embeddings.
        sound (`list[dict]`): the clips' [`~evaluation.metrics.sound.SoundCheck`], measured at their own drum onsets.
        forms, form_floors (`list[Form]`): form of the clips, and of clips without form that are made from them.
        seed (`int`): random seed of noise, swaps, floors and intervals.
    """

    items: list[dict[str, Any]]
    estimators: Sequence[Estimator]
    embedding: Embedding
    ceilings: dict[Metric, np.ndarray]
    floors: dict[Metric, np.ndarray]
    vectors: np.ndarray
    sound: list[dict[str, Any]]
    forms: list[Form]
    form_floors: list[Form]
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
            `sampling_rate`, `duration`, `caption`, `chords`, `melody`, `drum_onsets`, `beats`, `downbeats`, `stems`;
            and `style`, `tempo`, `energy`, `instruments`, if they are known.
        estimators (`Sequence[Estimator]`): estimators of the controls.
        embedding (`Embedding`, *optional*): by default [`~evaluation.estimators.embeddings.spectral_statistics`].
        seed (`int`, defaults to `0`): random seed of noise, swaps, floors and intervals.
        progress (`bool`, defaults to `False`): whether to show a progress bar.

    Raises:
        `ValueError`: for fewer than 2 clips.
    """
    embedding = embedding or load_embedding("spectrum")
    if len(items) < 2:
        raise ValueError(
            "At least 2 clips are needed, as the floor comes from the music of other clips,"
            f" but there are {len(items)}."
        )
    references, estimates, vectors, sound, forms, form_floors = [], [], [], [], [], []
    for index, item in enumerate(tqdm(items, desc="references", unit="clip", disable=not progress)):
        audio = item["audio"], item["sampling_rate"]
        references.append(dict(item) | {"salience": builtin_salience(audio)})
        estimates += analyze([audio], estimators)
        vectors.append(embedding(audio))
        sound.append(dataclasses.asdict(check_sound(audio, item["drum_onsets"])))
        forms.append(measure_form(audio))
        form_floors.append(form_floor(audio, seed + index))
    ceilings = score(estimates, references, estimators)
    floors = score_floor(estimates, references, seed, estimators=estimators)
    return References(
        references, estimators, embedding, ceilings, floors, np.stack(vectors), sound, forms, form_floors, seed
    )


def evaluate_pipeline(
    pipe: Any,
    items: Sequence[dict[str, Any]] | References,
    conditions: Sequence[str] = tuple(CONDITIONS),
    batch_size: int = 8,
    settings: dict[str, Any] | None = None,
    cache: Path | None = None,
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
    workers: Workers | None = None,
) -> dict[str, Any]:
    r"""
    Generates music for clips and measures how well it follows their controls.

    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        items (`Sequence[dict]` or `References`): the clips, or the result of [`analyze_references`].
        conditions (`Sequence[str]`): some of `CONDITIONS`:

            - `"all"`: caption, chords, drums, melody and beats of the clip; `"none"`: nothing; `"text"`: the caption
              only
            - `"chords"`, `"drums"`, `"melody"`, `"beats"`: the caption and this control only
            - `"quiet_drums"`: the caption and the drums, 40 dB quieter
            - `"swapped"`: the clip's caption with the controls of another clip, against which the music is scored
            - `"codec"`: no generation: the reference clips through the codec, an upper bound for generated music
            - `"no_drums"`: no generation: the reference clips without their drums. Other instruments that play on the
              beat coincide with many drum onsets, so only music above this baseline follows the drums

            Settings for a single control that the checkpoint lacks are skipped. Where beats are not passed, the
            pipeline chooses a tempo by itself, if the checkpoint supports that.
        batch_size (`int`, defaults to `8`): number of clips generated together.
        settings (`dict`, *optional*): `num_inference_steps`, `guidance_scale`, `text_guidance_scale` and
            `guidance_rescale`, overriding the defaults of the checkpoint.
        cache (`Path`, *optional*): folder for the generated clips, `<condition>/<index>.wav`. Existing clips are
            reused; the caller ensures that they come from the same model, clips and settings.
        progress (`bool`, defaults to `False`): whether to show progress bars.
        min_clips (`int`, defaults to `20`): minimum number of clips; metrics with fewer are NaN and not reported.
        workers (`Workers`, *optional*): processes that generate, as [`~generation.batches.generate_clips`] takes them;
            by default this one.

    Returns:
        `dict`, ready for JSON: `num_clips`, `min_clips`, `embedding`, `ceilings` and `floors` (scores of each clip by
        `"estimator/metric"`), `references` (with their `sound` and `form`), and `conditions`, each with

        - `adherence`: an [`~evaluation.adherence.Adherence`] for every metric of every estimator; `reported`: the
          lowest one that counts for each metric
        - `scores`: scores of each clip; `controls_of`: the clip that each clip's controls come from; `given`: inputs
          of the pipeline
        - `distance`: as [`~evaluation.metrics.distances.sound_distance`] returns it; `sound`: sound checks of each
          clip; `against_references`: as [`~evaluation.metrics.sound.compare_sound`] returns it
        - `form`: a [`~evaluation.metrics.form.Form`] for each clip; `form_adherence`: as
          [`~evaluation.metrics.form.compare_form`] returns it
        - `captions`, if the conditions include `"codec"`: a [`~evaluation.metrics.captions.CaptionAdherence`] for each
          attribute of the captions
        - `seconds_per_second`: generation time in seconds per second of music, close to 0 for cached clips;
          with `workers`, including the start of their processes

    Raises:
        `ValueError`: for an unknown condition.
    """
    if unknown := sorted(set(conditions) - CONDITIONS.keys()):
        raise ValueError(f"`conditions` have to be some of {', '.join(CONDITIONS)}, but got {', '.join(unknown)}.")
    num_clips = len(items.items if isinstance(items, References) else items)
    if num_clips < min_clips:
        logger.warning(
            f"Scores need at least {min_clips} clips (`min_clips`), but there are {num_clips}: no scores are reported."
        )
    references = items if isinstance(items, References) else analyze_references(items, progress=progress)
    result = describe_references(references, min_clips)
    for name in conditions:
        inputs = [part for part in CONDITIONS[name] if part == "text" or part in pipe.transformer.controls]
        # Skip single-control settings that the checkpoint does not support.
        if name in (*CONTROLS, "quiet_drums") and inputs == ["text"]:
            continue
        sources = np.arange(len(references.items))
        if name == "swapped":
            sources = derangements(len(sources), 1, references.seed)[0]
        if name == "codec":
            clips = reconstruct(pipe, references.items, batch_size)
        elif name == "no_drums":
            clips = (item["audio"] - item["stems"].get("drums", 0) for item in references.items)
        else:
            pieces = references.items
            if name == "quiet_drums":
                quiet = [{stem: _QUIET * audio for stem, audio in item["stems"].items()} for item in pieces]
                pieces = [item | {"stems": stems} for item, stems in zip(pieces, quiet)]
            requests = make_requests(pieces, sources, inputs, settings or {}, references.seed)
            clips = generate(pipe, requests, batch_size, cache and cache / name, workers, progress)
        # Without generation or codec, clips keep the sampling rate of the references.
        rates = [item["sampling_rate"] if name == "no_drums" else pipe.sampling_rate for item in references.items]
        condition = evaluate_clips(
            zip(clips, rates), references, sources, name, progress, min_clips, compare_spectra=name == "codec"
        )
        result["conditions"][name] = condition | {"given": inputs}
    add_captions(result, references)
    return result


def describe_references(references: References, min_clips: int) -> dict[str, Any]:
    """The entries of [`evaluate_pipeline`]'s result that describe the reference clips, and no conditions yet."""
    return {
        "num_clips": len(references.items),
        "min_clips": min_clips,
        "embedding": references.embedding.name,
        "ceilings": _to_columns(references.ceilings),
        "floors": _to_columns(references.floors),
        "references": {"sound": references.sound, "form": [dataclasses.asdict(form) for form in references.forms]},
        "conditions": {},
    }


def add_captions(result: dict[str, Any], references: References):
    """Adds `captions` to the conditions of a result, if they include `"codec"`."""
    if codec := result["conditions"].get("codec"):
        for name, condition in result["conditions"].items():
            if name != "codec":
                condition["captions"] = _measure_captions(condition, codec, references, result["min_clips"])


def make_requests(
    items: Sequence[dict[str, Any]],
    sources: np.ndarray,
    inputs: Sequence[str],
    settings: dict[str, Any],
    seed: int,
) -> list[GenerationRequest]:
    r"""
    Args:
        items (`Sequence[dict]`): the clips.
        sources (`np.ndarray` of shape `(clips,)`): index of the clip that each clip's controls come from.
        inputs (`Sequence[str]`): inputs of the pipeline, of `"text"` and [`~controls.CONTROLS`].
        settings (`dict`): as in [`evaluate_pipeline`].
        seed (`int`): random seed of the noise.

    Returns:
        `list[GenerationRequest]`: one per clip. Its noise depends on the seed and the index only, not on the inputs.
    """
    select = {
        "chords": lambda item: item["chords"] or None,
        "drums": lambda item: (item["stems"]["drums"], item["sampling_rate"]) if "drums" in item["stems"] else None,
        "melody": lambda item: item["melody"] or None,
        "beats": beat_grid,
    }
    return [
        GenerationRequest(
            name=f"{index:05d}",
            prompt=item["caption"] if "text" in inputs else None,
            controls={control: value(items[sources[index]]) for control, value in select.items() if control in inputs},
            duration=item["duration"],
            seed=1_000_000 * seed + index,
            settings=settings,
        )
        for index, item in enumerate(items)
    ]


def flatten(result: dict[str, Any]) -> dict[str, float]:
    r"""
    Selects the values for the log of a training run.

    Args:
        result (`dict`): as [`evaluate_pipeline`] returns it.

    Returns:
        `dict[str, float]`: `"<condition>/<control>/<metric>"` (the reported A), `"<condition>/captions/<attribute>"`,
        `"<condition>/form/<measure>"` and `"<condition>/kernel_distance"`.
    """
    values = {}
    for name, condition in result["conditions"].items():
        for row in condition["reported"]:
            values[f"{name}/{row['control']}/{row['metric']}"] = row["value"]
        for row in condition.get("captions", ()):
            if row["num_clips"] < row["min_clips"]:
                continue
            values[f"{name}/captions/{row['question']}"] = row["value"]
        for measure, row in condition["form_adherence"].items():
            if not math.isnan(row["value"]):
                values[f"{name}/form/{measure}"] = row["value"]
        if condition["distance"]["kernel_distance"] is not None:
            values[f"{name}/kernel_distance"] = condition["distance"]["kernel_distance"]
    return values


def generate(
    pipe: Any,
    requests: list[GenerationRequest],
    batch_size: int,
    folder: Path | None,
    workers: Workers | None = None,
    progress: bool = False,
) -> Iterator[torch.Tensor]:
    r"""
    Args:
        pipe ([`JascoPipeline`]): the pipeline.
        requests (`list[GenerationRequest]`): the clips.
        batch_size (`int`): number of clips generated together.
        folder (`Path`, *optional*): existing clips are read from this folder, and others are written to it.
        workers (`Workers`, *optional*): processes that generate, as [`~generation.batches.generate_clips`] takes them.
            They generate all clips before the first one is yielded.
        progress (`bool`, defaults to `False`): whether to show a progress bar, if there are `workers`.

    Yields:
        A waveform `(1, samples)` for each request.
    """

    def path(request: GenerationRequest) -> Path:
        return folder / f"{request.name}.wav"

    def is_done(request: GenerationRequest) -> bool:
        return folder is not None and path(request).is_file()

    def generated() -> Iterator[str]:
        for request, clip in generate_clips(pipe, requests, batch_size, is_done, workers=workers):
            if isinstance(clip, Exception):
                raise clip
            audio = clip.audio.mean(dim=0, keepdim=True)
            if folder is None:
                audios[request.name] = audio
            else:
                # Float samples keep peaks beyond full scale, which the evaluation measures.
                with replace_file(path(request)) as partial:
                    soundfile.write(partial, audio.T.numpy(), pipe.sampling_rate, subtype="FLOAT", format="WAV")
            yield request.name

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    audios: dict[str, torch.Tensor] = {}
    names = generated()
    if workers is not None:
        total = sum(not is_done(request) for request in requests)
        names = iter(list(tqdm(names, desc="generation", total=total, unit="clip", disable=not progress)))
    for request in requests:
        if workers is None and not is_done(request):
            next(names)
        yield load_audio(path(request))[0] if folder is not None else audios.pop(request.name)


def reconstruct(pipe: Any, items: Sequence[dict[str, Any]], batch_size: int) -> Iterator[torch.Tensor]:
    """Reference clips, encoded and decoded by the pipeline's codec: a waveform (1, samples) per clip."""
    for first in range(0, len(items), batch_size):
        audios = [prepare_audio(item, pipe.sampling_rate)["audio"] for item in items[first : first + batch_size]]
        # Only clips of equal length can be batched.
        is_even = len({audio.shape for audio in audios}) == 1
        for waveforms in [torch.stack(audios)] if is_even else [audio[None] for audio in audios]:
            decoded = decode(pipe.codec, encode(pipe.codec, waveforms))[..., : waveforms.shape[-1]]
            yield from decoded.mean(dim=1, keepdim=True).cpu()


def evaluate_clips(
    audios: Iterable[Audio],
    references: References,
    sources: np.ndarray | None = None,
    name: str = "clips",
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
    compare_spectra: bool = False,
) -> dict[str, Any]:
    r"""
    Evaluates waveforms against the reference clips.

    Args:
        audios (`Iterable` of `(waveform, sampling_rate)`): one per reference clip, with a waveform `(1, samples)`.
        references (`References`): the reference clips.
        sources (`np.ndarray` of shape `(clips,)`, *optional*): index of the clip that each clip's controls come from;
            by default its own.
        name (`str`, defaults to `"clips"`), progress (`bool`, defaults to `False`), min_clips (`int`, defaults to
            `20`): as [`measure_music`] takes them.
        compare_spectra (`bool`, defaults to `False`): whether to add `spectral_distance`, the distance of each clip to
            its reference clip in dB.

    Returns:
        `dict`: the values of [`evaluate_pipeline`] for one set of conditions, except `captions` and `given`.
    """
    sources = np.arange(len(references.items)) if sources is None else sources
    targets = [
        references.items[source] | {key: item[key] for key in _TEXT_KEYS if key in item}
        for item, source in zip(references.items, sources)
    ]
    estimates: list[list[Any]] = []
    vectors, distances = [], []

    def analyze_clip(audio: Audio):
        item = references.items[len(estimates)]
        estimates.extend(analyze([audio], references.estimators))
        vectors.append(references.embedding(audio))
        if compare_spectra:
            distances.append(spectral_distance(audio, (item["audio"], item["sampling_rate"])))

    onsets = [target["drum_onsets"] for target in targets]
    music = measure_music(audios, references, onsets, name, progress, min_clips, analyze_clip)

    scores = score(estimates, targets, references.estimators)
    # Captions are never swapped.
    order = {
        estimator.name: np.arange(len(sources)) if estimator.control == "text" else sources
        for estimator in references.estimators
    }
    floors, ceilings = (
        {key: values[order[key[0]]] for key, values in bounds.items()}
        for bounds in (references.floors, references.ceilings)
    )
    rows = measure_adherence(scores, floors, ceilings, references.estimators, references.seed, min_clips)
    result = music | {
        "adherence": [_describe(row) for row in rows],
        "reported": [_describe(row) for row in worst(rows)],
        "scores": _to_columns(scores),
        "controls_of": sources.tolist(),
        "distance": sound_distance(np.stack(vectors), references.vectors, min_clips),
    }
    return result | ({"spectral_distance": distances} if compare_spectra else {})


def measure_music(
    audios: Iterable[Audio],
    references: References,
    onsets: Sequence[Sequence[float]],
    name: str = "clips",
    progress: bool = False,
    min_clips: int = MIN_CLIPS,
    analyze_clip: Callable[[Audio], None] | None = None,
) -> dict[str, Any]:
    r"""
    Measures sound and form of waveforms, and compares them with the reference clips. There can be more or fewer
    waveforms than reference clips.

    Args:
        audios (`Iterable` of `(waveform, sampling_rate)`): waveforms `(1, samples)`. The time that it takes to produce
            them is measured.
        references (`References`): the reference clips.
        onsets (`Sequence` of length `clips`): drum onsets of each waveform in seconds, empty if unknown.
        name (`str`, defaults to `"clips"`): label of the progress bar.
        progress (`bool`, defaults to `False`): whether to show a progress bar.
        min_clips (`int`, defaults to `20`): minimum number of clips; with fewer, scores are NaN.
        analyze_clip (`Callable`, *optional*): is called with each waveform for further measurements.

    Returns:
        `dict`: `sound`, `against_references`, `form`, `form_adherence` and `seconds_per_second` of
        [`evaluate_pipeline`].
    """
    sound, forms = [], []
    seconds, duration, started = 0.0, 0.0, time.perf_counter()
    bar = tqdm(audios, desc=name, unit="clip", total=len(onsets), disable=not progress)
    for audio, clip_onsets in zip(bar, onsets):
        seconds += time.perf_counter() - started
        duration += audio[0].shape[-1] / audio[1]
        sound.append(dataclasses.asdict(check_sound(audio, clip_onsets)))
        forms.append(measure_form(audio))
        if analyze_clip is not None:
            analyze_clip(audio)
        started = time.perf_counter()
    return {
        "sound": sound,
        "against_references": compare_sound(sound, references.sound),
        "form": [dataclasses.asdict(form) for form in forms],
        "form_adherence": compare_form(forms, references.forms, references.form_floors, references.seed, min_clips),
        "seconds_per_second": seconds / duration,
    }


def _measure_captions(
    condition: dict[str, Any], codec: dict[str, Any], references: References, min_clips: int
) -> list[dict[str, Any]]:
    """Caption adherence by attribute; empty if the caption probe is not among the estimators."""
    if caption_probe.NAME not in {estimator.name for estimator in references.estimators}:
        return []
    columns = condition["scores"], _to_columns(references.ceilings), codec["scores"]
    scores = [{key: column[f"{caption_probe.NAME}/{key}"] for key in caption_probe.QUESTIONS} for column in columns]
    answers = [caption_probe.read_caption(item) for item in references.items]
    return [dataclasses.asdict(row) for row in measure_captions(*scores, answers, references.seed, min_clips)]


def _describe(row: Adherence) -> dict[str, Any]:
    return dataclasses.asdict(row) | {"counts": row.counts}


def _to_columns(scores: dict[Metric, np.ndarray]) -> dict[str, list[float]]:
    return {f"{estimator}/{metric}": values.tolist() for (estimator, metric), values in scores.items()}
