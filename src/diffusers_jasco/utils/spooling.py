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

"""Arrays that grow with a recording, in bounded memory."""

from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any

import numpy as np


MEMORY = 2**24  # bytes that are kept in memory


class SpooledRows:
    r"""
    Rows of an array that are appended block by block. Beyond 16 MB, they are in a temporary file, which is deleted when
    the object is closed or garbage-collected.

    Args:
        shape (`tuple[int, ...]`): shape of a row.
        dtype (`np.dtype` or type): type of the values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._row = self.dtype.itemsize * int(np.prod(shape))
        self._file = SpooledTemporaryFile(max_size=MEMORY)
        self._length = 0

    def __enter__(self) -> "SpooledRows":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None):
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def append(self, rows: np.ndarray):
        """Appends rows `(count, *shape)`."""
        self._file.seek(self._length * self._row)
        self._file.write(np.asarray(rows, dtype=self.dtype).tobytes())
        self._length += len(rows)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`, cut to the existing ones, as a read-only array."""
        start, stop = max(start, 0), min(stop, self._length)
        self._file.seek(start * self._row)
        content = self._file.read(max(stop - start, 0) * self._row)
        return np.frombuffer(content, self.dtype).reshape(-1, *self.shape)
