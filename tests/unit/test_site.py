"""The site builds without a warning, holds the pages made from the code, and asks nothing of other servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import site_pages
from conftest import ROOT

pytestmark = pytest.mark.requires("mkdocs")

#: What a browser fetches by itself.
FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_can_be_searched(site: Path) -> None:
    sources = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    for source in sources | set(site_pages.pages()):
        page = source.removesuffix("index.md") if source.endswith("index.md") else f"{source.removesuffix('.md')}/"
        assert (site / page / "index.html").is_file(), source
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"] if "fms_radius" in entry["text"]}
    assert "reference/campaign/" in found


def test_no_page_fetches_from_another_server(site: Path) -> None:
    fetched = {url for page in site.rglob("*.html") for url in FETCHED.findall(page.read_text(encoding="utf-8"))}
    styles = {url for sheet in site.rglob("*.css") for url in re.findall(r"url\((https?:[^)]*)\)", sheet.read_text())}
    assert (fetched, styles) == (set(), set())


def test_files_that_pages_link_to_come_along(site: Path) -> None:
    linked = site / "files" / "examples" / "store-to-msd.ipynb"
    assert linked.read_bytes() == (ROOT / "examples" / "store-to-msd.ipynb").read_bytes()


def test_docstrings_become_pages(site: Path) -> None:
    page = (site / "reference" / "modules" / "index.html").read_text(encoding="utf-8")
    for names in site_pages.PUBLIC.values():
        for name in names:
            assert f'id="{name}"' in page
