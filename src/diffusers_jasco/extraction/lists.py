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

"""Lists of recordings for extractors of one recording."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload


P = ParamSpec("P")
T = TypeVar("T")


class Extractor(Protocol[P, T]):
    """An extractor of one recording or of a list of recordings."""

    @overload
    def __call__(self, audio: list[Any], *args: P.args, **kwargs: P.kwargs) -> list[T]: ...

    @overload
    def __call__(self, audio: Any, *args: P.args, **kwargs: P.kwargs) -> T: ...


def accepts_lists(extract: Callable[Concatenate[Any, P], T]) -> Extractor[P, T]:
    """Decorates an extractor, which then returns a list for a list of recordings."""

    @wraps(extract)
    def extract_each(audio: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        if isinstance(audio, list):
            return [extract_each(item, *args, **kwargs) for item in audio]
        return extract(audio, *args, **kwargs)

    return extract_each
