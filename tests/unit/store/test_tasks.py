"""The inputs of tasks, and the check of their structures."""

from __future__ import annotations

import numpy as np
import pytest

from xanesml.campaign import Campaign
from xanesml.errors import StructureError
from xanesml.store.plan import expand

R1 = 4.0782 / np.sqrt(2)


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def test_radii_follow_the_distortion() -> None:
    table = expand(campaign(distortion={"step": 0.45}))
    np.testing.assert_allclose(table.scale, (R1 + np.array([-0.45, 0.0, 0.45])) / R1)
    assert f"FMS {7 * table.scale[0]:.4f}"[:9] in table.inputs(0)[0]
    fixed = expand(campaign(distortion={"step": 0.45}, feff={"radii": "fixed"}))
    assert "FMS 7.0" in fixed.inputs(0)[0]


def test_overlapping_atoms_are_named_with_their_structure() -> None:
    with pytest.raises(StructureError, match=r"structure 0 .*δ = -0.45 Å"):
        expand(campaign(distortion={"step": 0.45}, structure={"minimum_distance": 2.5})).check()
