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

"""Signatures of functions that pass arguments on."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar


F = TypeVar("F", bound=Callable[..., Any])


def with_arguments_of(function: Callable[..., Any]) -> Callable[[F], F]:
    r"""
    Decorates a function that passes its `**kwargs` on to another one, so that `help` and `inspect.signature` list the
    arguments of both, and an unknown one is a `TypeError` at once.

    Args:
        function (`Callable`): the other function.
    """

    def decorate(outer: F) -> F:
        signature = inspect.signature(outer)
        own = dict(signature.parameters)
        own = {name: it for name, it in own.items() if it.kind is not inspect.Parameter.VAR_KEYWORD}
        passed = [it for name, it in inspect.signature(function).parameters.items() if name not in own]
        combined = signature.replace(parameters=[*own.values(), *passed])

        @functools.wraps(outer)
        def checked(*args: Any, **kwargs: Any) -> Any:
            # Otherwise an unknown argument would only be found by the other function.
            combined.bind(*args, **kwargs)
            return outer(*args, **kwargs)

        checked.__signature__ = combined  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate
