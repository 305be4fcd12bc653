"""Reads back what a store was laid out from: campaign, undistorted cluster, structures, task table."""

from __future__ import annotations

import json
from typing import Any

import ase
import h5py
import numpy as np
from pydantic import ValidationError

from xanesml import structures
from xanesml.campaign import FeffSection
from xanesml.errors import StoreError
from xanesml.store.kinds import Kind
from xanesml.store.plan import PlannedCampaign
from xanesml.store.rows import StoreView
from xanesml.store.tasks import TaskTable
from xanesml.store.variants import Variant, variant_names


def stored_cluster(file: h5py.File) -> structures.Cluster:
    """Return the undistorted cluster of a store, without a smallest distance of its atoms."""
    radius = float(file.attrs["radius"])
    section = json.loads(str(file.attrs["campaign"])).get("structure", {})
    return structures.Cluster(
        numbers=file["structures/numbers"][:],
        positions=file["structures/undistorted"][:],
        absorber=int(file.attrs["central_absorber"]),
        first_shell=float(file.attrs["first_shell"]),
        first_shell_cutoff=float(file.attrs["first_shell_cutoff"]),
        minimum_distance=0.0,
        coordination=file["structures/coordination"][:],
        radius=None if np.isnan(radius) else radius,
        like_bonds=section.get("first_shell") == "element",
    )


def stored_campaign(file: h5py.File) -> PlannedCampaign:
    """Return the campaign of a store or a tensor file; StoreError where this xanesml cannot read it.

    The variants of a store's campaign are in the order of their rows.
    """
    try:
        campaign = PlannedCampaign.restored(str(file.attrs["campaign"]))
    except ValidationError as error:
        raise StoreError(
            f"{file.filename} has a campaign that this xanesml cannot read; use the xanesml that wrote it: "
            f"{json.loads(str(file.attrs['versions'])).get('xanesml', 'version unknown')}"
        ) from error
    place = {name: row for row, name in enumerate(variant_names(file))}
    variants = sorted(campaign.feff.variants.items(), key=lambda one: place.get(one[0], len(place)))
    feff = campaign.feff.model_copy(update={"variants": dict(variants)})
    return campaign.model_copy(update={"feff": feff})


def stored_atoms(file: h5py.File, structure: int) -> ase.Atoms:
    """Return a structure of a store, positions in Å, with `how_made` as its `info`."""
    atoms = ase.Atoms(file["structures/numbers"][:], positions=file["structures/positions"][structure])
    atoms.info = how_made(file, structure)
    return atoms


def how_made(file: h5py.File, structure: int) -> dict[str, Any]:
    """Return the index of a structure of a store, its scale, its kind, and its δ or σ, Å, or its image."""
    made: dict[str, Any] = {"structure": structure, "scale": float(file["structures/scale"][structure])}
    kind = Kind(file["structures/kind"][structure])
    name = {Kind.DISTORTED: "delta", Kind.DISORDERED: "sigma", Kind.IMAGE: "image"}[kind]
    return made | {"kind": kind.label, name: file[f"structures/{name}"][structure].item()}


def stored_table(cluster: structures.Cluster, feff: FeffSection, view: StoreView) -> TaskTable:
    """Return the task table of a store with a campaign's cards; its arrays are memory maps.

    Raises
    ------
    StoreError
        If the campaign does not have a variant that the store has.
    """
    variants = []
    for number, name in enumerate(view.variants, 1):
        if name not in feff.variants:
            raise StoreError(
                f"{view.path} has a variant {name!r} that its campaign does not have; run `xanesml validate`"
            )
        rows = np.searchsorted(view["tasks/variant"], (number, number + 1)).tolist()
        variants.append(Variant(name, feff.of_variant(name), slice(*rows)))
    return TaskTable(
        cluster=cluster,
        feff=feff,
        positions=view["structures/positions"],
        kind=view["structures/kind"],
        delta=view["structures/delta"],
        sigma=view["structures/sigma"],
        image=view["structures/image"],
        scale=view["structures/scale"],
        structure=view["tasks/structure"],
        absorber=view["tasks/absorber"],
        multiplicity=view["tasks/multiplicity"],
        recorded=view["tasks/representatives"],
        variants=tuple(variants),
    )
