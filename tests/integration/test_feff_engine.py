"""Real FEFF on the 13-atom cluster without self-consistency: some 6 s a run."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase.cluster import Octahedron

from xanesml.campaign import EngineSection, FeffSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.output import Request
from xanesml.outcomes import Outcome

pytestmark = pytest.mark.feff

FEFF = FeffSection(scf=None, corval=None)
REQUEST = Request.of(FEFF, absorber_number=79)


@pytest.fixture(scope="module")
def engine():
    return make_engine(EngineSection(timeout=120))


@pytest.fixture(scope="module")
def au13():
    cluster = Octahedron("Au", 3, 1, latticeconstant=4.0782)
    distances = np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1)
    return feff_input(numbers=cluster.numbers, positions=cluster.positions, absorber=int(distances.argmin()), feff=FEFF)


def test_gold_l3(tmp_path, engine, au13):
    result = run_feff(engine, tmp_path, au13, REQUEST)
    assert (result.outcome, result.message) == (Outcome.DONE, "")
    spectrum = result.spectrum
    assert (spectrum.absorber_number, spectrum.shell, spectrum.scf) == (79, "L3", False)
    # From a run of all of FEFF10's stages.
    assert spectrum.edge == pytest.approx(11918.6241, abs=1e-3)
    assert spectrum.energy[[0, -1]] == pytest.approx([11914.8141, 11970.7828], abs=1e-3)
    assert spectrum.mu[[0, 10, -1]] == pytest.approx([6.2429e-5, 1.33032e-4, 3.59005e-4], rel=1e-3)
    assert len(spectrum.energy) == 83


def test_an_edge_that_feff_does_not_know_is_not_done(tmp_path, engine, au13):
    result = run_feff(engine, tmp_path, au13.replace("EDGE L3", "EDGE Q9"), REQUEST)
    assert result.outcome is Outcome.BAD_OUTPUT
    assert "(79, 'K', False), asked for was (79, 'L3', False)" in result.message


@pytest.mark.parametrize(
    ("pattern", "instead", "message"),
    [
        (r"FMS 7\.000000", "FMSX banana", "unrecognized keyword 'FMSX'"),
        (r"(?<=ATOMS\n)(.*\n)+(?=END)", "", "Cannot calculate potentials"),
    ],
)
def test_refused_input(tmp_path, engine, au13, *, pattern, instead, message):
    result = run_feff(engine, tmp_path, re.sub(pattern, instead, au13), REQUEST)
    assert result.outcome is Outcome.BAD_INPUT
    assert message in result.message
