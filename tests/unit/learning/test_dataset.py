"""Tensor files, shards, splits, scaling and batches."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from synthetic import campaign, write_tensors

from xanesml.errors import StoreError
from xanesml.learning.dataset import (
    Split,
    batches,
    load_tensors,
    read_families,
    shard,
    split_by_family,
    split_structures,
    steps_per_epoch,
)
from xanesml.learning.scaling import FeatureSums, Scaling
from xanesml.seeds import Stream, generator

SHARES = {"validation": 0.1, "calibration": 0.1, "test": 0.1}


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
        np.testing.assert_array_equal(tensors.r, file["mesh/r"][:])
        np.testing.assert_array_equal(tensors.kurtosis, file["statistical/kurtosis"][:])
        np.testing.assert_array_equal(tensors.distribution, file["statistical/distribution"][:])
    assert tensors.spectra.dtype == np.float32
    assert tensors.mesh[0] == 11910.0
    assert tensors.family.tolist() == np.repeat(np.arange(10), 3).tolist()
    assert (tensors.edge, tensors.normalization, tensors.normalization_energy) == (11919.0, "absolute", 11925.0)
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
    with pytest.raises(StoreError, match=r"version 99.*version 3 .*xanesml average"):
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


@given(
    families=st.integers(6, 60),
    members=st.integers(1, 5),
    validation=st.floats(0.01, 0.2),
    calibration=st.floats(0.01, 0.2),
    test=st.floats(0.01, 0.2),
    seed=st.integers(0, 2**32),
)
def test_no_family_is_on_two_sides_of_a_split(
    families: int, members: int, validation: float, calibration: float, test: float, seed: int
) -> None:
    family = np.random.default_rng(0).permutation(np.repeat(np.arange(families) * 3 + 1, members))
    split = split_by_family(family, validation=validation, calibration=calibration, test=test, seed=seed)
    rows = [split.training, split.validation, split.calibration, split.test]
    sides = [set(family[some].tolist()) for some in rows]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == families
    assert sorted(np.concatenate(rows).tolist()) == list(range(family.size))


def test_no_spectrum_that_a_rank_trains_on_is_held_out_anywhere(tensor_file: Path) -> None:
    whole = load_tensors(tensor_file)
    split = split_by_family(whole.family, **SHARES, seed=3)
    held_out = {
        row.tobytes() for rows in (split.validation, split.calibration, split.test) for row in whole.spectra[rows]
    }
    trained = set()
    for rank in range(3):
        rows = shard(30, rank, 3)
        mine, part = split.within(rows).training, load_tensors(tensor_file, rows)
        random = generator(3, Stream.ORDER, rank)
        for batch in batches(mine, batch_size=4, steps=5, random=random):
            trained |= {row.tobytes() for row in part.spectra[batch]}
    assert not trained & held_out
    assert trained == {row.tobytes() for row in whole.spectra[split.training]}


def test_shares_of_a_split_are_of_families() -> None:
    split = split_by_family(np.repeat(np.arange(20), 4), validation=0.1, calibration=0.15, test=0.25, seed=1)
    sizes = split.training.size, split.validation.size, split.calibration.size, split.test.size
    assert sizes == (10 * 4, 2 * 4, 3 * 4, 5 * 4)


def test_a_split_depends_on_its_seed_alone() -> None:
    family = np.arange(50)
    first, again, other = (split_by_family(family, **SHARES, seed=seed).test for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_too_few_families_cannot_be_split() -> None:
    with pytest.raises(StoreError, match=r"4 families.*averaging\.families"):
        split_by_family(np.array([1, 1, 2, 3, 4]), **SHARES, seed=0)


@given(count=st.integers(0, 60), test=st.floats(0.05, 1.0), seed=st.integers(0, 100))
def test_structures_are_kept_from_every_stretch_of_the_disorder(count: int, test: float, seed: int) -> None:
    tune, kept = split_structures(count, test=test, seed=seed)
    assert sorted([*tune, *kept]) == list(range(count))
    assert len(kept) == round(test * count)
    if len(kept):
        stretches = np.array_split(np.arange(count), len(kept))
        assert all(index in stretch for index, stretch in zip(kept, stretches, strict=True))


def fitted(spectra: np.ndarray, labels: list[float], noise: float) -> Scaling:
    center = np.full(spectra.shape[1], 3.0)
    return Scaling.fit(FeatureSums.of(spectra, center), {"msd": np.array(labels)}, noise=noise)


def test_scaling_by_hand() -> None:
    spectra = np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)
    scaling = fitted(spectra, [0.01, 0.03], noise=0.0)
    np.testing.assert_allclose(scaling.scale_features(spectra), [[-1, 0], [1, 0]])
    np.testing.assert_allclose(scaling.scale_labels(np.array([0.01, 0.02, 0.03, 0.05])), [0, 0.5, 1, 2], rtol=1e-6)
    assert scaling.unscale_labels(np.array([0.5, -1.0])).tolist() == pytest.approx([0.02, -0.01])


def test_noise_adds_its_variance_to_the_feature_scale() -> None:
    spectra = np.array([[1.0, 5.0], [7.0, 5.0]], dtype=np.float32)
    np.testing.assert_allclose(fitted(spectra, [0.0, 1.0], noise=4.0).feature_scale, [5.0, 4.0])


def test_sums_over_shards_give_the_mean_and_deviation_of_all() -> None:
    spectra = np.random.default_rng(1).normal(1.0, 1e-3, (50, 4)).astype(np.float32)
    center = spectra[0].astype(np.float64)
    parts = [FeatureSums.of(part, center) for part in (spectra[:20], spectra[20:20], spectra[20:])]
    mean, deviation = FeatureSums(center, sum(part.sums for part in parts)).mean_and_deviation()
    np.testing.assert_allclose(mean, spectra.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(deviation, spectra.std(axis=0, dtype=np.float64), rtol=1e-9)


def test_equal_labels_cannot_be_scaled() -> None:
    with pytest.raises(StoreError, match=r"labels msd are 0\.5"):
        fitted(np.ones((2, 3), dtype=np.float32), [0.5, 0.5], noise=0.1)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20, unique=True))
def test_unscaling_labels_inverts_scaling_them(values: list[float]) -> None:
    labels = np.array(values)
    scaling = Scaling(np.zeros(1), np.ones(1), {"skewness": (float(labels.min()), float(labels.max()))})
    returned = scaling.unscale_labels(scaling.scale_labels(labels, "skewness"), "skewness")
    np.testing.assert_allclose(returned, labels, atol=1e-6 * np.ptp(labels))


def test_scaling_survives_json() -> None:

    rng = np.random.default_rng(2)
    scaling = fitted(rng.random((9, 4), dtype=np.float32), rng.random(9).tolist(), noise=0.003)
    returned = TypeAdapter(Scaling).validate_json(TypeAdapter(Scaling).dump_json(scaling))
    np.testing.assert_array_equal(returned.feature_mean, scaling.feature_mean)
    np.testing.assert_array_equal(returned.feature_scale, scaling.feature_scale)
    assert returned.ranges == scaling.ranges


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [20, 64, 65])
def test_every_rank_takes_equally_many_full_batches_and_every_row_comes_up(count: int, size: int) -> None:
    training = np.arange(count)[np.arange(count) % 4 > 0]
    empty = np.empty(0, np.int64)
    split = Split(training, empty, empty, empty)
    steps = steps_per_epoch(split, count, batch_size=4, size=size)
    seen = []
    for rank in range(size):
        rows = shard(count, rank, size)
        mine = split.within(rows).training
        taken = list(batches(mine, batch_size=4, steps=steps, random=generator(1, Stream.ORDER, rank)))
        assert [batch.shape for batch in taken] == [(4,)] * steps
        seen += [int(row) + rows.start for batch in taken for row in batch]
    assert set(seen) == set(training.tolist())


def test_the_order_is_that_of_its_generator() -> None:
    first, again, other = (
        next(batches(np.arange(50), batch_size=50, steps=1, random=generator(3, Stream.ORDER, epoch))).tolist()
        for epoch in (1, 1, 2)
    )
    assert first == again != other
