from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from conftest import ROOT
from numpy.typing import NDArray

from xanesml.campaign import Campaign
from xanesml.errors import CampaignError, StructureError
from xanesml.store.create import lay_out
from xanesml.store.rows import open_store_file
from xanesml.store.tasks import Kind, describe_sites, expand, stored_cluster

EXAMPLES = ROOT / "examples"
R1 = 4.0782 / np.sqrt(2)


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


def test_runs_of_the_center_are_those_of_a_series_of_sites_too() -> None:
    center = identities(campaign(distortion={"step": 0.45}), "engine")
    sites = identities(campaign(distortion={"step": 0.45, "absorbers": "sites"}), "engine")
    assert len(set(sites)) == 15
    assert sites[::5].tolist() == center.tolist()


@pytest.mark.parametrize(
    ("multiplicity", "text"),
    [([1, 12, 6], "3, multiplicities 1 12 6"), ([1, 1, 1], "3, one atom each"), ([2], "1, multiplicities 2")],
)
def test_sites_are_described(multiplicity: list[int], text: str) -> None:
    assert describe_sites(np.array(multiplicity)) == text


def test_radii_follow_the_distortion() -> None:
    table = expand(campaign(distortion={"step": 0.45}))
    np.testing.assert_allclose(table.scale, (R1 + np.array([-0.45, 0.0, 0.45])) / R1)
    assert f"FMS {7 * table.scale[0]:.4f}"[:9] in table.inputs(0)[0]
    fixed = expand(campaign(distortion={"step": 0.45}, feff={"radii": "fixed"}))
    assert "FMS 7.0" in fixed.inputs(0)[0]


def identities(campaign: Campaign, engine: str) -> NDArray[np.bytes_]:
    table = expand(campaign)
    return np.concatenate([table.identities(engine, tasks, table.positions[block]) for block, tasks in table.blocks()])


def test_a_changed_card_changes_only_the_identities_it_touches() -> None:
    base = {"distortion": {"step": 0.45}, "disorder": {"structures": 1}}
    first = identities(campaign(**base), "engine 1")
    more = identities(campaign(**base | {"disorder": {"structures": 1, "sigma_minimum": 0.03}}), "engine 1")
    assert len(set(first)) == 3 + 13
    assert (first[:3] == more[:3]).all()
    assert not np.isin(first[3:], more[3:]).any()
    assert not np.isin(first, identities(campaign(**base), "engine 2")).any()
    assert not np.isin(first, identities(campaign(**base, feff={"s02": 0.9}), "engine 1")).any()


def test_a_card_that_needs_a_stage_of_the_wheel_identifies_its_tasks_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    convolved = campaign(distortion={"step": 0.45}, feff={"extra_cards": ["SFCONV"]})
    wheel, own = (identities(convolved, engine) for engine in ("feff10-rs 0.2: rdinp", "command FEFF 9"))
    # As runs were identified that had no such stage.
    monkeypatch.setattr("xanesml.store.tasks.identity_with", lambda engine, _cards: engine)
    assert not np.isin(identities(convolved, "feff10-rs 0.2: rdinp"), wheel).any()
    np.testing.assert_array_equal(identities(convolved, "command FEFF 9"), own)


def test_identities_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    several = campaign(distortion={"step": 0.09}, disorder={"structures": 7})
    whole = identities(several, "engine")
    monkeypatch.setattr("xanesml.store.tasks.BLOCK", 4)
    np.testing.assert_array_equal(identities(several, "engine"), whole)
    assert len(set(whole)) == 11 + 7 * 13


def test_inputs_that_differ_have_identities_that_differ() -> None:
    oxide = campaign(distortion={"step": 0.45}, disorder={"structures": 2}, structure={"atoms": 13})
    table = expand(oxide)
    texts = [table.inputs(task)[0] for task in range(len(table))]
    assert len(set(texts)) == len(set(identities(oxide, "engine"))) == len(table)


def test_a_structure_does_not_depend_on_how_many_there_are() -> None:
    disorder = {"sigma_minimum": 0.05, "sigma_maximum": 0.05}
    two = expand(campaign(disorder={"structures": 2, **disorder}))
    three = expand(campaign(disorder={"structures": 3, **disorder}))
    np.testing.assert_array_equal(two.positions[:2], three.positions[:2])
    np.testing.assert_array_equal(three.positions[1], three.positions[:2][1])


def test_an_edge_that_the_element_lacks_is_named() -> None:
    with pytest.raises(CampaignError, match=r"feff.edge: Cu has no O5 edge; it has K, L1"):
        expand(campaign(distortion={"step": 0.45}, structure={"element": "Cu"}, feff={"edge": "O5"}))


def test_overlapping_atoms_are_named_with_their_structure() -> None:
    with pytest.raises(StructureError, match=r"structure 0 .*δ = -0.45 Å"):
        expand(campaign(distortion={"step": 0.45}, structure={"minimum_distance": 2.5})).check()


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
