"""A plain exception on one rank ends all ranks of a command, soon and with rank, host and traceback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import FAKE_CAMPAIGN, MPI_AS_ROOT, mpirun_command
from made_store import made_store
from synthetic import write_tensors

from xanesml.campaign import Campaign

pytestmark = pytest.mark.requires("mpi")

PROGRAM = str(Path(__file__).with_name("programs") / "break_command.py")

WRITERS = [pytest.param("mpio", marks=pytest.mark.requires("mpio")), "root"]

#: From the exception to the end of mpirun, s.
LIMIT = 10.0

TRAINING = """
name = "synthetic"
seed = 7
[distortion]
[training]
filters = [4]
dense = [8]
heads = []
modes = ["direct", "reference"]
members = 1
epochs = 100000
[tuning]
trials = 4
epochs = 100000
"""


def assert_all_end(folder: Path, command: str, campaign: str, *options: str) -> None:
    """Run a command on two ranks, of which rank 1 breaks, and check how they end."""
    file = folder / "campaign.toml"
    file.write_text(campaign, encoding="utf-8")
    words = [*mpirun_command(2), sys.executable, PROGRAM, command, str(file), "-o", str(folder / "out"), *options]
    # Files and not pipes, which a process that survives would keep open.
    with (
        (folder / "said").open("w") as said,
        subprocess.Popen(
            words, env=os.environ | MPI_AS_ROOT | {"FAKE_FEFF_SECONDS": "1"}, stdout=said, stderr=said
        ) as process,
    ):
        family: list[psutil.Process] = []
        broke = None
        deadline = time.monotonic() + 100
        while process.poll() is None and time.monotonic() < deadline:
            family = psutil.Process(process.pid).children(recursive=True) or family
            if broke is None and "a defect on one rank" in (folder / "said").read_text():
                broke = time.monotonic()
            time.sleep(0.05)
        ended = time.monotonic()
        process.kill()
    text = (folder / "said").read_text()
    assert process.returncode not in (0, -9), text
    assert broke is None or ended - broke < LIMIT
    assert re.search(rf"^rank 1 on {socket.gethostname()} failed:\nTraceback", text, re.MULTILINE), text
    assert "RuntimeError: a defect on one rank" in text
    # A child may outlive its rank by the time that the guard takes to notice.
    _, left = psutil.wait_procs(family, timeout=5)
    assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("writer", WRITERS)
def test_simulate(tmp_path: Path, writer: str) -> None:
    assert_all_end(tmp_path, "simulate", FAKE_CAMPAIGN, "--writer", writer)


@pytest.mark.parametrize("writer", WRITERS)
def test_average_keeps_the_old_file_and_the_next_call_removes_what_is_left(
    tmp_path: Path, xanesml: str, writer: str
) -> None:
    (tmp_path / "campaign.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    out = tmp_path / "out"
    made_store(out / "store.h5", Campaign.load(tmp_path / "campaign.toml"))
    (out / "tensors.h5").write_text("the old file")
    assert_all_end(tmp_path, "average", FAKE_CAMPAIGN, "--writer", writer)
    assert (out / "tensors.h5").read_text() == "the old file"
    again = [xanesml, "average", str(tmp_path / "campaign.toml"), "-o", str(out)]
    subprocess.run(again, check=True, capture_output=True, timeout=60)
    assert sorted(path.name for path in out.iterdir()) == ["store.h5", "tensors.h5"]


@pytest.mark.requires("optuna", "horovod")
@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param("train", ["--ranks-per-network", "2"], id="train-one-horovod-group"),
        pytest.param("train", [], id="train-two-groups"),
        pytest.param("tune", ["--ranks-per-trial", "2"], id="tune-one-horovod-group"),
        pytest.param("tune", [], id="tune-two-groups"),
    ],
)
def test_training_and_tuning(tmp_path: Path, command: str, options: list[str]) -> None:
    (tmp_path / "campaign.toml").write_text(TRAINING, encoding="utf-8")
    (tmp_path / "out").mkdir()
    write_tensors(tmp_path / "out" / "tensors.h5", Campaign.load(tmp_path / "campaign.toml"))
    assert_all_end(tmp_path, command, TRAINING, *options)
