"""Whether a pool reads in place of networks; decided without loading what a pool needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xanesml.errors import SpectrumError
from xanesml.models import Shipped, shipped_models
from xanesml.pools.pool_file import POOL_FILE

#: Kind of a pool among the models that ship, and the end of its name.
KIND = "pool"


@dataclass(frozen=True)
class ChosenPool:
    """A pool that is to read.

    Attributes
    ----------
    folder : Path
        Its folder or file.
    shipped : Shipped or None
        The pool as it ships, if it does.
    instead : str
        Name of the networks that it reads for; empty if it was asked for.
    """

    folder: Path
    shipped: Shipped | None = None
    instead: str = ""


def pool_for(model: Path, *, beside: bool, networks: bool) -> ChosenPool | None:
    """Return the pool that a model is, or that reads beside references in place of networks that ship.

    Parameters
    ----------
    model : Path
        Folder or name of a model.
    beside : bool
        Whether there are references.
    networks : bool
        Whether something is asked for that networks alone can do.

    Raises
    ------
    SpectrumError
        If a pool is asked for what it cannot do.
    """
    if (model / POOL_FILE).exists() or model.name == POOL_FILE:
        chosen = ChosenPool(model)
    else:
        ships = {one.name: one for one in shipped_models()} if model.name == str(model) and not model.exists() else {}
        if str(model) in ships and ships[str(model)].manifest.kind == KIND:
            chosen = ChosenPool(ships[str(model)].folder, ships[str(model)])
        elif (pool := ships.get(f"{model}-{KIND}")) is not None and beside and not networks:
            return ChosenPool(pool.folder, pool, instead=str(model))
        else:
            return None
    if not beside:
        raise SpectrumError(
            "a pool reads differences: give --reference SPECTRUM --reference-msd MSD, a foil of the same session"
        )
    if networks:
        raise SpectrumError("--with, --watch, --exafs and --project do not go with a pool; leave them out")
    return chosen
