"""Tensor files, splits, scaling, noise and batches."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import campaign, write_tensors

from xanesml.dataset import (
    Stream,
    augment,
    batches,
    generator,
    load_tensors,
    split_by_family,
    steps_per_epoch,
    stream_seed,
)
from xanesml.errors import StoreError
from xanesml.scaling import Scaling


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
    with pytest.raises(StoreError, match=r"version 99.*version 2 .*xanesml average"):
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
    families=st.integers(4, 60),
    members=st.integers(1, 5),
    validation=st.floats(0.01, 0.3),
    test=st.floats(0.01, 0.3),
    seed=st.integers(0, 2**32),
)
def test_no_family_is_on_two_sides_of_a_split(
    families: int, members: int, validation: float, test: float, seed: int
) -> None:
    family = np.random.default_rng(0).permutation(np.repeat(np.arange(families) * 3 + 1, members))
    split = split_by_family(family, validation=validation, test=test, seed=seed)
    sides = [set(family[rows].tolist()) for rows in (split.training, split.validation, split.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert all(sides)
    rows = np.concatenate([split.training, split.validation, split.test])
    assert sorted(rows.tolist()) == list(range(family.size))


def test_shares_of_a_split_are_of_families() -> None:
    split = split_by_family(np.repeat(np.arange(20), 4), validation=0.1, test=0.25, seed=1)
    assert (split.training.size, split.validation.size, split.test.size) == (13 * 4, 2 * 4, 5 * 4)


def test_a_split_depends_on_its_seed_alone() -> None:
    family = np.arange(50)
    first, again, other = (split_by_family(family, validation=0.1, test=0.1, seed=seed).test for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_too_few_families_cannot_be_split() -> None:
    with pytest.raises(StoreError, match=r"3 families.*averaging\.families"):
        split_by_family(np.array([1, 1, 2, 3]), validation=0.1, test=0.1, seed=0)


def test_scaling_by_hand() -> None:
    spectra = np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)
    scaling = Scaling.fit(spectra, np.array([0.01, 0.03]), noise=0.0)
    np.testing.assert_allclose(scaling.scale_features(spectra), [[-1, 0], [1, 0]])
    np.testing.assert_allclose(scaling.scale_labels(np.array([0.01, 0.02, 0.03, 0.05])), [0, 0.5, 1, 2], rtol=1e-6)
    assert scaling.unscale_labels(np.array([0.5, -1.0])).tolist() == pytest.approx([0.02, -0.01])


def test_noise_adds_its_variance_to_the_feature_scale() -> None:
    spectra = np.array([[1.0, 5.0], [7.0, 5.0]], dtype=np.float32)
    scaling = Scaling.fit(spectra, np.array([0.0, 1.0]), noise=4.0)
    np.testing.assert_allclose(scaling.feature_scale, [5.0, 4.0])


def test_equal_labels_cannot_be_scaled() -> None:
    with pytest.raises(StoreError, match=r"labels are 0\.5"):
        Scaling.fit(np.ones((2, 3), dtype=np.float32), np.array([0.5, 0.5]), noise=0.1)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20, unique=True))
def test_unscaling_labels_inverts_scaling_them(values: list[float]) -> None:
    labels = np.array(values)
    scaling = Scaling(np.zeros(1), np.ones(1), float(labels.min()), float(labels.max()))
    returned = scaling.unscale_labels(scaling.scale_labels(labels))
    np.testing.assert_allclose(returned, labels, atol=1e-6 * np.ptp(labels))


def test_scaling_survives_json() -> None:
    import json

    rng = np.random.default_rng(2)
    scaling = Scaling.fit(rng.random((9, 4), dtype=np.float32), rng.random(9), noise=0.003)
    returned = Scaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    np.testing.assert_array_equal(returned.feature_mean, scaling.feature_mean)
    np.testing.assert_array_equal(returned.feature_scale, scaling.feature_scale)
    assert (returned.label_minimum, returned.label_maximum) == (scaling.label_minimum, scaling.label_maximum)


def test_noise_is_white_and_of_the_size_asked_for() -> None:
    noise = augment(np.zeros((400, 200), dtype=np.float32), 0.01, generator(1, Stream.TRAINING_NOISE))
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.01, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=2e-4)
    assert np.corrcoef(noise[:, 0], noise[:, 1])[0, 1] == pytest.approx(0, abs=0.2)


def test_streams_and_keys_are_independent() -> None:
    draws = {
        generator(1, stream, *key).integers(2**62)
        for stream, key in [(Stream.SPLIT, ()), (Stream.ORDER, ()), (Stream.ORDER, (1,)), (Stream.ORDER, (2,))]
    }
    assert len(draws) == 4


def test_no_stream_is_that_of_a_structure() -> None:
    structures = {tuple(np.random.SeedSequence(1, spawn_key=(index,)).generate_state(4)) for index in range(50)}
    streams = {tuple(stream_seed(1, stream, *key).generate_state(4)) for stream in Stream for key in ((), (1,), (1, 2))}
    assert len(structures | streams) == 50 + 3 * len(Stream)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("samples", [1, 7, 64, 65])
def test_every_rank_takes_equally_many_full_batches_and_every_row_comes_up(samples: int, size: int) -> None:
    rows = np.arange(samples) + 100
    shards = [list(batches(rows, batch_size=4, seed=3, epoch=1, rank=rank, size=size)) for rank in range(size)]
    assert {len(shard) for shard in shards} == {steps_per_epoch(samples, batch_size=4, size=size)}
    assert all(batch.shape == (4,) for shard in shards for batch in shard)
    assert {int(row) for shard in shards for batch in shard for row in batch} == set(rows.tolist())


def test_the_ranks_batches_of_a_step_are_one_large_batch() -> None:
    rows = np.arange(60)
    large = list(batches(rows, batch_size=12, seed=3, epoch=2))
    ranks = [list(batches(rows, batch_size=4, seed=3, epoch=2, rank=rank, size=3)) for rank in range(3)]
    for step, batch in enumerate(large):
        assert set(batch.tolist()) == set(np.concatenate([shard[step] for shard in ranks]).tolist())


def test_each_epoch_has_its_own_order() -> None:
    first, second = (next(batches(np.arange(50), batch_size=50, seed=3, epoch=epoch)).tolist() for epoch in (1, 2))
    assert first != second
