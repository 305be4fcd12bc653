"""Tensor files as training reads them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from synthetic import campaign, write_tensors

from xanesml.errors import StoreError
from xanesml.files.layout import TENSORS
from xanesml.learning.dataset import load_tensors, read_families
from xanesml.learning.splits import shard


@pytest.fixture
def tensor_file(tmp_path: Path) -> Path:
    path = tmp_path / "tensors.h5"
    write_tensors(path, campaign(), families=10, members=3, points=16, particles=2)
    return path


def test_arrays_and_attributes_are_those_of_the_file(tensor_file: Path) -> None:
    tensors = load_tensors(tensor_file)
    with h5py.File(tensor_file) as file:
        np.testing.assert_array_equal(tensors.spectra, file["statistical/spectra"][:])
        np.testing.assert_array_equal(tensors.particle_msd, file["particle/msd"][:])
        np.testing.assert_array_equal(tensors.series.r, file["mesh/r"][:])
        np.testing.assert_array_equal(tensors.skewness, file["statistical/skewness"][:])
        np.testing.assert_array_equal(tensors.distribution, file["statistical/distribution"][:])
    assert tensors.spectra.dtype == np.float32
    assert tensors.mesh[0] == 11910.0
    assert tensors.family.tolist() == np.repeat(np.arange(10), 3).tolist()
    assert (tensors.edge, tensors.normalization_energy) == (11919.0, 11925.0)
    assert tensors.campaign_digest == campaign().digest()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_shards_of_all_ranks_are_the_file(tensor_file: Path, size: int) -> None:
    whole = load_tensors(tensor_file)
    parts = [load_tensors(tensor_file, shard(30, rank, size)) for rank in range(size)]
    for name in ("spectra", "msd", "distribution", "family"):
        together = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(together, getattr(whole, name))
    assert max(len(part.msd) for part in parts) <= -(-30 // size)
    np.testing.assert_array_equal(parts[-1].series.mu, whole.series.mu)
    np.testing.assert_array_equal(read_families(tensor_file), whole.family)


def test_the_synthetic_oscillations_are_damped_as_exafs_is(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.h5", campaign(), families=4, members=2, points=16, particles=0)
    tensors = load_tensors(tmp_path / "t.h5")
    k = np.linspace(1.0, 6.0, 16)
    rows = [0, 1, 6, 7]  # Gaussians, the first and last family of four: α is 0, 1, −1, 0.
    expected = (
        0.2
        * np.exp(-2 * k**2 * tensors.msd[rows, np.newaxis])
        * np.sin(2 * k * (2.8837 + tensors.mean_shift[rows, np.newaxis]))
    )
    np.testing.assert_allclose(tensors.spectra[rows] - 1, expected, atol=2e-3)
    assert tensors.msd[rows].tolist() == pytest.approx([0.001, 0.001, 0.02, 0.02], rel=0.02)


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"tensors\.h5.*xanesml average"):
        load_tensors(tmp_path / "tensors.h5")


def test_another_schema_is_refused(tensor_file: Path) -> None:
    with h5py.File(tensor_file, "r+") as file:
        file.attrs["schema"] = "xanesml-store"
    with pytest.raises(StoreError, match=r"xanesml-store.*xanesml-tensors.*xanesml average"):
        load_tensors(tensor_file)


def test_another_version_is_refused_naming_both(tensor_file: Path) -> None:
    with h5py.File(tensor_file, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(StoreError, match=rf"version 99.*version {TENSORS.version} .*xanesml average"):
        load_tensors(tensor_file)


def test_no_statistical_averages_is_an_error(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.h5", campaign(), families=0)
    with pytest.raises(StoreError, match=r"no statistical averages.*\[distortion\]"):
        load_tensors(tmp_path / "t.h5")


@pytest.mark.parametrize("name", ["statistical/msd", "statistical/distribution", "particle/spectra"])
def test_a_missing_dataset_is_named(tensor_file: Path, name: str) -> None:
    with h5py.File(tensor_file, "r+") as file:
        del file[name]
    with pytest.raises(StoreError, match=f"lacks {name}"):
        load_tensors(tensor_file)


def test_a_dataset_of_another_length_is_named(tensor_file: Path) -> None:
    with h5py.File(tensor_file, "r+") as file:
        del file["statistical/msd"]
        file["statistical/msd"] = np.zeros(29)
    with pytest.raises(StoreError, match=r"statistical/msd has shape \(29,\)"):
        load_tensors(tensor_file)


def test_numbers_that_are_not_finite_are_refused(tensor_file: Path) -> None:
    with h5py.File(tensor_file, "r+") as file:
        file["statistical/spectra"][3, 4] = np.nan
    with pytest.raises(StoreError, match="not finite in statistical/spectra"):
        load_tensors(tensor_file)
