"""Whole particles from the campaign to the comparison, with a fake FEFF."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import FAKE_CAMPAIGN, MpiRun

from xanesml.averages.comparison import compare
from xanesml.averages.trace import trace_lines
from xanesml.validation import validate

pytestmark = pytest.mark.requires("mpi")

#: Five distortions of 13 atoms by their two sites, two structures in which all 13 atoms absorb.
CAMPAIGN = (
    FAKE_CAMPAIGN.replace("step = 0.05", 'minimum = -0.1\nmaximum = 0.1\nstep = 0.05\nabsorbers = "sites"')
    .replace("sigma_minimum = 0.05", 'sigma_minimum = 1e-9\nsigma_maximum = 0.03\nabsorbers = "all"')
    .replace("sigma = [0.05, 0.1]", "sigma = [0.03, 0.035]\nlocation = [-0.01, 0.01]\ntruncation_limit = 0.02")
    .replace("families = 300", "families = 4\nmeans_per_family = 1")
)


def test_a_whole_particle_is_simulated_averaged_validated_traced_and_compared(
    mpirun: MpiRun, xanesml: str, tmp_path: Path
) -> None:
    (tmp_path / "whole.toml").write_text(CAMPAIGN, encoding="utf-8")
    for verb in ("simulate", "average"):
        done = mpirun(2, xanesml, verb, "whole.toml", "-o", "out", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "series: 5 spectra, each the mean over 2 sites; particle averages: 2" in done.stdout

    tensors = tmp_path / "out" / "tensors.h5"
    assert validate(tensors).ok
    assert validate(tensors.with_name("store.h5")).ok
    with h5py.File(tensors) as file, h5py.File(tensors.with_name("store.h5")) as store:
        assert store["tasks/multiplicity"][:].tolist() == [1, 12] * 5 + [1] * 26
        assert file["series/task"][:].tolist() == np.arange(10).reshape(5, 2).tolist()
        # The first structure is displaced by nothing that FEFF's input shows.
        undistorted = file["series/mu"][2] / file["series/edge_step"][2]
        np.testing.assert_allclose(file["particle/spectra"][0], undistorted, rtol=1e-6)
        assert np.ptp(store["spectra/mu"][4:6, :20], axis=0).max() > 1e-6, "sites differ"
        coordination = (12 + 12 * 5) / 13
        np.testing.assert_allclose(file["statistical/coordination"][:], coordination)
        np.testing.assert_allclose(file["particle/coordination"][:], coordination)
    traced = "\n".join(trace_lines(tensors, 0, "statistical"))
    assert "2, multiplicities 1 12; each spectrum of the series is the mean over them" in traced
    assert "from the store's spectra again: spectra exactly, edge steps exactly" in traced
    assert "13 of 13, rows of the store 10–22" in "\n".join(trace_lines(tensors, 0, "particle"))
    assert compare(tensors).rms[0] < 1e-6 < compare(tensors).rms[1]
