"""Particles of every shape, against numbers of atoms and neighbors known from geometry."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from xanesml.campaign import MAGIC_NUMBERS, Campaign, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import build_cluster


@pytest.mark.parametrize(
    ("section", "coordination"),
    [
        # Icosahedron: 12 vertices with 6, 30 on edges with 8, 13 inside.
        ({"shape": "icosahedron", "atoms": 55}, {6: 12, 8: 30, 12: 13}),
        # Octahedron of length 3: 6 vertices with 4, 12 on edges with 7, one inside.
        ({"shape": "octahedron", "size": [3, 0]}, {4: 6, 7: 12, 12: 1}),
        # Truncated octahedron of 38: 24 vertices with 6, 8 in hexagons with 9, 6 inside.
        ({"shape": "octahedron", "size": [4, 1]}, {6: 24, 9: 8, 12: 6}),
        # Decahedron of 7: the axis of two, each with the other and five around; these have two beside them.
        ({"shape": "decahedron", "size": [2, 1, 0]}, {6: 2, 4: 5}),
        # Of Marks' decahedron of 75 atoms.
        ({"shape": "decahedron", "size": [2, 2, 1]}, None),
        ({"shape": "wulff", "surfaces": {"111": 1.0, "100": 1.15}, "atoms": 200}, None),
        ({"shape": "cuboctahedron", "atoms": 923}, None),
    ],
)
def test_shapes(section: dict[str, object], coordination: dict[int, int] | None) -> None:
    cluster = build_cluster(StructureSection.model_validate(section))
    found = Counter(cluster.coordination.tolist())
    if coordination is not None:
        assert found == coordination
    sizes = {"decahedron": 75, "wulff": 201, "cuboctahedron": 923}
    if coordination is None:
        assert len(cluster.numbers) == sizes[str(section["shape"])]
        assert cluster.coordination[cluster.absorber] == 12
    assert cluster.first_shell == pytest.approx(4.0782 / np.sqrt(2), abs=1e-3)
    assert set(cluster.numbers.tolist()) == {79}


def test_a_wulff_particle_of_iron_is_bcc() -> None:
    section = StructureSection(element="Fe", shape="wulff", surfaces={"110": 1.0, "100": 1.1}, atoms=169)
    cluster = build_cluster(section)
    assert cluster.coordination[cluster.absorber] == 8
    assert cluster.first_shell == pytest.approx(2.87 * np.sqrt(3) / 2, abs=1e-9)


def test_lattice_constants_are_the_element_s() -> None:
    assert StructureSection(element="Pt").lattice_constant == 3.92
    assert StructureSection().lattice_constant == 4.0782
    assert StructureSection(element="Fe", lattice_constant=3.65).lattice_constant == 3.65
    assert MAGIC_NUMBERS[:7] == (13, 55, 147, 309, 561, 923, 1415)


def test_the_resolved_campaign_of_a_shape_reads_back_the_same() -> None:
    sections = [
        {"shape": "decahedron", "size": [2, 2, 1]},
        {"shape": "wulff", "surfaces": {"111": 1.0}, "atoms": 100},
        {"file": "a.xyz"},
        {"file": "a.xyz", "images": "::2"},
    ]
    for section in sections:
        campaign = Campaign.model_validate({"name": "x", "structure": section, "distortion": {}})
        assert Campaign.model_validate_json(campaign.resolved()) == campaign


def test_what_ase_cannot_make_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError("layers\ndiffer")

    monkeypatch.setattr("ase.cluster.wulff_construction", fails)
    section = StructureSection(shape="wulff", surfaces={"111": 1.0}, atoms=50)
    with pytest.raises(StructureError, match="ase makes no wulff of Au with these numbers: layers differ; change"):
        build_cluster(section)


def test_an_atom_alone_is_no_particle() -> None:
    with pytest.raises(StructureError, match="1-atom Wulff particle: the absorber 0 has no neighbors"):
        build_cluster(StructureSection(shape="wulff", surfaces={"111": 1.0}, atoms=1))
