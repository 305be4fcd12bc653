"""Bonds and their statistics against values worked out by hand."""

from itertools import combinations

import numpy as np
import pytest

from xanesml.campaign import MAGIC_NUMBERS, DisorderSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import absorbers, build_cluster
from xanesml.structures.bonds import (
    bond_lengths,
    bond_weights,
    bonds,
    coordination,
    expected_bonds,
    shares_in_bins,
    shares_in_series,
)

R1 = 4.0782 / np.sqrt(2)


@pytest.mark.parametrize("atoms", MAGIC_NUMBERS[:5])
def test_bond_counts_of_the_cuboctahedra(atoms: int) -> None:
    structure, section = StructureSection(atoms=atoms), DisorderSection()
    cluster = build_cluster(structure)
    chosen = absorbers(cluster, section)
    assert len(cluster.numbers) == atoms
    assert len(chosen) == 13
    assert chosen[0] == cluster.absorber
    assert np.all(np.diff(chosen[1:]) > 0)
    pairs = bonds(cluster, chosen, expected_bonds(structure, section))
    naive = [
        (i, j)
        for i, j in combinations(range(atoms), 2)
        if (i in chosen or j in chosen) and np.linalg.norm(cluster.positions[i] - cluster.positions[j]) < 1.1 * R1
    ]
    assert pairs.tolist() == [list(pair) for pair in naive]
    ends = np.isin(pairs, chosen).sum(axis=1)
    from_center = (pairs == cluster.absorber).any(axis=1).sum()
    between_neighbors = (ends == 2).sum() - from_center
    assert (from_center, between_neighbors, (ends == 1).sum()) == (12, 24, 0 if atoms == 13 else 84)


def test_a_cutoff_that_takes_in_the_second_shell_is_refused() -> None:
    structure, section = StructureSection(atoms=55, first_shell_cutoff=4.2), DisorderSection()
    cluster = build_cluster(structure)
    with pytest.raises(StructureError, match=r"bonds up to 4\.2000 Å, 120 needed"):
        bonds(cluster, absorbers(cluster, section), expected_bonds(structure, section))
    with pytest.raises(StructureError, match=r"have 0 first-shell bonds .* at least one needed"):
        bonds(cluster, np.array([], dtype=np.intp))


def test_weights_of_bonds_by_the_multiplicity_of_their_absorbing_ends() -> None:
    pairs = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])
    np.testing.assert_allclose(bond_weights(pairs, np.array([0, 1, 2]), np.ones(3)), [0.25] * 4)
    # Atom 1 absorbs once, atom 2 four times; 0 and 3 do not absorb.
    weights = bond_weights(pairs, np.array([2, 1]), [4.0, 1.0])
    np.testing.assert_allclose(weights, np.array([1, 4, 2.5, 4]) / 11.5)


def test_coordination_of_the_reference_particle_is_twelve() -> None:
    structure, section = StructureSection(atoms=55), DisorderSection()
    cluster = build_cluster(structure)
    several = absorbers(cluster, section)
    pairs = bonds(cluster, several)
    assert coordination(pairs, several, np.ones(13)) == 12
    smallest = build_cluster(StructureSection(atoms=13))
    several = absorbers(smallest, section)
    # The center has 12 neighbors, each of the others 4 beside the center.
    assert coordination(bonds(smallest, several), several, np.ones(13)) == pytest.approx((12 + 12 * 5) / 13)
    assert coordination(bonds(smallest, several), several, [12.0] + [1.0] * 12) == pytest.approx(8.5)


def test_shares_in_bins_by_hand() -> None:
    lengths = np.array([[2.81, 2.82, 2.91, 2.95], [2.85, 2.7, 3.5, 2.93]])
    shares = shares_in_bins(lengths, np.array([0.1, 0.2, 0.3, 0.4]), np.array([2.85, 2.95]))
    np.testing.assert_allclose(shares, [[0.3, 0.7], [0.1, 0.4]])


def test_shares_in_the_series_keep_the_mean_and_name_what_is_outside() -> None:
    delta = np.array([-0.1, 0.0, 0.1])
    shifts = np.array([[-0.1, 0.025, 0.1, 0.05], [0.2, -0.3, 0.0, 0.0]])
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    shares, outside = shares_in_series(shifts, weights, delta)
    np.testing.assert_allclose(shares, [[0.1, 0.35, 0.55], [0, 1, 0]], atol=1e-15)
    np.testing.assert_allclose(outside, [0, 0.3], atol=1e-15)
    assert shares[0] @ delta == pytest.approx(weights @ shifts[0])
    none, outside = shares_in_series(np.full((1, 4), 0.3), weights, delta)
    assert none.tolist() == [[0, 0, 0]]
    assert outside[0] == pytest.approx(1)
    assert shares_in_series(shifts[:1], weights, delta)[1].tolist() == [0]


def test_bond_lengths_of_one_and_of_many_structures() -> None:
    one = np.array([[0.0, 0, 0], [3, 4, 0], [3, 4, 12]])
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    assert bond_lengths(one, pairs).tolist() == [5, 12, 13]
    assert bond_lengths(np.stack([one, 2 * one]), pairs).tolist() == [[5, 12, 13], [10, 24, 26]]
