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

r"""
Generates music from text, chords, drums and a melody, like the command `jasco-generate`.

    python examples/generate.py "80s pop, groovy synth bass" --checkpoint path/to/jasco \
        --chords "C:0 Am:2.5 F:5 G:7.5" --drums beat.wav --output song.wav
"""

import sys

from diffusers_jasco.commands.generate import main


if __name__ == "__main__":
    sys.exit(main())
