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

"""Safetensors files that are written and read tensor by tensor, in bounded memory."""

import json
import os
import struct
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, BinaryIO

import torch

from ..utils.spooling import MEMORY


# The types in the order of their tensors in a file.
_TYPES = {
    "I64": torch.int64,
    "F64": torch.float64,
    "F32": torch.float32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


class TensorSpool:
    r"""
    Tensors for a file, each in one or several parts. Beyond 16 MB, they are in a temporary file until they are saved.
    """

    def __init__(self):
        self._file = SpooledTemporaryFile(max_size=MEMORY)
        self._end = 0
        self._tensors: dict[str, tuple[torch.dtype, list[int]]] = {}
        self._parts: dict[str, list[tuple[int, int]]] = {}

    def __enter__(self) -> "TensorSpool":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None):
        self._file.close()

    def append(self, name: str, tensor: torch.Tensor):
        """Adds a tensor, or further rows to a tensor with this name."""
        if name in self._tensors:
            dtype, shape = self._tensors[name]
            if tensor.dtype != dtype or not shape or list(tensor.shape[1:]) != shape[1:]:
                raise ValueError(
                    f"{name!r} has rows {shape[1:]} of {dtype}, so {tuple(tensor.shape)} of {tensor.dtype} can't be"
                    " appended."
                )
            shape[0] += len(tensor)
        else:
            self._tensors[name] = tensor.dtype, list(tensor.shape)
        content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        self._file.seek(self._end)
        self._file.write(content)
        self._parts.setdefault(name, []).append((self._end, len(content)))
        self._end += len(content)

    def save(self, path: str | os.PathLike):
        """Writes the file that `safetensors.torch.save_file` writes for these tensors."""
        order = list(_NAMES)
        names = sorted(self._tensors, key=lambda name: (order.index(self._tensors[name][0]), name))
        header: dict[str, Any] = {}
        end = 0
        for name in names:
            (dtype, shape), start = self._tensors[name], end
            end += sum(size for _, size in self._parts[name])
            header[name] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [start, end]}
        encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        encoded += b" " * (-len(encoded) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(encoded)) + encoded)
            for name in names:
                for start, size in self._parts[name]:
                    self._file.seek(start)
                    file.write(self._file.read(size))


class TensorReader:
    r"""
    Reads single tensors of a safetensors file.

    Args:
        file (`BinaryIO`): the file, opened for reading.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        (size,) = struct.unpack("<Q", file.read(8))
        self._header = json.loads(file.read(size))
        self._header.pop("__metadata__", None)
        self._first = 8 + size

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def __getitem__(self, name: str) -> torch.Tensor:
        entry = self._header[name]
        start, end = entry["data_offsets"]
        dtype = _TYPES[entry["dtype"]]
        if start == end:
            return torch.zeros(entry["shape"], dtype=dtype)
        self._file.seek(self._first + start)
        return torch.frombuffer(bytearray(self._file.read(end - start)), dtype=dtype).reshape(entry["shape"])
