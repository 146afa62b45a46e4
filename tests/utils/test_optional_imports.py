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


"""Imports of optional dependencies, and the lock around numba's compilation."""

import os
import subprocess
import sys
import threading
import time

import pytest

from diffusers_jasco.utils.optional_imports import compiles_with_numba, import_optional


def test_a_missing_package_names_the_extra_to_install():
    with pytest.raises(ImportError, match=r'needs no_such_package: pip install "diffusers-jasco\[extraction\]"'):
        import_optional("no_such_package", "extraction")
    with pytest.raises(ImportError, match="needs no_such_package: pip install no_such_package"):
        import_optional("no_such_package.part")


def test_first_calls_are_serialized_and_later_calls_run_concurrently():
    together = threading.Barrier(2, timeout=30)
    running = threading.Semaphore(1)

    def first():
        alone = running.acquire(blocking=False)
        time.sleep(0.1)
        running.release()
        return alone

    functions = [compiles_with_numba(first) for _ in range(3)]
    alone = []
    threads = [threading.Thread(target=lambda f=f: alone.append(f())) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone == [True] * 3

    meet = compiles_with_numba(lambda wait: together.wait() if wait else None)
    meet(False)
    threads = [threading.Thread(target=meet, args=(True,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


@pytest.mark.slow
def test_concurrent_processes_do_not_corrupt_an_empty_cache(tmp_path):
    pytest.importorskip("librosa")
    code = """
import sys, torch
from diffusers_jasco.evaluation.estimators.beats import track_beats
from diffusers_jasco.extraction.deep_salience import _magnitudes
sound = torch.sin(torch.arange(44100) * 0.06) * (torch.arange(44100) % 11025 < 5000)
estimators = [lambda: track_beats((sound, 22050)), lambda: _magnitudes(sound.numpy(), 1.0)]
for estimate in estimators if sys.argv[1] == "0" else estimators[::-1]:
    estimate()
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    for number in (4, 1):
        processes = [
            subprocess.Popen([sys.executable, "-c", code, str(index % 2)], env=environment) for index in range(number)
        ]
        assert [process.wait(600) for process in processes] == [0] * number
    assert list(tmp_path.rglob("*.nbc"))
