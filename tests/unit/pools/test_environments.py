"""Environments of real stores, and mixtures against sums worked out bond by bond."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xanesml.errors import StoreError
from xanesml.pools.environments import Environments, load_environments
from xanesml.store.reader import open_store

AU55 = Path(__file__).parents[3] / "reference" / "au55"


def test_mixed_labels_are_those_of_all_bonds_together() -> None:
    lengths = [np.array([2.8, 2.9, 3.1]), np.array([2.7, 2.85])]
    bonds = np.array([[len(r), r.sum(), (r**2).sum()] for r in lengths])
    few = Environments(
        energy=np.array([0.0, 1.0]),
        mu=np.array([[1.0, 2.0], [3.0, 5.0]]),
        step=np.array([1.0, 2.0]),
        bonds=bonds,
        group=np.array([0, 1]),
        store=np.zeros(2, dtype=int),
        keys=np.array([b"a", b"b"]),
        names=("a",),
        edge=0.0,
    )
    spectra, labels = few.mixed(np.array([[1.0, 0.0], [2.0, 1.0]]))
    # Two atoms like the first and one like the second, all their bonds in one list.
    together = np.concatenate([lengths[0], lengths[0], lengths[1]])
    np.testing.assert_allclose(labels[0], [lengths[0].var(), lengths[0].mean(), 3], rtol=1e-9)
    np.testing.assert_allclose(labels[1], [together.var(), together.mean(), 8 / 3], rtol=1e-9)
    np.testing.assert_allclose(spectra, [[1.0, 2.0], [5 / 4, 9 / 4]])


def test_a_series_has_the_bonds_of_its_distortions() -> None:
    found = load_environments([AU55], last=50.0, step=0.5)
    with open_store(AU55 / "store.h5") as store:
        delta = store.spectra().coordinates["delta"]
        cluster = store.tasks().cluster
    assert len(found) == 91
    assert found.bonds[:, 0].tolist()[40:51] == [12] * 11
    # Where the center has its twelve neighbors below the cutoff, and no others.
    (twelve,) = np.nonzero(found.bonds[:, 0] == 12)
    lengths = cluster.first_shell + delta
    assert twelve.size > 80
    np.testing.assert_allclose((found.bonds[:, 1] / found.bonds[:, 0])[twelve], lengths[twelve], rtol=1e-6)
    np.testing.assert_allclose(found.bonds[twelve, 2], 12 * lengths[twelve] ** 2, rtol=1e-6)
    assert found.names == ("au55",)
    assert np.unique(found.group).size == 91
    assert np.isfinite(found.mu).all()


def test_stores_keep_their_groups_apart(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(AU55)
    both = load_environments([AU55, tmp_path / "again"], last=50.0, step=0.5)
    assert both.store.tolist() == [0] * 91 + [1] * 91
    assert np.unique(both.group).size == 182
    np.testing.assert_array_equal(both.mu[:91], both.mu[91:])


def test_a_mesh_beyond_the_spectra_is_refused() -> None:
    with pytest.raises(StoreError, match="never extrapolated"):
        load_environments([AU55], last=200.0, step=0.5)
    with pytest.raises(StoreError, match="at least one store"):
        load_environments([], last=50.0, step=0.5)
