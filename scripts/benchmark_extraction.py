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
Measures the time and memory that the extractors and the preparation of a dataset take for a recording:

    python scripts/benchmark_extraction.py --audio 10_minutes.flac 60_minutes.flac --encode pipelines/jasco-nano

Each measurement runs in a separate process on one core. *seconds* are CPU time, which depends less on the load of the
machine than wall-clock time does; *memory* is the peak resident memory of the process, *base* its memory after
importing PyTorch and the package.
"""

import contextlib
import importlib.util
import io
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command


PARTS = ("extract_chords", "extract_melody", "separate_drums", "extract_beats", "prepare_dataset")


def memory() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(part: str, audio: Path, codec: Path) -> tuple[float, float, float]:
    """CPU seconds, memory before and memory after, in MB."""
    # Imported lazily to keep the parent process small.
    import torch

    from diffusers_jasco import extraction

    torch.set_num_threads(1)
    path = Path(__file__).with_name("prepare_dataset.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    base, start = memory(), time.process_time()
    if part == "prepare_dataset":
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            (Path(folder) / "music").mkdir()
            (Path(folder) / "music" / audio.name).symlink_to(audio.absolute())
            arguments = ["--audio", f"{folder}/music", "--output", f"{folder}/data", "--encode", str(codec)]
            methods = ["--chords", "builtin", "--melody", "builtin", "--drums", "builtin"]
            script.main([*arguments, *methods])
    elif part == "extract_beats":
        extraction.extract_beats(audio)
    else:
        getattr(extraction, part)(audio, method="builtin")
    return time.process_time() - start, base, memory()


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="recordings")
    parser.add_argument("--encode", type=Path, required=True, help="codec or pipeline for prepare_dataset")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args(args)

    import soundfile

    print("| | minutes | seconds | × real time | base, MB | memory, MB |\n| --- | --- | --- | --- | --- | --- |")
    for part in args.parts:
        for audio in args.audio:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds, base, peak = pool.submit(measure, part, audio, args.encode).result()
            length = soundfile.info(audio).duration
            cells = (
                part,
                f"{length / 60:.0f}",
                f"{seconds:.0f}",
                f"{length / seconds:.0f}",
                f"{base:.0f}",
                f"{peak:.0f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_extraction"))
