"""Images of a trajectory: which are taken, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from xanesml.campaign import Campaign, StructureSection
from xanesml.errors import CampaignError, StructureError
from xanesml.store.kinds import Kind
from xanesml.store.plan import expand
from xanesml.structures import Trajectory, build_cluster, read_trajectory

GOLD = build_cluster(StructureSection(atoms=13))


def frames(count: int) -> list[Atoms]:
    rng = np.random.default_rng(1)
    moves = [np.zeros((13, 3)), *(rng.normal(0, 0.04, (count - 1, 13, 3)))]
    return [Atoms("Au13", positions=GOLD.positions + move + [1.0, 2.0, 3.0]) for move in moves]


def section(folder: Path, chosen: str, radius: float | None = None) -> StructureSection:
    return StructureSection(file=folder / "md.xyz", images=chosen, radius=radius, absorber=0 if radius else None)


def trajectory(folder: Path, images: list[Atoms], chosen: str = "::2", radius: float | None = None) -> Trajectory:
    write(folder / "md.xyz", images, format="extxyz")
    chosen_section = section(folder, chosen, radius)
    return read_trajectory(chosen_section, build_cluster(chosen_section))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [("::2", [0, 2, 4, 6]), ("5:", [5, 6]), ("-2:", [5, 6]), (":", list(range(7))), ("6:2:-2", [6, 4])],
)
def test_images_are_chosen_as_ase_does(chosen: str, expected: list[int], tmp_path: Path) -> None:
    images = frames(7)
    found = trajectory(tmp_path, images, chosen)
    assert found.image.tolist() == expected
    for index, positions in zip(expected, found.positions, strict=True):
        center = images[index].positions[GOLD.absorber]
        np.testing.assert_allclose(positions, images[index].positions - center, atol=1e-7)


def test_the_first_image_is_the_undistorted_cluster(tmp_path: Path) -> None:
    write(tmp_path / "md.xyz", frames(5), format="extxyz")
    cluster = build_cluster(StructureSection(file=tmp_path / "md.xyz", images="3:"))
    np.testing.assert_allclose(cluster.positions, GOLD.positions, atol=1e-7)
    assert "the first image is the undistorted cluster" in cluster.notes[0]


def test_a_particle_across_the_cell_s_faces_is_made_whole_in_every_image(tmp_path: Path) -> None:
    plain = trajectory(tmp_path, frames(4), ":")
    boxed = frames(4)
    for step, atoms in enumerate(boxed):
        atoms.set_cell([16, 16, 16])
        atoms.pbc = True
        atoms.translate([5.0 * step, 0, -3.0 * step])
        atoms.wrap()
    np.testing.assert_allclose(trajectory(tmp_path, boxed, ":").positions, plain.positions, atol=1e-6)
    # One atom that has left.
    boxed[2].positions[0] = boxed[2].positions[GOLD.absorber] + 8.0
    with pytest.raises(StructureError, match=r"image 2 of .*md\.xyz is not one connected particle"):
        trajectory(tmp_path, boxed, ":")


def test_trajectories_that_cannot_be_used(tmp_path: Path) -> None:
    images = frames(3)
    with pytest.raises(StructureError, match=r"images = '9:' chooses none of the 3 images"):
        trajectory(tmp_path, images, "9:")
    images[1].symbols[3] = "Ag"
    with pytest.raises(StructureError, match=r"image 1 of .* has other atoms than the first"):
        trajectory(tmp_path, images)


def test_the_atoms_of_a_sphere_are_followed_through_the_cells_of_a_crystal(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    crystal = bulk("Au", cubic=True) * (2, 2, 2)
    moves = [np.zeros((32, 3)), *rng.normal(0, 0.1, (2, 32, 3))]
    images = []
    for step, move in enumerate(moves):
        atoms = crystal.copy()
        atoms.positions += move
        atoms.set_cell(crystal.cell * (1 + 0.01 * step), scale_atoms=True)
        images.append(atoms)
    plain = trajectory(tmp_path, images, ":", radius=7.0)
    for step, (atoms, found) in enumerate(zip(images, plain.positions, strict=True)):
        # Oracle: every atom is a periodic image of one, displaced from its place in the first image by that one's.
        vectors = found / (1 + 0.01 * step) - plain.positions[0]
        own = (moves[step] - moves[step][0])[build_cluster(section(tmp_path, ":", 7.0)).source]
        np.testing.assert_allclose(vectors, own, atol=1e-6)
        # It drifts, and atoms leave the cell through its faces.
        atoms.translate([1.7 * step, -2.9 * step, 0.4])
        atoms.wrap()
    images[0].positions -= images[0].positions[0]
    np.testing.assert_allclose(trajectory(tmp_path, images, ":", radius=7.0).positions, plain.positions, atol=1e-6)


def test_a_slab_among_the_images_of_a_crystal_is_refused(tmp_path: Path) -> None:
    images = [bulk("Au", cubic=True) * (2, 2, 2) for _ in range(2)]
    images[1].pbc = (True, True, False)
    with pytest.raises(StructureError, match=r"image 1 of .* is periodic along other axes than the first"):
        trajectory(tmp_path, images, ":", radius=7.0)


def test_images_are_the_disordered_structures_of_a_campaign(tmp_path: Path) -> None:
    write(tmp_path / "md.xyz", frames(5), format="extxyz")
    structure = {"file": str(tmp_path / "md.xyz"), "images": "1::2"}
    content = {"name": "x", "structure": structure, "distortion": {"step": 0.45}}
    table = expand(Campaign.model_validate(content))
    assert table.kind.tolist() == [Kind.DISTORTED] * 3 + [Kind.IMAGE] * 2
    assert table.image.tolist() == [-1, -1, -1, 1, 3]
    assert np.isnan(table.delta[3:]).all()
    assert np.isnan(table.sigma).all()
    assert (len(table), table.positions.shape[0]) == (3 + 2 * 13, 5)
    whole = table.positions[0:5]
    for start in range(5):
        for stop in range(start, 6):
            np.testing.assert_array_equal(table.positions[start:stop], whole[start:stop])
    assert table.columns()["kind"].tolist() == ["distorted"] * 3 + ["image"] * 26
    assert table.columns()["image"].tolist() == [-1] * 3 + [1] * 13 + [3] * 13
    # The section gives the absorbers, and nothing else.
    few = expand(Campaign.model_validate(content | {"disorder": {"absorbers": [0, 4]}}))
    assert len(few) == 3 + 2 * 2
    for name, value in {"structures": 5, "sigma_minimum": 0.05, "directions": "uniform_angles"}.items():
        (tmp_path / "x.toml").write_text(
            f'name = "x"\n[structure]\nfile = "md.xyz"\nimages = ":"\n[disorder]\n{name} = {value!r}\n'
        )
        with pytest.raises(CampaignError, match=f"disorder.{name} does not go with structure.images"):
            Campaign.load(tmp_path / "x.toml")
