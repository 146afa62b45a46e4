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

"""Progress bars of extractors."""

from tqdm import tqdm


class SecondsBar(tqdm):
    r"""
    A progress bar in seconds of audio.

    Args:
        name (`str`): what is extracted.
        duration (`float`): seconds in total.
        progress (`bool`): whether to show the bar.
    """

    n: float
    total: float

    def __init__(self, name: str, duration: float, progress: bool):
        bar_format = (
            "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}, {rate_noinv_fmt}]"
        )
        super().__init__(total=duration, desc=name, unit="s", bar_format=bar_format, disable=not progress)

    def update(self, n: float | None = 1) -> bool | None:
        # The last block can exceed the recording.
        self.n = min(self.n + (n or 0), self.total)
        return super().update(0)
