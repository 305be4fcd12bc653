"""Groups of a project of Athena or Larix as the file has them: arguments, energies and absorption."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xanesml.files.arrays import Floats

#: A value of a list in Perl: a text in quotes, an opening and a closing bracket, what stands between values, a word.
_VALUE = re.compile(
    r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([(\[{])|([)\]}])|(,|=>)|([^\s,'"()\[\]{}]+))""", re.DOTALL
)
#: A character by its number, and any other that is escaped.
_ESCAPED = re.compile(r"\\x\{([0-9a-fA-F]+)\}|\\(.)", re.DOTALL)
_ASSIGNED = re.compile(r"[$@%](\w+)\s*=\s*(.*)")


@dataclass(frozen=True)
class Group:
    """A group of a project.

    Attributes
    ----------
    key : str
        What other groups call it.
    arguments : mapping of str to str
        Its parameters by their names in Athena, such as `bkg_eshift`.
    energy, mu : ndarray, shape (E,), float64
        Its two columns, whatever they are.
    """

    key: str
    arguments: Mapping[str, str]
    energy: Floats
    mu: Floats

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.arguments.get("label") or self.key

    def text(self, name: str) -> str:
        """Return an argument that is a word; empty if it is missing or a number."""
        value = self.arguments.get(name, "")
        return value if self.number(name) is None else ""

    def number(self, name: str) -> float | None:
        """Return an argument that is a number; None if it is missing or a word."""
        try:
            return float(self.arguments.get(name, ""))
        except ValueError:
            return None


def read_groups(text: str) -> list[Group]:
    """Read the groups of a project in the format of Perl, or of JSON.

    Raises
    ------
    ValueError, LookupError, TypeError, AttributeError
        If the text is no whole project.

    References
    ----------
    B. Ravel and M. Newville, J. Synchrotron Rad. 12, 537 (2005).
    """
    groups = list(_from_json(text) if "____header" in text[:500] else _from_perl(text))
    if not groups:
        raise ValueError("it holds no groups")
    return groups


def _from_json(text: str) -> Iterator[Group]:
    content = json.loads(text)
    for key in content["_____order"]:
        record = content[key]
        arguments = {name: "" if value is None else str(value) for name, value in record.get("args", {}).items()}
        yield Group(key, arguments, _column(record["x"]), _column(record["y"]))


def _from_perl(text: str) -> Iterator[Group]:
    for record in re.split(r"^(?=\$old_group)", text, flags=re.MULTILINE)[1:]:
        body, end, _ = record.partition("[record]")
        if not end:
            raise ValueError(f"the group {record.partition(';')[0]!r} ends early")
        held = {match[1]: match[2] for match in map(_ASSIGNED.match, body.splitlines()) if match}
        words = _values(held.get("args", "()"))
        arguments = dict(zip(words[::2], words[1::2], strict=True))
        yield Group("".join(_values(held["old_group"])), arguments, _numbers(held["x"]), _numbers(held["y"]))


def _values(text: str) -> list[str]:
    """Return the values of a list in Perl as texts; a list within it, and `undef`, is an empty one."""
    text = text.rstrip().removesuffix(";").rstrip()
    values: list[str] = []
    depth = place = 0
    while place < len(text):
        match = _VALUE.match(text, place)
        if match is None:
            raise ValueError(f"{text[place : place + 20]!r} is no value of a list")
        place = match.end()
        single, double, opened, closed, between, word = match.groups()
        depth += bool(opened) - bool(closed)
        if (opened and depth == 2) or word == "undef":
            values.append("")
        elif depth <= 1 and not (opened or closed or between):
            quoted = single if single is not None else double
            values.append(word if quoted is None else _ESCAPED.sub(_character, quoted))
    if depth:
        raise ValueError("a list ends early")
    return values


def _character(match: re.Match[str]) -> str:
    number, other = match.groups()
    return chr(int(number, 16)) if number else other


def _numbers(text: str) -> Floats:
    """Return a list of numbers in Perl."""
    inner = re.fullmatch(r"\(([^()]*)\)\s*;?\s*", text)
    if inner is None:
        raise ValueError(f"{text[:20]!r} is no list of numbers")
    return _column([word.strip(" '\"") for word in inner[1].split(",")])


def _column(values: Any) -> Floats:
    column = np.array(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError("a column is no list of numbers")
    return column
