"""Processes that a launcher started and that do not reach each other are refused, in one line of the first of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpc.comm import Alone, exit_with, keep_status, world_or_alone
from hpc.launcher import VARIABLES, check_all_joined, launched
from xanesml.errors import EnvironmentProblem


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for pair in VARIABLES for name in pair):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}, (4, 3, "OMPI_COMM_WORLD_SIZE")),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, (2, 1, "PMI_SIZE")),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, (8, 5, "SLURM_STEP_NUM_TASKS")),
        # mpirun started its daemons by srun, one a node.
        ({"OMPI_COMM_WORLD_SIZE": "2", "SLURM_STEP_NUM_TASKS": "8"}, (2, 0, "OMPI_COMM_WORLD_SIZE")),
        # The batch script itself, which no launcher started.
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),
    ],
)
def test_the_launcher_next_to_the_process_counts(
    environment: dict[str, str], expected: tuple[int, int, str] | None
) -> None:
    assert launched(environment) == expected


@pytest.mark.parametrize(("size", "rank"), VARIABLES)
def test_a_world_smaller_than_the_launchers_is_refused(size: str, rank: str) -> None:
    with pytest.raises(EnvironmentProblem) as refused:
        check_all_joined(1, {size: "1024", rank: "17"})
    assert str(refused.value).startswith(
        f"the launcher started 1024 processes ({size}), but this one reaches 1: its MPI"
    )
    assert "\n" not in str(refused.value)
    check_all_joined(1024, {size: "1024", rank: "17"})
    # Daemons of an outer launcher, or ranks that were spawned.
    check_all_joined(4, {size: "2", rank: "0"})


def test_without_an_mpi_library_a_training_of_many_processes_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert isinstance(world_or_alone(), Alone)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(EnvironmentProblem, match=r"started 2 processes \(SLURM_STEP_NUM_TASKS\)"):
        world_or_alone()


def test_one_process_says_it_for_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setenv("PMI_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("PMI_RANK", str(rank))
        with pytest.raises(SystemExit) as ended:
            exit_with(EnvironmentProblem("they do not meet"), 2)
        assert ended.value.code == 2
    assert capsys.readouterr().err == "xanesml: they do not meet\n"


@pytest.mark.requires("mpi")
@pytest.mark.parametrize("verb", ["simulate", "train"])
def test_copies_that_do_not_reach_each_other_write_nothing(
    xanesml: str, fake_campaign: Path, tmp_path: Path, verb: str
) -> None:
    said = []
    for rank in ("1", "0"):
        done = subprocess.run(
            [xanesml, verb, str(fake_campaign), "-o", str(tmp_path / "out")],
            env=os.environ | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": rank},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert not (tmp_path / "out").exists()
        said.append(done.stderr.splitlines())
    assert said[0] == []
    assert [line.split("(")[0] for line in said[1]] == ["xanesml: the launcher started 2 processes "]


def test_a_rank_that_ends_keeps_its_status_when_the_launcher_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        for size, ignored in ((1, False), (2, True)):
            mpi = SimpleNamespace(Is_initialized=lambda: True, COMM_WORLD=SimpleNamespace(size=size))
            monkeypatch.setitem(sys.modules, "mpi4py.MPI", mpi)
            keep_status()
            assert (signal.getsignal(signal.SIGTERM) is signal.SIG_IGN) == ignored
    finally:
        signal.signal(signal.SIGTERM, before)
