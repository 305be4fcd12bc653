"""A pool made ready to read spectra: its mixtures in one small file, which needs neither networks nor stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats
from xanesml.files.hdf5 import package_versions
from xanesml.files.whole import whole_file
from xanesml.pools.card_sets import CardSet, card_sets, own_cards
from xanesml.pools.environments import LABELS, Environments, open_folder
from xanesml.pools.mixtures import Mixtures, draw
from xanesml.pools.pool_file import POOL_FILE, SPREAD, Errors, PoolFile, Window
from xanesml.pools.theory import TheoryError, theory_error

#: The version of the file's format.
VERSION = 2


@dataclass(frozen=True)
class Pool:
    """Mixtures of environments, and what to allow for.

    Attributes
    ----------
    name : str
        Name of the pool.
    element, shell : str
        Absorber and edge, such as Au and L3.
    energy : ndarray, shape (M,), float64, eV
        Photon energies from the edge.
    edge : float, eV
        The theory's edge.
    mixtures : Mixtures
        Random mixtures with their labels.
    window : Window
        What is read.
    errors : Errors
        What is allowed for.
    theory : TheoryError
        The error of theory.
    spread : float, Å²
        How much more or less disordered than the reference a sample may be before it is read.
    sources : tuple of dict
        Name, campaign digest, engine and number of runs of every store, and of each variant of one that was used.
    widening : tuple of float
        Factors of the uncertainties of the labels that other cards show to be needed; see `xanesml.pools.trials`.
    """

    name: str
    element: str
    shell: str
    energy: Floats
    edge: float
    mixtures: Mixtures
    window: Window
    errors: Errors
    theory: TheoryError
    sources: tuple[dict[str, Any], ...]
    widening: tuple[float, ...] = (1.0,) * len(LABELS)
    spread: float = SPREAD

    @classmethod
    def make(
        cls, asked: PoolFile, *, cards: Mapping[str, CardSet] | None = None, without: Environments | None = None
    ) -> Pool:
        """Mix the environments of the stores that a file asks for.

        Parameters
        ----------
        asked : PoolFile
            The file.
        cards : mapping of str to CardSet, optional
            Card sets that tell the error of theory. Default: all that the file and its stores have.
        without : Environments, optional
            What the mixtures do not hold: no structure that has one of these environments, and no store of particles
            that has, if there are others.

        Raises
        ------
        StoreError
            If a store cannot be read, is of another element or edge than the first, or does not reach the window's end.
        """
        window = asked.window
        own, sets = own_cards(asked), card_sets(asked) if cards is None else cards
        found = own.load(window)
        crystals = np.array([name in asked.crystals for name in found.names])
        others = {name: one.load(window) for name, one in sets.items()}
        size = np.full(len(found.energy), asked.errors.theory)
        theory = TheoryError(size, asked.errors.theory_length, {})
        if others:
            read = (window.first, window.last)
            theory = theory_error(found, others, crystals, window=read, seed=asked.seed)
        kept = found if without is None else without_structures(found, without, crystals)
        sources: list[dict[str, Any]] = []
        for path, variant in [(path, one.variant) for one in (own, *sets.values()) for path in one.stores]:
            with open_folder(path) as store:
                campaign = store.campaign
                about = {"name": path.name, "campaign_digest": campaign.digest(), "engine": store.engine}
                done = len(store.spectra(variant=variant))
                sources.append(about | ({} if variant is None else {"variant": variant}) | {"done": done})
        return cls(
            name=asked.name,
            element=campaign.structure.element,
            shell=campaign.feff.edge,
            energy=found.energy,
            edge=found.edge,
            mixtures=draw(kept, crystals, count=asked.mixtures, seed=asked.seed),
            window=window,
            errors=asked.errors,
            theory=theory,
            sources=tuple(sources),
            spread=asked.spread,
        )

    def save(self, folder: Path) -> Path:
        """Write the pool into a folder, whole or not at all; return the file."""
        path = folder / POOL_FILE
        with whole_file(path) as partial, h5py.File(partial, "w") as file:
            file.attrs["format"] = "xanesml pool"
            file.attrs["schema_version"] = VERSION
            file.attrs["versions"] = package_versions()
            for name in ("name", "element", "shell", "edge"):
                file.attrs[name] = getattr(self, name)
            file.attrs["window"], file.attrs["errors"] = self.window.model_dump_json(), self.errors.model_dump_json()
            file.attrs["sources"] = json.dumps(self.sources)
            file.attrs["widening"] = self.widening
            file.attrs["spread"] = self.spread
            file["energy"] = self.energy
            file["energy"].attrs["units"] = "eV"
            file["theory/size"] = self.theory.size
            file["theory"].attrs["length"] = self.theory.length
            file["theory"].attrs["by_cards"] = json.dumps(self.theory.by_cards)
            packed = {"compression": "gzip", "shuffle": True}
            file.create_dataset("mixtures/spectra", data=self.mixtures.spectra.astype(np.float32), **packed)
            for column, (label, unit) in enumerate(zip(LABELS, ("angstrom^2", "angstrom", ""), strict=True)):
                file.create_dataset(f"mixtures/{label}", data=self.mixtures.labels[:, column], **packed)
                file[f"mixtures/{label}"].attrs["units"] = unit
            file["mixtures/crystal"] = self.mixtures.crystal
        return path

    @classmethod
    def load(cls, folder: Path) -> Pool:
        """Read a pool from its folder or file.

        Raises
        ------
        StoreError
            If it is missing, damaged or of another version.
        """
        path = folder / POOL_FILE if folder.is_dir() else folder
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != "xanesml pool":
                    raise StoreError(f"{path} is no pool; make one by `xanesml pool`")
                if file.attrs["schema_version"] != VERSION:
                    raise StoreError(
                        f"{path} has version {file.attrs['schema_version']}, this xanesml reads {VERSION}; make it anew"
                    )
                mixtures = Mixtures(
                    file["mixtures/spectra"][:].astype(np.float64),
                    np.column_stack([file[f"mixtures/{label}"][:] for label in LABELS]),
                    file["mixtures/crystal"][:].astype(np.bool_),
                )
                return cls(
                    name=str(file.attrs["name"]),
                    element=str(file.attrs["element"]),
                    shell=str(file.attrs["shell"]),
                    energy=file["energy"][:],
                    edge=float(file.attrs["edge"]),
                    mixtures=mixtures,
                    window=Window.model_validate_json(str(file.attrs["window"])),
                    errors=Errors.model_validate_json(str(file.attrs["errors"])),
                    theory=TheoryError(
                        file["theory/size"][:],
                        float(file["theory"].attrs["length"]),
                        json.loads(str(file["theory"].attrs["by_cards"])),
                    ),
                    sources=tuple(json.loads(str(file.attrs["sources"]))),
                    widening=tuple(float(factor) for factor in file.attrs["widening"]),
                    # Files made before it could be chosen have the default.
                    spread=float(file.attrs.get("spread", SPREAD)),
                )
        except FileNotFoundError as error:
            raise StoreError(f"{path} does not exist; make it by `xanesml pool`") from error
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(f"{path} cannot be read as a pool: {' '.join(str(error).split())}") from error


def without_structures(found: Environments, others: Environments, crystals: Booleans) -> Environments:
    """Return environments without the structures, and the stores of particles if any is left, that hold others."""
    same = np.isin(found.keys, others.keys)
    groups, stores = np.unique(found.group[same]), np.unique(found.store[same])
    particles = stores[~crystals[stores]]
    left = np.isin(found.group, groups, invert=True)
    if np.setdiff1d(found.store[~crystals[found.store]], particles).size:
        left &= np.isin(found.store, particles, invert=True)
    if not crystals[found.store[left]].any():
        raise StoreError(
            "a card set has all structures of the pool's crystal, so that none is left to read it with; give it some "
            'of them, such as structures = "::3"'
        )
    return found.chosen(np.flatnonzero(left))
