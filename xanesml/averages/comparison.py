"""The central test of the method: particle averages against statistical averages of the same bonds.

The network learns from distorted spectra averaged under a distribution of bond lengths, as if
the distribution were all that matters. A disordered structure shows how far that holds: its
particle average is compared with the series averaged under that structure's own bond lengths.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.averages.distributions import series_step, skew_normal_of_moments, skew_normal_weights
from xanesml.averages.series import Series
from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats, Indices
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.files.table import write_csv

#: Columns of the table; msd in Å², each RMS in edge steps.
COLUMNS = ("structure", "msd", "outside", "usable", "rms", "rms_skew_normal", "rms_undistorted")

#: Mean coordination numbers closer than this are the same.
SAME_COORDINATION = 0.01


@dataclass(frozen=True)
class ParticleComparison:
    """Particle averages and the statistical averages weighted with the same structures' bonds.

    Attributes
    ----------
    structure : ndarray of int32, shape (P,)
        Index of the structure in the store.
    msd : ndarray of float64, shape (P,), Å²
        Mean squared displacement of its bonds.
    outside : ndarray of float64, shape (P,)
        Share of its bonds outside the series.
    limit : float
        Largest such share of a structure that counts, the campaign's `averaging.truncation_limit`.
    usable : ndarray of bool, shape (P,)
        Whether the structure counts.
    rms : ndarray of float64, shape (P,), edge steps
        Root mean square, over the mesh, of particle − statistical. NaN where no bond lies within
        the series. It holds all effects beyond the bond lengths: angles, farther shells, and
        absorbers with other surroundings than those of the series.
    rms_skew_normal : ndarray of float64, shape (P,), edge steps
        The same of particle − skew-normal. NaN where the distribution is too narrow for the series.
    rms_undistorted : ndarray of float64, shape (P,), edge steps
        The same of particle − undistorted: the whole effect of disorder, the scale of `rms`.
    particle : ndarray of float64, shape (P, M), edge steps
        Particle averages.
    statistical : ndarray of float64, shape (P, M), edge steps
        Statistical averages weighted with the bonds of each structure. NaN as in `rms`.
    skew_normal : ndarray of float64, shape (P, M), edge steps
        Statistical averages under the skew-normal distribution with the mean, MSD and skewness of the bonds, as
        networks are trained on. NaN as in `rms_skew_normal`.
    undistorted : ndarray of float64, shape (M,), edge steps
        The series at δ = 0.
    energy : ndarray of float64, shape (M,), eV
        The common mesh.
    edge : float, eV
        Photon energy of the edge.
    coordination, series_coordination : float
        Mean number of first neighbors of the absorbers of the particle averages, and of the atoms that the
        series stands for; NaN where not known.
    """

    structure: NDArray[np.int32]
    msd: Floats
    outside: Floats
    limit: float
    usable: Booleans
    rms: Floats
    rms_skew_normal: Floats
    rms_undistorted: Floats
    particle: Floats
    statistical: Floats
    skew_normal: Floats
    undistorted: Floats
    energy: Floats
    edge: float
    coordination: float
    series_coordination: float

    def lines(self) -> list[str]:
        """Return the numbers as printed: the usable structures, and their medians at low and at high MSD."""
        count, left_out = len(self.usable), int((~self.usable).sum())
        lines = [f"structures: {count} compared"]
        if left_out:
            lines[0] += (
                f"; {left_out} of them not counted below, with more than {self.limit:g} of the bonds outside the series"
            )
        if abs(self.coordination - self.series_coordination) > SAME_COORDINATION:
            lines.append(
                f"absorbers: {self.coordination:.3g} first neighbors on average in the particle averages, "
                f"{self.series_coordination:.3g} in the series: the difference holds that of their surroundings too "
                '(disorder.absorbers = "all" and distortion.absorbers = "sites" are alike)'
            )
        rising = np.flatnonzero(self.usable)[np.argsort(self.msd[self.usable], kind="stable")]
        third = len(rising) // 3
        parts = {"lower third": rising[:third], "upper third": rising[-third:]} if third else {"all": rising}
        for name, rows in parts.items():
            if len(rows):
                lines += self._part(name, rows)
        return lines

    def _part(self, name: str, rows: Indices) -> Iterator[str]:
        noun = "structure" if len(rows) == 1 else "structures"
        low, high = 1e3 * self.msd[rows[0]], 1e3 * self.msd[rows[-1]]
        own, skewed, none = (
            float(np.median(values[rows])) for values in (self.rms, self.rms_skew_normal, self.rms_undistorted)
        )
        yield (
            f"{name}: MSD {low:.2f} to {high:.2f} × 10⁻³ Å², {len(rows)} {noun}: median RMS difference of the particle "
            f"average, edge steps: {own:.5f} from the statistical average of its own bonds, {skewed:.5f} from that of "
            f"the skew-normal of the same moments, {none:.5f} from no disorder at all"
        )
        if own > none:
            yield f"{name}: the statistical average is farther from the particle average than no disorder at all"
        elif none > 0:
            yield f"{name}: the statistical average leaves {own / none:.0%} of the difference that disorder makes"


def compare(tensors: Path) -> ParticleComparison:
    """Compare every particle average with the statistical average of the same bonds.

    Parameters
    ----------
    tensors : Path
        A tensor file with a series and particle averages.

    Returns
    -------
    ParticleComparison
        In the order of the file. Structures with more bonds outside the series than the
        campaign's truncation limit are kept and marked as not usable.

    Raises
    ------
    StoreError
        If the file is not readable, or has no series, no spectrum at δ = 0 or no particle
        averages.
    """
    with open_file(tensors, TENSORS) as file:
        if not len(file["series/delta"]):
            raise StoreError(
                f"{tensors} has no distorted series to compare with; give the campaign a [distortion] section and run "
                "`xanesml simulate` and `xanesml average` again"
            )
        if not len(file["particle/spectra"]):
            raise StoreError(
                f"{tensors} has no particle averages to compare; give the campaign a [disorder] section and run "
                "`xanesml simulate` and `xanesml average` again, or see which structures averaging refused"
            )
        limit = float(json.loads(str(file.attrs["campaign"]))["averaging"]["truncation_limit"])
        series = Series.read(file)
        weights = file["particle/weights"][:]
        particle = file["particle/spectra"][:].astype(np.float64)
        structure, msd, outside = (file[f"particle/{name}"][:] for name in ("structure", "msd", "outside"))
        mean_shift, skewness = (file[f"particle/{name}"][:] for name in ("mean_shift", "skewness"))
        edge = float(file.attrs["edge"])
        coordination = float(file["particle/coordination"][:].mean())
        known = file["statistical/coordination"][:1]
    undistorted = series.undistorted()
    statistical = np.full_like(particle, np.nan)
    inside = weights.sum(axis=1) > 0
    statistical[inside] = series.average(weights[inside])
    skew_normal = _skew_normals(series, mean_shift, msd, skewness)
    return ParticleComparison(
        structure=structure,
        msd=msd,
        outside=outside,
        limit=limit,
        usable=inside & (outside <= limit),
        rms=_rms(particle - statistical),
        rms_skew_normal=_rms(particle - skew_normal),
        rms_undistorted=_rms(particle - undistorted),
        particle=particle,
        statistical=statistical,
        skew_normal=skew_normal,
        undistorted=undistorted,
        energy=series.energy,
        edge=edge,
        coordination=coordination,
        series_coordination=float(known[0]) if len(known) else np.nan,
    )


def _skew_normals(series: Series, mean: Floats, variance: Floats, skewness: Floats) -> Floats:
    """Average the series under the skew-normal distributions of given moments; NaN where they are too narrow for it."""
    location, scale, alpha = skew_normal_of_moments(mean, variance, skewness)
    found = np.full((len(mean), len(series.energy)), np.nan)
    wide = scale >= series_step(series.delta) / 2
    if wide.any():
        found[wide] = series.average(skew_normal_weights(series.delta, location[wide], scale[wide], alpha[wide]))
    return found


def write_table(comparison: ParticleComparison, path: Path) -> None:
    """Write the numbers of each structure as CSV.

    Parameters
    ----------
    comparison : ParticleComparison
        The comparison.
    path : Path
        File to write, with the columns `COLUMNS`: structure, msd (Å²), outside, usable (1 or 0),
        rms, rms_skew_normal and rms_undistorted (edge steps; an empty field for NaN). Appears only when complete.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    rows = zip(*(getattr(comparison, name) for name in COLUMNS), strict=True)
    write_csv(path, COLUMNS, (list(map(_cell, row)) for row in rows))


def _cell(value: Any) -> Any:
    if isinstance(value, np.bool_):
        return int(value)
    return "" if np.isnan(value) else value.item()


def _rms(difference: Floats) -> Floats:
    return np.asarray(np.sqrt(np.mean(difference**2, axis=-1)), dtype=np.float64)
