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

import hashlib
import os
import stat

import pytest

from diffusers_jasco.utils.files import (
    atomic_folder,
    checkpoint_folder,
    component_folder,
    hash_file,
    is_leftover,
    partial_path,
    publish_files,
    remove_leftovers,
    replace_file,
    variant_of,
    weights_file,
)


def write(root, **files: str):
    """Writes text files. In the names, `__` stands for a slash and `_` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(root) -> dict[str, str]:
    """The text of every file in a folder and its subfolders, including hidden files."""
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "song.json"
    path.write_text("old")
    with replace_file(path) as temporary:
        temporary.write_text("new")
        # Libraries such as soundfile choose the format by the suffix.
        assert temporary.suffix == ".json" and path.read_text() == "old"
    assert read(tmp_path) == {"song.json": "new"}


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_default_permissions(tmp_path):
    umask = os.umask(0o027)
    try:
        with replace_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("a")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_is_unchanged_after_an_error(tmp_path, error):
    write(tmp_path, a_txt="old")
    with pytest.raises(error), replace_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert read(tmp_path) == {"a.txt": "old"}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    write(tmp_path, run__a_txt="old", run__b_txt="old")
    with atomic_folder(tmp_path / "run") as partial:
        write(partial, a_txt="new")
        assert read(tmp_path / "run") == {"a.txt": "old", "b.txt": "old"}
    assert read(tmp_path) == {"run/a.txt": "new"}


def test_a_folder_is_unchanged_after_an_error(tmp_path):
    write(tmp_path, run__a_txt="old")
    with pytest.raises(ValueError), atomic_folder(tmp_path / "run") as partial:
        write(partial, a_txt="half")
        raise ValueError
    assert read(tmp_path) == {"run/a.txt": "old"}


def test_leftovers_of_a_killed_run_are_discarded(tmp_path):
    write(partial_path(tmp_path / "run"), a_txt="half")
    with atomic_folder(tmp_path / "run") as partial:
        write(partial, b_txt="whole")
    assert read(tmp_path) == {"run/b.txt": "whole"}


def test_leftovers_are_removed_and_other_hidden_files_are_kept(tmp_path):
    for name in (
        ".run.partial/a",
        ".run.old/a",
        "sub/.partial-x1.wav",
        ".git/.partial-x1.wav",
        ".hidden",
        "a.partial",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert set(read(tmp_path)) == {".git/.partial-x1.wav", ".hidden", "a.partial"}
    assert is_leftover(partial_path(tmp_path / "run").name)


def test_publish_files_replaces_existing_files(tmp_path):
    write(tmp_path, new__a_txt="new", new__sub__b_txt="new", old__a_txt="old", old__c_txt="old")
    publish_files(tmp_path / "new", tmp_path / "old")
    assert read(tmp_path) == {"old/a.txt": "new", "old/sub/b.txt": "new", "old/c.txt": "old"}


@pytest.mark.parametrize(
    "path, weights, variant",
    [
        ("model.safetensors", "model.safetensors", ""),
        ("transformer/model.fp16.safetensors", "transformer/model.fp16.safetensors", "fp16"),
        ("model-00001-of-00002.safetensors", "model.safetensors", ""),
        ("model.safetensors.index.json", "model.safetensors", ""),
        ("model.fp16-00002-of-00002.bin", "model.fp16.bin", "fp16"),
        ("model.bin.index.fp16.json", "model.fp16.bin", "fp16"),
        ("config.json", None, None),
    ],
)
def test_shards_and_indices_map_to_their_weights(path, weights, variant):
    assert weights_file(path) == weights and variant_of(path) == variant


def test_a_checkpoint_is_replaced_only_with_force(tmp_path):
    folder = tmp_path / "checkpoint"
    with checkpoint_folder(folder) as partial:
        (partial / "model_index.json").write_text("old")
        for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "notes.md"):
            (partial / name).write_text("old")
    with pytest.raises(ValueError, match="--force to replace"), checkpoint_folder(folder):
        pass
    with checkpoint_folder(folder, force=True) as partial:
        (partial / "model_index.json").write_text("new")
        (partial / "model.safetensors").write_text("new")
    # Shards of the old weights are deleted; files that do not belong to the checkpoint are kept.
    assert read(folder) == {"model_index.json": "new", "model.safetensors": "new", "notes.md": "old"}


def test_other_folders_are_never_overwritten(tmp_path):
    write(tmp_path, photos__a_jpg="mine")
    for force in (False, True):
        with pytest.raises(ValueError, match="choose another folder"), checkpoint_folder(tmp_path / "photos", force):
            pass
    assert read(tmp_path) == {"photos/a.jpg": "mine"}
    (tmp_path / "empty").mkdir()
    with checkpoint_folder(tmp_path / "empty") as partial:
        write(partial, a_txt="new")
    assert read(tmp_path / "empty") == {"a.txt": "new"}


def test_a_component_is_found_inside_a_pipeline_or_alone(tmp_path):
    (tmp_path / "pipeline/codec").mkdir(parents=True)
    assert component_folder(tmp_path / "pipeline", "codec") == tmp_path / "pipeline/codec"
    assert component_folder(tmp_path / "pipeline/codec", "codec") == tmp_path / "pipeline/codec"
    assert component_folder("org/codec", "codec") == "org/codec"


def test_hash_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 1_000_000)
    assert hash_file(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
