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

MPIO = pytest.mark.requires("mpio")

#: From the exception to the end of mpirun, s.
LIMIT = 10.0

ENDLESS = 100000
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


def assert_all_end(folder: Path, place: str, rank: int, command: str, campaign: str, *options: str) -> None:
    """Run a command on two ranks, of which one breaks in the function `place`, and check how they end."""
    file = folder / "campaign.toml"
    file.write_text(campaign, encoding="utf-8")
    words = [*mpirun_command(2), sys.executable, PROGRAM, place, str(rank)]
    words += [command, str(file), "-o", str(folder / "out"), *options]
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
    assert re.search(rf"^rank {rank} on {socket.gethostname()} failed:\nTraceback", text, re.MULTILINE), text
    assert "RuntimeError: a defect on one rank" in text
    # A child may outlive its rank by the time that the guard takes to notice.
    _, left = psutil.wait_procs(family, timeout=5)
    assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize(
    ("place", "rank", "writer"),
    [
        pytest.param("hpc.farming.simulate:lay_out", 0, "auto", id="laying-the-store-out"),
        pytest.param("hpc.farming.feff_lead:FeffLead.report", 0, "mpio", id="mpio", marks=MPIO),
        pytest.param("hpc.farming.feff_worker:FeffWorker.finish", 1, "root", id="root"),
    ],
)
def test_simulate(tmp_path: Path, place: str, rank: int, writer: str) -> None:
    assert_all_end(tmp_path, place, rank, "simulate", FAKE_CAMPAIGN, "--writer", writer)


@pytest.mark.parametrize(
    ("place", "rank", "writer"),
    [
        pytest.param("hpc.average:blocks", 1, "mpio", id="mpio", marks=MPIO),
        pytest.param("hpc.average:prepare", 0, "root", id="root"),
    ],
)
def test_average_keeps_the_old_file_and_the_next_call_removes_what_is_left(
    tmp_path: Path, xanesml: str, place: str, rank: int, writer: str
) -> None:
    (tmp_path / "campaign.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    out = tmp_path / "out"
    made_store(out / "store.h5", Campaign.load(tmp_path / "campaign.toml"))
    (out / "tensors.h5").write_text("the old file")
    assert_all_end(tmp_path, place, rank, "average", FAKE_CAMPAIGN, "--writer", writer)
    assert (out / "tensors.h5").read_text() == "the old file"
    again = [xanesml, "average", str(tmp_path / "campaign.toml"), "-o", str(out)]
    subprocess.run(again, check=True, capture_output=True, timeout=60)
    assert sorted(path.name for path in out.iterdir()) == ["store.h5", "tensors.h5"]


@pytest.mark.parametrize(("place", "rank"), [("hpc.doctor.driver:_setting", 0), ("hpc.doctor.driver:_make", 1)])
def test_doctor(tmp_path: Path, place: str, rank: int) -> None:
    assert_all_end(tmp_path, place, rank, "doctor", FAKE_CAMPAIGN)


@pytest.mark.requires("optuna", "horovod")
@pytest.mark.parametrize(
    ("command", "place", "rank", "epochs", "options"),
    [
        pytest.param(
            "train",
            "hpc.training.loop:evaluate",
            1,
            ENDLESS,
            ["--ranks-per-network", "2"],
            id="train-horovod-group",
        ),
        pytest.param("train", "hpc.training.train:assess", 0, 1, [], id="train-two-groups-at-the-end"),
        pytest.param(
            "tune", "hpc.tuning.study:Study.report", 0, ENDLESS, ["--ranks-per-trial", "2"], id="tune-horovod-group"
        ),
        pytest.param("tune", "hpc.training.share:load_tensors", 1, ENDLESS, [], id="tune-two-groups-at-the-start"),
    ],
)
def test_training_and_tuning(
    tmp_path: Path, command: str, place: str, rank: int, epochs: int, options: list[str]
) -> None:
    text = TRAINING.replace("100000", str(epochs))
    (tmp_path / "campaign.toml").write_text(text, encoding="utf-8")
    (tmp_path / "out").mkdir()
    write_tensors(tmp_path / "out" / "tensors.h5", Campaign.load(tmp_path / "campaign.toml"))
    assert_all_end(tmp_path, place, rank, command, text, *options)
