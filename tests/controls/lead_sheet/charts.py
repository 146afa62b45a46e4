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

"""Helpers for the tests of chord charts."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diffusers_jasco.controls.lead_sheet import Bar


FIXTURES = Path(__file__).parents[2] / "fixtures/lead_sheets"


def chords_of(bars: Sequence[Bar]) -> list[str]:
    """The labels of each bar."""
    return [" ".join(mark.label for mark in bar.chords) for bar in bars]


class Messages:
    """The warnings of a block."""

    def __init__(self, stream: io.StringIO):
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()


@contextmanager
def messages() -> Iterator[Messages]:
    """Collects the warnings of the readers of lead sheets."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("diffusers_jasco.controls.lead_sheet")
    logger.addHandler(handler)
    try:
        yield Messages(stream)
    finally:
        logger.removeHandler(handler)
