"""A run of FEFF10 that the server forks imports nothing: thousands of ranks would load it from one file system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xanesml.campaign import Campaign
from xanesml.feff import feff10_stages
from xanesml.feff.feff10 import NATIVE_FMS, NATIVE_POT, STAGES
from xanesml.feff.process import clean_environment
from xanesml.store.plan import expand

pytestmark = [pytest.mark.feff, pytest.mark.requires("linux")]

CODE = """
import os, sys
from xanesml.feff.run_server import _load
program, folder = sys.argv[1:3]
stages = _load(program)
imported = os.open("imported", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def note(event, arguments):
    # Modules that are looked for in files; the hook holds in every process that is forked.
    if event == "open" and str(arguments[0]).endswith((".py", ".pyc", ".so")):
        os.write(imported, f"{arguments[0]}\\n".encode())
    elif event == "import":
        os.write(imported, f"{arguments[0]}\\n".encode())
sys.addaudithook(note)
sys.exit(stages.main(folder, *sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("task", "pot", "solver"),
    [(0, "pot", "xanesml fms: symmetric"), (2, "pot", "xanesml fms: "), (2, NATIVE_POT, "; xanesml pot: ")],
    ids=["distorted", "disordered", "own potentials"],
)
def test_a_forked_run_imports_nothing(tmp_path: Path, task: int, pot: str, solver: str) -> None:
    campaign = Campaign.model_validate(
        {
            "name": "small",
            "structure": {"atoms": 13},
            "distortion": {"minimum": 0.0, "maximum": 0.01},
            "disorder": {"structures": 1, "absorbers": [0]},
            "feff": {"scf": False, "corval": False, "fms_radius": 3.5},
        }
    )
    (tmp_path / "feff.inp").write_text(expand(campaign).inputs(task)[0], encoding="utf-8")
    stages = [{"fms": NATIVE_FMS, "pot": pot}.get(stage, stage) for stage in STAGES]
    command = [sys.executable, "-c", CODE, feff10_stages.__file__, str(tmp_path), *stages]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "xmu.dat").exists()
    assert solver in (tmp_path / "solver.txt").read_text()
    assert (tmp_path / "imported").read_text().splitlines() == []


def test_stages_run_in_a_folder_that_a_symbolic_link_leads_to(tmp_path: Path) -> None:
    """As in a home directory that is a link; xanesml/feff/feff10.py there must not stand for the wheel's feff10."""
    (tmp_path / "linked").symlink_to(Path(feff10_stages.__file__).parent)
    command = [sys.executable, str(tmp_path / "linked" / "feff10_stages.py"), str(tmp_path), "rdinp"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # The folder has no feff.inp, which the wheel says.
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "FeffIOError")
