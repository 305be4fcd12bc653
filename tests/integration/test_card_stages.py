"""Cards that need a further stage of FEFF10, against all stages of its default pipeline; 1 to 5 s a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xanesml.campaign import EngineSection, FeffSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import clean_environment, raise_stack_limit
from xanesml.feff.request import Request
from xanesml.feff.run import RunResult

pytestmark = pytest.mark.feff

#: Four copper atoms: the cost of a run is in its stages.
PLACES = np.array([[0.0, 0, 0], [2.55, 0, 0], [0, 2.55, 0], [0, 0, 2.55]])

#: FEFF10's own solvers, so that numbers agree to the last digit.
FEFFS = {"pot": "feff", "fms": "feff", "pot_grid": "feff"}


def inputs(*cards: str) -> tuple[str, Request]:
    feff = FeffSection(
        edge="K",
        scf=False,
        corval=False,
        exchange=(0, 0.0, 0.0),
        xanes=(3.0, 0.2, 1.0),
        fms_radius=3.0,
        extra_cards=list(cards),
    )
    numbers = np.full(len(PLACES), 29)
    return feff_input(numbers=numbers, positions=PLACES, absorber=0, feff=feff), Request.of(feff, absorber_number=29)


def run(folder: Path, *cards: str, **engine: str) -> RunResult:
    result = run_feff(make_engine(EngineSection.model_validate({"timeout": 240} | engine)), folder, *inputs(*cards))
    assert (result.outcome, result.message) == (Outcome.DONE, "")
    return result


def of_all_stages(folder: Path, *cards: str) -> bytes:
    """Return xmu.dat of the wheel's default pipeline."""
    folder.mkdir()
    (folder / "feff.inp").write_text(inputs(*cards)[0])
    raise_stack_limit()
    program = "import feff10, sys; feff10.run(sys.argv[1] + '/feff.inp', sys.argv[1])"
    command = [sys.executable, "-c", program, str(folder)]
    subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, timeout=240, check=True)
    return (folder / "xmu.dat").read_bytes()


@pytest.mark.parametrize(
    "cards",
    [("COREHOLE RPA", "MPSE 1", "OPCONS"), ("HUBBARD 6 1 0 2", "LDOS -20 20 0.5 10")],
    ids=["screened hole and poles", "hubbard"],
)
def test_spectra_are_those_of_all_stages(tmp_path: Path, cards: tuple[str, ...]) -> None:
    run(tmp_path / "ours", *cards, **FEFFS)
    assert (tmp_path / "ours" / "xmu.dat").read_bytes() == of_all_stages(tmp_path / "all", *cards)


def test_native_stages_stand_beside_a_screened_hole_or_say_why_not(tmp_path: Path) -> None:
    feffs = run(tmp_path / "feffs", "COREHOLE RPA", **FEFFS).spectrum
    ours = run(tmp_path / "ours", "COREHOLE RPA", pot_grid="feff")
    assert ours.solver.startswith("xanesml fms: ")
    assert "; FEFF pot, as nohole is 2" in ours.solver
    assert feffs is not None
    assert ours.spectrum is not None
    np.testing.assert_allclose(ours.spectrum.mu, feffs.mu, rtol=0, atol=1e-5 * feffs.mu.max())
    # FEFF's final state rule, without the card, is another spectrum.
    plain = run(tmp_path / "plain", pot_grid="feff").spectrum
    assert plain is not None
    assert np.abs(plain.mu - feffs.mu).max() > 0.02 * feffs.mu.max()
