"""Hooks of MkDocs: pages made from the code, links that leave docs/, and the version in the footer."""

from __future__ import annotations

import os
import posixpath
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "tools"):
    sys.path.insert(0, str(folder))

from site_pages import BORROWED, pages  # noqa: E402 (its folder is on the path only now)

LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")

#: Folder of the site with the files of the repository that pages link to.
FILES = "files/"

#: The page that a file or folder of the repository becomes.
PAGE_OF = {source: page for page, source in BORROWED.items()}
PAGE_OF |= {"data_schema": "reference/formats.md", "benchmarks": "benchmarks/programs.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the version that the pages describe."""
    config.copyright = f"xanesml {version('xanesml')}, BSD-3-Clause"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages made from the code, and every file of the repository that a page links to."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for page in list(files.documentation_pages()):
        for _, target, _ in LINK.findall(page.content_string):
            found = _on_site(page.src_uri, target)
            if found and found.startswith(FILES) and files.get_file_from_path(found) is None:
                source = ROOT / found.removeprefix(FILES)
                files.append(File.generated(config, found, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to files outside docs/ lead to their copies on the site, or to the page made of them."""
    here = page.file.src_uri

    def new(match: re.Match[str]) -> str:
        found = _on_site(here, match[2])
        return match[0] if found is None else f"{match[1]}{posixpath.relpath(found, posixpath.dirname(here))}{match[3]}"

    return LINK.sub(new, markdown)


def _on_site(page: str, target: str) -> str | None:
    """Return where on the site the target of a page's link is, if the link is not one within docs/."""
    home = ROOT / BORROWED.get(page, f"docs/{page}")
    path = Path(os.path.normpath(home.parent / target))
    if not path.is_relative_to(ROOT) or not path.exists():
        return None
    source = path.relative_to(ROOT).as_posix()
    if source.startswith("docs/"):
        return source.removeprefix("docs/") if page in BORROWED else None
    return PAGE_OF.get(source) or FILES + source
