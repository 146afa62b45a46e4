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

"""Minimum numbers of clips. Means and intervals of fewer clips are not reported."""

MIN_CLIPS = 20  # for adherence, caption adherence and the kernel distance
# With fewer clips, the covariance of a few hundred dimensions makes the Fréchet distance mostly bias.
MIN_FRECHET_CLIPS = 1000


def describe_shortage(num_clips: int, min_clips: int = MIN_CLIPS) -> str:
    """Table entry that replaces a score, such as `"n/a (4 of at least 20 clips)"`."""
    return f"n/a ({num_clips} of at least {min_clips} clips)"
