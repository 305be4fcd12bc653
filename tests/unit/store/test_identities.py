"""What tasks are recognized by: identities follow the input, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from xanesml.campaign import Campaign
from xanesml.store.plan import expand


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def identities(campaign: Campaign, engine: str) -> NDArray[np.bytes_]:
    table = expand(campaign)
    return np.concatenate([table.identities(engine, tasks, table.positions[block]) for block, tasks in table.blocks()])


def test_runs_of_the_center_are_those_of_a_series_of_sites_too() -> None:
    center = identities(campaign(distortion={"step": 0.45}), "engine")
    sites = identities(campaign(distortion={"step": 0.45, "absorbers": "sites"}), "engine")
    assert len(set(sites)) == 15
    assert sites[::5].tolist() == center.tolist()


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
    monkeypatch.setattr("xanesml.store.identities.identity_with", lambda engine, _cards: engine)
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
