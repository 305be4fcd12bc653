"""Real FEFF on the 13-atom cluster without self-consistency: 2 to 6 s a run."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from ase.cluster import Octahedron

from xanesml.campaign import Campaign, EngineSection, FeffSection, ScfSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.feff10 import STAGES, stage_command
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import clean_environment, raise_stack_limit
from xanesml.feff.request import Request
from xanesml.feff.verdict import judge
from xanesml.store.importing import import_runs
from xanesml.store.rows import open_store_file, read_spectrum

pytestmark = pytest.mark.feff

FEFF = FeffSection(scf=None, corval=None, stoichiometry="feff")
REQUEST = Request.of(FEFF, absorber_number=79)


@pytest.fixture(scope="module")
def engine():
    return make_engine(EngineSection(timeout=120, pot_grid="feff"))


def center_input(length, feff):
    """Return feff.inp for the central atom of a gold cuboctahedron that was cut from an octahedron."""
    cluster = Octahedron("Au", length, (length - 1) // 2, latticeconstant=4.0782)
    distances = np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1)
    return feff_input(numbers=cluster.numbers, positions=cluster.positions, absorber=int(distances.argmin()), feff=feff)


@pytest.fixture(scope="module")
def au13():
    return center_input(3, FEFF)


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
    assert spectrum.cards == REQUEST.cards
    assert result.solver == "xanesml fms: symmetric, 208 in blocks up to 16; xanesml pot: scf 0"
    assert 0.2 < result.cpu_seconds < 2 * result.seconds
    assert result.memory > 100

    # The same folder, as somebody else's run, is the undistorted structure of a campaign with its cards.
    cards = {"scf": False, "corval": False, "stoichiometry": "feff", "potentials": "element"}
    sections = {"structure": {"atoms": 13}, "distortion": {"minimum": -0.01, "maximum": 0.01}, "feff": cards}
    store = tmp_path / "imported" / "store.h5"
    report = import_runs(tmp_path, Campaign.model_validate({"name": "x"} | sections), store, echo=str)
    assert (report.imported, report.outcomes, report.unlogged, report.refused) == (1, {"done": 1}, 0, {})
    with open_store_file(store) as file:
        assert file.attrs["engine"].startswith("imported: FEFF 10")
        assert file["runs/outcome"][:].tolist() == [Outcome.PENDING, Outcome.DONE, Outcome.PENDING]
        np.testing.assert_array_equal(read_spectrum(file, 1).mu, spectrum.mu)


PIPELINE = """
import sys
import feff10
stages = [feff10.Stage.from_name(name) for name in sys.argv[2:]]
feff10.FeffPipeline(feff10.FeffConfig.from_file(sys.argv[1], sys.argv[1] + "/feff.inp", stages=stages)).run()
"""


def test_forked_stages_do_as_the_pipeline_does(tmp_path, au13):
    environment = clean_environment()
    raise_stack_limit()
    folders = []
    for name in ("pipeline", "forked"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "feff.inp").write_text(au13)
        command = [sys.executable, "-c", PIPELINE, str(folder), *STAGES]
        with (folder / "run.log").open("wb") as log:
            subprocess.run(
                command if name == "pipeline" else stage_command(folder, *STAGES),
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        folders.append({path.name: path.read_bytes() for path in folder.iterdir()})
    pipeline, forked = folders
    assert forked.pop("solver.txt") == b"FEFF fms\n"
    assert forked["xmu.dat"] == pipeline["xmu.dat"]
    assert forked["run.log"] == pipeline["run.log"]
    assert forked.keys() == pipeline.keys()
    assert judge(tmp_path / "forked", REQUEST, returncode=0).outcome is Outcome.DONE


#: A solver in xanesml's place.
SOLVER = """
from xanesml.errors import NotApplicable
class Report:
    solver = "xanesml LU"
def solve_stage(folder, *, precision="single", method="auto", cache=None):
    assert (folder / "fms.inp").is_file()
    if REASON:
        raise NotApplicable(REASON)
    (folder / "gg.bin").write_text("solved")
    return Report()
"""


def with_solver(tmp_path, monkeypatch, reason):
    for stage in ("fms", "pot"):
        package = tmp_path / "packages" / "xanesml" / stage
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "stage.py").write_text(SOLVER.replace("REASON", repr(reason)))
    (package.parent / "__init__.py").write_text("")
    (package.parent / "errors.py").write_text("class NotApplicable(Exception): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))


def stages(folder, text, *names):
    folder.mkdir()
    (folder / "feff.inp").write_text(text)
    return subprocess.run(stage_command(folder, *names), cwd=folder, text=True, capture_output=True, check=False)


def test_native_stage_stands_for_feffs(tmp_path, monkeypatch, au13):
    with_solver(tmp_path, monkeypatch, "")
    done = stages(tmp_path / "run", au13, "rdinp", "xanesml-fms")
    assert done.returncode == 0
    assert done.stdout.endswith("Done with module: FMS (xanesml LU).\n")
    assert (tmp_path / "run" / "gg.bin").read_text() == "solved"
    assert (tmp_path / "run" / "solver.txt").read_text() == "xanesml LU\n"


def test_feff_does_what_the_native_stage_does_not(tmp_path, monkeypatch, au13):
    with_solver(
        tmp_path, monkeypatch, "Debye-Waller factors of a correlated\nmodel, which is too much for one short line"
    )
    done = stages(tmp_path / "run", au13, "rdinp", "xanesml-fms")
    assert "xanesml-fms leaves it to FEFF: Debye-Waller factors of a correlated model, which is too much" in done.stdout
    # FEFF's own stage, which misses what the stages before it would have written.
    assert done.returncode == 1
    assert "FMS calculation of full Green's function" in done.stdout
    assert "FeffPipelineError: stage 'xanesml-fms' failed (exit code: " in done.stderr
    solver = (tmp_path / "run" / "solver.txt").read_text()
    assert solver.startswith("FEFF fms, as Debye-Waller factors of a correlated model, which")


SCF = FeffSection(scf=ScfSection(radius=3.1), fms_radius=3.1)


def test_native_potentials_and_scattering_make_a_run(tmp_path):
    engine = make_engine(EngineSection(timeout=120))
    result = run_feff(engine, tmp_path, center_input(3, SCF), Request.of(SCF, absorber_number=79))
    assert (result.outcome, result.message) == (Outcome.DONE, "")
    assert result.spectrum.scf
    assert re.fullmatch(r"xanesml fms: symmetric, 208 in blocks up to 16; xanesml pot: scf \d+", result.solver)


def test_feff_makes_the_potentials_that_the_native_stage_does_not(tmp_path):
    cards = FeffSection(scf=ScfSection(radius=3.1, lfms=1, iterations=3), fms_radius=3.1)
    engine = make_engine(EngineSection(timeout=120))
    result = run_feff(engine, tmp_path, center_input(3, cards), Request.of(cards, absorber_number=79))
    assert "; FEFF pot, as lfms1 (1 is a" in result.solver
    # FEFF's own loop was given too few iterations.
    assert result.outcome is Outcome.SCF_NOT_CONVERGED


@pytest.mark.parametrize(("stage", "feff"), [("xanesml-pot", "pot"), ("xanesml-fms", "fms")])
def test_feff_does_a_native_stage_that_breaks(tmp_path, monkeypatch, au13, stage, feff):
    with_solver(tmp_path, monkeypatch, "")
    (tmp_path / "packages" / "xanesml" / feff / "stage.py").write_text("raise ZeroDivisionError")
    before = ["rdinp", "atomic", "pot", "xsph"]
    done = stages(tmp_path / "run", au13, *before[: before.index("pot") if feff == "pot" else None], stage)
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr
    assert (tmp_path / "run" / "solver.txt").read_text() == f"FEFF {feff}, as ZeroDivisionError in ours\n"
    assert (tmp_path / "run" / {"pot": "pot.bin", "fms": "gg.bin"}[feff]).stat().st_size > 1000


def test_a_grid_that_breaks_leaves_feffs_own_and_says_so(tmp_path, monkeypatch, au13):
    with_solver(tmp_path, monkeypatch, "")
    (tmp_path / "packages" / "xanesml" / "pot" / "phase_grid.py").write_text("raise ZeroDivisionError")
    done = stages(tmp_path / "run", au13, "rdinp", "xanesml-grid")
    assert done.returncode == 0
    assert (tmp_path / "run" / "solver.txt").read_text() == "FEFF grid, as ZeroDivisionError in ours\n"
    assert "0.03000" in (tmp_path / "run" / "xsph.inp").read_text()


def test_a_run_that_is_killed_leaves_its_time(tmp_path):
    # A run of minutes, which no machine ends before the time is over.
    result = run_feff(make_engine(EngineSection(timeout=2)), tmp_path, center_input(15, FeffSection()), REQUEST)
    assert result.outcome is Outcome.TIMED_OUT
    assert result.seconds < 10
    assert result.cpu_seconds > 0.1


def test_an_edge_that_feff_does_not_know_is_not_done(tmp_path, engine, au13):
    result = run_feff(engine, tmp_path, au13.replace("EDGE L3", "EDGE Q9"), REQUEST)
    assert result.outcome is Outcome.BAD_OUTPUT
    assert "(79, 'K', False), requested was (79, 'L3', False)" in result.message


@pytest.mark.parametrize(
    ("pattern", "instead", "message"),
    [
        ("EXCHANGE 5 0.2 0.5", "EXCHANGE 5 0.2 0.5\nXES", "more than one type of spectroscopy"),
        (r"FMS 7\.000000", "FMSX banana", "unrecognized keyword 'FMSX'"),
        (r"(?<=ATOMS\n)(.*\n)+(?=END)", "", "Cannot calculate potentials"),
    ],
)
def test_refused_input(tmp_path, engine, au13, *, pattern, instead, message):
    result = run_feff(engine, tmp_path, re.sub(pattern, instead, au13), REQUEST)
    assert result.outcome is Outcome.BAD_INPUT
    assert message in result.message
