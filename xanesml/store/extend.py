"""Adds the tasks of variants to a store: all that it holds, and rows for them behind it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from xanesml.campaign import Campaign, digest_of
from xanesml.errors import StoreError
from xanesml.files.hdf5 import blocks, create
from xanesml.files.layout import STORE
from xanesml.store.create import (
    continued,
    describe_variants,
    inputs_digest,
    plotted_rows,
    potentials_of,
    write_variants,
)
from xanesml.store.plan import with_variants
from xanesml.store.rows import StoreView, open_store_file
from xanesml.store.spheres import check_radius
from xanesml.store.stored import stored_table
from xanesml.store.tasks import TaskTable
from xanesml.store.variants import variant_names
from xanesml.structures import Cluster

#: Attributes that the new file has of its own.
_OWN = ("schema", "schema_version")


def continued_with_variants(path: Path, campaign: Campaign, engine: str) -> tuple[Cluster, StoreView, dict[str, int]]:
    """Continue a store as `xanesml.store.create.continued` does, and add the tasks of variants that it lacks.

    Returns
    -------
    Cluster, StoreView
        See `xanesml.store.stored.stored_table`.
    dict of str to int
        Number of tasks added, by variant.

    Raises
    ------
    XanesmlError
        As `continued` and `extend`.
    """
    with open_store_file(path) as file:
        cluster, view = continued(file, campaign, engine)
    added = extend(path, campaign, stored_table(cluster, campaign.feff, view), engine)
    if added:
        with open_store_file(path) as file:
            cluster, view = continued(file, campaign, engine)
    return cluster, view, added


def extend(path: Path, campaign: Campaign, stored: TaskTable, engine: str) -> dict[str, int]:
    """Add to a store the tasks of those variants of a campaign that it lacks.

    A store's datasets cannot grow, so that ranks may write their rows at places that are known. The store is copied
    into a larger one, which takes its place when it is whole: a kill leaves the one or the other.

    Parameters
    ----------
    path : Path
        The store, which no driver writes: hold its `WriteLock`.
    campaign : Campaign
        The campaign, whose other tasks the store has; see `xanesml.store.create.continued`.
    stored : TaskTable
        The store's tasks.
    engine : str
        The engine's identity.

    Returns
    -------
    dict of str to int
        Number of tasks added, by variant; nothing is written where there are none.

    Raises
    ------
    CampaignError, StructureError
        If a variant chooses no structure, or needs more of the crystal than the store has.
    EnvironmentProblem
        If there is no room for the store and its copy.
    StoreError
        If the store cannot be copied.
    """
    table = with_variants(stored, campaign.feff)
    added = {one.name: one.size for one in table.variants if one.name not in stored.variant_sizes}
    if not added:
        return added
    check_radius(table)
    with open_store_file(path) as old:
        content = json.loads(str(old.attrs["campaign"]))
        content["feff"]["variants"] = campaign.model_dump(mode="json")["feff"]["variants"]
        attributes = {name: value for name, value in old.attrs.items() if name not in _OWN}
        attributes |= {
            # As the campaign was, but for the variants.
            "campaign": json.dumps(content, sort_keys=True, ensure_ascii=False),
            "campaign_digest": digest_of(content),
            "variants": describe_variants(table),
        }

        def fill(new: h5py.File) -> None:
            for array in STORE.arrays:
                if array.path in old:
                    _copy(old[array.path], new[array.path])
            write_variants(new, table, engine, first=len(variant_names(old)))
            new.attrs.modify("inputs_digest", np.bytes_(inputs_digest(new)))

        create(
            path,
            STORE,
            sizes={
                "structure": table.positions.shape[0],
                "atom": len(table.cluster.numbers),
                "task": len(table),
                "potential": max(potentials_of(table), old["tasks/representatives"].shape[1]),
                "energy_point": old["spectra/energy"].shape[1],
                "variant": len(table.variants),
            },
            attributes=attributes,
            initial={},
            fill=fill,
            rows=plotted_rows(np.asarray(table.kind), np.asarray(table.delta), table.own.structure),
        )
    return added


def _copy(source: h5py.Dataset, target: h5py.Dataset) -> None:
    """Copy a dataset into the first rows and columns of another, and read it back."""
    if not source.size:
        return
    columns = tuple(slice(0, size) for size in source.shape[1:])
    for start, (block,) in blocks(source):
        place = (slice(start, start + len(block)), *columns)
        target[place] = block
        if target[place].tobytes() != block.tobytes():
            raise StoreError(f"{target.name} did not read back as it was written; try again, or on another disk")
