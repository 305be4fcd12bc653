from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from conftest import MpiRun

from hpc.doctor.driver import CHECKS
from hpc.doctor.limits import GIVEN_UP

pytestmark = pytest.mark.requires("mpi")

PROGRAMS = Path(__file__).with_name("programs")
DOCTOR, HOSTS, HANG = (str(PROGRAMS / f"{name}.py") for name in ("doctor", "doctor_hosts", "doctor_hang"))

NAMES = [check.name for check in CHECKS]


@pytest.fixture
def libraries(tmp_path: Path) -> dict[str, str]:
    """Stand-ins for TensorFlow and Horovod, whose import takes seconds."""
    folder = tmp_path / "libraries"
    (folder / "horovod").mkdir(parents=True)
    for name in ("tensorflow.py", "keras.py", "horovod/__init__.py"):
        (folder / name).write_text("__version__ = '1'\n", encoding="utf-8")
    built = "def mpi_built(): return True\nnccl_built = gloo_built = mpi_built\n"
    (folder / "horovod" / "tensorflow.py").write_text(built, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def by_name(printed: str) -> dict[str, tuple[str, str]]:
    """Return mark and text of each check, in the order in which they were printed."""
    lines = [line for line in printed.splitlines() if line[:9].strip() in ("ok", "warning", "problem")]
    return {line[9:26].strip(): (line[:9].strip(), line[26:]) for line in lines}


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_every_check_is_printed_once_and_all_ranks_agree(
    mpirun: MpiRun, fake_campaign: Path, tmp_path: Path, libraries: dict[str, str], ranks: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    output = tmp_path / "deep" / "out"
    done = mpirun(ranks, sys.executable, DOCTOR, str(output), str(scratch), str(fake_campaign), env=libraries)
    assert done.returncode == 0, done.stdout + done.stderr
    found = by_name(done.stdout)
    assert list(found) == NAMES
    assert [line for line in found.items() if line[1][0] == "problem"] == []
    assert f"verdicts: {[True] * ranks}" in done.stdout
    assert f"ranks: {ranks}, hosts: 1" in found["launcher"][1]
    assert f"ranks here: {ranks}, cores: " in found["cores"][1]
    assert "13 atoms without SCF: done" in found["engine runs"][1]
    if h5py.get_config().mpi:
        assert found["parallel HDF5"] == ("ok", "all ranks write the store")
    assert not (tmp_path / "deep").exists(), "what was made is removed"
    assert list(scratch.iterdir()) == []


def test_problems_are_told_with_what_to_do_and_end_no_other_check(
    mpirun: MpiRun, fake_campaign: Path, tmp_path: Path, libraries: dict[str, str]
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    env = libraries | {"FAKE_FEFF": "crash"}
    done = mpirun(2, sys.executable, DOCTOR, str(blocked / "out"), str(tmp_path), str(fake_campaign), env=env)
    found = by_name(done.stdout)
    assert list(found) == NAMES
    assert "verdicts: [False, False]" in done.stdout
    assert found["engine runs"][0] == "problem"
    assert "crashed: FEFF ended with signal SIGSEGV" in found["engine runs"][1]
    assert found["output folder"] == (
        "problem",
        f"{blocked / 'out'} cannot be written: Not a directory → name another folder with --output",
    )
    assert found["parallel HDF5"] == ("warning", "not checked, since there is no output folder")


def test_copies_that_do_not_see_each_other_are_found_and_the_first_speaks(
    fake_campaign: Path, tmp_path: Path, libraries: dict[str, str]
) -> None:
    printed = []
    for rank in ("0", "1"):
        done = subprocess.run(
            [sys.executable, DOCTOR, str(tmp_path / "out"), str(tmp_path), str(fake_campaign)],
            env=os.environ | libraries | {"PMI_SIZE": "2", "PMI_RANK": rank},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        printed.append(done.stdout)
    mark, text = by_name(printed[0])["launcher"]
    assert mark == "problem"
    assert text.startswith(
        "2 processes were started (PMI_SIZE), but MPI sees 1 of them: mpi4py was built for, or loads, another"
    )
    assert printed[1] == "verdicts: [False]\n"


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_rank_that_hangs_in_a_joint_check_ends_all_with_a_line(mpirun: MpiRun, tmp_path: Path, ranks: int) -> None:
    done = mpirun(ranks, sys.executable, HANG, str(tmp_path))
    assert done.returncode == GIVEN_UP
    assert by_name(done.stdout)["launcher"][0] == "ok"
    mark, text = by_name(done.stdout)["hanging"]
    assert (mark, text.split(",")[0]) == ("problem", "the ranks were not done after 1 s")


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_hosts_answer_for_themselves(mpirun: MpiRun, tmp_path: Path, ranks: int) -> None:
    output = tmp_path / "out"
    output.mkdir()
    done = mpirun(ranks, sys.executable, HOSTS, str(output))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    hosts = [f"n{rank}" for rank in range(ranks)]
    for check in ("output_folder", "file_locking"):
        assert [(host, mark) for host, mark, _, _ in found[check]] == [(host, "ok") for host in hosts]
    if ranks == 1:
        assert found["clocks"] == [["n0", "ok", "one host, nothing to compare", None]]
    else:
        assert [(host, mark) for host, mark, _, _ in found["clocks"]] == [
            *((host, "ok") for host in hosts[1:-1]),
            (hosts[-1], "warning"),
        ]
        assert found["clocks"][-1][3] == pytest.approx(60.0, abs=0.5)
    assert list(output.iterdir()) == []
