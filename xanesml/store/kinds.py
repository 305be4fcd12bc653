"""The structures of a campaign: their kinds, and their positions, generated on access."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from xanesml import structures
from xanesml.campaign import Campaign
from xanesml.files.arrays import Floats, Wholes


class Kind(IntEnum):
    """How a structure was made, as stored in `structures/kind`."""

    DISTORTED = 0
    DISORDERED = 1
    IMAGE = 2

    @property
    def label(self) -> str:
        """The kind as printed: `distorted`, `disordered` or `image`."""
        return self.name.lower()


def count_kinds(kind: Wholes) -> str:
    """Return how many structures of each kind there are as text, such as ``91 distorted, 1000 disordered``."""
    counts = dict(zip(Kind, np.bincount(kind, minlength=len(Kind)).tolist(), strict=True))
    names = (f"{count} {one.label}{'s' * (one is Kind.IMAGE and count > 1)}" for one, count in counts.items() if count)
    return ", ".join(names)


@dataclass(frozen=True)
class GeneratedPositions:
    """The structures of a campaign, generated on access in place of an array."""

    campaign: Campaign
    cluster: structures.Cluster
    delta: Floats
    sigma: Floats
    images: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """(S, A, 3)."""
        return len(self.delta), len(self.cluster.numbers), 3

    def __getitem__(self, index: int | slice) -> Floats:
        """Return one structure, (A, 3), or a block of them, (n, A, 3); a block has step 1."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self.delta))
            return self._block(start, max(start, stop))
        one: Floats = self._block(int(index), int(index) + 1)[0]
        return one

    def _block(self, start: int, stop: int) -> Floats:
        distorted = int(np.count_nonzero(~np.isnan(self.delta)))
        displaced = len(self.delta) - len(self.images)
        middle, end = min(max(distorted, start), stop), max(start, min(displaced, stop))
        parts = []
        if start < middle:
            assert self.campaign.distortion is not None  # noqa: S101 (it gave the deltas)
            length = self.campaign.distortion.length
            parts.append(structures.distort(self.cluster, self.delta[start:middle], length))
        if middle < end:
            assert self.campaign.disorder is not None  # noqa: S101 (it gave the sigmas)
            parts.append(
                structures.disorder(
                    self.cluster,
                    self.sigma[middle:end],
                    seed=self.campaign.seed,
                    first=middle - distorted,
                    directions=self.campaign.disorder.directions,
                )
            )
        if end < stop:
            parts.append(self.images[end - displaced : stop - displaced])
        return np.concatenate(parts) if parts else np.empty((0, *self.cluster.positions.shape))
