"""What a task is recognized by, in any store: the hash of its FEFF input and the engine."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xanesml.feff.cards import DECIMALS, feff_head
from xanesml.feff.feff10 import identity_with
from xanesml.files.arrays import Floats

if TYPE_CHECKING:
    from xanesml.store.tasks import TaskTable


def input_hashes(
    table: TaskTable, engine: str, tasks: slice, positions: Floats, representatives: NDArray[np.int32]
) -> NDArray[np.bytes_]:
    """Return the identities of some tasks of a table of one set of cards; see `TaskTable.identities`."""
    engine = identity_with(engine, table.feff.extra_cards)
    numbers, rules = table.cluster.numbers, table.potentials
    of_atom = b"" if rules.by_feff else rules.classes.of_atom.astype("<i4").tobytes()
    chosen = np.empty((len(representatives), 0)) if rules.by_feff else representatives
    chosen = np.ascontiguousarray(chosen, dtype="<i4")

    @lru_cache(maxsize=4096)
    def prefix(scale: float, absorber: int) -> hashlib.blake2b:
        # The text before the atoms depends on which classes there are, not on who stands for them.
        potentials = rules.of_task(absorber, representatives[of_absorber.index(absorber)])
        head = feff_head(numbers=numbers, absorber=absorber, feff=table.feff, potentials=potentials, scale=scale)
        start = hashlib.blake2b(f"{engine}\0{head}\0".encode(), digest_size=16)
        start.update(numbers.astype("<i4").tobytes())
        return start

    units = np.rint(positions * 10.0**DECIMALS).astype("<i8")
    structure, absorber = table.structure[tasks].tolist(), table.absorber[tasks].astype("<i4")
    of_absorber = absorber.tolist()
    digests = []
    for task, here in enumerate(structure):
        digest = prefix(float(table.scale[here]), of_absorber[task]).copy()
        digest.update(units[here - structure[0]].data)
        digest.update(absorber[task].tobytes())
        digest.update(of_atom)
        digest.update(chosen[task].tobytes())
        digests.append(digest.hexdigest())
    return np.array(digests, dtype="S32")
