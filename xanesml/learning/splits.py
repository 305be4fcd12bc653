"""Splits by family, shards of ranks and the order of batches.

Every random draw comes from the campaign's seed and a named stream, so neither a split nor the
order of an epoch depends on the number of ranks or on draws made before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xanesml.errors import StoreError
from xanesml.files.arrays import Integers, Wholes
from xanesml.seeds import Stream, generator


@dataclass(frozen=True)
class Split:
    """Rows of the statistical averages on each side of the split, ascending, int64."""

    training: Integers
    validation: Integers
    calibration: Integers
    test: Integers

    def within(self, rows: slice) -> Split:
        """Return the split of the rows start ≤ row < stop, counted from their start."""

        def part(side: Integers) -> Integers:
            return np.asarray(side[(side >= rows.start) & (side < rows.stop)] - rows.start, dtype=np.int64)

        return Split(part(self.training), part(self.validation), part(self.calibration), part(self.test))


def shard(count: int, rank: int, size: int) -> slice:
    """Return the rows of one of `size` ranks."""
    return slice(count * rank // size, count * (rank + 1) // size)


def evenly(count: int, most: int) -> Integers:
    """Return at most `most` of the indices from 0 to count − 1, evenly taken."""
    return np.linspace(0, count - 1, min(count, most), dtype=int)


def split_by_family(family: Wholes, *, validation: float, calibration: float, test: float, seed: int) -> Split:
    """Split spectra so that no family of weights lies on two sides.

    Parameters
    ----------
    family : ndarray
        Family of each spectrum, shape (N,), integers.
    validation, calibration, test : float
        Shares of the families to hold out; each gets at least one family.
    seed : int
        Seed of the campaign.

    Raises
    ------
    StoreError
        If fewer than two families would be left to train on.
    """
    families = np.unique(family)
    held_out = [max(1, round(share * families.size)) for share in (validation, calibration, test)]
    if families.size - sum(held_out) < 2:
        raise StoreError(
            f"{families.size} families cannot be split into training, validation ({validation}), calibration "
            f"({calibration}) and test ({test}) with two left to train on; raise averaging.families and run "
            "`xanesml average`"
        )
    shuffled = generator(seed, Stream.SPLIT).permutation(families)
    sides = np.split(shuffled, np.cumsum(held_out))
    rows = [np.flatnonzero(np.isin(family, side)).astype(np.int64) for side in sides]
    return Split(validation=rows[0], calibration=rows[1], test=rows[2], training=rows[3])


def split_structures(
    count: int, *, share: float, seed: int, stream: Stream = Stream.STRUCTURES
) -> tuple[Integers, Integers]:
    """Split disordered structures into two sides that span the same disorder.

    Parameters
    ----------
    count : int
        Number of structures, which are sorted by their disorder.
    share : float
        Share of the second side.
    seed : int
        Seed of the campaign.
    stream : Stream, optional
        Stream of the draw.

    Returns
    -------
    others, drawn : ndarray of int64
        Indices, ascending; those drawn are spread evenly over the disorder.
    """
    number = round(share * count)
    # One structure of each stretch, so that both sides span the same disorder.
    stretches = np.array_split(np.arange(count, dtype=np.int64), number) if number else []
    random = generator(seed, stream)
    drawn = np.array([random.choice(stretch) for stretch in stretches], dtype=np.int64)
    return np.setdiff1d(np.arange(count, dtype=np.int64), drawn), drawn


def batches(rows: Integers, *, batch_size: int, steps: int, random: np.random.Generator) -> Iterator[Integers]:
    """Yield one rank's batches of an epoch, shape (batch_size,), of its rows of the training split, shape (n,), n > 0.

    All batches are full: if the rows do not fill the last one, their permutation starts again.
    """
    order = np.resize(random.permutation(rows), steps * batch_size)
    yield from order.reshape(steps, batch_size)


def steps_per_epoch(split: Split, count: int, *, batch_size: int, size: int) -> int:
    """Return the number of steps in which each of `size` ranks sees all its training rows, of `count` rows in all."""
    most = max(split.within(shard(count, rank, size)).training.size for rank in range(size))
    return -(-most // batch_size)
