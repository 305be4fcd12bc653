"""The structures of a campaign, generated on access."""

from __future__ import annotations

import numpy as np

from xanesml.campaign import Campaign
from xanesml.store.plan import expand


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def test_a_structure_does_not_depend_on_how_many_there_are() -> None:
    disorder = {"sigma_minimum": 0.05, "sigma_maximum": 0.05}
    two = expand(campaign(disorder={"structures": 2, **disorder}))
    three = expand(campaign(disorder={"structures": 3, **disorder}))
    np.testing.assert_array_equal(two.positions[:2], three.positions[:2])
    np.testing.assert_array_equal(three.positions[1], three.positions[:2][1])
