"""The grid of phase shifts in real runs of 13 gold atoms without self-consistency: 1 to 2 s a run."""

from __future__ import annotations

import numpy as np
import pytest
from ase.cluster import Octahedron

from xanesml.campaign import EngineSection, FeffSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request
from xanesml.pot.files import read_potentials
from xanesml.pot.radial import ORIGIN

pytestmark = pytest.mark.feff

FEFF = FeffSection(scf=None, corval=None, stoichiometry="feff", potentials="element")
STEP = 0.03


def run(folder, scale, grid):
    """Return energies, μ and the place of the absorber's muffin-tin radius on FEFF's grid."""
    cluster = Octahedron("Au", 3, 1, latticeconstant=4.0782 * scale)
    middle = int(np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1).argmin())
    text = feff_input(numbers=cluster.numbers, positions=cluster.positions, absorber=middle, feff=FEFF)
    result = run_feff(make_engine(EngineSection(pot_grid=grid)), folder, text, Request.of(FEFF, absorber_number=79))
    assert result.outcome is Outcome.DONE, result.message
    radius = float(read_potentials(folder / "pot.bin").muffin_tin_radii[0])
    spectrum = result.spectrum
    return spectrum.energy, spectrum.mu, (np.log(radius) + ORIGIN) / STEP


def change(one, other):
    """Return the largest change of μ over the largest μ."""
    energies = one[0][(one[0] > other[0][0]) & (one[0] < other[0][-1])]
    before, after = (np.interp(energies, *each[:2]) for each in (one, other))
    return np.abs(after - before).max() / before.max()


def test_a_spectrum_does_not_jump_where_the_radius_passes_a_point(tmp_path):
    start = run(tmp_path / "start", 1.0, "smooth")[2]
    passing = np.exp(STEP * (np.ceil(start) - start))
    sides = {"below": passing * 0.9985, "above": passing * 1.0015}
    smooth, feff = (
        {side: run(tmp_path / f"{grid}-{side}", scale, grid) for side, scale in sides.items()}
        for grid in ("smooth", "feff")
    )
    assert smooth["below"][2] < np.ceil(start) < smooth["above"][2]
    moved = change(smooth["below"], smooth["above"])
    assert 0 < moved < 0.005
    assert change(feff["below"], feff["above"]) > 3 * moved


def test_the_files_say_how_the_grid_lies(tmp_path):
    run(tmp_path, 1.0, "smooth")
    lines = (tmp_path / "xsph.inp").read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("rgrd"))
    radius = float(read_potentials(tmp_path / "pot.bin").muffin_tin_radii[0])
    place = (np.log(radius) + ORIGIN) / float(lines[row + 1].split()[0])
    assert place == pytest.approx(329.95, abs=1e-3)
