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

"""Measures the time and memory that long pieces need."""

import multiprocessing
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from ..pipelines.pipeline_jasco import JascoPipeline


_MEGABYTE = 1e6
_CHORDS = "C | Am | F | G :|"
_PROMPT = "80s pop, synth bass, drums"


def make_controls(controls: Any, duration: float, sampling_rate: int) -> dict[str, Any]:
    r"""
    Returns simple controls for a piece, as keyword arguments of [`JascoPipeline`].

    Args:
        controls (`Collection[str]`): the controls of the checkpoint.
        duration (`float`): seconds.
        sampling_rate (`int`): Hz, of the drum recording.
    """
    generator = torch.Generator().manual_seed(0)
    beats = round(2 * duration)
    noise = 0.1 * torch.randn(1, round(duration * sampling_rate), generator=generator)
    decay = torch.linspace(0, 10, sampling_rate // 2).neg().exp()
    drums = noise * decay.repeat(beats + 1)[: noise.shape[1]]
    values = {
        "chords": _CHORDS,
        "drums": (drums, sampling_rate),
        "melody": [(60 + 2 * (beat % 5), beat / 2, beat / 2 + 0.4) for beat in range(beats)],
    }
    return {name: value for name, value in values.items() if name in controls} | {"bpm": 120}


def measure_cost(
    pipe: Any, duration: float = 180.0, num_rounds: int = 3, settings: dict[str, Any] | None = None
) -> dict[str, Any]:
    r"""
    Compares the processor time of a long piece with that of the training clips' length, alternating between both. The
    time includes the controls and the decoder.

    Args:
        pipe ([`JascoPipeline`]): the pipeline, on the CPU.
        duration (`float`, defaults to `180.0`): seconds of the long piece.
        num_rounds (`int`, defaults to `3`): number of long pieces; there are three short ones before each of them.
        settings (`dict`, *optional*): further arguments of the pipeline.

    Returns:
        `dict`, ready for JSON: `window` and `duration` in seconds of music; processor seconds of the `short` and `long`
        pieces (`list[float]`); and `value`, the ratio of their medians for equal lengths of music, with
        the lowest and highest of the rounds as `low` and `high`.
    """
    window = pipe.transformer.config.sample_size / pipe.frame_rate
    short: list[float] = []
    long: list[float] = []
    ratios = []

    def seconds_of(length: float) -> float:
        controls = make_controls(pipe.transformer.controls, length, pipe.sampling_rate)
        started = time.process_time()
        pipe(_PROMPT, **controls, duration=length, generator=torch.Generator().manual_seed(0), **(settings or {}))
        return time.process_time() - started

    seconds_of(window)  # The first call prepares tables.
    for _ in range(num_rounds):
        clips = [seconds_of(window) for _ in range(3)]
        short += clips
        long.append(seconds_of(duration))
        ratios.append(long[-1] * window / duration / statistics.median(clips))
    value = statistics.median(long) * window / duration / statistics.median(short)
    rows = {"window": window, "duration": duration, "short": short, "long": long}
    return rows | {"value": value, "low": min(ratios), "high": max(ratios)}


def peak_memory() -> float:
    """Peak resident memory of this process in MB. Linux only."""
    # Unlike `ru_maxrss`, this does not include the parent process.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024 / _MEGABYTE  # type: ignore[index]


def measure_memory(
    checkpoint: str | Path, durations: tuple[float, float] = (60.0, 600.0), num_inference_steps: int = 2
) -> dict[str, Any]:
    r"""
    Compares the peak memory of two pieces of different length, each in a process of its own. Linux only.

    Args:
        checkpoint (`str` or `Path`): the pipeline.
        durations (`tuple[float, float]`, defaults to `(60.0, 600.0)`): their lengths in seconds.
        num_inference_steps (`int`, defaults to `2`): number of steps, on which the memory does not depend.

    Returns:
        `dict`, ready for JSON: for each duration in `pieces`, `duration` and, in MB, the `peak` of the resident memory,
        and the sizes of the `audio`, the drum `recording` and the encoded `controls`; and `value`: the difference of
        the peaks minus the differences of these sizes.
    """
    pieces = []
    for duration in durations:
        # Tasks of one process would add to its peak.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pieces.append(pool.submit(_measure_peak, str(checkpoint), duration, num_inference_steps).result())
    beyond = [row["peak"] - row["audio"] - row["recording"] - row["controls"] for row in pieces]
    return {"pieces": pieces, "value": beyond[-1] - beyond[0]}


def _measure_peak(checkpoint: str, duration: float, num_inference_steps: int) -> dict[str, float]:
    torch.set_num_threads(1)
    pipe = JascoPipeline.from_pretrained(checkpoint)
    pipe.set_progress_bar_config(disable=True)
    controls = make_controls(pipe.transformer.controls, duration, pipe.sampling_rate)
    conditioning = pipe.encode_conditioning(_PROMPT, **controls, duration=duration)
    audio = pipe(
        conditioning=conditioning,
        num_inference_steps=num_inference_steps,
        generator=torch.Generator().manual_seed(0),
    ).audios
    peak = peak_memory() * _MEGABYTE
    recording = controls["drums"][0].nbytes if "drums" in controls else 0
    encoded = sum(control.nbytes for control in conditioning.controls.values())
    sizes = {"peak": peak, "audio": audio.nbytes, "recording": recording, "controls": encoded}
    return {"duration": duration} | {name: size / _MEGABYTE for name, size in sizes.items()}
