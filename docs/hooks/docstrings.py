"""
Diffusers' docstrings for mkdocstrings: ``[`~module.Name`]`` becomes a link, and types in `Args:` lose their markup.

Names are looked up where they are used, in the package, and by their last part. References to other libraries become code, and
so do those to objects that no page shows. Any other name is a warning, with which `mkdocs build --strict` fails.
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
_TYPE = re.compile(r"^( +)([`\[].*?):(?= |$)", re.MULTILINE)
logger = griffe.get_logger(__name__)
# Ruff, which formats signatures, is a program beside this interpreter.
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
        text = _ARGUMENTS.sub(
            lambda match: match[1] + re.sub(r" \([^()]*\)(,?)\s*", r"\1 ", match[2]).strip() + ":", text
        )
        text = _RESULTS.sub(_convert_results, text)
        text = _ARGUMENT.sub(lambda match: f"{match[1]} ({_as_type(match[2])}):", text)
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


def _convert_results(match: re.Match) -> str:
    """A section `Returns:` or `Raises:`, with types as code."""
    section = match[3]
    if match[2] == "Raises":
        # Lines that continue a description have to be indented further.
        section = re.sub(r"^( +)(?![ ]|[`\[].*: )", r"\1    ", section, flags=re.MULTILINE)
    section = _TYPE.sub(lambda line: f"{line[1]}{_as_type(line[2])}:", section)
    return f"{match[1]}{match[2]}:\n{section}"


def _as_type(annotation: str) -> str:
    """A type as code: ``[`~a.B`] of shape `(n,)`, *optional*`` → `B of shape (n,), optional`."""
    annotation = _REFERENCE.sub(lambda match: match[2].rpartition(".")[2], annotation)
    return annotation.replace("`", "").replace("*optional*", "optional")
