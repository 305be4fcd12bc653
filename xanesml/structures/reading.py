"""Structure files as ase reads them: their images, what is not used of them, and shared sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from xanesml.errors import StructureError
from xanesml.files.arrays import Floats, Integers
from xanesml.structures.extent import check_extent
from xanesml.structures.feff_inp import is_feff_input, read_feff_input

#: A site is partly occupied if the species on it add up to less than this, or if there are several.
_FULL = 0.999

#: Sites that are named; the others are counted.
_NAMED = 4

#: Species on a site, by atomic number, each with its share.
Site = dict[int, float]


def images(path: Path) -> Iterator[Atoms]:
    """Yield the images of a structure file, one after the other.

    Raises
    ------
    StructureError
        If ase cannot read the file, or an image lacks atoms of known elements at finite positions.
    """
    found = False
    for atoms in _read(path):
        if len(atoms) == 0 or not np.isfinite(atoms.positions).all() or (atoms.numbers < 1).any():
            raise StructureError(f"{path} must hold atoms of known elements at finite positions")
        if (atoms.cell.lengths()[atoms.pbc] == 0).any():
            raise StructureError(f"{path} is periodic along an axis whose cell vector is zero; correct its cell")
        check_extent(atoms, str(path))
        found = True
        yield atoms
    if not found:
        raise StructureError(f"{path} holds no structure; give a file with at least one image")


def _read(path: Path) -> Iterator[Atoms]:
    if is_feff_input(path):
        yield read_feff_input(path).atoms
        return
    from ase.io import iread  # noqa: PLC0415 (slow to import, and not needed on every rank)

    try:
        # Read on one rank only: ase would broadcast to ranks that do not listen.
        yield from iread(path, index=":", parallel=False, do_not_split_by_at_sign=True)
    except Exception as error:
        # On a malformed file ase's readers raise errors of any kind.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise StructureError(
            f"cannot read the structure file {path} with ase: {reason}; give CIF, POSCAR or CONTCAR, extended XYZ, "
            "another format that ase reads (`ase info --formats`), or feff.inp"
        ) from error


def last_image(path: Path) -> tuple[Atoms, int]:
    """Return the last image of a structure file, and how many it holds."""
    atoms, count = Atoms(), 0
    for image in images(path):
        atoms, count = image, count + 1
    return atoms, count


def unused(atoms: Atoms) -> list[str]:
    """Name what ase read of an image and a FEFF input has no place for."""
    results = {} if atoms.calc is None else atoms.calc.results
    present = {
        "charges": atoms.get_initial_charges().any() or "charges" in results,
        "magnetic moments": atoms.get_initial_magnetic_moments().any() or "magmoms" in results,
        "constraints": bool(atoms.constraints),
        "momenta": atoms.has("momenta") and atoms.get_momenta().any(),
        "energies and forces": not {"energy", "free_energy", "forces", "stress"}.isdisjoint(results),
    }
    return [name for name, there in present.items() if there]


def shared_sites(atoms: Atoms) -> list[Site] | None:
    """Return the species on every site of a structure, or None where each holds one atom of one element.

    ase keeps the occupancies of a CIF file in ``info["occupancy"]``, by the number in ``spacegroup_kinds`` or
    else by that of the atom, and those of a PDB file in the array ``occupancy``.
    """
    own = atoms.numbers.tolist()
    if "occupancy" in atoms.arrays:
        sites = [{number: float(share)} for number, share in zip(own, atoms.arrays["occupancy"], strict=True)]
    elif isinstance(by_kind := atoms.info.get("occupancy"), dict):
        kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms)))
        sites = []
        for kind, number in zip(kinds.tolist(), own, strict=True):
            listed = by_kind.get(str(kind)) or by_kind.get(kind) or {}
            species = {atomic_numbers[symbol]: float(share) for symbol, share in listed.items()}
            sites.append(species or {number: 1.0})
    else:
        return None
    return None if all(_is_full(site) for site in sites) else sites


def _is_full(site: Site) -> bool:
    return max(site.values()) >= _FULL


def refuse_shared_sites(atoms: Atoms, sites: list[Site], source: str) -> None:
    """Raise StructureError, which names the sites that are shared or partly empty."""
    from ase.data import chemical_symbols  # noqa: PLC0415

    counts: Counter[str] = Counter()
    where: dict[str, int] = {}
    for index, site in enumerate(sites):
        if not _is_full(site):
            text = " ".join(
                f"{share:g} {chemical_symbols[number]}" for number, share in sorted(site.items(), reverse=True)
            )
            counts[text] += 1
            where.setdefault(text, index)
    named = "; ".join(
        f"{count} of {text} (the first is atom {where[text]})" for text, count in counts.most_common(_NAMED)
    )
    more = f"; and {len(counts) - _NAMED} more kinds" if len(counts) > _NAMED else ""
    raise StructureError(
        f"{source} has {sum(counts.values())} sites of {len(atoms)} that are shared or partly empty: {named}{more}; "
        'give a file in which every site holds one atom, or fill them at random by structure.occupancy = "random"'
    )


def fill(sites: list[Site], draws: Floats) -> Integers:
    """Return the atomic number that a draw puts on each site.

    Parameters
    ----------
    sites : list of n sites
        Species and their shares; a share of a site that is missing to 1 is empty.
    draws : ndarray of float64, shape (n,)
        Uniform on [0, 1).

    Returns
    -------
    ndarray of int64, shape (n,)
        Atomic numbers; 0 where the site is empty.
    """
    numbers = np.zeros(len(sites), dtype=np.int64)
    for index, (site, draw) in enumerate(zip(sites, draws.tolist(), strict=True)):
        reached = 0.0
        # Shares that add up to a little less than 1 leave nothing empty.
        scale = 1.0 / total if (total := sum(site.values())) >= _FULL else 1.0
        for number in sorted(site):
            reached += site[number] * scale
            if draw < reached:
                numbers[index] = number
                break
    return numbers
