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


"""Opens MusicXML files safely: compressed or not, without entities, and with limits on size and depth."""

import io
import os
import re
import zipfile
import zlib
from collections import defaultdict
from fractions import Fraction
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ....utils.errors import InputError, list_names, shorten


MUSICXML_SUFFIXES = (".musicxml", ".xml", ".mxl")

_MAX_BYTES = 64 * 2**20  # uncompressed
_MAX_NODES = 2_000_000  # elements and attributes
_MAX_DEPTH = 64
_MAX_FILES = 1000  # in an archive
_ARCHIVE = b"PK\x03\x04"
_MARKS_AND_SPACE = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"  # byte order marks, also of UTF-16
_CONTAINER = "META-INF/container.xml"
_NUMBER = re.compile(r"[+-]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})")
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
_DECLARATION = re.compile(r"\s*(<\?xml\b[^>]*>)?\s*")
_ROOT = re.compile(r"(<!DOCTYPE\s+)?<?score-(partwise|timewise)\b")


def is_musicxml(text: str) -> bool:
    """Whether a text is the beginning of an uncompressed MusicXML file."""
    text = text[:4096]
    start = _DECLARATION.match(text).end()  # type: ignore[union-attr]  # it matches the empty text
    while text.startswith("<!--", start):
        end = text.find("-->", start + 4)
        if end < 0:
            return False
        start = end + 3
        while text[start : start + 1].isspace():
            start += 1
    return _ROOT.match(text, start) is not None


def load_score(path: str | os.PathLike) -> Element:
    r"""
    Reads a MusicXML file.

    Args:
        path (`str` or `os.PathLike`): a `.musicxml`, `.xml` or `.mxl` file. Compressed files are recognized by their content.

    Returns:
        `Element`: the root `score-partwise`; scores in time order (`score-timewise`) are converted.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not a MusicXML score, is damaged, declares entities, or exceeds the limits.
    """
    name = os.fspath(path)
    if not isinstance(name, str) or "\0" in name or not os.path.exists(name):
        raise FileNotFoundError(f"`source`: the file {name} does not exist.")
    if os.path.isdir(name):
        raise InputError(f"`source`: {name} is a folder, not a file.", "source")
    try:
        with open(name, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"`source`: {name} can't be read: {error}.", "source") from None
    return parse_score(data, name)


def parse_score(data: bytes | str, name: str) -> Element:
    r"""
    Parses the content of a MusicXML file, compressed or not.

    Args:
        data (`bytes` or `str`): the content.
        name (`str`): name of the source for error messages.

    Returns:
        `Element`: the root `score-partwise`.

    Raises:
        [`InputError`]: see [`load_score`].
    """
    if isinstance(data, str):
        # The encoding of the declaration is that of the file that the text was read from.
        data = re.sub(r"^\s*<\?xml\b[^>]*\?>", "", data.lstrip("\ufeff")).encode("utf-8", "surrogatepass")
    _check_size(len(data), name)
    if data.startswith(_ARCHIVE):
        data = _open_archive(data, name)
    elif not data.lstrip(_MARKS_AND_SPACE).startswith(b"<"):
        raise InputError(f"`source`: {name} is neither a zip archive (.mxl) nor XML.", "source")
    root = _parse(data, name)
    if root.tag == "score-timewise":
        return _to_partwise(root, name)
    if root.tag != "score-partwise":
        hint = {
            "opus": "it is a list of other files; read one of them",
            "museScore": "it is a MuseScore file; export it as MusicXML",
            "mei": "it is an MEI file; convert it to MusicXML",
            "html": "it is a web page",
        }.get(root.tag, "a MusicXML score begins with <score-partwise>")
        raise InputError(
            f"`source`: {name} is not a MusicXML score: its first element is <{root.tag[:40]}>; {hint}.", "source"
        )
    return root


def _check_size(size: int, name: str):
    if size > _MAX_BYTES:
        raise InputError(
            f"`source`: {name} is larger than {_MAX_BYTES // 2**20} MiB, the limit for MusicXML files.", "source"
        )


# Archives


def _open_archive(data: bytes, name: str) -> bytes:
    """The score in an `.mxl` archive: the root file of its container, or the first XML file. Nothing is extracted."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_FILES:
                raise InputError(
                    f"`source`: {name} contains {len(entries)} files; at most {_MAX_FILES} are read.", "source"
                )
            by_name = {_plain_path(entry.filename): entry for entry in entries if not entry.is_dir()}
            scores = [
                path
                for path in by_name
                if path.endswith((".xml", ".musicxml")) and not path.startswith(("meta-inf/", "__macosx/"))
            ]
            container = by_name.get(_CONTAINER.lower())
            if container is not None:
                try:
                    root = _plain_path(_root_file(_parse(_read_entry(archive, container, name), name)))
                except InputError:
                    root = ""  # the archive may still contain a score
                if root in by_name:
                    scores.insert(0, root)
            if not scores:
                names = list_names(sorted(by_name)) or "nothing"
                raise InputError(
                    f"`source`: {name} has no MusicXML file; the archive contains {shorten(names)}.", "source"
                )
            return _read_entry(archive, by_name[scores[0]], name)
    except InputError:
        raise
    except _ZIP_ERRORS as error:
        raise InputError(f"`source`: {name} is a damaged archive: {shorten(str(error))}.", "source") from None


def _plain_path(path: str) -> str:
    return re.sub(r"^(\./|/)+", "", path.replace("\\", "/")).lower()


def _root_file(container: Element) -> str:
    return next((item.get("full-path", "") for item in container.iter() if item.tag.endswith("rootfile")), "")


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    if entry.flag_bits & 1:
        raise InputError(f"`source`: {name} is encrypted; save it without a password.", "source")
    # Other methods may allocate large dictionaries.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"`source`: {name} is compressed with another method than .mxl files, which use Deflate.", "source"
        )
    with archive.open(entry) as file:
        data = file.read(_MAX_BYTES + 1)
    _check_size(len(data), name)
    return data


# XML


def _parse(data: bytes, name: str, encoding: str | None = None) -> Element:
    """Parses XML. Entity declarations are refused; external files are never opened."""
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    builder = TreeBuilder()
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]):
        nonlocal depth, count
        depth += 1
        count += 1 + len(attributes)
        if depth > _MAX_DEPTH or count > _MAX_NODES:
            limit = f"{_MAX_DEPTH} levels" if depth > _MAX_DEPTH else f"{_MAX_NODES:,} elements"
            raise _error(parser, name, f"the score has more than {limit}, the limit for MusicXML files")
        builder.start(tag, attributes)

    def end(tag: str):
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse_entity(*_):
        raise _error(parser, name, "the file declares XML entities, which are not read for safety; remove them")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse_entity
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        if encoding is None and error.code == expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING]:
            return _parse(data, name, "utf-8")  # texts that were converted without changing their declaration
        place = f"line {error.lineno}, column {error.offset + 1}"
        text = expat.ErrorString(error.code)
        raise InputError(f"`source`: {name} is not valid XML: {text} in {place}.", "source") from None
    except (LookupError, UnicodeError, AssertionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"`source`: {name} can't be decoded: {shorten(str(error))}.", "source") from None


def _error(parser: expat.XMLParserType, name: str, text: str) -> InputError:
    place = f"line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1}"
    return InputError(f"`source`: {name}, {place}: {text}.", "source")


def _to_partwise(root: Element, name: str) -> Element:
    """Converts a score in time order (measures that contain parts) to one with parts that contain measures."""
    score = Element("score-partwise", root.attrib)
    score.extend(item for item in root if item.tag != "measure")
    parts: dict[str, list[Element]] = defaultdict(list)
    count = 0
    for number, measure in enumerate(item for item in root if item.tag == "measure"):
        for item in measure.iterfind("part"):
            bars = parts[item.get("id", "")]
            count += 1 + number - len(bars)
            if count > _MAX_NODES:
                raise InputError(f"`source`: {name} has more than {_MAX_NODES:,} bars in its parts.", "source")
            while len(bars) < number:
                bars.append(Element("measure"))  # the part is absent there
            bars.append(Element("measure", measure.attrib))
            bars[-1].extend(item)
    for identifier, bars in parts.items():
        part = Element("part", {"id": identifier})
        part.extend(bars)
        score.append(part)
    return score


# Values


def text_of(element: Element | None, path: str = "", default: str = "") -> str:
    """The text of an element, or of its first child at `path`, without surrounding space."""
    found = element.find(path) if element is not None and path else element
    return (found.text or "").strip() if found is not None else default


def number_of(text: str | None) -> float | None:
    """A decimal number, or `None` if the text is not one (or has more than nine digits)."""
    match = _NUMBER.fullmatch((text or "").strip())
    return float(match[0]) if match else None


def fraction_of(text: str | None) -> Fraction | None:
    """The exact value of a decimal number; see [`number_of`]."""
    match = _NUMBER.fullmatch((text or "").strip())
    return Fraction(match[0]) if match else None
