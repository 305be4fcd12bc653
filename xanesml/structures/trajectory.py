"""The images of a trajectory as disordered structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from xanesml.campaign import StructureSection, image_slice
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
        In the order of the slice. A particle that lies across the faces of its cell is made whole in each.

    Raises
    ------
    StructureError
        If the slice chooses no image, an image holds other atoms than the first or not one whole particle, or the
        trajectory is that of a periodic structure.
    """
    if section.file is None or section.images is None:
        return Trajectory(np.empty(0, dtype=np.int32), np.empty((0, *cluster.positions.shape)))
    if cluster.radius is not None:
        raise StructureError(
            f"{section.file} is the trajectory of a periodic structure, whose atoms around an absorber are not the "
            "same in all images; give that of a particle, or single images as files of their own"
        )
    frames = [
        _positions(atoms, cluster, f"image {index} of {section.file}")
        for index, atoms in enumerate(reading.images(section.file))
    ]
    chosen = range(len(frames))[image_slice(section.images)]
    if not chosen:
        raise StructureError(
            f"structure.images = {section.images!r} chooses none of the {len(frames)} images of {section.file}"
        )
    return Trajectory(np.array(chosen, dtype=np.int32), np.stack([frames[index] for index in chosen]))


def _positions(atoms: Atoms, cluster: Cluster, name: str) -> Floats:
    if not np.array_equal(atoms.numbers, cluster.numbers):
        raise StructureError(
            f"{name} has other atoms than the first, or in another order; give the same in every image"
        )
    positions: Floats = atoms.positions
    if atoms.pbc.any():
        found = pieces(atoms, cluster.first_shell_cutoff)
        if len(found) != 1 or found.periodic.any():
            raise StructureError(f"{name} is not one connected particle; leave it out by structure.images")
        positions = found.positions
    return np.asarray(positions - positions[cluster.absorber])
