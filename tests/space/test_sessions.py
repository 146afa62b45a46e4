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


"""CancellationTokens and folders of visits."""

import os
import time

import pytest


pytest.importorskip("gradio")

from sessions import CancellationTokens, TempFolders  # noqa: E402


def test_a_visit_can_stop_its_own_runs_only():
    tickets = CancellationTokens()
    mine, another, theirs = tickets.issue("me"), tickets.issue("me"), tickets.issue("you")
    assert tickets.revoke("me") == 2
    assert [ticket.exists() for ticket in (mine, another, theirs)] == [False, False, True]
    assert tickets.revoke("me") == 0


def test_a_ticket_ends_with_its_run():
    tickets = CancellationTokens()
    ticket = tickets.issue("me")
    with pytest.raises(ZeroDivisionError), tickets.using(ticket):
        assert ticket.exists()
        raise ZeroDivisionError
    assert not ticket.exists()


def test_a_visits_name_is_no_path():
    tickets = CancellationTokens()
    ticket = tickets.issue("../../etc/*")
    assert ticket.exists() and tickets.revoke("*") == 0 and tickets.revoke("../../etc/*") == 1


def test_old_folders_go_when_a_new_one_is_made(tmp_path):
    shelf = TempFolders(tmp_path, life=60.0)
    old, young = shelf.new_folder(), shelf.new_folder()
    (old / "take.wav").write_bytes(b"music")
    os.utime(old, (time.time() - 61,) * 2)
    new = shelf.new_folder()
    assert [folder.exists() for folder in (old, young, new)] == [False, True, True]
    assert len({old.name, young.name, new.name}) == 3 and len(new.name) == 32
