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

"""How many clips a metric needs: means and intervals of fewer are not reported."""

MIN_CLIPS = 20  # for scores of adherence and captions, the kernel distance, and their intervals
# The covariance of a few hundred dimensions can't be estimated from fewer: the Fréchet distance would be mostly bias.
MIN_FRECHET_CLIPS = 1000


def describe_shortage(num_clips: int, min_clips: int = MIN_CLIPS) -> str:
    """The entry of a table instead of a score, such as `"n/a (4 of at least 20 clips)"`."""
    return f"n/a ({num_clips} of at least {min_clips} clips)"
