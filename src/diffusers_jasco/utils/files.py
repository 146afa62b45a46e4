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


"""Atomic writing of files and folders, checkpoint folders, path detection and text decoding."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .bundled import resolve_checkpoint
from .errors import InputError


# Files that identify a checkpoint folder in the Diffusers layout or in AudioCraft's.
CHECKPOINT_FILES = ("model_index.json", "state_dict.bin")


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[Path]:
    r"""
    Yields a temporary file in the folder of `path`. It replaces `path` if the block ends without an exception, and is
    deleted otherwise.

    Args:
        path (`str` or `os.PathLike`): the file to write. Its folder has to exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}: {path.name} can't be written.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp grants access to the owner only
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def partial_path(path: str | os.PathLike) -> Path:
    """The temporary path of a folder while it is written; in the same parent folder, so that renaming is atomic."""
    path = Path(os.path.abspath(path))
    return path.with_name(f".{path.name}.partial")


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    r"""
    Yields a temporary folder. It replaces `path` if the block ends without an exception, and is deleted otherwise.
    """
    with _temporary_folder(path) as partial:
        yield partial
        finish_folder(path)


@contextmanager
def _temporary_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Creates the empty folder `partial_path(path)` and deletes it after the block."""
    partial = partial_path(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def finish_folder(path: str | os.PathLike):
    """Renames `partial_path(path)` to `path`, replacing an existing folder."""
    path = Path(os.path.abspath(path))
    old = path.with_name(f".{path.name}.old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
    os.replace(partial_path(path), path)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: str | os.PathLike):
    r"""
    Deletes temporary files and folders that killed runs left behind (see [`replace_file`], [`partial_path`]). Other
    hidden files, such as those of a Git repository, are kept. No other run may be writing into the folder.

    Args:
        folder (`str` or `os.PathLike`): folder to clean, including its subfolders except hidden ones.
    """
    for root, folders, files in os.walk(folder):
        for name in filter(is_leftover, folders):
            shutil.rmtree(Path(root, name), ignore_errors=True)
        for name in filter(is_leftover, files):
            Path(root, name).unlink(missing_ok=True)
        folders[:] = [name for name in folders if not name.startswith(".")]


def is_leftover(name: str) -> bool:
    """Whether a name is that of a temporary file or folder of this module."""
    return re.fullmatch(r"\.(.+\.(partial|old)|partial-.+)", name) is not None


def publish_files(source: str | os.PathLike, target: str | os.PathLike):
    """Moves all files of a folder to another one on the same file system. Each file is replaced atomically."""
    source, target = Path(source), Path(target)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target / path.relative_to(source))
    shutil.rmtree(source)


def weights_file(path: str) -> str | None:
    """The file name of the unsharded weights that a weight file, a shard or a shard index belongs to; else `None`."""
    index = re.fullmatch(r"(.+)\.(safetensors|bin)\.index(\.[^.]+)?\.json", path)
    if index is not None:
        return f"{index[1]}{index[3] or ''}.{index[2]}"
    weights = re.fullmatch(r"(.+?)(-\d{5}-of-\d{5})?\.(safetensors|bin)", path)
    return None if weights is None else f"{weights[1]}.{weights[3]}"


def variant_of(path: str) -> str | None:
    """The variant of a weight file (`""` if it has no variant), or `None` for other files."""
    weights = weights_file(path)
    if weights is None:
        return None
    name = weights.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return name.partition(".")[2]


@contextmanager
def checkpoint_folder(folder: str | os.PathLike, force: bool = False) -> Iterator[Path]:
    r"""
    Yields a temporary folder for a checkpoint. It becomes `folder` if the block ends without an exception, and is
    deleted otherwise. If `folder` already contains a checkpoint, files with the same names and other shards of the
    same weights are replaced; other files are kept.

    Args:
        folder (`str` or `os.PathLike`): the folder to write.
        force (`bool`, defaults to `False`): whether to replace an existing checkpoint.

    Raises:
        `ValueError`: if the folder is not empty, unless it is a checkpoint and `force` is set.
    """
    folder = Path(os.path.abspath(folder))
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_new:
        if not any((folder / name).is_file() for name in CHECKPOINT_FILES):
            raise ValueError(f"{folder} exists and is not a checkpoint: choose another folder.")
        if not force:
            raise ValueError(f"{folder} exists. Choose another folder, or use --force to replace its checkpoint.")
    with _temporary_folder(folder) as partial:
        yield partial
        if is_new:
            finish_folder(folder)
        else:
            names = {path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file()}
            weights = {weights_file(name) for name in names} - {None}
            old = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            publish_files(partial, folder)
            # Old shards would be loaded instead of the new weights.
            for name in old:
                if weights_file(name) in weights and name not in names:
                    (folder / name).unlink()


def component_folder(source: str | os.PathLike, component: str) -> str | os.PathLike:
    """
    The subfolder of a component if `source` is a pipeline folder, otherwise `source` itself (a folder or Hub id). A
    pipeline folder within another one shares the components that it lacks, as the teacher of a distilled model does.
    """
    source = resolve_checkpoint(source)
    folders = [Path(source, component)]
    if all(os.path.isfile(Path(folder, "model_index.json")) for folder in (source, Path(source).parent)):
        folders.append(Path(source).parent / component)
    return next((folder for folder in folders if folder.is_dir()), source)


def hash_file(path: str | os.PathLike) -> str:
    """The SHA-256 digest of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        # `hashlib.file_digest` requires Python 3.11.
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def looks_like_path(text: str | os.PathLike) -> bool:
    r"""
    Whether an argument that may be text or a file is a file: any `os.PathLike`; a string that ends in a suffix such as
    `.txt` or `.xyz` or starts like a path (`./`, `../`, `~/`, `/`, `C:\\`); or a string with a path separator or a
    suffix that names an existing file or folder.

    Chords and notes as text are not paths: `"C/E:0 Am:2.5"`, `"(C, 0.0), (Am, 2.5)"`, `"C . . G"`, `"N.C."`.

    Args:
        text (`str` or `os.PathLike`): the argument.
    """
    if not isinstance(text, str):
        return isinstance(text, os.PathLike)
    if len(text) > 1024 or any(sign in text for sign in "|\n\r"):
        return False
    # A suffix has at least two characters and starts with a letter, unlike the ends of "Am:2.5" and "N.C".
    if re.search(r"[^\s.:,;]\.[A-Za-z][A-Za-z0-9]{1,9}$", text):
        return True
    if re.match(r"(~|\.{1,2})?[/\\]|[A-Za-z]:\\", text):
        return True
    has_separator = "/" in text or os.sep in text
    return (has_separator or bool(os.path.splitext(text)[1])) and os.path.exists(text)


def read_text(path: str | os.PathLike, argument: str, max_bytes: int = 64 * 2**20) -> str:
    r"""
    Reads a text file in UTF-8 (with or without a byte order mark), UTF-16 or Latin-1 (Windows-1252).

    Args:
        path (`str` or `os.PathLike`): the file.
        argument (`str`): name of the argument for error messages.
        max_bytes (`int`): maximum size of the file.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the path is a folder, the file is too large, or it is not a text file.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"`{argument}`: {path} is a folder, not a file.", argument)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{argument}`: the file {path} does not exist.")
    if os.path.getsize(path) > max_bytes:
        raise InputError(f"`{argument}`: {path} is larger than {max_bytes // 2**20} MiB.", argument)
    content = path.read_bytes().rstrip(b"\x1a")  # DOS end-of-file marker
    text = _decode(content)
    if text is None or re.search(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]", text[:100_000]):
        raise InputError(f"`{argument}`: {path} is not a text file in UTF-8, UTF-16 or Latin-1.", argument)
    return text


def _decode(content: bytes) -> str | None:
    encodings = ["utf-8-sig", "cp1252", "latin-1"]
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif content[1:200:2].count(0) > 0.4 * len(content[1:200:2]) > 0:
        encodings = ["utf-16-le"]
    elif content[0:200:2].count(0) > 0.4 * len(content[0:200:2]) > 0:
        encodings = ["utf-16-be"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None
