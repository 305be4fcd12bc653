"""What a FEFF run is likely to cost, from the size of its multiple-scattering cluster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from xanesml.feff.cards import fms_radius
from xanesml.tasks import TaskTable

#: Seconds of one gold L3 run on one core of a 2.5 GHz Xeon: the stages that every run
#: has, the partly nonlocal exchange (model 5), self-consistency, and full multiple
#: scattering per squared atom in its sphere. `benchmarks/feff_cost.py --full` compares
#: them with runs.
EVERY_RUN, NONLOCAL_EXCHANGE, SELF_CONSISTENCY, PER_SQUARED_ATOM = 2.5, 4.0, 9.0, 22.0 / 55**2

_NONLOCAL = 5


def estimate_seconds(table: TaskTable) -> NDArray[np.float64]:
    """Estimate the wall time of every task on one core.

    Parameters
    ----------
    table : TaskTable
        The tasks.

    Returns
    -------
    ndarray, shape (T,), float64
        Seconds. Meant for planning: a factor of two either way is usual.
    """
    every = EVERY_RUN
    every += SELF_CONSISTENCY if table.feff.scf is not None else 0.0
    every += NONLOCAL_EXCHANGE if table.feff.exchange[0] == _NONLOCAL else 0.0
    seconds = np.full(len(table), every)
    for structure in np.unique(table.structure):
        tasks = np.flatnonzero(table.structure == structure)
        positions = table.positions[structure]
        radius = fms_radius(table.feff, float(table.scale[structure]))
        atoms = (cdist(positions[table.absorber[tasks]], positions) <= radius).sum(axis=1)
        seconds[tasks] += PER_SQUARED_ATOM * atoms**2
    return seconds
