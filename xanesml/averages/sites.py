"""The sites of the distorted series: their tasks in a store, the mean spectrum over them, their coordination."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from xanesml.averages.source_store import spectra_on_mesh
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Integers, Wholes
from xanesml.store.kinds import Kind
from xanesml.store.stored import stored_cluster
from xanesml.store.variants import card_set_rows
from xanesml.structures import bonds


@dataclass(frozen=True)
class SeriesSites:
    """The tasks of a distorted series, by site.

    Attributes
    ----------
    tasks : ndarray of int64, shape (D, S)
        Tasks of every distortion, one for each site.
    absorber : ndarray of int32, shape (S,)
        Absorbing atom of each site, the same in all distortions.
    multiplicity : ndarray of int32, shape (S,)
        Number of atoms that it stands for.
    """

    tasks: Integers
    absorber: Wholes
    multiplicity: Wholes

    @classmethod
    def of(cls, file: h5py.File) -> SeriesSites:
        """Return the tasks of a store's distorted structures, in the order of these.

        Raises
        ------
        StoreError
            If there are none, or two distortions have other sites.
        """
        structure, kind = file["tasks/structure"][card_set_rows(file)], file["structures/kind"][:]
        tasks = np.flatnonzero(kind[structure] == Kind.DISTORTED)
        if not len(tasks):
            raise StoreError(
                f"{file.filename} has no distorted series to average over; give the campaign a [distortion] section"
            )
        tasks = tasks[np.argsort(structure[tasks], kind="stable")]
        _, counts = np.unique(structure[tasks], return_counts=True)
        absorber, multiplicity = (file[f"tasks/{name}"][:] for name in ("absorber", "multiplicity"))
        if (counts == counts[0]).all():
            tasks = tasks.reshape(len(counts), -1)
            first = tasks[0]
            if all((column[tasks] == column[first]).all() for column in (absorber, multiplicity)):
                return cls(tasks, absorber[first], multiplicity[first])
        raise StoreError(
            f"the distorted structures of {file.filename} have different absorbers; run `xanesml validate` on it"
        )

    def spectra(self, file: h5py.File, mesh: Floats, edge: float, campaign: Campaign) -> tuple[Floats, Floats, float]:
        """Read the series from its store, bring it onto a mesh and average it over the sites.

        Parameters
        ----------
        file : h5py.File
            The store, in which all of these tasks are done.
        mesh, edge, campaign
            As for `xanesml.averages.source_store.spectra_on_mesh`.

        Returns
        -------
        mu : ndarray of float64, shape (D, M)
            Σ m μ / Σ m over the sites of each distortion, m the multiplicity; not normalized.
        steps : ndarray of float64, shape (D,)
            The same mean of their edge steps.
        energy : float
            Photon energy at which μ0 gives the edge steps, eV.

        Raises
        ------
        StoreError
            As `spectra_on_mesh`.
        """
        weights = self.multiplicity / self.multiplicity.sum()
        mu, steps = np.empty((len(self.tasks), len(mesh))), np.empty(len(self.tasks))
        energy = np.nan
        # One distortion at a time: in a cluster without symmetry every atom is a site.
        for row, tasks in enumerate(self.tasks):
            of_sites, of_steps, energy = spectra_on_mesh(file, tasks, mesh, edge, campaign)
            mu[row], steps[row] = weights @ of_sites, weights @ of_steps
        return mu, steps, energy

    def edge(self, file: h5py.File, distortion: int) -> float:
        """Return the mean edge of a distortion's sites, counted by their multiplicity, eV."""
        return float(np.average(file["spectra/edge"][:][self.tasks[distortion]], weights=self.multiplicity))

    def coordination(self, file: h5py.File) -> float:
        """Return the mean number of first neighbors of the atoms that the sites stand for."""
        pairs = bonds.bonds(stored_cluster(file), self.absorber)
        return bonds.coordination(pairs, self.absorber, self.multiplicity)
