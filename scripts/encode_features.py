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
Encodes a dataset with a codec for training, and, with `--text_encoder`, its captions:

    python scripts/encode_features.py --dataset data/train --codec codec --output features/train

The dataset is a folder with `metadata.jsonl`, one JSON object per clip: `file_name` (the mix), `stems` (`{"drums":
file}`), `chords` (`[[label, start], ...]`), `melody` (`[[MIDI number, start, end], ...]`), `beats`, `downbeats`,
`tempo`, `time_signature` and `captions`, as `scripts/make_synthetic_dataset.py` and `scripts/prepare_dataset.py` write
it. Paths are relative to the folder. With `--remixes`, the clips are also encoded with other levels of their stems, and
with quieter drums or background in the drum stem; all stems have to be in the folder then (`--stems` of
`make_synthetic_dataset.py`).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from diffusers_jasco.codecs import load_codec
from diffusers_jasco.data.features import load_clip, prepare_audio, write_features
from diffusers_jasco.data.remixing import DRUMS, add_remixes
from diffusers_jasco.data.synthetic.composition import STEMS
from diffusers_jasco.text_encoders import load_text_encoder
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number
from diffusers_jasco.utils.cli import run_command


def read_metadata(dataset: Path, limit: int | None, remixes: float) -> list[dict]:
    """The lines of `metadata.jsonl`. An error if there are no stems to remix."""
    file = dataset / "metadata.jsonl"
    if not file.is_file():
        raise FileNotFoundError(
            f"{dataset} is not a dataset: it has no metadata.jsonl. (For a prepared dataset, pass the folder of a split.)"
        )
    with open(file, encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines][:limit]
    stems = {name for item in items for name, path in (item.get("stems") or {}).items() if path}
    if remixes and not stems - {DRUMS}:
        raise ValueError(
            f"--remixes needs the stems of the clips, but {dataset} has {'only drums' if stems else 'none'}."
            f" (`make_synthetic_dataset.py --stems {' '.join(STEMS)}` writes them.)"
        )
    return items


def read_items(items: list[dict], dataset: Path, sampling_rate: int, remixes: float = 0.0) -> Iterator[dict]:
    """The clips of a dataset with their audio, and after each clip its remixes."""
    for index, item in enumerate(tqdm(items, desc="clips")):
        if remixes:
            clip = prepare_audio(load_clip(item, dataset, None), sampling_rate, None)
            yield from add_remixes(clip, index, remixes)
        else:
            yield load_clip(item, dataset)


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with metadata.jsonl")
    parser.add_argument("--codec", type=Path, required=True, help="folder of a codec or pipeline")
    parser.add_argument("--text_encoder", help="T5 (folder or Hub id) or pipeline to encode the captions with")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must not exist yet")
    parser.add_argument("--batch_size", type=integer(1), default=16, help="maximum number of clips per batch")
    parser.add_argument("--shard_size", type=integer(1), default=1024, help="clips per file")
    parser.add_argument("--limit", type=integer(1), help="encode only the first clips, up to this number")
    parser.add_argument("--remixes", type=number(0), default=0.0, help="mean number of remixes to add per clip")
    add_device(parser, "cpu")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output folder")
    args = parser.parse_args(args)
    check_writable(args.output)
    metadata = read_metadata(args.dataset, args.limit, args.remixes)

    codec = load_codec(args.codec).to(args.device)
    tokenizer = text_encoder = None
    if args.text_encoder is not None:
        tokenizer, text_encoder = load_text_encoder(args.text_encoder)
        text_encoder.to(args.device)
    items = read_items(metadata, args.dataset, codec.config.sampling_rate, args.remixes)
    info = write_features(
        items, codec, args.output, args.batch_size, args.shard_size, args.overwrite, tokenizer, text_encoder
    )
    seconds = info["num_frames"] / info["frame_rate"]
    print(f"{args.output}: {info['num_clips']} clips, {seconds / 3600:.2f} h")


if __name__ == "__main__":
    sys.exit(run_command(main, "encode_features"))
