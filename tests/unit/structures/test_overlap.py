"""Overlapping atoms are refused, and by the block exactly as one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xanesml.campaign import DistortionSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import (
    Cluster,
    build_cluster,
    check_overlap,
    check_overlaps,
    deltas,
    disorder,
    distort,
)


def test_overlap_names_the_closest_pair() -> None:
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0], [2.0, 0.4, 0], [0, 0.45, 0]])
    with pytest.raises(StructureError, match=r"structure 8: atoms 1 and 2 are 0\.400 Å apart"):
        check_overlap(positions, 0.5, "structure 8")
    check_overlap(positions, 0.4, "structure 8")


def refusal(cluster: Cluster, positions: np.ndarray) -> str | None:
    try:
        check_overlaps(cluster, positions, "structure {}".format)
    except StructureError as error:
        return str(error)
    return None


def naive_refusal(cluster: Cluster, positions: np.ndarray) -> str | None:
    for index, atoms in enumerate(positions):
        lengths = np.linalg.norm(atoms[:, np.newaxis] - atoms, axis=-1) + np.diag(np.full(len(atoms), np.inf))
        if lengths.min() < cluster.minimum_distance:
            first, second = np.unravel_index(np.argmin(lengths), lengths.shape)
            return (
                f"structure {index}: atoms {first} and {second} are {lengths.min():.3f} Å apart, closer than "
                f"structure.minimum_distance = {cluster.minimum_distance} Å; change the structure or the limit"
            )
    return None


@given(st.floats(0.3, 2.8), st.floats(0.0, 1.5), st.integers(0, 1000))
def test_a_disordered_block_is_refused_as_its_structures_are(limit: float, sigma: float, seed: int) -> None:
    cluster = build_cluster(StructureSection(atoms=13, minimum_distance=limit))
    positions = disorder(cluster, np.linspace(0.0, sigma, 6), seed=seed, first=0)
    assert refusal(cluster, positions) == naive_refusal(cluster, positions)


@pytest.mark.parametrize("atoms", [13, 561])
def test_a_series_is_refused_from_the_distortion_on_that_overlaps(atoms: int) -> None:
    cluster = build_cluster(StructureSection(atoms=atoms, minimum_distance=2.6))
    series = deltas(DistortionSection())
    # 4.0782 / √2 − 0.28 = 2.6037 Å is the last that passes.
    passing = series >= -0.28
    check_overlaps(cluster, distort(cluster, series[passing]), "structure {}".format)
    with pytest.raises(StructureError, match=r"structure 2: atoms \d+ and \d+ are 2\.594 Å apart, .* = 2\.6 Å"):
        check_overlaps(cluster, distort(cluster, np.array([0.0, -0.28, -0.29])), "structure {}".format)


def test_no_pair_is_looked_at_in_structures_as_campaigns_have_them() -> None:
    def never(index: int) -> str:
        raise AssertionError(f"structure {index} was looked at pair by pair")

    cluster = build_cluster(StructureSection(atoms=561))
    check_overlaps(cluster, disorder(cluster, np.full(100, 0.14), seed=1, first=0), never)
    check_overlaps(cluster, distort(cluster, deltas(DistortionSection())), never)


def test_one_atom_moved_onto_another_is_found() -> None:
    cluster = build_cluster(StructureSection(atoms=55))
    positions = disorder(cluster, np.full(8, 0.05), seed=1, first=0)
    positions[5, 54] = positions[5, 3] + [0.0, 0.1, 0.0]
    before = positions.copy()
    with pytest.raises(StructureError, match=r"number five: atoms 3 and 54 are 0\.100 Å apart"):
        check_overlaps(cluster, positions, {5: "number five"}.__getitem__)
    np.testing.assert_array_equal(positions, before)


def test_an_inverted_cluster_and_an_empty_block_are_judged_too() -> None:
    cluster = build_cluster(StructureSection(atoms=13))
    check_overlaps(cluster, -cluster.positions[np.newaxis], "structure {}".format)
    check_overlaps(cluster, np.empty((0, 13, 3)), "structure {}".format)
    with pytest.raises(StructureError, match=r"structure 0: .* 0\.000 Å apart"):
        check_overlaps(cluster, np.zeros((1, 13, 3)), "structure {}".format)
