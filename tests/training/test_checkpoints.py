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


import pytest

from diffusers_jasco.training.checkpoints import checkpoint_path, find_checkpoint, list_checkpoints, prune_checkpoints
from diffusers_jasco.utils.files import atomic_folder, publish_files


def make_checkpoints(folder, *steps):
    for step in steps:
        with atomic_folder(checkpoint_path(folder, step)) as partial:
            (partial / "weights").write_text(str(step))


def test_checkpoints_are_sorted_by_step(tmp_path):
    assert find_checkpoint(tmp_path / "absent", "latest") is None
    make_checkpoints(tmp_path, 100, 9, 20)
    (tmp_path / ".step-00000300.partial").mkdir()
    (tmp_path / "notes").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000009", "step-00000020", "step-00000100"]
    latest = find_checkpoint(tmp_path, "latest")
    assert latest == checkpoint_path(tmp_path, 100) == find_checkpoint("elsewhere", str(latest))
    assert find_checkpoint(tmp_path, "20") == checkpoint_path(tmp_path, 20)
    with pytest.raises(FileNotFoundError, match="step-00000021.*step-00000009, step-00000020, step-00000100"):
        find_checkpoint(tmp_path, "21")


def test_folders_are_written_atomically(tmp_path):
    make_checkpoints(tmp_path, 1)
    with pytest.raises(RuntimeError), atomic_folder(checkpoint_path(tmp_path, 1)) as partial:
        (partial / "weights").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert (checkpoint_path(tmp_path, 1) / "weights").read_text() == "1"
    with atomic_folder(checkpoint_path(tmp_path, 1)) as partial:
        (partial / "weights").write_text("new")
    assert (checkpoint_path(tmp_path, 1) / "weights").read_text() == "new"


@pytest.mark.parametrize("keep, left", [(0, [1, 2, 3]), (1, [3]), (2, [2, 3]), (5, [1, 2, 3])])
def test_old_checkpoints_are_deleted(tmp_path, keep, left):
    make_checkpoints(tmp_path, 1, 2, 3)
    prune_checkpoints(tmp_path, keep)
    assert list_checkpoints(tmp_path) == [checkpoint_path(tmp_path, step) for step in left]


def test_published_files_only_replace_files_of_the_same_name(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, name, text in (
        (source, "a/x", "new"),
        (source, "y", "new"),
        (target, "a/x", "old"),
        (target, "z", "old"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    publish_files(source, target)
    files = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert files == {"a/x": "new", "y": "new", "z": "old"} and not source.exists()
