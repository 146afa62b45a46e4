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
import torch
from safetensors.torch import load_file, save_file

from diffusers_jasco.data import tensor_files
from diffusers_jasco.data.tensor_files import TensorReader, TensorSpool


TENSORS = {
    "001.latents": torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).half(),
    "000.latents": torch.zeros(5, 4, dtype=torch.float16),
    "codes": torch.arange(9, dtype=torch.int16),
    "melody": torch.arange(-3, 3, dtype=torch.int8),
    "flags": torch.tensor([1, 0, 1], dtype=torch.uint8),
    "tempo": torch.tensor([120.0, 90.5]),
    "offsets": torch.tensor([0, 5, 12]),
    "one": torch.tensor(3, dtype=torch.int8),
    "none": torch.zeros(0, 6),
    "größe": torch.tensor([True, False]),
    "wide": torch.randn(3, 2, generator=torch.Generator().manual_seed(1)).bfloat16(),
    "double": torch.tensor([0.1], dtype=torch.float64),
    "transposed": torch.arange(6, dtype=torch.int32).reshape(2, 3).T,
}


@pytest.mark.parametrize("memory", [2**20, 50])
def test_files_equal_those_of_safetensors(tmp_path, monkeypatch, memory):
    monkeypatch.setattr(tensor_files, "MEMORY", memory)
    with TensorSpool() as spool:
        for name, tensor in TENSORS.items():
            if tensor.ndim:
                spool.append(name, tensor[:2])
        for name, tensor in TENSORS.items():
            spool.append(name, tensor[2:] if tensor.ndim else tensor)
        spool.save(tmp_path / "a.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert load_file(tmp_path / "a.safetensors").keys() == TENSORS.keys()
    with open(tmp_path / "a.safetensors", "rb") as file:
        reader = TensorReader(file)
        assert "codes" in reader and "absent" not in reader
        for name, tensor in TENSORS.items():
            assert torch.equal(reader[name], tensor) and reader[name].dtype == tensor.dtype


def test_rows_have_to_fit():
    spool = TensorSpool()
    spool.append("a", torch.zeros(2, 3))
    for rows in (torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.int8), torch.zeros(())):
        with pytest.raises(ValueError, match="can't be appended"):
            spool.append("a", rows)
