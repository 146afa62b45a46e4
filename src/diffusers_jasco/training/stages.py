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

"""Evaluation and sample generation with a run's EMA weights, during training or on their own."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from ..audio.export import export_audio
from ..data.synthetic.music import SyntheticMusic
from ..evaluation.evaluate import References, analyze_references, evaluate_pipeline, flatten, make_requests
from ..evaluation.items import read_items
from ..evaluation.plotting import plot_music
from ..evaluation.transcription import RequestedControls, transcribe
from ..generation.batches import generate_clips
from ..pipelines.pipeline_jasco import JascoPipeline
from .context import context_reach
from .datasets import make_batches, open_datasets
from .logs import RunLog
from .modules import JascoTrainingModel
from .runs import BEST, find_pipeline
from .validation import validation_loss


STAGES = ("valid", "evaluate", "generate")


class Evaluator:
    r"""
    Evaluates a pipeline on the clips of `--evaluation_dataset`. The transcriptions of the reference clips are cached.

    Args:
        args (`argparse.Namespace`): the options of `training/train_jasco.py`.
        progress (`bool`, defaults to `False`): whether to show progress bars.
    """

    def __init__(self, args: argparse.Namespace, progress: bool = False):
        self.args = args
        self.progress = progress
        self._references: References | None = None

    def _read_items(self, pipeline: JascoPipeline, limit: int) -> list[dict[str, Any]]:
        """Reads the first clips, without transcribing them."""
        if self._references is not None:
            return list(self._references.items[:limit])
        rate, size = pipeline.sampling_rate, self.args.evaluation_clips
        duration = pipeline.transformer.config.sample_size / pipeline.frame_rate
        if self.args.evaluation_dataset == "synthetic":
            options = {"duration": duration, "sampling_rate": rate, "renderer": self.args.renderer}
            music = SyntheticMusic("validation", size, **options, stems=True)
            return [music[index] for index in range(min(limit, size))]
        return read_items(self.args.evaluation_dataset, rate, size, duration, limit)

    def _analyze_references(self, pipeline: JascoPipeline) -> References:
        if self._references is None:
            items = self._read_items(pipeline, self.args.evaluation_clips)
            self._references = analyze_references(items, seed=self.args.seed, progress=self.progress)
        return self._references

    def evaluate(self, pipeline: JascoPipeline) -> dict[str, float]:
        """Measures how well the pipeline follows each control; for the names see [`~evaluation.evaluate.flatten`]."""
        result = evaluate_pipeline(
            pipeline,
            self._analyze_references(pipeline),
            self.args.evaluation_conditions,
            self.args.batch_size,
            progress=self.progress,
            min_clips=self.args.min_clips,
        )
        return {name: round(value, 4) for name, value in flatten(result).items()}

    def generate(self, pipeline: JascoPipeline, folder: Path, step: int, log: RunLog | None = None) -> dict[str, Any]:
        r"""
        Generates some clips with their pictures, and logs them to the trackers.

        Args:
            pipeline ([`JascoPipeline`]): the pipeline.
            folder (`Path`): the run folder; clips are written to its `samples/step-<step>/`.
            step (`int`): the step.
            log ([`RunLog`], *optional*): the run's log.

        Returns:
            `dict`: the folder of the clips, as `samples`.
        """
        items = self._read_items(pipeline, self.args.generate_clips)
        controls = pipeline.transformer.controls
        requests = make_requests(items, np.arange(len(items)), ("text", *controls), {}, self.args.seed)
        samples = folder / "samples" / f"step-{step:08d}"
        samples.mkdir(parents=True, exist_ok=True)
        for item, (request, clip) in zip(items, generate_clips(pipeline, requests, self.args.batch_size)):
            if isinstance(clip, Exception):
                raise clip
            picture = samples / f"{request.name}.png"
            export_audio(clip.audio, picture.with_suffix(".wav"), pipeline.sampling_rate)
            requested = RequestedControls(
                chords=(item["chords"] or None) if "chords" in controls else None,
                melody=(item["melody"] or None) if "melody" in controls else None,
                drum_onsets=(item["drum_onsets"] or None) if "drums" in controls else None,
            )
            music = clip.audio, pipeline.sampling_rate
            plot_music(music, requested, transcribe(music), item["caption"]).savefig(picture)
            if log is not None:
                log.write_clip(step, request.name, clip.audio, pipeline.sampling_rate, picture)
        return {"samples": str(samples)}


def run_stage(args: argparse.Namespace) -> dict[str, Any]:
    r"""
    Runs a single stage for a run that has a pipeline.

    Args:
        args (`argparse.Namespace`): the options of `training/train_jasco.py`, with `only`.

    Returns:
        `dict`: the results of the stage.
    """
    accelerator = Accelerator(cpu=args.cpu)
    pipeline = JascoPipeline.from_pretrained(find_pipeline(args.output, BEST if args.best else "last"))
    pipeline.to(accelerator.device)
    pipeline.set_progress_bar_config(disable=True)
    if args.only == "evaluate":
        return Evaluator(args, progress=True).evaluate(pipeline)
    if args.only == "generate":
        return Evaluator(args, progress=True).generate(pipeline, Path(args.output), args.max_steps)
    validation = make_batches(args, open_datasets(args, pipeline.codec), pipeline)[1]
    if validation is None:
        raise ValueError(f"{args.validation_dataset} has no clips for validation.")
    model = JascoTrainingModel(pipeline.transformer, pipeline.text_encoder, tempo_model=pipeline.tempo_model)
    dataset, encode = validation
    return validation_loss(
        model,
        dataset,
        encode,
        pipeline.tokenizer,
        accelerator,
        args.validation_clips,
        args.batch_size,
        context_reach(pipeline),
    )
