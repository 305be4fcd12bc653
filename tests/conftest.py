"""Fixtures that all test folders share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["requirements"]

# The matrices here are small, and threads that wait for each other on a busy machine cost five times the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A script's background job ignores SIGINT, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine may be slow; only a test's own timeout ends it. A change is judged by the same examples
# each time; new ones are for those who can look at what they find.
settings.register_profile("patient", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "patient")

ROOT = Path(__file__).resolve().parent.parent

MpiRun = Callable[..., subprocess.CompletedProcess[str]]

#: What Open MPI wants of root, as in containers.
MPI_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

#: A campaign of 19 distorted and 2 × 13 disordered runs by the fake FEFF, done in seconds.
FAKE_CAMPAIGN = f"""
name = "fake"
[structure]
atoms = 13
[distortion]
step = 0.05
[disorder]
structures = 2
sigma_minimum = 0.05
[feff]
scf = false
corval = false
fms_radius = 3.5
representative = "nearest"
[engine]
kind = "command"
commands = [[{json.dumps(sys.executable)}, "-I", "-S", {json.dumps(str(ROOT / "tests" / "fake_feff.py"))}]]
version = "fake 1"
timeout = 5
max_failed = 1
[averaging]
sigma = [0.05, 0.1]
families = 300
[training]
filters = [8]
epochs = 2
members = 1
"""


def mpirun_command(ranks: int) -> list[str]:
    """Return the words that start a program on a number of ranks, also with more ranks than cores."""
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]


@pytest.fixture(scope="session")
def xanesml() -> str:
    """Path of the console command of this environment."""
    return str(Path(sys.executable).with_name("xanesml"))


@pytest.fixture
def fake_campaign(tmp_path: Path) -> Path:
    """The campaign file of `FAKE_CAMPAIGN`."""
    path = tmp_path / "fake.toml"
    path.write_text(FAKE_CAMPAIGN, encoding="utf-8")
    return path


@pytest.fixture
def mpirun() -> MpiRun:
    """Run a command under mpirun: ``mpirun(n, *argv, timeout=120, env=None, cwd=None)``."""

    def run(
        ranks: int,
        *argv: str,
        timeout: float = 120,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*mpirun_command(ranks), *argv],
            env=os.environ | MPI_AS_ROOT | (env or {}),
            cwd=cwd,
            timeout=timeout,
            text=True,
            capture_output=True,
            check=False,
        )

    return run
