"""The atoms that FEFF sees around an absorber: is a sphere cut, and how many atoms does it hold."""

from __future__ import annotations

import numpy as np

from xanesml.errors import StructureError
from xanesml.feff.cards import fms_radius, scf_radius
from xanesml.files.arrays import Floats
from xanesml.store.tasks import TaskTable

#: Radii that differ by less are equal, Å; those in feff.inp are rounded to 10⁻⁶ Å.
_ROUNDING = 1e-5


def check_radius(table: TaskTable) -> None:
    """Refuse a sphere that was cut so small from a periodic structure that FEFF would see its border.

    The FMS and the SCF sphere around every absorber must lie inside it in every distorted structure, and where
    absorbers are displaced at random around their undistorted positions; those of variants too.

    Parameters
    ----------
    table : TaskTable
        Structures and tasks; nothing is checked where the cluster is a whole particle.

    Raises
    ------
    StructureError
        The message has the radius that would do.
    """
    radius = table.cluster.radius
    if radius is None:
        return
    needed, name = max(_needed(part, name) for _, part in table.card_sets for name in ("fms_radius", "scf.radius"))
    if radius < needed - _ROUNDING:
        # Rounded up, so that the number in the message does.
        enough = np.ceil((needed - _ROUNDING) * 100) / 100
        raise StructureError(
            f"structure.radius = {radius} Å cuts the sphere of feff.{name} around an absorber; "
            f"give {enough:.2f} Å or more, or a smaller feff.{name}"
        )


def _needed(table: TaskTable, name: str) -> tuple[float, str]:
    """Return the smallest radius of an undistorted sphere that contains a sphere of FEFF's in all tasks, Å."""
    scales, of_structure = np.unique(np.asarray(table.scale), return_inverse=True)
    spheres = np.array([_sphere(table, name, float(scale)) for scale in scales])
    away = np.linalg.norm(table.cluster.positions - table.cluster.positions[table.cluster.absorber], axis=1)
    reach: Floats = (spheres / scales)[of_structure[table.structure]] + away[table.absorber]
    return float(reach.max()), name


def _sphere(table: TaskTable, name: str, scale: float) -> float:
    return fms_radius(table.feff, scale) if name == "fms_radius" else scf_radius(table.feff, scale) or 0.0
