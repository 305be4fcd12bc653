"""Spectra in columns of text, SPEC files among them: by the names in a header, or energy and μ without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.signals import COLUMNS_TEXT, signals
from xanesml.measured.spectrum import Found, time_of

#: Prefixes of comment lines; SPEC's lines of multichannel data begin with @.
_COMMENT = ("#", "%", "!", "*", "@")
_FORTRAN_EXPONENT = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")


@dataclass
class _Block:
    """A table in a text: the lines above it, its rows and their lines, from 1, and one above that looks like a row."""

    header: list[str]
    rows: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    damaged: tuple[int, str] | None = None


@dataclass(frozen=True)
class Table:
    """A table of numbers.

    Attributes
    ----------
    header : list of str
        The lines above it, and of the comments in it.
    values : ndarray, shape (rows, columns), float64
        The numbers; may be NaN or infinite where the text says so.
    lines : ndarray, shape (rows,), int
        The line of each row, from 1.
    """

    header: list[str]
    values: Floats
    lines: Floats


def read_text(path: Path, text: str) -> list[Found]:
    """Read columns of numbers, separated by blanks, tabs, commas or semicolons.

    The lines above the first row of numbers are the header. If its last line names every
    column, one of them an energy, columns are known by name; the columns of a table without names are
    numbered from 1, and the first is the energy. Between semicolons and tabs, a comma is a decimal point.
    A comment with further names, or SPEC's #S, begins another spectrum.

    Parameters
    ----------
    path, text
        The file, for messages, and its content.

    Raises
    ------
    SpectrumError
        If it is not a table of numbers, with the line that is not.
    """
    found: list[Found] = []
    tables = list(read_tables(path, text))
    labels: list[str] = []
    for number, table in enumerate(tables, start=1):
        count = table.values.shape[1]
        labels = _labels(table.header, count) or (labels if len(labels) == count else [])
        scan = next((match[1] for line in table.header if (match := re.match(r"#S\s+(\d+)", line))), "")
        name = (scan or str(number)) if len(tables) > 1 else ""
        unnamed = scan and not labels and any(line.startswith("#L") for line in table.header)
        if unnamed:
            problem = f"none of its columns is an energy: {' '.join(_spec_names(table.header))}"
            found.append(Found(table.values[:, 0], {}, name=name, problem=problem))
            continue
        found.append(_found(path, table, labels, name))
    names = [one.name for one in found]
    return [
        _renamed(one, f"{one.name} ({names[: n + 1].count(one.name)})") if names[:n].count(one.name) else one
        for n, one in enumerate(found)
    ]


def read_tables(path: Path, text: str) -> Iterator[Table]:
    """Yield the tables of a text; see `read_text`."""
    blocks = list(_blocks(text))
    if not blocks:
        raise SpectrumError(
            f"{path} has no columns of numbers; give XDI, an Athena project, NeXus, FEFF's xmu.dat, or text with "
            "an energy (eV) and mu in each row"
        )
    for block in blocks:
        values = _numbers(path, block)
        if values.shape[1] == 1:
            raise SpectrumError(f"{path} has 1 column; give at least two, an energy (eV) and mu")
        yield Table(block.header, values, np.array(block.lines))


def _renamed(found: Found, name: str) -> Found:
    from dataclasses import replace  # noqa: PLC0415 (one use)

    return replace(found, name=name)


def _blocks(text: str) -> Iterator[_Block]:
    block, comments, continued = _Block([]), list[str](), False
    damaged: tuple[int, str] | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if continued or line.startswith("@"):
            continued = line.endswith("\\")
            continue
        if not line:
            continue
        comment = line.startswith(_COMMENT) and not (block.rows and re.match(r"\*+[\s,;]", line))
        if comment or not (block.rows or _numeric(line)):
            comments.append(line)
            damaged = (number, line) if not comment and _damaged(line) else damaged
            continue
        if comments and (not block.rows or _begins(comments)):
            if block.rows:
                yield block
            block = _Block(comments, damaged=damaged)
        comments = []
        block.rows.append(line)
        block.lines.append(number)
    if block.rows:
        yield block


def _begins(comments: list[str]) -> bool:
    """Whether comments between rows begin another spectrum."""
    return any(re.match(r"#S\s", line) for line in comments) or bool(_labels(comments, 0))


def _numbers(path: Path, block: _Block) -> Floats:
    fields = [_plain(row).split() for row in block.rows]
    count = len(fields[0])
    if block.damaged is not None and len(_plain(block.damaged[1]).split()) == count:
        raise _unreadable(path, *block.damaged)
    for number, row, line in zip(block.lines, fields, block.rows, strict=True):
        if "," in line and not re.search("[;\t]", line) and len(line.split()) > 1 and re.search(r"\d,\d", line):
            raise SpectrumError(
                f"{path}: line {number}, {line[:60]!r}, has a comma in a number; "
                "write decimal points, or put tabs or semicolons between the columns"
            )
        if len(row) != count:
            raise SpectrumError(
                f"{path}: the number of columns changed from {count} to {len(row)} at line {number}, {line[:60]!r}; "
                "remove lines that do not belong to the table"
            )
    try:
        # numpy, as Python, would take 1_000 for a number.
        if not any("_" in row for row in block.rows):
            return np.array(fields, dtype=np.float64)
    except ValueError:
        pass
    for number, line in zip(block.lines, block.rows, strict=True):
        if not _numeric(line):
            raise _unreadable(path, number, line)
    return np.array(fields, dtype=np.float64)


def _unreadable(path: Path, number: int, line: str) -> SpectrumError:
    word = next(word for word in _plain(line).split() if not _is_number(word))
    return SpectrumError(
        f"{path} is not a table of numbers: could not read {word!r} at line {number}, {line[:60]!r}; "
        "correct or remove that line"
    )


def _damaged(line: str) -> bool:
    """Whether a line above a table looks like a row of it: it begins with a number, and other words have digits."""
    words = _plain(line).split()
    others = [word for word in words if not _is_number(word)]
    return bool(words) and _is_number(words[0]) and all(re.search(r"\d|^\*+$", word) for word in others)


def _plain(row: str) -> str:
    row = row.replace(",", ".").replace(";", " ") if ";" in row or "\t" in row else row.replace(",", " ")
    return _FORTRAN_EXPONENT.sub("e", row) if "d" in row or "D" in row else row


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def _numeric(line: str) -> bool:
    words = _plain(line).split()
    return bool(words) and all(map(_is_number, words))


def _labels(header: list[str], count: int) -> list[str]:
    """Return the names in the last line of the header with one for each of `count` columns, 0 for any; lower case."""
    # SPEC names the columns in #L; other comments of it may have as many words.
    for line in [line for line in header if re.match(r"#L\s", line)] or reversed(header):
        content = re.sub(r"^[#%!*\s]*(column names:|L\s)?\s*", "", line).lower()
        for separator in (r"\s*[;\t]\s*", r"\s*,\s*", r"\s{2,}", r"\s+"):
            labels = re.split(separator, content)
            if (len(labels) == count or (not count and len(labels) > 1)) and any(_is_energy(label) for label in labels):
                return labels
    return []


def _spec_names(header: list[str]) -> list[str]:
    return next(re.split(r"\s{2,}", line[2:].strip()) for line in header if line.startswith("#L"))


def _is_energy(label: str) -> bool:
    return "energy" in label or re.fullmatch(r"(e|ev|kev|omega)(\W.*)?", label.replace("-", "_")) is not None


def _found(path: Path, table: Table, labels: list[str], name: str) -> Found:
    count = table.values.shape[1]
    names = _distinct([re.sub(r"[\W_]*[(\[].*?[)\]]", "", label) for label in labels])
    energy = next((place for place, one in enumerate(names) if _is_energy(one)), None)
    named = energy is not None
    if energy is None:
        names, energy = [str(place) for place in range(1, count + 1)], 0
    unit = re.search(r"\bk?ev\b", labels[energy]) if named else None
    columns = {one: table.values[:, place] for place, one in enumerate(names) if place != energy}
    other = names[1 - energy] if count == 2 else ""
    problem = ""
    if not other and not {"transmission", "fluorescence", "normalized"} & signals(columns if named else {}).keys():
        what = f"names its columns {', '.join(names)}" if named else f"has {count} columns without names"
        problem = f"it {what}; name absorption {COLUMNS_TEXT}, or choose, as {path.name}:{names[1 - bool(energy)]}"
    return Found(
        energy=table.values[:, energy],
        columns=columns,
        axis=names[energy] if named else "column 1",
        name=name,
        unit=unit[0] if unit is not None else "",
        mu=other if not named or not signals(columns) else "",
        labels={} if named else {one: f"column {one} of {count}" for one in names},
        numbers={str(place): one for place, one in enumerate(names, start=1)},
        lines=table.lines,
        time=next((time_of(line[2:]) for line in reversed(table.header) if line.startswith("#D")), ""),
        ambiguous=problem,
    )


def _distinct(names: list[str]) -> list[str]:
    return [f"{name}_{names[: n + 1].count(name)}" if names[:n].count(name) else name for n, name in enumerate(names)]
