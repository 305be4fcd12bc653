"""What a store was laid out from, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import write

from xanesml.campaign import Campaign
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import open_store_file
from xanesml.store.stored import stored_cluster


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def test_a_store_holds_the_coordination_and_the_radius_of_its_cluster(tmp_path: Path) -> None:
    write(tmp_path / "gold.cif", bulk("Au", a=4.0782))
    particle = campaign(structure={"atoms": 13}, distortion={"step": 0.45})
    crystal = campaign(structure={"file": str(tmp_path / "gold.cif"), "radius": 9.0}, distortion={"step": 0.45})
    for one, radius in ((particle, None), (crystal, 9.0)):
        table = expand(one)
        lay_out(tmp_path / "store.h5", one, table, "engine 1")
        with open_store_file(tmp_path / "store.h5") as file:
            stored = stored_cluster(file)
        np.testing.assert_array_equal(stored.coordination, table.cluster.coordination)
        assert stored.radius == radius
        (tmp_path / "store.h5").unlink()
