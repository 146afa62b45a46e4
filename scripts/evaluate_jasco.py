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


"""
How well does a checkpoint follow its controls? Generates music for held-out synthetic clips, under several sets of
conditions, and listens to the waveforms.

    python scripts/evaluate_jasco.py --checkpoint pipelines/jasco-nano --subset plain --split validation \
        --num_clips 64 --output results.json

Conditions:

    all         caption, chords, drums and melody of the clip
    none        nothing
    text        the caption alone
    chords      the caption and this control alone; likewise `drums` and `melody`
    swapped     the clip's caption with the controls of another clip, and scored against these
    codec       no generation: the originals through the codec, the most that generation can reach
    no_drums    no generation: the originals without their drums. Instruments that play on the beat meet many of the
                drums' onsets, too, so music that follows the drums has to be above this row

Of every control and metric two recognisers give A = (score − floor) / (ceiling − floor), see
`diffusers_jasco.evaluation.adherence`; bold in the tables is the worse one. Use the validation split for every choice, and
the test split once per version of a model.
"""

import argparse
import dataclasses
import json
import math
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.evaluation.adherence import (
    Adherence,
    analyse,
    derangements,
    measure_adherence,
    score,
    score_floor,
    to_markdown,
    worst,
)
from diffusers_jasco.evaluation.sound import check_sound, spectral_distance
from diffusers_jasco.files import replace_file


CONTROLS = ("chords", "drums", "melody")
CONDITIONS = {
    "all": ("text", *CONTROLS),
    "none": (),
    "text": ("text",),
    "chords": ("text", "chords"),
    "drums": ("text", "drums"),
    "melody": ("text", "melody"),
    "swapped": ("text", *CONTROLS),
    "codec": (),
    "no_drums": (),
}
PACKAGES = ("diffusers-jasco", "diffusers", "transformers", "torch", "numpy", "mir_eval")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--subset", choices=("plain", "full"), default="plain")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--num_clips", type=int, default=64)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of a clip")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="comma-separated (default: all of them)")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_inference_steps", type=int, help="default: the checkpoint's")
    parser.add_argument("--guidance_scale", type=float, help="default: the checkpoint's")
    parser.add_argument("--text_guidance_scale", type=float, help="default: the checkpoint's")
    parser.add_argument("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    parser.add_argument("--soundfonts", nargs="+", help="General MIDI fonts (default: those that are installed)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0, help="of noise, swaps, floors and intervals; not of the clips")
    args = parser.parse_args(args)
    args.conditions = [name.strip() for name in args.conditions.split(",")]
    if unknown := sorted(set(args.conditions) - CONDITIONS.keys()):
        parser.error(f"--conditions: {', '.join(unknown)}: none of {', '.join(CONDITIONS)}.")
    if args.num_clips < 2:
        parser.error("--num_clips: at least 2, as other clips' music is the floor.")
    if not args.output.parent.is_dir():
        parser.error(f"--output: there is no folder {args.output.parent}.")
    return args


def main(args: list[str] | None = None):
    args = parse_args(args)

    # 1. The model, and music that it has not heard
    pipe = JascoPipeline.from_pretrained(args.checkpoint).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    rate = pipe.sampling_rate
    music = SyntheticMusic(
        split=args.split,
        size=args.num_clips,
        subset=args.subset,
        duration=args.duration,
        sampling_rate=rate,
        renderer=args.renderer,
        soundfonts=args.soundfonts,
        stems=True,
    )
    items = [music[index] for index in tqdm(range(args.num_clips), desc="original music", unit="clip")]

    # 2. What the recognisers hear in the originals, and by chance
    originals = analyse((item["audio"], rate) for item in tqdm(items, desc="original scores", unit="clip"))
    ceilings, floors = score(originals, items), score_floor(originals, items, args.seed)
    swap = derangements(args.num_clips, 1, args.seed)[0]

    # 3. Generate, listen and compare
    results, tables = {}, []
    for name in args.conditions:
        wanted = np.asarray(swap) if name == "swapped" else np.arange(args.num_clips)
        start = time.perf_counter()
        if name == "codec":
            audios = through_codec(pipe, items, args)
        elif name == "no_drums":
            audios = [item["audio"] - item["stems"].get("drums", 0) for item in items]
        else:
            audios = generate(pipe, items, wanted, name, args)
        seconds = time.perf_counter() - start
        heard = analyse((audio, rate) for audio in tqdm(audios, desc=f"{name}: scores", unit="clip"))
        scores = score(heard, [items[index] for index in wanted])
        rows = measure_adherence(
            scores,
            {key: values[wanted] for key, values in floors.items()},
            {key: values[wanted] for key, values in ceilings.items()},
            seed=args.seed,
        )
        results[name] = {
            "adherence": [describe(row) for row in rows],
            "reported": [describe(row) for row in worst(rows)],
            "scores": to_columns(scores),
            "controls_of": wanted.tolist(),
            "sound": [dataclasses.asdict(check_sound((audio, rate))) for audio in audios],
            "seconds_per_second": seconds / (args.num_clips * args.duration),
        }
        if name == "codec":
            pairs = zip(audios, items)
            results[name]["spectral_distance"] = [
                spectral_distance((audio, rate), (item["audio"], rate)) for audio, item in pairs
            ]
        tables.append(f"### {name}\n\n{to_markdown(rows)}\n\n{summarize_sound(results[name])}")

    # 4. Report
    print(f"\n## {args.checkpoint}, {args.subset}, {args.split}, {args.num_clips} clips of {args.duration:g} s\n")
    print(summarize(results), *tables, sep="\n\n")
    report = {
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        | {"defaults": {key: value for key, value in pipe.config.items() if key.startswith("default_")}},
        "versions": {package: installed_version(package) for package in PACKAGES}
        | {"python": platform.python_version()},
        "clips": [
            {
                key: item[key]
                for key in ("index", "style", "key", "tempo", "caption", "renderer", "soundfont", "soundfont_sha256")
                if key in item
            }
            for item in items
        ],
        "ceilings": to_columns(ceilings),
        "floors": to_columns(floors),
        "originals": {"sound": [dataclasses.asdict(check_sound((item["audio"], rate))) for item in items]},
        "conditions": results,
    }
    write_json(report, args.output)


@torch.no_grad()
def generate(
    pipe: JascoPipeline, items: list[dict[str, Any]], wanted: np.ndarray, name: str, args: argparse.Namespace
) -> list[torch.Tensor]:
    """One waveform (1, samples) per clip, with the caption of clip `i` and the controls of clip `wanted[i]`."""
    given = [control for control in CONDITIONS[name] if control == "text" or control in pipe.transformer.controls]
    if missing := sorted(set(CONDITIONS[name]) - set(given)):
        print(f"{name}: without {', '.join(missing)}, which this checkpoint does not have.")
    controls = {
        "chords": lambda item: item["chords"],
        "drums": lambda item: (item["stems"]["drums"], item["sampling_rate"]) if "drums" in item["stems"] else None,
        "melody": lambda item: item["melody"] or None,
    }
    settings = {
        key: getattr(args, key)
        for key in ("num_inference_steps", "guidance_scale", "text_guidance_scale")
        if getattr(args, key) is not None
    }
    audios = []
    progress = tqdm(range(0, len(items), args.batch_size), desc=f"{name}: music", unit="batch")
    for batch in (range(first, min(first + args.batch_size, len(items))) for first in progress):
        # The noise of a clip depends on the seed and its index, not on the batch or on what is given.
        generators = [torch.Generator().manual_seed(1_000_000 * args.seed + index) for index in batch]
        audio = pipe(
            [items[index]["caption"] if "text" in given else None for index in batch],
            **{
                control: [select(items[wanted[index]]) for index in batch]
                for control, select in controls.items()
                if control in given
            },
            generator=generators,
            duration=args.duration,
            **settings,
        ).audios
        audios.extend(audio.mean(dim=1, keepdim=True).cpu())
    return audios


@torch.no_grad()
def through_codec(pipe: JascoPipeline, items: list[dict[str, Any]], args: argparse.Namespace) -> list[torch.Tensor]:
    """The originals, encoded and decoded: a waveform (1, samples) per clip."""
    audios = []
    for first in tqdm(range(0, len(items), args.batch_size), desc="codec: music", unit="batch"):
        waveforms = torch.stack([item["audio"] for item in items[first : first + args.batch_size]])
        latents = pipe.codec.encoder(waveforms.to(args.device, pipe.codec.dtype))
        decoded = pipe.codec.decoder(latents)[..., : waveforms.shape[-1]]
        audios.extend(decoded.float().mean(dim=1, keepdim=True).cpu())
    return audios


def describe(row: Adherence) -> dict[str, Any]:
    return dataclasses.asdict(row) | {"counts": row.counts}


def to_columns(scores: dict[tuple[str, str], np.ndarray]) -> dict[str, list[float]]:
    return {f"{recogniser}/{metric}": values.tolist() for (recogniser, metric), values in scores.items()}


def summarize(results: dict[str, dict[str, Any]]) -> str:
    """A of every set of conditions, by the worse recogniser."""
    metrics = sorted({(row["control"], row["metric"]) for result in results.values() for row in result["reported"]})
    lines = [f"| A | {' | '.join(' '.join(metric) for metric in metrics)} |", "| --- " * (len(metrics) + 1) + "|"]
    for name, result in results.items():
        rows = {(row["control"], row["metric"]): row for row in result["reported"]}
        cells = [
            f"{rows[metric]['value']:.2f} ({rows[metric]['low']:.2f} … {rows[metric]['high']:.2f})"
            if metric in rows
            else ""
            for metric in metrics
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summarize_sound(result: dict[str, Any]) -> str:
    checks = result["sound"]

    def mean(key: str) -> float:
        return float(np.mean([check[key] for check in checks]))

    text = (
        f"Sound: largest peak {max(check['peak'] for check in checks):.2f}, {mean('clipped_share'):.2%} clipped, level"
        f" {mean('level'):.1f} dB, spread {mean('loudness_spread'):.1f} dB, {mean('silent_share'):.1%} silent, longest"
        f" silence {max(check['longest_silence'] for check in checks):.2f} s, largest DC"
        f" {max(check['dc'] for check in checks):.4f}; {result['seconds_per_second']:.2f} s of computation per second."
    )
    if "spectral_distance" in result:
        text += f" Spectral distance to the originals {np.mean(result['spectral_distance']):.1f} dB."
    return text


def installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_json(report: dict[str, Any], path: Path):
    """Whole or not at all; NaN, which JSON does not have, is null."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    with replace_file(path) as temporary:
        text = json.dumps(clean(report), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
