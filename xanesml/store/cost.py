"""The expected cost of FEFF runs, from the atoms in their multiple-scattering sphere and from finished runs."""

from __future__ import annotations

import numpy as np

from xanesml.campaign import EngineSection, FeffSection
from xanesml.feff.cards import fms_radius
from xanesml.files.arrays import Booleans, Floats, Integers, Wholes
from xanesml.store.kinds import Kind
from xanesml.store.tasks import TaskTable

#: Seconds of one gold L3 run on one core of a 2.5 GHz Xeon: the stages of every run, and for each
#: potential the partly nonlocal exchange (model 5) and self-consistency. `benchmarks/feff_cost.py --full`
#: compares them with real runs.
EVERY_RUN, NONLOCAL_EXCHANGE, SELF_CONSISTENCY = 1.5, 1.5, 9.0

#: Seconds of self-consistency for each potential by xanesml.
NATIVE_SELF_CONSISTENCY = 1.2

#: Seconds of full multiple scattering, by the atoms in its sphere: by FEFF, per squared
#: atom; by xanesml, per cubed atom without symmetry, and at the center of a distorted structure, which has
#: the symmetry of the cluster.
FEFF_PER_SQUARED_ATOM, NATIVE_PER_CUBED_ATOM, SYMMETRIC = 22.0 / 55**2, 9.0 / 80**3, 0.5

_NONLOCAL = 5

#: Atoms in a block of structures: its temporary arrays stay within a processor's cache.
_BLOCK_ATOMS = 2**15


def atoms_in_sphere(positions: Floats, absorbers: Wholes, radius: Floats | float) -> Integers:
    """Count the atoms within a radius of each absorber, in a block of structures.

    Parameters
    ----------
    positions : ndarray of float64, shape (n, A, 3)
        Positions of every structure, Å, finite.
    absorbers : ndarray of int, shape (k,)
        Indices of the absorbers, the same in every structure.
    radius : float or ndarray of float64, shape (n,)
        Radius of the sphere, Å; one for all structures or one each.

    Returns
    -------
    ndarray of int64, shape (n, k)
        Number of atoms within the radius, the absorber included.
    """
    squared = np.broadcast_to(np.square(radius), len(positions))[:, np.newaxis]
    # One contiguous array for each coordinate: several times as fast as rows of three.
    x, y, z = np.ascontiguousarray(np.moveaxis(positions, -1, 0))
    counts = np.empty((len(positions), len(absorbers)), dtype=np.int64)
    for column, absorber in enumerate(absorbers):
        center = slice(absorber, absorber + 1)
        distances = (x - x[:, center]) ** 2
        distances += (y - y[:, center]) ** 2
        distances += (z - z[:, center]) ** 2
        counts[:, column] = np.count_nonzero(distances <= squared, axis=1)
    return counts


def estimate_seconds(
    feff: FeffSection,
    atoms: Wholes,
    *,
    potentials: Wholes | int = 2,
    native_fms: bool = False,
    native_pot: bool = False,
    symmetric: Booleans | bool = False,
) -> Floats:
    """Estimate the wall time of FEFF runs on one core.

    Parameters
    ----------
    feff : FeffSection
        The FEFF cards.
    atoms : ndarray of int, any shape
        Atoms in the sphere of full multiple scattering.
    potentials : int or ndarray of int, same shape
        Potentials, the absorber's included.
    native_fms, native_pot : bool
        Whether xanesml solves the full multiple scattering, and the self-consistent potentials, not FEFF.
    symmetric : bool or ndarray of bool, same shape
        Whether the structure has a symmetry that xanesml's solver uses.

    Returns
    -------
    ndarray of float64, same shape
        Seconds, within a factor of two.
    """
    each = (NATIVE_SELF_CONSISTENCY if native_pot else SELF_CONSISTENCY) if feff.scf is not None else 0.0
    each += NONLOCAL_EXCHANGE if feff.exchange[0] == _NONLOCAL else 0.0
    every = EVERY_RUN + each * np.asarray(potentials)
    count = np.asarray(atoms, dtype=np.float64)
    if not native_fms:
        return np.asarray(every + FEFF_PER_SQUARED_ATOM * count**2, dtype=np.float64)
    return np.asarray(every + np.where(symmetric, SYMMETRIC, NATIVE_PER_CUBED_ATOM * count**3), dtype=np.float64)


def table_seconds(table: TaskTable, engine: EngineSection | None = None) -> Floats:
    """Estimate the wall time of every task on one core.

    Positions are read block by block, so they may be a memory map or generated on access.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    engine : EngineSection, optional
        The engine, which says what xanesml solves. Default: FEFF solves everything.

    Returns
    -------
    ndarray of float64, shape (T,)
        Seconds; see `estimate_seconds`. The center of a distorted structure counts as symmetric.
    """
    if table.variants:
        return np.concatenate([table_seconds(part, engine) for _, part in table.card_sets])
    structure = np.asarray(table.structure)
    absorber = np.asarray(table.absorber)
    scales, of_scale = np.unique(table.scale, return_inverse=True)
    radius = np.array([fms_radius(table.feff, float(scale)) for scale in scales])[of_scale]
    count, size = table.positions.shape[:2]
    step = max(1, _BLOCK_ATOMS // size)
    order = np.argsort(structure, kind="stable")
    starts = np.arange(0, count, step)
    bounds = np.searchsorted(structure, [*starts, count], sorter=order)
    atoms = np.empty(len(structure), dtype=np.int64)
    for start, begin, end in zip(starts, bounds[:-1], bounds[1:], strict=True):
        tasks = order[begin:end]
        block = slice(int(start), int(min(start + step, count)))
        absorbers, column = np.unique(absorber[tasks], return_inverse=True)
        counts = atoms_in_sphere(np.asarray(table.positions[block]), absorbers, radius[block])
        atoms[tasks] = counts[structure[tasks] - start, column]
    symmetric = (np.asarray(table.kind)[structure] == Kind.DISTORTED) & (absorber == table.cluster.absorber)
    potentials = table.potentials.count(absorber)
    wheel = engine if engine is not None and engine.kind == "feff10" else None
    return estimate_seconds(
        table.feff,
        atoms,
        potentials=potentials,
        native_fms=wheel is not None and wheel.fms == "native",
        native_pot=wheel is not None and wheel.pot == "native",
        symmetric=symmetric,
    )


def expected_seconds(estimate: Floats, seconds: Floats) -> Floats:
    """Estimate the wall time of every task from the finished ones.

    Parameters
    ----------
    estimate : ndarray of float64, shape (T,)
        Estimated seconds, more than 0; see `table_seconds`. Tasks of equal estimate form a class.
    seconds : ndarray of float64, shape (T,)
        Measured seconds; NaN where a task has not run.

    Returns
    -------
    ndarray of float64, shape (T,)
        Seconds, without NaN: the median of the class; in a class without a finished task, the
        estimate times the median ratio of measured to estimated time of all finished tasks;
        without any finished task, the estimate.
    """
    known = np.flatnonzero(~np.isnan(seconds))
    if not len(known):
        return estimate.copy()
    ratio = np.median(seconds[known] / estimate[known])
    classes, of_class = np.unique(estimate, return_inverse=True)
    expected = classes * ratio
    measured = np.unique(of_class[known])
    from scipy import ndimage  # noqa: PLC0415 (slow to import, and not needed on every rank)

    expected[measured] = ndimage.median(seconds[known], labels=of_class[known], index=measured)
    by_task: Floats = expected[of_class]
    return by_task
