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


"""Files and folders: written whole or not at all, recognized as arguments, and read as text."""

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


# What tells that a folder is a checkpoint, in our layout or in the original's.
CHECKPOINT_FILES = ("model_index.json", "state_dict.bin")


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[Path]:
    r"""
    A temporary file beside `path`, which takes its place if the block ends without an exception, and is deleted otherwise.

    Args:
        path (`str` or `os.PathLike`): the file to write. Its folder has to exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} into.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def partial_path(path: str | os.PathLike) -> Path:
    """Where a folder is written before it gets its name: beside it, so that renaming is one step."""
    path = Path(os.path.abspath(path))
    return path.with_name(f".{path.name}.partial")


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    r"""
    A folder to write into, which gets the name `path` when all went well, and is deleted otherwise. A folder of that name
    is replaced.
    """
    with _temporary_folder(path) as partial:
        yield partial
        finish_folder(path)


@contextmanager
def _temporary_folder(path: str | os.PathLike) -> Iterator[Path]:
    """`partial_path(path)`, empty, for the time of the block."""
    partial = partial_path(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def finish_folder(path: str | os.PathLike):
    """Gives the written `partial_path(path)` its name `path`."""
    path = Path(os.path.abspath(path))
    old = path.with_name(f".{path.name}.old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
    os.replace(partial_path(path), path)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: str | os.PathLike):
    r"""
    Deletes what killed runs left of files and folders in hand (see [`replace_file`], [`partial_path`]). Other hidden files,
    such as a repository's, stay. No other run may be at work.

    Args:
        folder (`str` or `os.PathLike`): where to look, in the folders below it too, hidden ones excepted.
    """
    for root, folders, files in os.walk(folder):
        for name in filter(is_leftover, folders):
            shutil.rmtree(Path(root, name), ignore_errors=True)
        for name in filter(is_leftover, files):
            Path(root, name).unlink(missing_ok=True)
        folders[:] = [name for name in folders if not name.startswith(".")]


def is_leftover(name: str) -> bool:
    """Whether a file or folder has the name of what is being written here."""
    return re.fullmatch(r"\.(.+\.(partial|old)|partial-.+)", name) is not None


def publish_files(source: str | os.PathLike, target: str | os.PathLike):
    """Moves all files of a folder into another one on the same disk, one by one: each is the old or the new one."""
    source, target = Path(source), Path(target)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target / path.relative_to(source))
    shutil.rmtree(source)


def weights_file(path: str) -> str | None:
    """The name that weights have, or would have, in one piece: the same for all parts and for their index."""
    index = re.fullmatch(r"(.+)\.(safetensors|bin)\.index(\.[^.]+)?\.json", path)
    if index is not None:
        return f"{index[1]}{index[3] or ''}.{index[2]}"
    weights = re.fullmatch(r"(.+?)(-\d{5}-of-\d{5})?\.(safetensors|bin)", path)
    return None if weights is None else f"{weights[1]}.{weights[3]}"


def variant_of(path: str) -> str | None:
    """The variant of a file of weights, `""` without one, or `None` for other files."""
    weights = weights_file(path)
    if weights is None:
        return None
    name = weights.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return name.partition(".")[2]


@contextmanager
def checkpoint_folder(folder: str | os.PathLike, force: bool = False) -> Iterator[Path]:
    r"""
    A folder to write a checkpoint into, which becomes `folder` when all went well, and is deleted otherwise. In a folder that is a
    checkpoint already, files of the same names and other pieces of the same weights are replaced; the rest stays.

    Args:
        folder (`str` or `os.PathLike`): the folder to write.
        force (`bool`, defaults to `False`): whether a checkpoint is replaced.

    Raises:
        `ValueError`: if the folder has contents, unless it is a checkpoint and `force` is set.
    """
    folder = Path(os.path.abspath(folder))
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_new:
        if not any((folder / name).is_file() for name in CHECKPOINT_FILES):
            raise ValueError(f"{folder} exists and is no checkpoint: give another folder.")
        if not force:
            raise ValueError(f"{folder} exists. Give another folder, or --force to replace the checkpoint in it.")
    with _temporary_folder(folder) as partial:
        yield partial
        if is_new:
            finish_folder(folder)
        else:
            names = {path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file()}
            weights = {weights_file(name) for name in names} - {None}
            old = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            publish_files(partial, folder)
            # Old pieces would be loaded in the place of the new ones.
            for name in old:
                if weights_file(name) in weights and name not in names:
                    (folder / name).unlink()


def component_folder(source: str | os.PathLike, component: str) -> str | os.PathLike:
    """Where a component is: in the folder of a pipeline, or else in what is given, its own folder or Hub repository."""
    source = resolve_checkpoint(source)
    folder = Path(source, component)
    return folder if folder.is_dir() else source


def hash_file(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        # `hashlib.file_digest` needs Python 3.11.
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def looks_like_path(text: str | os.PathLike) -> bool:
    r"""
    Whether an argument that may be a text or a file is meant as a file: any `os.PathLike`; a text that ends in a suffix such
    as `.txt` or `.xyz`, or begins like a path (`./`, `../`, `~/`, `/`, `C:\\`); or one with a path separator or a suffix that
    names an existing file or folder.

    Texts of chords and notes are not paths: `"C/E:0 Am:2.5"`, `"(C, 0.0), (Am, 2.5)"`, `"C . . G"`, `"N.C."`.

    Args:
        text (`str` or `os.PathLike`): the argument.
    """
    if not isinstance(text, str):
        return isinstance(text, os.PathLike)
    if len(text) > 1024 or any(sign in text for sign in "|\n\r"):
        return False
    # Two characters at least, a letter first: neither "Am:2.5" nor "N.C" ends in a suffix.
    if re.search(r"[^\s.:,;]\.[A-Za-z][A-Za-z0-9]{1,9}$", text):
        return True
    if re.match(r"(~|\.{1,2})?[/\\]|[A-Za-z]:\\", text):
        return True
    has_separator = "/" in text or os.sep in text
    return (has_separator or bool(os.path.splitext(text)[1])) and os.path.exists(text)


def read_text(path: str | os.PathLike, argument: str, max_bytes: int = 64 * 2**20) -> str:
    r"""
    The text of a file in UTF-8 (with or without a byte order mark), UTF-16 or Latin-1 (Windows-1252).

    Args:
        path (`str` or `os.PathLike`): the file.
        argument (`str`): name of the argument that it came with, for messages.
        max_bytes (`int`): largest size that is read.

    Raises:
        `FileNotFoundError`: for an absent file.
        [`InputError`]: for a folder, for a larger file, and for one that is not a text.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"`{argument}`: {path} is a folder, not a file.", argument)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`{argument}`: there is no file {path}.")
    if os.path.getsize(path) > max_bytes:
        raise InputError(f"`{argument}`: {path} has more than {max_bytes // 2**20} MiB.", argument)
    content = path.read_bytes().rstrip(b"\x1a")  # DOS's end of file
    text = _decode(content)
    if text is None or re.search(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]", text[:100_000]):
        raise InputError(f"`{argument}`: {path} is not a text in UTF-8, UTF-16 or Latin-1.", argument)
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
