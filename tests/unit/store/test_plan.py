"""The structures and FEFF runs that campaigns ask for, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT

from xanesml.campaign import Campaign
from xanesml.errors import CampaignError
from xanesml.store.kinds import Kind
from xanesml.store.plan import expand

EXAMPLES = ROOT / "examples"


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def test_the_reference_campaign_is_91_and_13000_runs() -> None:
    reference = Campaign.load(EXAMPLES / "au55-l3.toml")
    assert reference.disorder is not None
    few = reference.model_copy(update={"disorder": reference.disorder.model_copy(update={"structures": 4})})
    table = expand(few)
    assert len(table) == 91 + 4 * 13
    assert (table.kind == Kind.DISTORTED).sum() == 91
    assert reference.disorder.structures * 13 == 13_000
    np.testing.assert_allclose(table.delta[:91], np.linspace(-0.45, 0.45, 91))
    assert np.isnan(table.delta[91:]).all()
    assert np.isnan(table.sigma[:91]).all()
    assert table.structure[90:95].tolist() == [90, 91, 91, 91, 91]
    assert len(set(table.absorber[91 : 91 + 13])) == 13


def test_a_series_of_sites_shares_its_structures_and_says_what_each_absorber_stands_for() -> None:
    table = expand(campaign(distortion={"step": 0.45, "absorbers": "sites"}, disorder={"structures": 2}))
    assert table.structure.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 13 + [4] * 13
    assert table.multiplicity.tolist() == [1, 12, 6, 24, 12] * 3 + [1] * 26
    assert (table.absorber[:5] == table.absorber[5:10]).all()
    assert (table.multiplicity.dtype, table.absorber.dtype, table.structure.dtype) == (np.int32,) * 3
    # Distances of the sites in halves of the scaled lattice constant.
    for task in range(15):
        positions = table.positions[int(table.structure[task])]
        distance = np.linalg.norm(positions[table.absorber[task]]) / (4.0782 / 2 * table.scale[table.structure[task]])
        assert distance**2 == pytest.approx([0, 2, 4, 6, 8][task % 5], abs=1e-9)
    assert table.site_multiplicity.tolist() == [1, 12, 6, 24, 12]
    assert "sites" in repr(table)
    assert "5, multiplicities 1 12 6 24 12" in repr(table)
    assert table.columns(slice(0, 3))["multiplicity"].tolist() == [1, 12, 6]
    assert [(structures, tasks.stop) for structures, tasks in table.blocks()] == [(slice(0, 5), 41)]


def test_the_center_alone_absorbs_unless_told_otherwise() -> None:
    table = expand(campaign(distortion={"step": 0.45}, disorder={"structures": 2, "absorbers": "all"}))
    assert table.structure.tolist() == [0, 1, 2] + [3] * 55 + [4] * 55
    assert table.absorber[3:58].tolist() == table.absorber[58:].tolist() == list(range(55))
    assert table.multiplicity.tolist() == [1] * 113
    assert table.site_multiplicity.tolist() == [1]
    assert "sites" not in repr(table)
    assert expand(campaign(disorder={"structures": 1})).site_multiplicity.tolist() == []


def test_an_edge_that_the_element_lacks_is_named() -> None:
    with pytest.raises(CampaignError, match=r"feff.edge: Cu has no O5 edge; it has K, L1"):
        expand(campaign(distortion={"step": 0.45}, structure={"element": "Cu"}, feff={"edge": "O5"}))
