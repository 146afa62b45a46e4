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
Builds a kit that runs the tests and the training on a GPU machine without internet access:

    python scripts/build_offline_kit.py --output kit

The folder contains the Python packages that such a machine lacks (in the versions of this environment), a sound font
reduced to the instruments of the synthetic music, and `run.sh`. A clone of this repository is needed beside it:

    kit/run.sh <clone of the repository> <folder for results>

The machine needs Linux on x86-64, the Python version of `--python_version` with pip, and the packages of `--present`:
those that a PyTorch installation usually contains.
"""

import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from diffusers_jasco.data.synthetic.instruments import DRUM_KEYS
from diffusers_jasco.data.synthetic.rendering import find_soundfonts
from diffusers_jasco.data.synthetic.soundfonts import (
    played_programs,
    read_soundfont,
    select_presets,
    shrink_soundfont,
    to_file,
)
from diffusers_jasco.utils.arguments import CommandParser, existing, integer, number
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import atomic_folder, hash_file


ROOT = Path(__file__).parents[1]
# The packages that the tests and the training use, besides those that diffusers-jasco requires.
ROOTS = ("diffusers-jasco", "tinysoundfont", "peft", "pytest", "pytest-timeout")
PRESENT = ("torch", "torchaudio", "numpy", "pillow", "filelock", "fsspec", "jinja2", "networkx", "sympy", "setuptools")
# Required, but not imported: hf-xet downloads from the Hub, PyAudio plays audio, Typer is for command lines of others.
OMITTED = ("hf-xet", "pyaudio", "typer")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux1")
TEMPLATES = ROOT / "scripts" / "offline_kit"
# Sampling rate of jasco-nano's codec.
MAX_RATE = 24000


def find_packages(python_version: str, present: list[str]) -> dict[str, str]:
    """The packages that a machine lacks: name → version in this environment."""
    environment = default_environment() | {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
    }
    skipped = {canonicalize_name(name) for name in (*present, *OMITTED)}
    versions, waiting = {}, list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in versions or name in skipped:
            continue
        distribution = metadata.distribution(name)
        versions[name] = distribution.version
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(environment | {"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    # The repository is used as it is.
    del versions["diffusers-jasco"]
    return versions


def download(versions: dict[str, str], python_version: str, folder: Path):
    """Downloads the wheels of packages for another Python version."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", python_version, "--dest", str(folder)]
    command += [option for name in PLATFORMS for option in ("--platform", f"{name}_x86_64")]
    subprocess.run([*command, *(f"{name}=={version}" for name, version in sorted(versions.items()))], check=True)


def pack_wheels(folder: Path) -> bytes:
    """Packs wheels into a `.tar.xz`, uncompressed, because xz compresses similar files of several wheels much better."""
    stream = io.BytesIO()
    # The dictionary covers all packages.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 2**27}]
    with lzma.open(stream, "wb", filters=filters) as compressed, tarfile.open(fileobj=compressed, mode="w") as tar:
        for path in sorted(folder.glob("*.whl")):
            stored = io.BytesIO()
            with zipfile.ZipFile(path) as source, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as target:
                for entry in source.infolist():
                    content = source.read(entry)
                    entry.compress_type = zipfile.ZIP_STORED
                    target.writestr(entry, content)
            info = tarfile.TarInfo(path.name)
            info.size = stored.tell()
            stored.seek(0)
            tar.addfile(info, stored)
    return stream.getvalue()


def copy_license(soundfont: Path, folder: Path):
    """Copies the license of a sound font of a Debian package, or the one beside it."""
    owner = subprocess.run(["dpkg", "-S", soundfont], capture_output=True, text=True).stdout.partition(":")[0]
    candidates = [Path("/usr/share/doc", owner, "copyright"), soundfont.with_name("LICENSE")]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{soundfont} has no license file: put its license beside it, as LICENSE.")
    shutil.copyfile(path, folder / f"{soundfont.stem}-LICENSE.txt")


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write; replaced if it exists")
    parser.add_argument("--python_version", default="3.12", help="Python version of the machine")
    parser.add_argument("--present", nargs="*", default=PRESENT, help="packages that the machine has")
    parser.add_argument("--soundfont", type=existing, help="default: FluidR3_GM of the system")
    parser.add_argument("--quality", type=number(0, 1), default=0.1, help="quality of the sound font's compression")
    parser.add_argument("--max_megabytes", type=integer(1), default=20, help="an error if the kit is larger")
    args = parser.parse_args(args)

    soundfont = args.soundfont or find_soundfonts("fluidsynth")[0]
    with atomic_folder(args.output) as folder, tempfile.TemporaryDirectory() as wheels:
        versions = find_packages(args.python_version, list(args.present))
        download(versions, args.python_version, Path(wheels))
        (folder / "packages.tar.xz").write_bytes(pack_wheels(Path(wheels)))
        (folder / "packages.txt").write_text("".join(f"{name}=={versions[name]}\n" for name in sorted(versions)))
        reduced = select_presets(read_soundfont(soundfont), played_programs(), DRUM_KEYS.values())
        (folder / f"{soundfont.stem}.sf3").write_bytes(to_file(shrink_soundfont(reduced, MAX_RATE), args.quality))
        copy_license(soundfont, folder)
        for path in sorted(TEMPLATES.iterdir()):
            shutil.copy(path, folder / path.name)
        files = sorted(path for path in folder.iterdir())
        sums = "".join(f"{hash_file(path)}  {path.name}\n" for path in files)
        (folder / "SHA256SUMS").write_text(sums)
        size = sum(path.stat().st_size for path in files)
        for path in files:
            print(f"{path.stat().st_size / 1e6:8.3f} MB  {path.name}")
        if size > 1e6 * args.max_megabytes:
            raise ValueError(f"The kit has {size / 1e6:.1f} MB, more than {args.max_megabytes}.")
    print(f"{args.output}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    sys.exit(run_command(main, "build_offline_kit"))
