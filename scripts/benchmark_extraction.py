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
Measures the time and memory that the extractors and the preparation of a dataset take for recordings of different
lengths:

    python scripts/benchmark_extraction.py --minutes 10 60 --encode pipelines/jasco-nano

The recordings are synthesized (16-bit WAV, stereo, 44.1 kHz); `--audio` measures others. Each measurement runs in a
separate process on one core. *seconds* are CPU time, which depends less on the load of the machine than wall-clock time
does. *memory* is the peak resident memory of the process, *base* its memory after importing PyTorch and the package, and
*result* the size of the returned tensors. *growth* is the memory beyond the base and the result, compared with that of
the first recording. `separate_drums (file)` is `scripts/separate_drums.py`, which writes a file.
"""

import contextlib
import importlib.util
import io
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diffusers_jasco.utils.arguments import CommandParser, number
from diffusers_jasco.utils.cli import run_command


SCRIPTS = Path(__file__).parent
RATE = 44100  # Hz
PIECES = (
    ("C Am F G", "rock backbeat", 112),
    ("Dm G7 Cmaj7 Am", "bossa nova", 132),
    ("Em C G D", "boom bap", 88),
    ("Bb F Gm Eb", "disco", 120),
)
METHODS = {
    "separate_stems": {},
    "extract_beats": {},
    "extract_drum_hits": {},
    "extract_groove": {},
    "extract_key": {},
    "extract_lead_sheet": {},
}


def write_recording(path: Path, minutes: float):
    """Writes synthesized music, one piece per minute, without holding it as a whole."""
    import numpy as np
    import soundfile

    samples = round(60 * minutes * RATE)
    pieces = [_play(*piece) for piece in PIECES]
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for piece in itertools.cycle(pieces):
            # The second channel is later by half a millisecond.
            part = np.stack([piece, np.roll(piece, RATE // 2000)], axis=1)[: samples - file.frames]
            file.write(part)
            if file.frames >= samples:
                return


def _play(chords: str, groove: str, bpm: float) -> Any:
    from diffusers_jasco.controls.chord_labels import parse_chord
    from diffusers_jasco.controls.drum_machine import find_groove
    from diffusers_jasco.controls.previews import preview_chords, preview_melody

    bar, labels = 240 / bpm, chords.split()
    progression = [(labels[index % len(labels)], index * bar) for index in range(int(60 / bar))]
    melody = [
        (72 + (parse_chord(label).root + step) % 12, start + bar / 4 * beat, start + bar / 4 * (beat + 0.9))
        for label, start in progression
        for beat, step in enumerate((0, 7, 4, 7))
    ]
    audio = 0.3 * preview_chords(progression, 60.0, RATE) + 0.3 * preview_melody(melody, 60.0, RATE)
    return (audio + 0.3 * find_groove(groove, bpm).render(60.0, RATE))[0].numpy()


def run_part(part: str, audio: Path, codec: Path | None) -> Any:
    """Runs one of the parts and returns its result."""
    from diffusers_jasco import extraction

    if part in SCRIPT_PARTS:
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            (Path(folder) / "music").mkdir()
            (Path(folder) / "music" / audio.name).symlink_to(audio.absolute())
            script, arguments = SCRIPT_PARTS[part]
            _load_script(script).main(arguments(folder, codec))
        return None
    return getattr(extraction, part)(audio, **METHODS.get(part, {"method": "builtin"}))


def _prepare(folder: str, codec: Path | None) -> list[str]:
    arguments = ["--audio", f"{folder}/music", "--output", f"{folder}/data"]
    arguments += [] if codec is None else ["--encode", str(codec)]
    return [*arguments, "--chords", "builtin", "--melody", "builtin", "--drums", "builtin"]


def _separate(folder: str, codec: Path | None) -> list[str]:
    return ["--src_dir", f"{folder}/music", "--out_dir", f"{folder}/drums", "--method", "builtin"]


SCRIPT_PARTS: dict[str, tuple[str, Callable[[str, Path | None], list[str]]]] = {
    "separate_drums (file)": ("separate_drums", _separate),
    "prepare_dataset": ("prepare_dataset", _prepare),
}
PARTS = (
    "extract_chords",
    "extract_key",
    "extract_beats",
    "extract_drum_hits",
    "extract_groove",
    "extract_melody",
    "extract_salience",
    "extract_lead_sheet",
    "separate_drums",
    "separate_stems",
    *SCRIPT_PARTS,
)


def _load_script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def measure(part: str, audio: Path, codec: Path | None) -> tuple[float, float, float, float]:
    """CPU seconds, and memory before, peak memory and the size of the result in MB."""
    # Imported lazily to keep the parent process small.
    import torch

    from diffusers_jasco import extraction  # noqa: F401
    from diffusers_jasco.evaluation.resource_use import peak_memory

    torch.set_num_threads(1)
    for script, _ in SCRIPT_PARTS.values():
        _load_script(script)
    base, start = peak_memory(), time.process_time()
    result = run_part(part, audio, codec)
    return time.process_time() - start, base, peak_memory(), sum(_sizes(result)) / 1e6


def _sizes(value: Any) -> Iterator[int]:
    """Bytes of the tensors and arrays in a value."""
    if hasattr(value, "nbytes"):
        yield value.nbytes
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _sizes(item)


def measure_apart(*arguments: Any) -> tuple[float, float, float, float]:
    """[`measure`] in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    lengths = parser.add_mutually_exclusive_group(required=True)
    lengths.add_argument("--audio", type=Path, nargs="+", help="recordings")
    lengths.add_argument(
        "--minutes", type=number(above=0, unit="minutes"), nargs="+", help="lengths of recordings to synthesize"
    )
    parser.add_argument("--encode", type=Path, help="codec or pipeline for prepare_dataset")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args(args)

    import soundfile

    print("| | minutes | seconds | × real time | base, MB | memory, MB | result, MB | growth, MB |\n|" + " --- |" * 8)
    with TemporaryDirectory() as folder:
        recordings = args.audio or []
        for index, minutes in enumerate(args.minutes or []):
            recordings.append(Path(folder, f"{index}.wav"))
            write_recording(recordings[-1], minutes)
        for part in args.parts:
            first = None
            for audio in recordings:
                seconds, base, peak, result = measure_apart(part, audio, args.encode)
                length, beyond = soundfile.info(audio).duration, peak - base - result
                first = beyond if first is None else first
                numbers = length / 60, seconds, length / seconds, base, peak, result, beyond - first
                print(f"| {part} | {' | '.join(f'{value:.0f}' for value in numbers)} |", flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_extraction"))
