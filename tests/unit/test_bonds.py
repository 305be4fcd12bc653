"""Bonds and their statistics against values worked out by hand."""

from itertools import combinations

import numpy as np
import pytest

from xanesml.bonds import (
    bond_lengths,
    bonds,
    expected_bonds,
    mean_squared_displacement,
    radial_distribution,
    skewness,
)
from xanesml.campaign import CUBOCTAHEDRA, DisorderSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import absorbers, build_cluster

R1 = 4.0782 / np.sqrt(2)


@pytest.mark.parametrize("atoms", CUBOCTAHEDRA)
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


def test_bond_statistics_of_a_set_made_by_hand() -> None:
    lengths = np.array([[1.0, 2.0, 3.0, 6.0], [2.0, 2.0, 4.0, 4.0]])
    # Means 3 and 3; deviations −2 −1 0 3 and −1 −1 1 1.
    assert mean_squared_displacement(lengths).tolist() == [14 / 4, 1.0]
    assert mean_squared_displacement(lengths, axis=0).tolist() == [0.25, 0.0, 0.25, 1.0]
    np.testing.assert_allclose(skewness(lengths), [(27 - 8 - 1) / 4 / 3.5**1.5, 0.0], rtol=1e-14, atol=1e-15)


def test_radial_distribution() -> None:
    lengths = np.array([2.81, 2.82, 2.91, 2.95, 3.5])
    np.testing.assert_allclose(radial_distribution(lengths, [2.8, 2.9, 3.0]), [5.0, 5.0])
    with pytest.raises(StructureError, match=r"no bond length lies between 1.000 and 2.000 Å; they range from 2.810"):
        radial_distribution(lengths, [1.0, 2.0])


def test_bond_lengths_of_one_and_of_many_structures() -> None:
    one = np.array([[0.0, 0, 0], [3, 4, 0], [3, 4, 12]])
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    assert bond_lengths(one, pairs).tolist() == [5, 12, 13]
    assert bond_lengths(np.stack([one, 2 * one]), pairs).tolist() == [[5, 12, 13], [10, 24, 26]]
