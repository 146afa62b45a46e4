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


r"""
Generates a clip for every line of a manifest.

    python scripts/generate_jasco.py --checkpoint pipelines/jasco-nano --manifest songs.jsonl --output outputs/songs

A line is a JSON object with any of `prompt`, `chords`, `drums`, `groove`, `melody`, `beats`, `separate_drums`,
`normalize_drums`, `start`, `duration`, `bpm`, `beats_per_bar`, `loop`, `window_overlap`, `audio`, `regions`,
`audio_start_seconds`, `strength`, `source_prompt`, `source_chords`, `source_drums`, `source_melody`, `control_scales`,
`control_regions`, `best_of`, `suggest`, `seed`, `name`, `num_inference_steps`, `guidance_scale`, `text_guidance_scale` and
`guidance_rescale`:

    {"name": "verse", "prompt": "80s pop", "chords": "C:0 Am:2.5 F:5 G:7.5", "drums": "beat.wav", "seed": 7}
    {"name": "song", "prompt": [["calm piano", 0], ["full band", 20]], "duration": 40}
    {"name": "edited", "prompt": "80s pop", "audio": "song.wav", "regions": [[12, 15], [45, 52]]}

or a clip of a dataset (`metadata.jsonl`), or a line of AudioCraft's `data.jsonl`, whose caption and controls are used.

The output is `<name>.flac` for each clip (`<name>.wav` for edits of floating-point and lossy files), with `<name>.json`
for the request, seed, tempo, sampling rate, a hash of the model, and the scores of the takes of `best_of`. The same command resumes a killed run, and
regenerates clips whose lines have changed. Lines that fail are reported in `errors.jsonl`.

With `--num_proc n`, n processes share the work, with `--engine ray` those of a Ray cluster, and with `--shard i/n`, n
runs on different machines. The files are the same for the same batches and number of threads.
"""

import argparse
import functools
import json
import sys
from pathlib import Path

from diffusers_jasco import JascoPipeline
from diffusers_jasco.audio.export import FORMATS
from diffusers_jasco.evaluation import generate_best
from diffusers_jasco.generation.batches import GenerationRequest, create_workers, save_clips
from diffusers_jasco.generation.requests import SETTINGS, InvalidLine, read_requests
from diffusers_jasco.utils.arguments import CommandParser, check_writable, integer, number, seed
from diffusers_jasco.utils.bundled import BUNDLED
from diffusers_jasco.utils.cli import run_command, select_shard
from diffusers_jasco.utils.engines import ENGINE_FLAGS, add_engine_arguments, check_engine_arguments, create_engine
from diffusers_jasco.utils.files import replace_file


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", default=BUNDLED, help=f"folder or Hub id of a pipeline (default: {BUNDLED})")
    add("--manifest", type=Path, required=True, help=".jsonl or .jsonl.gz, or a dataset's folder")
    add("--output", type=Path, required=True, help="folder to write; an existing run is resumed")
    add(
        "--duration",
        type=number(above=0, unit="seconds"),
        help="seconds, for lines that do not specify it (default: the checkpoint's)",
    )
    add("--num_inference_steps", type=integer(1), help="for lines that do not specify it (default: the checkpoint's)")
    add("--guidance_scale", type=number(), help="for lines that do not specify it (default: the checkpoint's)")
    add("--text_guidance_scale", type=number(), help="for lines that do not specify it (default: the checkpoint's)")
    add("--guidance_rescale", type=number(0, 1), help="for lines that do not specify it (default: the checkpoint's)")
    add("--best_of", type=integer(1), default=1, help="takes, for lines that do not specify it (default: 1)")
    add("--seed", type=seed, default=0, help="base seed; lines without a seed derive theirs from it and their name")
    add("--format", choices=[suffix[1:] for suffix in FORMATS], default="flac")
    add("--no-metadata", action="store_true", help="do not write the prompt, seed and other settings into the files")
    add("--loudness", type=number(-70, 0, unit="LUFS"), help="target loudness in LUFS, such as -14")
    add("--batch_size", type=integer(1), default=8, help="maximum number of clips per batch")
    add("--shard", metavar="i/n", help="generate only shard i of n, starting at 0")
    add_engine_arguments(parser)
    parsed = parser.parse_args(args)
    check_engine_arguments(parser, parsed)
    return parsed


def main(args: list[str] | None = None) -> int:
    args = parse_args(args)
    check_writable(args.output)
    if not args.manifest.exists():
        raise FileNotFoundError(f"`manifest`: the file or folder {args.manifest} does not exist.")
    settings = {key: getattr(args, key) for key in SETTINGS if getattr(args, key) is not None}
    defaults = GenerationRequest(name="", duration=args.duration, settings=settings, best_of=args.best_of)
    engine = create_engine(args)
    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    entries = read_requests(args.manifest, defaults, args.seed, pipe.transformer.controls)
    entries = select_shard(entries, args.shard)
    requests = [entry for entry in entries if isinstance(entry, GenerationRequest)]
    errors = [{"line": entry.line, "error": entry.error} for entry in entries if isinstance(entry, InvalidLine)]

    workers = create_workers(engine, args.checkpoint, args.device, pipe)
    pipe.set_progress_bar_config(disable=True)
    metadata = None if args.no_metadata else {"checkpoint": args.checkpoint}
    generate = functools.partial(generate_best, batch_size=args.batch_size)
    options = {"progress": True, "metadata": metadata, "generate": generate, "workers": workers}
    errors += save_clips(pipe, requests, args.output, args.batch_size, f".{args.format}", args.loudness, **options)

    name = "errors.jsonl" if args.shard is None else f"errors-{args.shard.replace('/', '-of-')}.jsonl"
    (args.output / name).unlink(missing_ok=True)
    if errors:
        with replace_file(args.output / name) as partial:
            partial.write_text("".join(json.dumps(e, ensure_ascii=False) + "\n" for e in errors), encoding="utf-8")
    reasons = f", see {name}" if errors else ""
    print(f"{len(entries) - len(errors)} of {len(entries)} clips in {args.output}{reasons}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "generate_jasco", ENGINE_FLAGS))
