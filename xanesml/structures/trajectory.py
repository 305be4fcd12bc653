"""The images of a trajectory as disordered structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from xanesml.campaign import StructureSection, index_slice
from xanesml.errors import StructureError
from xanesml.files.arrays import Floats
from xanesml.structures import reading
from xanesml.structures.cluster import Cluster
from xanesml.structures.connected import pieces


@dataclass(frozen=True)
class Trajectory:
    """Chosen images of a structure file.

    Attributes
    ----------
    image : ndarray of int32, shape (n,)
        Their indices in the file, from 0.
    positions : ndarray of float64, shape (n, A, 3)
        Positions, Å, the central absorber at the origin.
    """

    image: np.ndarray[tuple[int], np.dtype[np.int32]]
    positions: Floats


def read_trajectory(section: StructureSection, cluster: Cluster) -> Trajectory:
    """Read the images that a campaign chooses from its structure file.

    Parameters
    ----------
    section : StructureSection
        Its file, and the images as ase writes a slice; without them there are none.
    cluster : Cluster
        The undistorted cluster, from the file's first image.

    Returns
    -------
    Trajectory
        In the order of the slice. A particle that lies across the faces of its cell is made whole in each. Of a
        periodic structure each has the atoms of the sphere that is cut from the first image, wherever they are.

    Raises
    ------
    StructureError
        If the slice chooses no image, or an image holds other atoms than the first or not one whole particle.
    """
    if section.file is None or section.images is None:
        return Trajectory(np.empty(0, dtype=np.int32), np.empty((0, *cluster.positions.shape)))
    frames: list[Floats] = []
    first: Atoms | None = None
    for index, atoms in enumerate(reading.images(section.file)):
        name = f"image {index} of {section.file}"
        first = atoms if first is None else first
        if not np.array_equal(atoms.numbers, first.numbers):
            raise StructureError(
                f"{name} has other atoms than the first, or in another order; give the same in every image"
            )
        if cluster.radius is None:
            frames.append(_whole(atoms, cluster, name))
        else:
            frames.append(_followed(atoms, first, cluster, name))
    chosen = range(len(frames))[index_slice(section.images)]
    if not chosen:
        raise StructureError(
            f"structure.images = {section.images!r} chooses none of the {len(frames)} images of {section.file}"
        )
    return Trajectory(np.array(chosen, dtype=np.int32), np.stack([frames[index] for index in chosen]))


def _whole(atoms: Atoms, cluster: Cluster, name: str) -> Floats:
    """Return the positions of a particle, made whole."""
    positions: Floats = atoms.positions
    if atoms.pbc.any():
        found = pieces(atoms, cluster.first_shell_cutoff)
        if len(found) != 1 or found.periodic.any():
            raise StructureError(f"{name} is not one connected particle; leave it out by structure.images")
        positions = found.positions
    return np.asarray(positions - positions[cluster.absorber])


def _followed(atoms: Atoms, first: Atoms, cluster: Cluster, name: str) -> Floats:
    """Return where the atoms of the sphere that was cut from the first image are in another one.

    An atom is followed through the faces of the cell: it moved by less than half a cell against the absorber.
    """
    assert cluster.source is not None  # noqa: S101 (built from a file)
    if (atoms.pbc != first.pbc).any():
        raise StructureError(f"{name} is periodic along other axes than the first; give a trajectory of one structure")
    absorber = cluster.source[cluster.absorber]
    cell = first.cell.complete()
    start = cell.scaled_positions(first.positions)
    start -= start[absorber]
    now = atoms.cell.complete().scaled_positions(atoms.positions)
    moved = now - now[absorber] - start
    moved -= np.where(atoms.pbc, np.round(moved), 0.0)
    # Whole cells from the atom of the file to its image in the sphere.
    cells = np.round(cell.scaled_positions(cluster.positions) - start[cluster.source])
    placed = (start + moved)[cluster.source] + cells
    return np.asarray(placed @ atoms.cell.complete().array)
