"""FEFF computes each potential from the surroundings of the atom that stands for it, wherever that atom is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from xanesml.campaign import EngineSection, FeffSection, StructureSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import raise_stack_limit
from xanesml.feff.request import Request
from xanesml.structures import Cluster, build_cluster
from xanesml.structures.potentials import Potentials, Representatives, classify, numbered

pytestmark = pytest.mark.feff

#: Without self-consistency, local exchange, a short spectrum: some 2 s a run.
CHEAP = {"scf": None, "corval": None, "exchange": (0, 0.0, 0.0), "fms_radius": 3.5, "xanes": (2.0, 0.1, 1.0)}


def norman_radii(
    folder: Path, cluster: Cluster, absorber: int, potentials: Potentials
) -> tuple[np.ndarray, np.ndarray]:
    """Run FEFF; return the Norman radius of every potential, Å, which is that of one atom, and μ."""
    feff = FeffSection.model_validate(CHEAP)
    text = feff_input(
        numbers=cluster.numbers, positions=cluster.positions, absorber=absorber, feff=feff, potentials=potentials
    )
    raise_stack_limit()
    result = run_feff(make_engine(EngineSection()), folder, text, Request.of(feff, absorber_number=79))
    assert result.outcome is Outcome.DONE, result.message
    assert result.spectrum is not None
    # The modules after pot see the atoms by distance.
    rows = [line.split() for line in (folder / "geom.dat").read_text().splitlines()[4:]]
    away = np.linalg.norm(np.array([row[1:4] for row in rows], dtype=float), axis=1)
    assert (np.diff(away) > -1e-4).all()
    header = (folder / "xmu.dat").read_text()
    return np.array([float(radius) for radius in re.findall(r"Rnm=\s*(\S+)", header)]), result.spectrum.mu


def test_the_atom_that_stands_for_a_potential_makes_it(tmp_path: Path) -> None:
    cluster = build_cluster(StructureSection(atoms=55))
    inner = cluster.absorber
    absorber = int(np.argmin(np.abs(np.linalg.norm(cluster.positions, axis=1) - cluster.first_shell)))
    vertex = int(np.argmax(np.linalg.norm(cluster.positions, axis=1)))
    of_atom = np.ones(55, dtype=int)
    of_atom[absorber] = 0
    (_, inside), one = norman_radii(tmp_path / "a", cluster, absorber, Potentials(of_atom, np.array([inner])))
    (_, outside), other = norman_radii(tmp_path / "b", cluster, absorber, Potentials(of_atom, np.array([vertex])))
    # Twelve neighbors press an atom's own electrons into less room than five.
    assert inside < outside - 0.1
    assert np.abs(one - other).max() > 0.02 * one.max()


def test_each_coordination_number_has_the_potential_of_its_own_atoms(tmp_path: Path) -> None:
    cluster = build_cluster(StructureSection(atoms=55))
    classes = classify(cluster, "coordination")
    chooser = Representatives(cluster, classes, reach=4.6)
    absorber = int(np.argmax(np.linalg.norm(cluster.positions, axis=1)))
    potentials = numbered(classes, absorber, chooser.typical(cluster.positions, np.array([absorber]))[0])
    radii, _ = norman_radii(tmp_path, cluster, absorber, potentials)
    assert len(radii) == 5
    # By 5, 7, 8 and 12 neighbors.
    assert (np.diff(radii[1:]) < -0.01).all()


@pytest.mark.parametrize("rule", ["element", "coordination"])
def test_thirteen_atoms_by_two_rules(tmp_path: Path, rule: str) -> None:
    cluster = build_cluster(StructureSection(atoms=13))
    classes = classify(cluster, rule)
    chooser = Representatives(cluster, classes, reach=4.6)
    absorber = int(np.argmax(np.linalg.norm(cluster.positions, axis=1)))
    potentials = numbered(classes, absorber, chooser.typical(cluster.positions, np.array([absorber]))[0])
    radii, _ = norman_radii(tmp_path, cluster, absorber, potentials)
    # One potential for all, of a typical atom, which lies in the shell; or one for the shell and one for the center.
    assert len(radii) == (2 if rule == "element" else 3)
    shell = radii[1]
    assert shell == pytest.approx(radii[0], abs=0.05)
    if rule == "coordination":
        assert radii[2] < shell - 0.1
