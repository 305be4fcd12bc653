"""The plots that a file opens with in viewers of NeXus files: silx view, h5web, NeXpy.

Each is a group of class NXdata that names one dataset to draw and those along its axes. Its members
are links: to a whole dataset, or to some rows of one. None holds numbers of its own, so that a file shows what its
rows hold at the time, and whoever writes rows need not know of plots.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Group of all plots, of class NXentry.
ENTRY = "entry"

#: Root attributes that lead a viewer to the first plot.
ROOT_ATTRIBUTES = {
    "NX_class": "NXroot, the class of a root in NeXus",
    "default": f"group that viewers open first: {ENTRY}, whose attribute default is the first plot",
}


@dataclass(frozen=True)
class Member:
    """One dataset of a plot.

    Attributes
    ----------
    name : str
        Its name in the plot's group.
    path : str
        Dataset that it shows.
    label : str
        What a viewer writes beside it, with the unit.
    rows : str
        Name of the rows that it shows of that dataset, `""` for all. Some rows are a virtual dataset, all of them a
        hard link.
    """

    name: str
    path: str
    label: str
    rows: str = ""


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes
    ----------
    name, title : str
        Name of its group, and what a viewer writes above it.
    members : tuple of Member
        Its datasets.
    signal : str
        Member that is drawn, as curves along its last axis.
    axes : tuple of str
        Member along each axis of the signal; ``"."`` for none.
    auxiliary : tuple of str
        Members that are drawn with the signal.
    optional : bool
        Whether it is missing where a file has no such rows, as a store without a series.
    """

    name: str
    title: str
    members: tuple[Member, ...]
    signal: str
    axes: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    optional: bool = False

    @property
    def rows(self) -> set[str]:
        """Names of the rows that the plot needs."""
        return {member.rows for member in self.members} - {""}


_GRID = "photon energy of the undistorted spectrum; others aligned at their edges (eV)"

#: A store's spectra have energies of their own, which differ by the energy of the edge alone: along the axes of
#: several stand those of the undistorted one. What has not run yet is NaN, which viewers leave out.
STORE_PLOTS = (
    Plot(
        "undistorted",
        "Spectrum of the undistorted structure",
        (
            Member("mu", "spectra/mu", "absorption μ", "undistorted"),
            Member("mu0", "spectra/mu0", "atomic background μ0", "undistorted"),
            Member("energy", "spectra/energy", "photon energy (eV)", "undistorted"),
        ),
        signal="mu",
        axes=("energy",),
        auxiliary=("mu0",),
    ),
    Plot(
        "series",
        "Spectra of the series by δ",
        (
            Member("mu", "spectra/mu", "absorption μ", "series"),
            Member("delta", "structures/delta", "δ (Å)", "distorted"),
            Member("energy", "spectra/energy", _GRID, "undistorted"),
        ),
        signal="mu",
        axes=("delta", "energy"),
        optional=True,
    ),
    Plot(
        "tasks",
        "Spectra of all tasks",
        (
            Member("mu", "spectra/mu", "absorption μ"),
            Member("energy", "spectra/energy", _GRID, "undistorted"),
        ),
        signal="mu",
        axes=(".", "energy"),
    ),
)

_ENERGY = Member("energy", "mesh/energy", "photon energy (eV)")

TENSOR_PLOTS = (
    Plot(
        "mean",
        "Mean of the averages",
        (
            Member("statistical", "statistical/mean_spectrum", "mean of the statistical averages"),
            Member("particle", "particle/mean_spectrum", "mean of the particle averages"),
            _ENERGY,
        ),
        signal="statistical",
        axes=("energy",),
        auxiliary=("particle",),
    ),
    Plot(
        "series",
        "Series by δ",
        (
            Member("mu", "series/mu", "absorption μ"),
            Member("delta", "series/delta", "δ (Å)"),
            _ENERGY,
        ),
        signal="mu",
        axes=("delta", "energy"),
    ),
    Plot(
        "averages",
        "Statistical averages by MSD",
        (
            Member("spectra", "statistical/spectra", "normalized absorption"),
            Member("msd", "statistical/msd", "MSD (Å²)"),
            _ENERGY,
        ),
        signal="spectra",
        axes=("msd", "energy"),
    ),
)
