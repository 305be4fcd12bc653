"""The reference stores of the repository: whole, of their campaigns, and made by the native solver."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT

from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.store.create import check_campaign, continued
from xanesml.store.rows import open_store_file, outcome_counts
from xanesml.validation import validate

#: Stores of pools, with their runs: images × absorbers, and those of variants.
PARTICLES = {"au": (55, 147, 309, 561), "pt": (55, 147)}
POOLS = {"au-crystal": 8 * 13, "pt-crystal": 8 * 13, "cu-crystal": (8 + 3 * 2) * 13, "cu-crystal-between": 8 * 13}
POOLS |= {f"{element}-particle{atoms}": 6 * 10 for element, sizes in PARTICLES.items() for atoms in sizes}
POOLS |= {
    f"au-{structure}-{cards}": runs
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
        *((f"pools/{name}", runs) for name, runs in POOLS.items()),
    ],
)
def test_the_reference_data_are_whole(name: str, runs: int) -> None:
    path = ROOT / "reference" / name / "store.h5"
    assert validate(path).ok
    with open_store_file(path) as file:
        check_campaign(file, Campaign.load(ROOT / "reference" / f"{name}.toml"), "")
        assert outcome_counts(file) == {"done": runs}
        assert np.char.startswith(file["runs/solver"][:], b"xanesml fms: ").all()
        # How a self-consistent loop is mixed is all that a retry may have changed.
        assert {change.partition(b" ")[0] for change in file["runs/changes"][:]} <= {b"", b"feff.scf.mixing"}


def test_a_store_of_another_grid_says_how_it_goes_on() -> None:
    campaign = Campaign.load(ROOT / "reference" / "au55.toml")
    smooth = campaign.model_copy(update={"engine": campaign.engine.model_copy(update={"pot_grid": "smooth"})})
    told = r'to go on with it, give pot_grid = "feff" under \[engine\]; else'
    with (
        open_store_file(ROOT / "reference" / "au55" / "store.h5") as file,
        pytest.raises(StoreError, match=told),
    ):
        continued(file, smooth, "another engine")
