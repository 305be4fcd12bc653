"""A trajectory of the example goes from its images to training data, with labels from their own coordinates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.io import read, write
from conftest import FAKE_CAMPAIGN, ROOT, MpiRun

from xanesml.averages.trace import trace_lines
from xanesml.errors import StoreError
from xanesml.learning.dataset import load_tensors
from xanesml.store.create import continued
from xanesml.store.plan import load_campaign
from xanesml.store.rows import open_store_file
from xanesml.validation import validate

pytestmark = pytest.mark.requires("mpi")

#: Images 2 and 4 of the five; 11 distortions.
CAMPAIGN = (
    FAKE_CAMPAIGN.replace("atoms = 13", 'file = "gold55.xyz"\nimages = "2::2"')
    .replace("[disorder]\nstructures = 2\nsigma_minimum = 0.05\n", "")
    .replace("step = 0.05", "step = 0.09")
)


def naive_labels(positions: np.ndarray, absorbers: list[int], cutoff: float, r1: float) -> tuple[float, float, float]:
    """Return MSD, mean shift and mean coordination of the bonds of the absorbers in one image."""
    lengths, neighbors = [], dict.fromkeys(absorbers, 0)
    for i in range(len(positions)):
        for j in range(i + 1, len(positions)):
            length = float(np.linalg.norm(positions[i] - positions[j]))
            if length <= cutoff and (i in absorbers or j in absorbers):
                lengths.append(length)
                for atom in (i, j):
                    if atom in neighbors:
                        neighbors[atom] += 1
    return float(np.var(lengths)), float(np.mean(lengths)) - r1, float(np.mean(list(neighbors.values())))


def test_from_a_trajectory_to_training_data(mpirun: MpiRun, xanesml: str, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "examples" / "md" / "gold55.py"), "--steps", "40", "--output"]
    subprocess.run([*script, str(tmp_path / "gold55.xyz")], check=True, capture_output=True, timeout=200)
    images = read(tmp_path / "gold55.xyz", index=":")
    assert len(images) == 5
    (tmp_path / "md.toml").write_text(CAMPAIGN, encoding="utf-8")
    command = [str(tmp_path / "md.toml"), "-o", str(tmp_path / "out")]
    done = mpirun(2, xanesml, "simulate", *command, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the first image is the undistorted cluster") == 1
    done = mpirun(2, xanesml, "average", *command, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    store, tensors = tmp_path / "out" / "store.h5", tmp_path / "out" / "tensors.h5"
    for path in (store, tensors):
        assert validate(path).ok

    with h5py.File(store) as file:
        assert file["structures/kind"][:].tolist() == [0] * 11 + [2] * 2
        assert file["structures/image"][:].tolist() == [-1] * 11 + [2, 4]
        assert np.isnan(file["structures/sigma"][:]).all()
        cutoff, r1 = float(file.attrs["first_shell_cutoff"]), float(file.attrs["first_shell"])
        several = file["tasks/absorber"][:][file["tasks/structure"][:] == 12].tolist()
        assert len(several) == 13
        cluster = json.loads(str(file.attrs["campaign"]))["structure"]
        assert cluster["images"] == "2::2"
    with h5py.File(tensors) as file:
        assert file["particle/structure"][:].tolist() == [11, 12]
        for row, image in enumerate((2, 4)):
            labels = naive_labels(images[image].positions, several, cutoff, r1)
            found = [float(file[f"particle/{name}"][row]) for name in ("msd", "mean_shift", "coordination")]
            np.testing.assert_allclose(found, labels, rtol=0, atol=1e-9)
    for row, image in enumerate((2, 4)):
        lines = "\n".join(trace_lines(tensors, row, "particle"))
        assert f"image {image} of" in lines
        assert "MSD exactly" in lines
    data = load_tensors(tensors)
    assert data.particle_spectra.shape[0] == 2
    assert (data.particle_msd > 1e-4).all()

    # A trajectory that has changed since is noticed.
    images[4].positions[7] += 0.01
    write(tmp_path / "gold55.xyz", images, format="extxyz")
    with open_store_file(store) as file, pytest.raises(StoreError, match="has other content"):
        continued(file, load_campaign(tmp_path / "md.toml"), str(file.attrs["engine"]))
