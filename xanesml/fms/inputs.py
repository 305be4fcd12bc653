"""The input of FEFF's FMS stage: the cluster about the absorber, and the options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Complexes, Floats, Indices
from xanesml.fms.phases import Phases

#: The bohr radius as FEFF has it, Å.
BOHR = 0.529177249


@dataclass(frozen=True)
class FmsInput:
    """The cluster of one run.

    Attributes
    ----------
    positions : (A, 3) float64
        Atoms of the FMS cluster relative to the absorber, bohr, in geom.dat's order; no NaN.
    potentials : (A,) intp
        Potential of each atom; the absorber alone has 0.
    lmax : (A,) intp
        Largest angular momentum of each atom.
    cutoff : float
        Largest distance of free propagation between two atoms, bohr.
    sigma2 : float
        Mean squared displacement of the SIG2 card that damps every free propagation, Å².
    """

    positions: Floats
    potentials: Indices
    lmax: Indices
    cutoff: float
    sigma2: float

    @property
    def absorber(self) -> int:
        """Index of the absorber."""
        return int(np.flatnonzero(self.potentials == 0)[0])


def read_input(folder: Path) -> FmsInput:
    """Read a run's fms.inp, geom.dat, global.inp and the files that can select another method.

    Raises
    ------
    NotApplicable
        If the run needs a method that is not implemented here, or a file is missing or unreadable.

    References
    ----------
    FEFF10 user's guide, cards FMS, SIG2, DEBYE, SPIN, HUBBARD, RECIPROCAL and NRIXS.
    """
    try:
        _refuse_other_methods(folder)
        limits = [int(word) for word in (folder / ".dimensions.dat").read_text().split()]
        return _cluster(folder, max_atoms=limits[0], lmax_limit=limits[1])
    except OSError as error:
        raise NotApplicable(f"cannot read {Path(str(error.filename)).name}: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise NotApplicable(f"cannot parse the run's input: {error}") from error


def orbital_scattering(cluster: FmsInput, phases: Phases, order: Indices | None = None) -> Complexes:
    """Return the scattering amplitude of every orbital, the atoms in this order or, by default, in the cluster's.

    Returns
    -------
    (E, orbitals) complex128
        t_l, atom by atom, each with its (lmax + 1)² orbitals l² + l + m; no NaN.
    """
    atoms = range(len(cluster.potentials)) if order is None else order.tolist()
    kinds = [(int(cluster.potentials[atom]), int(cluster.lmax[atom])) for atom in atoms]
    repeated = {
        (potential, lmax): np.repeat(phases.scattering(potential, lmax), 2 * np.arange(lmax + 1) + 1, axis=1)
        for potential, lmax in set(kinds)
    }
    return np.concatenate([repeated[kind] for kind in kinds], axis=1)


def _records(folder: Path, name: str) -> list[list[str]]:
    # Captions and values alternate in FEFF's own input files.
    return [line.split() for line in (folder / name).read_text(encoding="latin-1").splitlines()]


def _refuse_other_methods(folder: Path) -> None:
    do_it, debye_waller, inversion = (int(word) for word in _records(folder, "fms.inp")[1])
    spin, nrixs = (int(_records(folder, "global.inp")[3][i]) for i in (1, 6))
    spins = int((folder / ".dimensions.dat").read_text().split()[3])
    wanted = {
        "mfms (whether the stage is to run)": (do_it, 1),
        "ispin": (spin, 0),
        "the number of spins": (spins, 1),
        "do_nrixs": (nrixs, 0),
        "minv (the method of inversion)": (inversion, 0),
        "ispace (0 is reciprocal space)": (_switch(folder, "reciprocal.inp"), 1),
        "i_hubbard": (_switch(folder, "hubbard.inp"), 1),
    }
    for what, (got, expected) in wanted.items():
        if got != expected:
            raise NotApplicable(f"{what} is {got}; only {expected} is solved here")
    if debye_waller >= 0:
        raise NotApplicable(f"Debye-Waller factors of model {debye_waller} between all pairs are not implemented")


def _switch(folder: Path, name: str) -> int:
    # Only FEFF10 writes the file; a FEFF without it does as with the value 1.
    return int(_records(folder, name)[1][0]) if (folder / name).exists() else 1


def _cluster(folder: Path, *, max_atoms: int, lmax_limit: int) -> FmsInput:
    records = _records(folder, "fms.inp")
    radius, cutoff = (float(word) for word in records[3][:2])
    sigma2 = float(records[5][2])
    geometry = _records(folder, "geom.dat")
    rules = [line for line, words in enumerate(geometry) if words and words[0].startswith("---")]
    atoms = np.array([[float(word) for word in words[1:5]] for words in geometry[rules[0] + 1 :] if words])
    potentials = atoms[:, 3].astype(np.intp)
    if np.count_nonzero(potentials == 0) != 1:
        raise NotApplicable("geom.dat does not have exactly one atom with potential 0")
    count = int(potentials.max()) + 1
    # Twenty per line.
    words = [word for line in records[7 : 7 + -(-count // 20)] for word in line][:count]
    lmax = np.array([int(word) for word in words], dtype=np.intp)
    lmax = np.where((lmax < 0) | (lmax > lmax_limit), lmax_limit, lmax)
    if records[7 + -(-count // 20) + 3][0].strip(".").upper().startswith("T"):
        raise NotApplicable("save_gg_slice asks for the whole Green's function")

    # FEFF's single precision and order decide whether an atom on the sphere's surface is inside.
    single = (atoms[:, :3] / BOHR).astype(np.float32)
    single -= single[potentials == 0]
    limit = np.float32(radius / BOHR)
    outside = np.flatnonzero((single**2).sum(axis=1) > limit * limit)
    inside = min(outside[0] if outside.size else len(atoms), max_atoms)
    # A comparison with NaN would leave atoms or propagation out without a word.
    if not np.isfinite([radius, cutoff, sigma2, *atoms.ravel()]).all():
        raise NotApplicable("the run's input holds numbers that are not finite")
    if inside < 2 or 0 not in potentials[:inside]:
        raise NotApplicable(f"the FMS sphere of {radius} Å holds no neighbor of the absorber")
    return FmsInput(
        positions=single[:inside].astype(np.float64),
        potentials=potentials[:inside],
        lmax=lmax[potentials[:inside]],
        cutoff=cutoff / BOHR,
        sigma2=sigma2,
    )
