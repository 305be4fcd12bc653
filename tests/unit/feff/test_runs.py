from __future__ import annotations

import hashlib
import importlib.metadata
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from requirements import require

from xanesml import pot
from xanesml.campaign import EngineSection, FeffSection, ScfSection
from xanesml.errors import EngineError, EnvironmentProblem
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.feff10 import STAGES, Feff10Engine, identity_with, stage_command
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request
from xanesml.fms import VERSION

FAKE = ROOT / "tests" / "fake_feff.py"
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
    assert 0 < results[0].cpu_seconds < 60
    # The memory of the process that starts a run counts too.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 1 < results[0].memory < own + 200
    assert results[0].log == ""


@pytest.mark.parametrize(
    ("mode", "outcome", "message"),
    [
        ("unconverged", Outcome.SCF_NOT_CONVERGED, "SCF did not converge"),
        ("fail", Outcome.CRASHED, "return code 3; the log ends: Calculating SCF potentials ... | fake FEFF fails"),
        ("crash", Outcome.CRASHED, "signal SIGSEGV"),
        ("corval", Outcome.CORVAL_FAILED, "stopped in corval"),
        ("refuse", Outcome.BAD_INPUT, "FMS banana"),
        ("truncate", Outcome.BAD_OUTPUT, "truncated"),
        ("nothing", Outcome.BAD_OUTPUT, "before the end of 'potentials'"),
        ("deaf", Outcome.BAD_OUTPUT, "ran without the cards CORVAL"),
        ("wrong-model", Outcome.BAD_OUTPUT, "exchange model Gd state, requested was val=s+d"),
        ("wrong-edge", Outcome.BAD_OUTPUT, "(79, 'K', True), requested was (79, 'L3', True)"),
    ],
)
def test_every_way_to_fail(tmp_path, mode, outcome, message):
    result = run_feff(fake(mode), tmp_path, cluster_input(), REQUEST)
    assert result.outcome is outcome
    assert message in result.message
    assert result.spectrum is None
    assert (result.tries, result.changes, result.solver) == (1, "", "")
    assert (result.log == "") == (mode == "nothing")


def test_timeout_kills_the_run_and_its_children(tmp_path):
    run = fake("hang", timeout=1.5).start(tmp_path, cluster_input(), REQUEST)
    while (result := run.poll()) is None:
        time.sleep(0.01)
    assert result.outcome is Outcome.TIMED_OUT
    assert "Calculating SCF potentials" in result.message
    assert 1.5 < result.seconds < 10
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


def test_identity_of_the_wheel_has_the_hash_of_its_binary():
    engine = make_engine(EngineSection(timeout=12, pot="feff", fms="feff", pot_grid="feff"))
    version = importlib.metadata.version("feff10-rs")
    assert engine.timeout == 12
    (binary,) = (file for file in importlib.metadata.files("feff10-rs") if ".so" in file.name)
    digest = hashlib.sha256(binary.locate().read_bytes()).hexdigest()[:16]
    assert engine.identity == f"feff10-rs {version} ({digest}): {' '.join(STAGES)}"
    native = make_engine(EngineSection(pot="feff", pot_grid="feff"))
    assert native.identity == engine.identity.replace(" fms ", f" xanesml-fms-{VERSION} ")
    potentials = make_engine(EngineSection(pot="native", fms="feff", pot_grid="feff"))
    assert potentials.identity == engine.identity.replace(" pot ", f" xanesml-pot-{pot.VERSION} ")
    smooth = make_engine(EngineSection(pot="feff", fms="feff"))
    assert smooth.identity == engine.identity.replace(" xsph ", f" xanesml-grid-{pot.GRID_VERSION} xsph ")


def test_stages_that_cards_need_are_run_and_identify_their_runs():
    engine = make_engine(EngineSection())
    assert isinstance(engine, Feff10Engine)
    order = ["rdinp", "xanesml-first", "atomic", "xanesml-pot", "xanesml-back", "xanesml-grid", "xsph", "xanesml-fms"]
    order += ["mkgtr", "path", "genfmt", "ff2x"]
    assert engine.stages(cluster_input()) == order
    cards = ["SFCONV", "COREHOLE RPA", "LDOS -20 20 0.1"]
    text = cluster_input(feff=FeffSection(extra_cards=cards))
    # After the order of distances is back, and behind the last of the others.
    assert engine.stages(text) == [*order[:5], "screen", *order[5:], "sfconv"]
    assert identity_with(engine.identity, []) == engine.identity
    assert identity_with(engine.identity, ["LDOS -20 20 0.1"]) == engine.identity
    assert identity_with(engine.identity, cards) == f"{engine.identity} + screen + sfconv"
    assert identity_with(fake("succeed").identity, cards) == fake("succeed").identity


def test_identity_of_commands_follows_the_content_of_their_files(tmp_path, monkeypatch):
    program, table = tmp_path / "feff", tmp_path / "table"
    for path in (program, table):
        path.write_text(path.name)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    section = EngineSection(kind="command", commands=[["feff"], ["feff", str(table), "table"]], version="FEFF 9.6.4")
    hashes = {name: hashlib.blake2b(name.encode(), digest_size=8).hexdigest() for name in ("feff", "table")}
    before = make_engine(section).identity
    # "table" alone means a file in the run's folder.
    assert before == (
        f'command FEFF 9.6.4: [["feff"], ["feff", "{table}", "table"]] '
        f"(feff {hashes['feff']}, {table} {hashes['table']})"
    )
    for path in (program, table):
        path.write_text("changed")
        after = make_engine(section).identity
        assert after != before
        before = after


def test_missing_wheel_is_named(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", absent)
    with pytest.raises(EngineError, match="pip install feff10-rs"):
        make_engine(EngineSection())


def test_wheel_without_a_record_of_its_files_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata.PathDistribution, "files", None)
    with pytest.raises(EngineError, match=r"no record of its binary.*--force-reinstall"):
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


def test_solver_is_what_the_run_wrote_down(tmp_path):
    code = "import pathlib; pathlib.Path('solver.txt').write_text('Å' * 60 + '\\n')"
    commands = [[sys.executable, str(FAKE)], [sys.executable, "-c", code]]
    engine = make_engine(EngineSection(kind="command", commands=commands, version="fake 1"))
    assert run_feff(engine, tmp_path, cluster_input(), REQUEST).solver == "Å" * 40
    assert run_feff(fake("succeed"), tmp_path, cluster_input(), REQUEST).solver == ""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    require("mounts")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_run_that_fails_on_a_full_disk_says_so(small_disk):
    with pytest.raises(EnvironmentProblem, match=rf"scratch folder {small_disk}/run on .* is full \(\d\.\d MiB"):
        run_feff(fake("fail"), small_disk / "run", cluster_input(), REQUEST)
    # One that is done has shown that there was room.
    assert run_feff(fake("succeed"), small_disk / "run", cluster_input(), REQUEST).outcome is Outcome.DONE


def test_a_disk_is_full_that_has_no_files_left(tmp_path, monkeypatch):
    class Full:
        f_bavail, f_frsize, f_files, f_favail = 2**30, 4096, 1000, 0

    monkeypatch.setattr("os.statvfs", lambda path: Full)  # noqa: ARG005
    with pytest.raises(EnvironmentProblem, match=r"is full .* 0 files left"):
        run_feff(fake("fail"), tmp_path, cluster_input(), REQUEST)
    monkeypatch.setattr(Full, "f_files", 0)
    assert run_feff(fake("fail"), tmp_path, cluster_input(), REQUEST).outcome is Outcome.CRASHED
