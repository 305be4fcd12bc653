"""FEFF's scattering paths from the absorber to its first shell and back, for EXAFS: feffNNNN.dat."""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xanesml.campaign import EngineSection, FeffSection
from xanesml.errors import EngineError, SpectrumError
from xanesml.extra_cards import stages_needed
from xanesml.feff.cards import atom_rows, potential_cards, potential_list, scf_radius
from xanesml.feff.engine import make_engine
from xanesml.feff.ladder import LadderRun
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import EXCHANGE_MODELS, Request
from xanesml.feff.xmu import HeaderCards
from xanesml.structures import Cluster
from xanesml.structures.potentials import by_element

#: EXCHANGE of a path: Hedin and Lundqvist's self-energy without shifts, as is usual for EXAFS.
_EXCHANGE = (0, 0.0, 0.0)
#: Largest k of a path, Å⁻¹, FEFF's own largest, its step in xmu.dat, and room for these points.
_K_MAX, _K_STEP, _MOST_POINTS = 20.0, 0.05, 1000
#: Cards, by their first four letters, that say what is to be calculated and written.
_OWNED = {"EXAF", "RPAT", "NLEG", "CRIT", "PRIN", "CONT"}
#: Paths beyond the first shell are calculated this far, Å: nearer atoms would contribute to a fit of it.
_BEYOND = 0.7
#: Largest difference of the number of atoms in the paths from that in the shell; feffNNNN.dat has three decimals.
_SAME_COUNT = 0.01
_POLL_INTERVAL = 0.02

# The third line after the header: number of legs, degeneracy, half the length of the path.
_GEOMETRY = re.compile(r"^ *2 +(\d+\.\d+) +(\d+\.\d+) .*nleg, *deg, *reff", re.MULTILINE)
_SCATTERER = re.compile(r"absorbing atom *\n(?: *-?\d*\.\d+){3} +\d+ +(\d+)")


@dataclass(frozen=True)
class FeffPath:
    """A path from the absorber to atoms of one element at one distance and back.

    Attributes
    ----------
    text : str
        Content of feffNNNN.dat.
    number : int
        Atomic number of the scatterer.
    length : float, Å
        Distance of the scatterer from the absorber, FEFF's reff.
    degeneracy : float
        Number of such atoms.
    first_shell : bool
        Whether these atoms belong to the first shell.
    """

    text: str
    number: int
    length: float
    degeneracy: float
    first_shell: bool = True


def exafs_input(cluster: Cluster, feff: FeffSection) -> tuple[str, Request]:
    """Return feff.inp for the single scattering by the first shell of a cluster, and the expected output.

    SCF, CORVAL and the extra cards are the campaign's. Atoms of an element share a potential: beyond
    k = 3 Å⁻¹ their surroundings hardly change how they scatter.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    feff : FeffSection
        The campaign's cards.
    """
    numbers, absorber = cluster.numbers, cluster.absorber
    potentials = by_element(numbers, absorber)
    model, real, imaginary = _EXCHANGE
    lines = [
        *potential_cards(numbers, absorber, feff),
        f"EXCHANGE {model} {real} {imaginary}",
        "S02 1.0",
        f"EXAFS {_K_MAX}",
        f"RPATH {max(cluster.first_shell_cutoff, _longest(cluster) + _BEYOND):.6f}",
        "NLEG 2",
        # No path is left out because it is weak.
        "CRITERIA 0 0",
        "PRINT 0 0 0 0 0 3",
        *(card for card in feff.extra_cards if card.split()[:1] and card.split()[0].upper()[:4] not in _OWNED),
        *potential_list(numbers, absorber, feff, potentials),
        "ATOMS",
    ]
    shifted = cluster.positions - cluster.positions[absorber]
    rows = atom_rows(shifted, absorber, potentials.of_atom, np.empty(0, dtype=np.int64))
    radius = scf_radius(feff)
    request = Request(
        absorber_number=int(numbers[absorber]),
        edge=feff.edge,
        scf=feff.scf is not None,
        fms_radius=None,
        k_max=_K_MAX,
        k_step=_K_STEP,
        max_points=_MOST_POINTS,
        cards=HeaderCards(
            scf=None if feff.scf is None or radius is None else (feff.scf.iterations, radius, feff.scf.lfms),
            exchange=EXCHANGE_MODELS[model],
            shifts=(real, imaginary),
            s02=1.0,
        ),
        names=("EDGE", "EXCHANGE", "S02", "EXAFS", "RPATH", "NLEG", "CRITERIA", "PRINT", "POTENTIALS", "ATOMS"),
        convolved="sfconv" in stages_needed(feff.extra_cards),
    )
    return "\n".join(lines) + "\n" + rows + "END\n", request


def first_shell_paths(cluster: Cluster, feff: FeffSection, engine: EngineSection) -> list[FeffPath]:
    """Calculate the paths to the first shell of a cluster, with the campaign's FEFF and its retries.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    feff, engine : FeffSection, EngineSection
        The campaign's cards, and its FEFF.

    Returns
    -------
    list of FeffPath
        By length: those of the first shell, together all first neighbors, and those up to 0.7 Å beyond it.

    Raises
    ------
    EngineError
        If FEFF is not installed, its run fails, or its paths are not those of the first shell.
    EnvironmentProblem
        If the temporary folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="xanesml-exafs-") as name:
        folder = Path(name, "run")
        run = LadderRun(make_engine(engine), folder, feff, lambda cards: exafs_input(cluster, cards), engine.retry)
        try:
            while (result := run.poll()) is None:
                time.sleep(_POLL_INTERVAL)
        finally:
            run.kill()
        if result.outcome is not Outcome.DONE:
            raise EngineError(f"FEFF did not calculate the paths of the first shell: {result.message}")
        paths = [read_path(file) for file in sorted(folder.glob("feff[0-9][0-9][0-9][0-9].dat"))]
    absorber = int(cluster.numbers[cluster.absorber])
    paths = [
        replace(
            path,
            first_shell=path.length <= cluster.first_shell_cutoff
            and (not cluster.like_bonds or path.number == absorber),
        )
        for path in paths
    ]
    found = sum(path.degeneracy for path in paths if path.first_shell)
    wanted = int(cluster.coordination[cluster.absorber])
    if abs(found - wanted) > _SAME_COUNT:
        raise EngineError(
            f"FEFF's paths lead to {found:g} atoms within {cluster.first_shell_cutoff:.3f} Å of the absorber, but its "
            f"first shell has {wanted}; check feff.extra_cards"
        )
    return sorted(paths, key=lambda path: path.length)


def _longest(cluster: Cluster) -> float:
    """Return the length of the longest bond of the first shell, Å."""
    distances = np.linalg.norm(cluster.positions - cluster.positions[cluster.absorber], axis=1)
    return float(distances[distances <= cluster.first_shell_cutoff].max())


def read_path(file: Path) -> FeffPath:
    """Read a feffNNNN.dat of FEFF 8, 9 or 10 with two legs.

    Raises
    ------
    SpectrumError
        If it cannot be read, or is no such file.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SpectrumError(f"cannot read {file}: {error.strerror}") from error
    geometry, scatterer = _GEOMETRY.search(text), _SCATTERER.search(text)
    if geometry is None or scatterer is None:
        raise SpectrumError(f"{file.name} is no path of FEFF with two legs; expected a feffNNNN.dat")
    return FeffPath(text, int(scatterer[1]), float(geometry[2]), float(geometry[1]))
