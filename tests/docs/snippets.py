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

"""
Extracts and executes the code blocks of Markdown pages.

A comment on the line before a block marks an exception:

- `<!-- snippet: slow -->`: runs only with the slow tests.
- `<!-- snippet: slow (with --max_steps 2) -->`: the same, with these options added to the last command of the block.
- `<!-- snippet: tested (path of a test) -->`: runs in that test.
- `<!-- snippet: skip (reason) -->`: does not run; the text of the page has to say so.

All other `python` and `bash` blocks are run, except for the shell commands in `NOT_RUN`.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]

# The first words of commands for installation, accounts, clusters, builds and servers.
NOT_RUN = (
    "accelerate launch",
    "apt",
    "cd",
    "git clone",
    "hf auth",
    "hf download",
    "make",
    "pip install",
    "python -m pytest",
    "python -m venv",
    "python examples/space/app.py",
    "sbatch",
    "srun",
    ".",
)

_BLOCK = re.compile(
    r"^(?P<marker>[ \t]*<!--[ ]*snippet:(?P<text>[^\n]*?)-->[ \t]*\n(?:[ \t]*\n)?)?"
    r"^(?P<indent>[ \t]*)```(?P<language>python|bash)[^\n]*\n(?P<code>.*?)^[ \t]*```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_MARKER = re.compile(r"(?P<kind>skip|slow|tested)(?: \((?P<note>.+)\))?")
_NOTICE = re.compile(r"\b(not|neither|nor|cannot|never)\b[^.]*\brun\b", re.IGNORECASE)


@dataclass(frozen=True)
class Snippet:
    """A code block. `line` is the line of the page before its first line of code."""

    page: Path
    line: int
    language: str
    code: str
    kind: str | None = None
    note: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def options(self) -> list[str]:
        """Additional options that shorten a slow block."""
        return shlex.split(self.note.removeprefix("with ")) if self.kind == "slow" and self.note else []


def read_snippets(page: Path) -> list[Snippet]:
    """The `python` and `bash` blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    snippets = []
    for match in _BLOCK.finditer(text):
        kind = note = None
        line = text[: match.start("code")].count("\n")
        if match["marker"]:
            marker = _MARKER.fullmatch(match["text"].strip())
            if marker is None:
                raise ValueError(f"{page}:{line}: unknown marker <!-- snippet:{match['text']}-->.")
            kind, note = marker["kind"], marker["note"]
            if kind == "skip" and not note:
                raise ValueError(f"{page}:{line}: a skipped snippet needs a reason: <!-- snippet: skip (reason) -->.")
            if kind == "tested" and not (ROOT / (note or "missing")).is_file():
                raise ValueError(f"{page}:{line}: there is no test {note}.")
        snippets.append(Snippet(page, line, match["language"], textwrap.dedent(match["code"]), kind, note))
    stray = len(re.findall(r"^[ \t]*<!--\s*snippet", text, re.MULTILINE)) - sum(
        snippet.kind is not None for snippet in snippets
    )
    if stray:
        raise ValueError(f"{page}: {stray} snippet markers are not on the line before a python or bash block.")
    if any(snippet.kind == "skip" for snippet in snippets) and not _NOTICE.search(text):
        raise ValueError(f"{page}: the page has to tell its readers that a skipped snippet was not run.")
    return snippets


def run_snippets(snippets: list[Snippet], monkeypatch: pytest.MonkeyPatch, slow: bool = False) -> dict:
    """Runs the blocks of a page in order, in the current directory, and returns the namespace of the Python blocks."""
    namespace: dict = {"__name__": "__main__"}
    for snippet in snippets:
        if snippet.kind in ("skip", "tested") or (snippet.kind == "slow" and not slow):
            continue
        if snippet.language == "python":
            # Tracebacks name the line of the page.
            exec(compile("\n" * snippet.line + snippet.code, str(snippet.page), "exec"), namespace)
        else:
            run_shell(snippet, monkeypatch)
    return namespace


def run_shell(snippet: Snippet, monkeypatch: pytest.MonkeyPatch):
    commands = list(split_commands(snippet.code))
    if any(command is None for command in commands):
        # Loops, pipes, redirections, variables.
        if any(is_not_run(line.split()) for line in snippet.code.splitlines()):
            return
        process = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", snippet.code], capture_output=True, text=True, env=shell_environment()
        )
        assert process.returncode == 0, f"{snippet}\n{process.stdout[-1500:]}\n{process.stderr[-3000:]}"
        return
    for index, words in enumerate(commands):
        options = snippet.options if index == len(commands) - 1 else []
        with monkeypatch.context() as patch:
            while re.match(r"[A-Z_]+=", words[0]):
                patch.setenv(*words.pop(0).split("=", 1))
            if not is_not_run(words):
                run_command([*words, *options], patch, snippet)


def is_not_run(words: list[str]) -> bool:
    return any(words[: len(first.split())] == first.split() for first in NOT_RUN)


def split_commands(code: str) -> Iterator[list[str] | None]:
    """The words of each command of a shell script, or `None` for a command that needs a shell."""
    for line in re.sub(r"\\\n", " ", code).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation of several lines
            yield None
            continue
        if words:
            operators = any(set(word) <= set("();<>|&") for word in words)
            yield None if operators or "$" in line or "`" in line else words


def run_command(words: list[str], patch: pytest.MonkeyPatch, snippet: Snippet):
    """Runs Python scripts in this process, which saves the import of PyTorch, and other programs in a new one."""
    from diffusers_jasco.commands import generate

    name = Path(words[0]).name
    if name == "python" and words[1].endswith(".py"):
        patch.setattr(sys, "argv", words[1:])
        patch.syspath_prepend(str(Path(words[1]).parent))
        try:
            runpy.run_path(words[1], run_name="__main__")
        except SystemExit as error:
            assert not error.code, f"{snippet}: {shlex.join(words)} ended with {error.code}."
    elif name == "jasco-generate":
        generate.main(words[1:])
    else:
        subprocess.run(words, check=True, env=shell_environment())


def shell_environment() -> dict[str, str]:
    """An environment in which `python` and `jasco-generate` are those of this process."""
    folder = Path("bin").absolute()
    folder.mkdir(exist_ok=True)
    for name, module in (("python", ""), ("jasco-generate", "-m diffusers_jasco.commands.generate")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        script.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))),
    }
