"""The order in which tasks are farmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fake_comm import run_ranks

from hpc.farming.pending import find_pending
from xanesml.campaign import Campaign
from xanesml.store.create import lay_out
from xanesml.store.plan import expand


def test_tasks_of_variants_come_after_all_others(tmp_path: Path) -> None:
    campaign = Campaign.model_validate(
        {
            "name": "x",
            "structure": {"atoms": 13},
            "disorder": {"structures": 2, "absorbers": [0, 9]},
            # A wider sphere takes longer.
            "feff": {"scf": False, "fms_radius": 2.0, "variants": {"wide": {"fms_radius": 7.0, "structures": "1:"}}},
        }
    )
    table, said = expand(campaign), list[str]()
    lay_out(tmp_path / "store.h5", campaign, table, "fake 1")
    (found,) = run_ranks(
        1, lambda comm: find_pending(comm, table, tmp_path / "store.h5", campaign.engine, echo=said.append)
    )
    assert set(found.order[:4].tolist()) == {0, 1, 2, 3}
    assert set(found.order[4:].tolist()) == {4, 5}
    assert np.array_equal(np.sort(found.order), np.arange(6))
    assert said == []
