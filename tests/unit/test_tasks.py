from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xanesml.campaign import Campaign, load_campaign
from xanesml.cost import EVERY_RUN, NONLOCAL_EXCHANGE, PER_SQUARED_ATOM, SELF_CONSISTENCY, estimate_seconds
from xanesml.errors import CampaignError, StructureError
from xanesml.tasks import Kind, expand

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
R1 = 4.0782 / np.sqrt(2)


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def test_the_reference_campaign_is_91_and_13000_runs() -> None:
    reference = load_campaign(EXAMPLES / "au55-l3.toml")
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


def test_radii_follow_the_distortion() -> None:
    table = expand(campaign(distortion={"step": 0.45}))
    np.testing.assert_allclose(table.scale, (R1 + np.array([-0.45, 0.0, 0.45])) / R1)
    assert f"FMS {7 * table.scale[0]:.4f}"[:9] in table.feff_input(0)
    fixed = expand(campaign(distortion={"step": 0.45}, feff={"radii": "fixed"}))
    assert "FMS 7.0" in fixed.feff_input(0)


def test_a_changed_card_changes_only_the_identities_it_touches() -> None:
    base = {"distortion": {"step": 0.45}, "disorder": {"structures": 1}}
    first = expand(campaign(**base)).identities("engine 1")
    more = expand(campaign(**base | {"disorder": {"structures": 1, "sigma_minimum": 0.03}})).identities("engine 1")
    assert len(set(first)) == 3 + 13
    assert (first[:3] == more[:3]).all()
    assert not np.isin(first[3:], more[3:]).any()
    assert not np.isin(first, expand(campaign(**base)).identities("engine 2")).any()
    assert not np.isin(first, expand(campaign(**base, feff={"s02": 0.9})).identities("engine 1")).any()


def test_a_structure_does_not_depend_on_how_many_there_are() -> None:
    disorder = {"sigma_minimum": 0.05, "sigma_maximum": 0.05}
    two = expand(campaign(disorder={"structures": 2, **disorder}))
    three = expand(campaign(disorder={"structures": 3, **disorder}))
    np.testing.assert_array_equal(two.positions, three.positions[:2])


def test_an_edge_that_the_element_lacks_is_named() -> None:
    with pytest.raises(CampaignError, match=r"feff.edge: Cu has no O5 edge; it has K, L1"):
        expand(campaign(distortion={"step": 0.45}, structure={"element": "Cu"}, feff={"edge": "O5"}))


def test_overlapping_atoms_are_named_with_their_structure() -> None:
    with pytest.raises(StructureError, match=r"structure 0 .*δ = -0.45 Å"):
        expand(campaign(distortion={"step": 0.45}, structure={"minimum_distance": 2.5}))


def test_cost_counts_the_atoms_in_the_sphere() -> None:
    cheap = {"scf": False, "exchange": [0, 0.2, 0.5], "fms_radius": 3.5}
    table = expand(campaign(distortion={"step": 0.45}, feff=cheap))
    np.testing.assert_allclose(estimate_seconds(table), EVERY_RUN + PER_SQUARED_ATOM * 13**2)
    table = expand(campaign(distortion={"step": 0.45}))
    full = EVERY_RUN + NONLOCAL_EXCHANGE + SELF_CONSISTENCY + PER_SQUARED_ATOM * 55**2
    np.testing.assert_allclose(estimate_seconds(table), full)
