"""Let the first atom of each potential in feff.inp stand for it: representatives.py FOLDER first|back.

FEFF's rdinp sorts the atoms by distance, and later modules take the first atom of a potential in
geom.dat for all of them: the one nearest to the absorber. `first` moves the atoms that
come first in feff.inp to the head of geom.dat, between rdinp and the modules that compute potentials.
`back` restores the order of distances before the modules after them, which stop at the first
atom outside their sphere.

A program of its own, which imports nothing but Python's library.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: Where the order of distances is kept.
KEPT = "geom-by-distance.dat"

#: Largest distance between an atom of feff.inp and the same atom of geom.dat, Å; it has five decimals.
SAME_PLACE = 1e-3

_Place = tuple[float, float, float]


class NotFoundError(Exception):
    """A file of the run does not hold what is looked for."""


def put_first(folder: Path) -> None:
    """Move the atoms that stand for the potentials to the head of geom.dat; NotFoundError if one is not there."""
    path = folder / "geom.dat"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    head = next((number for number, line in enumerate(lines, 1) if line.lstrip().startswith("---")), len(lines))
    atoms = [(int(words[4]), _place(words[1:4])) for words in map(str.split, lines[head:]) if len(words) > 4]
    centers = [place for potential, place in atoms if potential == 0]
    if not centers:
        raise NotFoundError(f"{path} has no absorber")
    wanted = [
        _found(atoms, potential, _sum(place, centers[0])) for potential, place in _listed_first(folder / "feff.inp")
    ]
    order = [*wanted, *(row for row in range(len(atoms)) if row not in set(wanted))]
    # Written whole before the other is replaced.
    kept, partial = folder / KEPT, folder / f"{KEPT}.partial"
    partial.write_text("".join(lines[:head] + [lines[head + row] for row in order]), encoding="utf-8")
    path.replace(kept)
    partial.replace(path)


def put_back(folder: Path) -> None:
    """Restore the order of distances in geom.dat."""
    (folder / KEPT).replace(folder / "geom.dat")


def _listed_first(path: Path) -> list[tuple[int, _Place]]:
    """Return potential and place, from the absorber, of the first atom of each potential in feff.inp."""
    first: dict[int, _Place] = {}
    listing = False
    for words in map(str.split, path.read_text(encoding="utf-8").splitlines()):
        if words[:1] in (["ATOMS"], ["END"]):
            listing = words[0] == "ATOMS"
        elif listing and len(words) > 3:
            first.setdefault(int(words[3]), _place(words[:3]))
    if 0 not in first:
        raise NotFoundError(f"{path} has no absorber")
    center: _Place = tuple(-x for x in first[0])  # type: ignore[assignment]
    return [(potential, _sum(place, center)) for potential, place in sorted(first.items())]


def _found(atoms: list[tuple[int, _Place]], potential: int, place: _Place) -> int:
    distances = {
        row: sum((x - y) ** 2 for x, y in zip(here, place, strict=True))
        for row, (kind, here) in enumerate(atoms)
        if kind == potential
    }
    row = min(distances, key=distances.__getitem__, default=-1)
    if row < 0 or distances[row] > SAME_PLACE**2:
        raise NotFoundError(f"geom.dat lacks the atom at {place} of potential {potential}")
    return row


def _place(words: list[str]) -> _Place:
    x, y, z = map(float, words)
    return x, y, z


def _sum(one: _Place, other: _Place) -> _Place:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def main(folder: str, what: str) -> int:
    """Do one of the two, and return the exit status; a failure is one line on standard error."""
    try:
        {"first": put_first, "back": put_back}[what](Path(folder))
    except (NotFoundError, OSError, ValueError) as error:
        sys.stderr.write(f"representatives: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
