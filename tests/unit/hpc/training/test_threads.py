"""The threads of a rank: the cores of a job are shared by its ranks, not those of the machine."""

from __future__ import annotations

import pytest

from hpc.training.collective import own_threads


@pytest.mark.parametrize(
    ("node", "threads"),
    [
        # Bound by the launcher, two cores each.
        ([{0, 1}, {2, 3}, {4, 5}], 2),
        # Not bound: eight cores of a larger machine are the job's, and four ranks share them.
        ([set(range(8))] * 4, 2),
        ([set(range(8))] * 3, 2),
        # More ranks than cores.
        ([{0, 1}] * 4, 1),
        ([{5}], 1),
    ],
)
def test_ranks_share_what_they_may_use_together(node: list[set[int]], threads: int) -> None:
    assert [own_threads(mine, node) for mine in node] == [threads] * len(node)
