"""Splits, shards and the order of batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import campaign, write_tensors

from xanesml.errors import StoreError
from xanesml.learning.dataset import load_tensors
from xanesml.learning.splits import (
    Split,
    batches,
    shard,
    split_by_family,
    split_structures,
    steps_per_epoch,
)
from xanesml.seeds import Stream, generator

SHARES = {"validation": 0.1, "calibration": 0.1, "test": 0.1}


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


def test_no_spectrum_that_a_rank_trains_on_is_held_out_anywhere(tmp_path: Path) -> None:
    tensor_file = tmp_path / "tensors.h5"
    write_tensors(tensor_file, campaign(), families=10, members=3, points=16, particles=2)
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
    tune, kept = split_structures(count, share=test, seed=seed)
    assert sorted([*tune, *kept]) == list(range(count))
    assert len(kept) == round(test * count)
    if len(kept):
        stretches = np.array_split(np.arange(count), len(kept))
        assert all(index in stretch for index, stretch in zip(kept, stretches, strict=True))


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
