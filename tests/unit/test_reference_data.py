"""The reference stores of the repository: whole, of their campaigns, and made by the native solver."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT

from xanesml.campaign import Campaign
from xanesml.store.create import check_campaign
from xanesml.store.rows import open_store_file, outcome_counts
from xanesml.validation import validate

#: Stores of pools, with their runs: images × absorbers.
POOLS = {"crystal": 8 * 13, "particle147": 6 * 10, "particle309": 6 * 10} | {
    f"{structure}-{cards}": runs
    for structure, runs in (("crystal", 2 * 13), ("particle147", 2 * 10))
    for cards in ("hl", "shift", "sites")
}


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("au55", 91),
        ("au561", 611),
        ("au55-particles", 221),
        ("au55-sites", 265),
        *((f"pools/au-{name}", runs) for name, runs in POOLS.items()),
        ("pools/cu-crystal", 8 * 13),
    ],
)
def test_the_reference_data_are_whole(name: str, runs: int) -> None:
    path = ROOT / "reference" / name / "store.h5"
    assert validate(path).ok
    with open_store_file(path) as file:
        check_campaign(file, Campaign.load(ROOT / "reference" / f"{name}.toml"), "")
        assert outcome_counts(file) == {"done": runs}
        assert np.char.startswith(file["runs/solver"][:], b"xanesml fms: ").all()
        assert set(file["runs/changes"][:]) == {b""}
