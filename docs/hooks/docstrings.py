"""
Converts docstrings in Diffusers' style for mkdocstrings: ``[`~module.Name`]`` becomes a link, and types lose their
markup.

A name is resolved in the scope of its docstring, and then as the end of a path in the package. References to other
libraries, and to objects that no page documents, become code. A reference that cannot be resolved causes a warning, so
that `mkdocs build --strict` fails.
"""

import os
import re
import sys

import griffe


PACKAGE = "diffusers_jasco"
EXTERNAL = re.compile(
    r"(accelerate|diffusers|peft|torch|transformers|models\.modeling_outputs|pipelines\.AudioPipelineOutput"
    r"|loaders\.LoraBaseMixin|AttentionMixin|ConfigMixin|DiffusionPipeline|EMAModel|ModelMixin|SchedulerMixin)\b"
)
_REFERENCE = re.compile(r"\[`(~?)([\w.]+)(\(\))?`\](?!\()")
_ARGUMENT = re.compile(r"^(\s+\*{0,2}\w[\w, *]*) \((.*)\):(?=\s|$)", re.MULTILINE)
_ARGUMENTS = re.compile(r"^(\s+)(\w+ \([^()]*\)(?:,\s+\w+ \([^()]*\))+):", re.MULTILINE)
_RESULTS = re.compile(r"^( *)(Raises|Returns|Yields):\n((?:\1 +\S.*\n?)+)", re.MULTILINE)
logger = griffe.get_logger(__name__)
# mkdocstrings calls Ruff to format signatures; its executable is in the folder of this interpreter.
os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", "")))


class DiffusersDocstrings(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **kwargs):
        if pkg.path == PACKAGE:
            self.by_name: dict[str, set[str]] = {}
            objects = list(_walk(pkg))
            for obj in objects:
                self.by_name.setdefault(obj.name, set()).add(obj.path)
            for obj in objects:
                if obj.docstring:
                    obj.docstring.value = self.convert(obj.docstring.value, obj)

    def convert(self, text: str, obj: griffe.Object) -> str:
        text = re.sub(r"\\\n\s*", "", text)
        # Lists of arguments that continue on the next line.
        text = re.sub(r"^( +\w+(?:, \w+)*,)\n +(?=\w+(?:, \w+)*:)", r"\1 ", text, flags=re.MULTILINE)
        # Markdown requires an empty line before a list.
        text = re.sub(r"^( *)(?!- )(\S.*)\n(?=\1- )", r"\1\2\n\n", text, flags=re.MULTILINE)
        text = _ARGUMENTS.sub(
            lambda match: match[1] + re.sub(r" \([^()]*\)(,?)\s*", r"\1 ", match[2]).strip() + ":", text
        )
        text = _RESULTS.sub(_convert_results, text)
        text = _ARGUMENT.sub(_convert_argument, text)
        return _REFERENCE.sub(lambda match: self.link(match, obj), text)

    def link(self, match: re.Match, obj: griffe.Object) -> str:
        name = match[2]
        label = (name.rpartition(".")[2] if match[1] else name) + (match[3] or "")
        path = None if EXTERNAL.match(name) else self.find(name, obj)
        if path is None:
            return f"`{label}`"
        return f'<autoref identifier="{path}" optional><code>{label}</code></autoref>'

    def find(self, name: str, obj: griffe.Object) -> str | None:
        scope: griffe.Object | None = obj
        while scope is not None:
            found = _member(scope, name)
            if found is not None:
                return found.path
            scope = scope.parent
        paths = {path for path in self.by_name.get(name.rpartition(".")[2], ()) if path.endswith(f".{name}")}
        if not paths:
            logger.warning("%s: the reference to `%s` does not exist", obj.path, name)
        return paths.pop() if len(paths) == 1 else None


def _walk(obj: griffe.Object):
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _member(obj: griffe.Object, name: str) -> griffe.Object | None:
    for part in name.split("."):
        member = obj.all_members.get(part)
        if member is None:
            return None
        if member.is_alias:
            if not member.target_path.startswith(PACKAGE):
                return None
            member = member.final_target
        obj = member
    return obj


def _convert_argument(match: re.Match) -> str:
    """A line of `Args:` without the default, which the signature contains."""
    annotation = re.sub(r"((, )?(\*optional\*|defaults to .*))+$", "", match[2])
    return f"{match[1]} ({_as_type(annotation)}):" if annotation else f"{match[1]}:"


def _convert_results(match: re.Match) -> str:
    """A section `Returns:` or `Raises:`, with types as code."""
    section = match[3]
    if match[2] == "Raises":
        # Lines that continue a description have to be indented further.
        section = re.sub(r"^( +)(?![ ]|[`\[].*: )", r"\1    ", section, flags=re.MULTILINE)
    types = re.compile(rf"^({match[1]}    )([`\[].*?):(?= |$)", re.MULTILINE)
    section = types.sub(lambda line: f"{line[1]}{_as_type(line[2])}:", section)
    section = re.sub(r":\n +", ": ", section, count=1) if re.match(r".*:\n", section) else section
    return f"{match[1]}{match[2]}:\n{section}"


def _as_type(annotation: str) -> str:
    """A type as code: ``[`~a.B`] of shape `(n,)``` → `B of shape (n,)`."""
    annotation = _REFERENCE.sub(lambda match: match[2].rpartition(".")[2], annotation)
    return annotation.replace("`", "")
