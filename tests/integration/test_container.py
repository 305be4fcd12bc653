"""The recipes for Apptainer and Docker make images in which ranks find each other, and HDF5 is parallel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import MPI_AS_ROOT, ROOT, mpirun_command

pytestmark = [pytest.mark.requires("package index"), pytest.mark.timeout(3600)]

SMALL = (
    'name = "small"\n[structure]\natoms = 13\n[distortion]\nmaximum = 0.01\nminimum = 0.0\n'
    "[feff]\nscf = false\ncorval = false\nfms_radius = 3.5\n"
)


@pytest.mark.requires("docker")
def test_ranks_in_an_image_of_docker_fill_one_store(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    tmp_path.chmod(0o777)  # the image has a user of its own
    build = ["docker", "build", "--quiet", "--file", "tools/Dockerfile", "."]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    image = built.stdout.strip()
    ranks = [*mpirun_command(2), "xanesml", "simulate", "small.toml"]
    run = ["docker", "run", "--rm", "--volume", f"{tmp_path}:/work", "--entrypoint", ranks[0], image, *ranks[1:]]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 done; 2 runs" in done.stdout
    assert "on 2 ranks" in done.stdout


@pytest.mark.requires("apptainer", "mpi")
def test_ranks_in_a_container_fill_one_store(tmp_path: Path) -> None:
    image, campaign = tmp_path / "image.sif", tmp_path / "small.toml"
    built = subprocess.run(
        ["apptainer", "build", str(image), "tools/xanesml.def"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr[-2000:]
    campaign.write_text(SMALL, encoding="utf-8")
    inside = ["apptainer", "exec", "--bind", str(tmp_path), str(image), "xanesml", "simulate", str(campaign)]
    done = subprocess.run(
        [*mpirun_command(2), *inside, "--output", str(tmp_path / "out")],
        env=os.environ | MPI_AS_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 done; 2 runs" in done.stdout
    assert "on 2 ranks" in done.stdout
