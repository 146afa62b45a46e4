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


import numpy as np
import pytest
from PIL import Image

from ..conftest import run_script


@pytest.mark.parametrize(("given", "width"), [("all", 300), ("text", 150)])
def test_a_sheet_shows_the_drawn_clips(tmp_path, given, width):
    pytest.importorskip("tinysoundfont")
    arguments = ["--output", tmp_path / "sheet.png", "--given", given, "--renderer", "tinysoundfont"]
    run_script("render_contact_sheet", *arguments, "--num_clips", 3, "--columns", 2, "--width", width, "--seed", 7)
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image.convert("L"), dtype=float)
    assert sheet.shape[1] == 2 * width
    # Two clips in the first row and one in the second.
    quarter = len(sheet) // 4
    assert sheet[:quarter, :width].std() > 10 and sheet[:quarter, width:].std() > 10
    assert sheet[2 * quarter :, :width].std() > 10 and sheet[-quarter:, width:].std() < 1
