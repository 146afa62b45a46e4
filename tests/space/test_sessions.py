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


"""Tests of cancellation tokens and temporary folders."""

import os
import time

import pytest


pytest.importorskip("gradio")

from sessions import CancellationTokens, TempFolders  # noqa: E402


def test_a_session_can_stop_only_its_own_runs():
    tokens = CancellationTokens()
    mine, another, theirs = tokens.issue("me"), tokens.issue("me"), tokens.issue("you")
    assert tokens.revoke("me") == 2
    assert [token.exists() for token in (mine, another, theirs)] == [False, False, True]
    assert tokens.revoke("me") == 0


def test_a_token_ends_with_its_run():
    tokens = CancellationTokens()
    token = tokens.issue("me")
    with pytest.raises(ZeroDivisionError), tokens.using(token):
        assert token.exists()
        raise ZeroDivisionError
    assert not token.exists()


def test_a_session_name_is_not_a_path():
    tokens = CancellationTokens()
    token = tokens.issue("../../etc/*")
    assert token.exists() and tokens.revoke("*") == 0 and tokens.revoke("../../etc/*") == 1


def test_expired_folders_are_deleted_when_a_new_one_is_created(tmp_path):
    shelf = TempFolders(tmp_path, life=60.0)
    old, young = shelf.new_folder(), shelf.new_folder()
    (old / "take.wav").write_bytes(b"music")
    os.utime(old, (time.time() - 61,) * 2)
    new = shelf.new_folder()
    assert [folder.exists() for folder in (old, young, new)] == [False, True, True]
    assert len({old.name, young.name, new.name}) == 3 and len(new.name) == 32
