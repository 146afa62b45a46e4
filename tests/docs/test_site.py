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

"""The documentation builds without warnings, and the links of pages outside of it are valid."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
# Pages that are not part of the site, where mkdocs checks links.
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "training/README.md",
    "examples/space/README.md",
    "pipelines/jasco-nano/README.md",
    "src/diffusers_jasco/evaluation/estimators/weights/captions/README.md",
    "src/diffusers_jasco/extraction/weights/drums/README.md",
    "src/diffusers_jasco/extraction/weights/melody/README.md",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    process = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-5000:]
    return folder


def test_the_site_builds_without_warnings(site):
    assert (site / "index.html").is_file()


def test_the_reference_has_links_and_no_markup_of_docstrings(site):
    page = (site / "reference/pipelines.html").read_text(encoding="utf-8")
    assert re.search(r'<a [^>]*href="models\.html#diffusers_jasco\.JascoTransformerModel"', page)
    for path in (site / "reference").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        for markup in ("[`", "&lt;autoref", "*optional*"):
            assert markup not in text, f"{path.name}: {markup}"


def test_the_site_loads_nothing_from_the_internet(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(
            r'<(?:script|img|audio|iframe)[^>]* src="https?:|<link[^>]* rel="stylesheet"[^>]*"https?:', text
        )


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page}: {link}"
