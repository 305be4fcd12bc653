"""A measured spectrum beside averages of one's own choice."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT
from synthetic import campaign, write_tensors

from hpc.mixing import mix_averages
from xanesml.averages.mixing import Choice
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import normalize

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"

pytestmark = pytest.mark.requires("larch")


def test_a_measured_spectrum_is_shifted_onto_each_average(tmp_path: Path) -> None:
    tensors = tmp_path / "tensors.h5"
    write_tensors(tensors, campaign(), families=2, members=2)
    with h5py.File(tensors, "r+") as file:
        mesh, offset = file["mesh/energy"][:], file.attrs["normalization_energy"] - file.attrs["edge"]
        foil = normalize(read_spectrum(FOIL), step_offset=float(offset))
        steps, delta = file["series/edge_step"][:], file["series/delta"][:]
        # The foil itself, 2 eV higher, at δ = 0, and a tilted one at others.
        there = np.interp(mesh, foil.energy + 2.0, foil.mu)
        file["series/mu"][:] = np.outer(steps, there) * (1 + np.outer(0.2 * delta, np.cos(mesh)))
    lines: list[str] = []
    chosen = Choice(sigma=(0.05,), mean=(0.0, 0.1))
    mixed = mix_averages(campaign(), tensors, tmp_path / "mix", chosen, measured=FOIL, echo=lines.append)
    with (tmp_path / "mix" / "labels.csv").open() as file:
        centered, other = csv.DictReader(file)
    assert float(centered["measured_shift"]) == pytest.approx(2.0, abs=2e-3)
    assert float(centered["rms_measured"]) < 1e-4 < float(other["rms_measured"])
    table = np.genfromtxt(tmp_path / "mix" / "spectra.csv", delimiter=",", names=True, deletechars="")
    np.testing.assert_allclose(table["measured"], mixed.spectra[0], atol=5e-4)
    assert "from Au_Foil_L3_rt_2016Foils.xdi (shifted +2.00 eV)" in lines[0]
    assert (tmp_path / "mix" / "mix.pdf").stat().st_size > 5000
