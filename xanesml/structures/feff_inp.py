"""feff.inp as a structure file: its atoms, its potentials, its absorber, and its other cards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from xanesml.errors import StructureError
from xanesml.files.arrays import Integers

#: What begins a comment, anywhere in a line.
_COMMENT = re.compile(r"[*#!%;].*")
#: Cards whose structure this reader cannot know.
_OTHER_STRUCTURES = ("CIF", "LATTICE", "RECIPROCAL")


@dataclass(frozen=True)
class FeffInput:
    """What a feff.inp says.

    Attributes
    ----------
    atoms : Atoms
        The cluster, not periodic, Å, in the file's order.
    absorber : int
        Index of the absorbing atom, that of potential 0.
    lmax : int
        Largest angular momentum of the absorber's potential in the scattering matrices; −1 leaves it to FEFF.
    shared : bool
        Whether the file has several potentials of one element besides the absorber's.
    potential : ndarray of int64, shape (A,)
        Potential of each atom, 0 for the absorber.
    counts : tuple of float
        Numbers of atoms that the POTENTIALS card gives to the potentials, by their numbers; 0 leaves them to FEFF.
    cards : dict of str to list of str
        The words behind each other card, by its name in capitals; of one that occurs twice, the last.
    """

    atoms: Atoms
    absorber: int
    lmax: int
    shared: bool
    potential: Integers
    counts: tuple[float, ...]
    cards: dict[str, list[str]]


def is_feff_input(path: Path) -> bool:
    """Return whether a file is a feff.inp: its name ends with .inp, and it has a line POTENTIALS and one ATOMS."""
    if path.suffix.lower() != ".inp":
        return False
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return all(re.search(rf"^\s*{card}\w*\s*(?:[*#!%;].*)?$", text, re.M | re.I) for card in ("POTE", "ATOM"))


def read_feff_input(path: Path) -> FeffInput:
    """Read a feff.inp.

    Cards may be written with their first four letters, and RMULTIPLIER scales the coordinates, as in FEFF.
    What stands behind END is not read.

    Raises
    ------
    StructureError
        Naming the line, if the file is not complete or not consistent.

    References
    ----------
    FEFF10 user's guide, section 3 (feff.inp).
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StructureError(f"cannot read {path}: {error.strerror}; give an existing file") from error
    return parse_feff_input(text, path)


def parse_feff_input(text: str, path: Path) -> FeffInput:
    """Parse the text of a feff.inp; the path is for messages. See `read_feff_input`."""
    cards: dict[str, list[str]] = {}
    elements: dict[int, tuple[int, int, float]] = {}
    rows: list[tuple[float, float, float, int, int]] = []
    inside = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        words = _COMMENT.sub("", raw).split()
        if raw.strip().upper().startswith("TITLE"):
            words = raw.split()
        if not words:
            continue
        name = _card(words[0])
        if name == "END":
            break
        if name:
            inside = name if name in ("POTENTIALS", "ATOMS") else ""
            if not inside:
                cards[name] = words[1:]
        elif inside == "POTENTIALS":
            potential, element, lmax, count = _potential(path, number, raw, words)
            elements[potential] = element, lmax, count
        elif inside == "ATOMS":
            rows.append((*_atom(path, number, raw, words), number))
    return _checked(path, cards, elements, rows)


def _card(word: str) -> str:
    """Return the full name of a card, empty if the word is none: a number, as the rows of tables begin with."""
    word = word.upper()
    if not re.match(r"[A-Z][A-Z0-9]*$", word) or word in ("NAN", "INF", "INFINITY"):
        return ""
    return next((full for full in _SHORTENED if word[:4] == full[:4]), word)


#: Cards that are often shortened, and those that are read here, in full.
_SHORTENED = (
    "POTENTIALS",
    "ATOMS",
    "EXCHANGE",
    "RMULTIPLIER",
    "CORVAL",
    "ABSOLUTE",
    "RECIPROCAL",
    "LATTICE",
    "CONTROL",
)


def _potential(path: Path, number: int, line: str, words: list[str]) -> tuple[int, int, int, float]:
    try:
        potential, element = int(words[0]), int(words[1])
        lmax = int(words[3]) if len(words) > 3 else -1
        count = float(words[5]) if len(words) > 5 else 0.0
    except (ValueError, IndexError) as error:
        raise _unreadable(
            path, number, line, "a potential: its number, an atomic number, a tag, lmax1, lmax2"
        ) from error
    if not 0 < element < len(chemical_symbols):
        raise StructureError(f"{path}, line {number}: there is no element of atomic number {element}")
    return potential, element, lmax, count


def _atom(path: Path, number: int, line: str, words: list[str]) -> tuple[float, float, float, int]:
    try:
        x, y, z, potential = float(words[0]), float(words[1]), float(words[2]), int(words[3])
    except (ValueError, IndexError) as error:
        raise _unreadable(path, number, line, "an atom: x, y, z (Å) and the number of its potential") from error
    if not np.isfinite([x, y, z]).all():
        raise _unreadable(path, number, line, "an atom at a finite position")
    return x, y, z, potential


def _unreadable(path: Path, number: int, line: str, what: str) -> StructureError:
    return StructureError(f"{path}, line {number}: {line.strip()[:60]!r} is not {what}; correct it")


def _checked(
    path: Path,
    cards: dict[str, list[str]],
    elements: dict[int, tuple[int, int, float]],
    rows: list[tuple[float, float, float, int, int]],
) -> FeffInput:
    other = next((card for card in _OTHER_STRUCTURES if card in cards), None)
    if not rows or not elements:
        instead = f"; its structure is in its card {other}: give that file to xanesml" if other else "; give both"
        raise StructureError(f"{path} has {len(elements)} POTENTIALS and {len(rows)} ATOMS{instead}")
    for *_, potential, number in rows:
        if potential not in elements:
            raise StructureError(
                f"{path}, line {number}: the potential {potential} is not among the POTENTIALS "
                f"{', '.join(map(str, sorted(elements)))}; add it"
            )
    absorbers = [place for place, row in enumerate(rows) if row[3] == 0]
    if len(absorbers) != 1:
        raise StructureError(f"{path} has {len(absorbers)} atoms of potential 0; the absorber is one")
    try:
        factor = float(cards.pop("RMULTIPLIER", ["1"])[0])
    except (ValueError, IndexError) as error:
        raise StructureError(f"{path}: RMULTIPLIER has no number; give a factor") from error
    atoms = Atoms(
        numbers=[elements[row[3]][0] for row in rows],
        positions=factor * np.array([row[:3] for row in rows], dtype=np.float64),
    )
    others = [element for potential, (element, *_) in elements.items() if potential]
    return FeffInput(
        atoms=atoms,
        absorber=absorbers[0],
        lmax=elements[0][1],
        shared=len(set(others)) < len(others),
        potential=np.array([row[3] for row in rows], dtype=np.int64),
        counts=tuple(elements[potential][2] for potential in sorted(elements)),
        cards=cards,
    )
