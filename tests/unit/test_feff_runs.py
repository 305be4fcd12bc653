from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xanesml.campaign import EngineSection, FeffSection, ScfSection
from xanesml.errors import EngineError, EnvironmentProblem
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import STAGES, make_engine, run_feff, stage_command
from xanesml.feff.output import Request
from xanesml.outcomes import Outcome

FAKE = Path(__file__).parents[1] / "fake_feff.py"
FEFF = FeffSection(scf=ScfSection())
REQUEST = Request.of(FEFF, absorber_number=79)


def cluster_input(bond=2.88, feff=FEFF):
    positions = np.array([[0.0, 0, 0], [bond, 0, 0], [0, bond, 0], [0, 0, bond]])
    return feff_input(numbers=np.full(4, 79), positions=positions, absorber=0, feff=feff)


def fake(mode, timeout=60.0):
    commands = [[sys.executable, str(FAKE), mode]]
    return make_engine(EngineSection(kind="command", commands=commands, version="fake 1", timeout=timeout))


def test_success_depends_on_the_input_and_repeats(tmp_path):
    results = [
        run_feff(fake("succeed"), tmp_path / name, cluster_input(bond), REQUEST)
        for name, bond in (("a", 2.88), ("b", 2.89), ("c", 2.88))
    ]
    assert [result.outcome for result in results] == [Outcome.DONE] * 3
    first, second, again = (result.spectrum.mu for result in results)
    assert np.array_equal(first, again)
    assert 1e-4 < np.abs(first - second).max() / first.max() < 0.1
    assert 0 < results[0].seconds < 60


@pytest.mark.parametrize(
    ("mode", "outcome", "message"),
    [
        ("unconverged", Outcome.SCF_NOT_CONVERGED, "SCF did not converge"),
        ("fail", Outcome.CRASHED, "return code 3; the log ends: Calculating SCF potentials ... | fake FEFF fails"),
        ("crash", Outcome.CRASHED, "signal SIGSEGV"),
        ("corval", Outcome.CRASHED, "stopped in corval"),
        ("refuse", Outcome.BAD_INPUT, "FMS banana"),
        ("truncate", Outcome.BAD_OUTPUT, "truncated"),
        ("nothing", Outcome.BAD_OUTPUT, "before the end of 'potentials'"),
        ("wrong-edge", Outcome.BAD_OUTPUT, "(79, 'K', True), asked for was (79, 'L3', True)"),
    ],
)
def test_every_way_to_fail(tmp_path, mode, outcome, message):
    result = run_feff(fake(mode), tmp_path, cluster_input(), REQUEST)
    assert result.outcome is outcome
    assert message in result.message
    assert result.spectrum is None


def test_timeout_kills_the_run_and_its_children(tmp_path):
    run = fake("hang", timeout=0.5).start(tmp_path, cluster_input(), REQUEST)
    while (result := run.poll()) is None:
        time.sleep(0.01)
    assert result.outcome is Outcome.TIMED_OUT
    assert "Calculating SCF potentials" in result.message
    assert 0.5 < result.seconds < 5
    leader = int((tmp_path / "hang.pid").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(leader, 0)
    assert run.poll() is result


def test_an_earlier_run_in_the_folder_does_not_count(tmp_path):
    assert run_feff(fake("succeed"), tmp_path, cluster_input(), REQUEST).outcome is Outcome.DONE
    assert run_feff(fake("nothing"), tmp_path, cluster_input(), REQUEST).outcome is Outcome.BAD_OUTPUT


def test_interruption_ends_the_run(tmp_path, monkeypatch):
    def interrupt(seconds):  # noqa: ARG001
        raise KeyboardInterrupt

    engine = fake("hang")
    monkeypatch.setattr("xanesml.feff.engine.time.sleep", interrupt)
    monkeypatch.setattr("xanesml.feff.process.GRACE", 0.0)
    started = []
    start = engine.start
    monkeypatch.setattr(engine, "start", lambda *a: started.append(start(*a)) or started[0])
    with pytest.raises(KeyboardInterrupt):
        run_feff(engine, tmp_path, cluster_input(), REQUEST)
    assert started[0].poll().outcome is Outcome.CRASHED


def test_share_of_failing_inputs(tmp_path):
    engine = fake("fail@3")
    outcomes = [run_feff(engine, tmp_path, cluster_input(2.8 + 0.01 * i), REQUEST).outcome for i in range(12)]
    assert set(outcomes) == {Outcome.DONE, Outcome.CRASHED}


def test_missing_program_is_refused_at_once():
    section = EngineSection(kind="command", commands=[["/nowhere/feff9"]], version="FEFF 9.6.4")
    with pytest.raises(EngineError, match=r"engine\.commands names '/nowhere/feff9'"):
        make_engine(section)


def test_relative_program_is_found_from_the_run_folder(tmp_path, monkeypatch):
    (tmp_path / "feff").symlink_to(FAKE)
    monkeypatch.chdir(tmp_path)
    engine = make_engine(EngineSection(kind="command", commands=[["./feff"]], version="fake 1"))
    assert run_feff(engine, Path("run"), cluster_input(), REQUEST).outcome is Outcome.DONE


def test_identities():
    assert make_engine(
        EngineSection(kind="command", commands=[["true"], ["true", "x"]], version="FEFF 9.6.4")
    ).identity == ('command FEFF 9.6.4: [["true"], ["true", "x"]]')
    engine = make_engine(EngineSection(timeout=12))
    assert engine.timeout == 12
    assert engine.identity == f"feff10-rs {importlib.metadata.version('feff10-rs')}: {' '.join(STAGES)}"


def test_missing_wheel_is_named(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    with pytest.raises(EngineError, match="pip install feff10-rs"):
        make_engine(EngineSection())


def test_stages_can_be_run_in_parts(tmp_path):
    command = stage_command(tmp_path, "rdinp", "pot")
    assert command[0] == sys.executable
    assert Path(command[1]).is_file()
    assert command[2:] == [str(tmp_path), "rdinp", "pot"]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write the run's folder"):
        fake("succeed").start(tmp_path / "file" / "run", cluster_input(), REQUEST)
