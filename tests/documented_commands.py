"""The commands that the documentation shows: its blocks of shell, and the calls of xanesml in them.

A fenced block of `bash` is meant to be run. A comment ``<!-- needs: … -->`` above one says what a test
lacks for that, such as a cluster; what it calls is parsed all the same. Indented blocks show how
commands are called, with names in capitals for what a reader puts in, and are parsed only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data_schema" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

#: What a block may need that the tests do not have.
NEEDS = ("cluster", "package index", "minutes of two cores", "a session that goes on")

#: Numbers in the place of names that stand for one.
NUMBERS = {"ROW": "0", "N": "2", "K": "2", "MINUTES": "60"}

#: Programs that start xanesml, itself among them.
STARTERS = ("xanesml", "mpirun", "srun", "apptainer")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"<!-- needs: (.+?) -->\s*$")
_INDENTED = re.compile(r"(?:^(?: {4,}\S.*)\n?)+", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of shell on a page.

    Attributes
    ----------
    page : str
        The page, relative to the root of the repository.
    line : int
        Its first line, from 1.
    text : str
        What is in it.
    fenced : bool
        Whether it is fenced as `bash`, and so meant to be run as it stands.
    needs : str
        What it needs that a test does not have; empty if a test runs it.
    """

    page: str
    line: int
    text: str
    fenced: bool
    needs: str = ""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order; fenced ones of other languages are left out."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    found = []
    for match in _FENCE.finditer(text):
        if match["language"] == "bash":
            needs = _NEEDS.search(text[: match.start()])
            where = text[: match.start()].count("\n") + 2
            found.append(Block(name, where, match["text"], fenced=True, needs=needs[1] if needs else ""))
    # Fenced text keeps its lines but not its words, so that the numbers of lines stay.
    rest = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    found += [Block(name, rest[: m.start()].count("\n") + 1, m[0], fenced=False) for m in _INDENTED.finditer(rest)]
    return sorted(found, key=lambda block: block.line)


def calls(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of xanesml in a block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = _words(line)
        while words:
            end = next((at for at, word in enumerate(words) if set(word) <= set("&|;<>()")), len(words))
            command, words = words[:end], words[end + 1 :]
            while command and re.match(r"\w+=", command[0]):
                command = command[1:]
            at = next((at for at, word in enumerate(command) if word.rpartition("/")[2] == "xanesml"), None)
            if at is not None and command[0].rpartition("/")[2] in STARTERS and at + 1 < len(command):
                yield [NUMBERS.get(word, word) for word in command[at + 1 :]]


def _words(line: str) -> list[str]:
    """Split a line as a shell does, without comments and the brackets of a synopsis."""
    line = re.sub(r"\[(--?[\w-][^\]]*)\]", r"\1", line)
    line = re.sub(r"(\w+)(?:\|\w+)+", r"\1", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # prose with an apostrophe
        return []
