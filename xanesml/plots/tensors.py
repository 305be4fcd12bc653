"""All figures that can be drawn from a tensor file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xanesml.averages.comparison import ParticleComparison, compare
from xanesml.averages.series import Series
from xanesml.averages.tensor_file import statistical_weights
from xanesml.files.arrays import Floats
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.plots import averages, distorted, teaching
from xanesml.plots.style import MOST_CURVES


@dataclass(frozen=True)
class Drawn:
    """The figures drawn and left out.

    Attributes
    ----------
    figures : tuple of str
        Names of the figures drawn; each is a PNG and a PDF.
    left_out : dict of str to str
        Reasons by name of the figures left out.
    """

    figures: tuple[str, ...]
    left_out: dict[str, str]

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(self.figures + other.figures, self.left_out | other.left_out)

    def reasons(self) -> str:
        """Return one line with the figures left out and the reasons; empty where all were drawn."""
        names: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            names.setdefault(reason, []).append(name)
        return "; ".join(f"{', '.join(group)}: {reason}" for reason, group in names.items())


def averaging_figures(tensors: Path, folder: Path) -> Drawn:
    """Draw all figures of the averaging stage.

    Parameters
    ----------
    tensors : Path
        The tensor file; nothing else is read.
    folder : Path
        Folder of the figures; made if it does not exist.

    Returns
    -------
    Drawn
        The figures drawn, and those for which the file lacks data.

    Raises
    ------
    StoreError
        If the tensor file is not readable.
    EnvironmentProblem
        If matplotlib is not installed, or the folder cannot be written to.
    """
    with open_file(tensors, TENSORS) as file:
        missing = _missing(file)
        drawn = Drawn((), {})
        for name, (needs, draw) in _FIGURES.items():
            if reason := _first(missing, needs):
                drawn += Drawn((), {name: reason})
            else:
                draw(file, folder / f"{name}.png")
                drawn += Drawn((name,), {})
    lacking = _first(missing, ("particle", "series", "undistorted"))
    if lacking:
        return drawn + Drawn((), dict.fromkeys(("comparison", "comparison_rms"), lacking))
    return drawn + comparison_figures(compare(tensors), folder)


def comparison_figures(compared: ParticleComparison, folder: Path) -> Drawn:
    """Draw the two figures of the central comparison.

    Parameters
    ----------
    compared : ParticleComparison
        At least one structure.
    folder : Path
        Folder of the figures; made if it does not exist.

    Returns
    -------
    Drawn
        Both, or only `comparison_rms` where no structure is usable.
    """
    averages.comparison_rms(compared, folder / "comparison_rms.png")
    if not compared.usable.any():
        return Drawn(
            ("comparison_rms",),
            {"comparison": f"every structure has more than {compared.limit:g} of its bonds outside the series"},
        )
    averages.comparison(compared, folder / "comparison.png")
    return Drawn(("comparison", "comparison_rms"), {})


def _missing(file: h5py.File) -> dict[str, str]:
    """Return the data that a file lacks, with the reason to print."""
    series, rough = Series.read(file), file["series/roughness"][:]
    lacks = {
        "series": (not len(series.delta), "the file has no distorted series"),
        "undistorted": (not series.has_undistorted, "the series has no spectrum at δ = 0"),
        "roughness": (not np.isfinite(rough).any(), "the series has no roughness, which takes three spectra"),
        "statistical": (not len(file["statistical/msd"]), "the file has no statistical averages"),
        "particle": (not len(file["particle/msd"]), "the file has no particle averages"),
        "particles": (len(file["particle/msd"]) < 2, "the file has fewer than two particle averages"),
    }
    return {name: reason for name, (lacking, reason) in lacks.items() if lacking}


def _first(missing: dict[str, str], needs: tuple[str, ...]) -> str:
    return next((missing[need] for need in needs if need in missing), "")


def _energy(file: h5py.File) -> Floats:
    """Return the mesh relative to the edge, shape (M,), eV."""
    return np.asarray(file["mesh/energy"][:] - float(file.attrs["edge"]), dtype=np.float64)


def _series(file: h5py.File, out: Path) -> None:
    series = Series.read(file)
    distorted.series(_energy(file), series.normalized, series.delta, out)


def _roughness(file: h5py.File, out: Path) -> None:
    distorted.roughness(file["series/roughness"][:], file["series/delta"][:], out)


def _weightings(file: h5py.File, out: Path) -> None:
    msd, alpha, mean_shift = (file[f"statistical/{name}"][:] for name in ("msd", "alpha", "mean_shift"))
    rows = distorted.choose_weightings(msd, alpha, mean_shift)
    distorted.weightings(file["series/delta"][:], statistical_weights(file, rows), msd[rows], alpha[rows], out)


def _disordered(file: h5py.File, out: Path) -> None:
    averages.disordered(_energy(file), file["particle/spectra"][:], file["particle/msd"][:], out)


def _differences(file: h5py.File, out: Path) -> None:
    msd, shift = file["particle/msd"][:], file["particle/mean_shift"][:]
    statistical_msd = file["statistical/msd"][:]
    rows = averages.choose_like_particles(
        statistical_msd, file["statistical/mean_shift"][:], msd, shift, most=MOST_CURVES
    )
    averages.differences(
        _energy(file),
        (file["particle/spectra"][:], msd),
        (file["statistical/spectra"][rows], statistical_msd[rows]),
        Series.read(file).undistorted(),
        out,
    )


def _distribution(file: h5py.File, out: Path) -> None:
    shares, msd = file["particle/distribution"][:], file["particle/msd"][:]
    averages.distribution(file["mesh/r"][:], shares, msd, float(file.attrs["first_shell"]), out)


def _bars(file: h5py.File, out: Path) -> None:
    msd, mean_shift = file["statistical/msd"][:], file["statistical/mean_shift"][:]
    spread = float(np.ptp(mean_shift)) or 1.0
    targets = np.quantile(msd, (0.05, 0.5, 0.95))
    # Of the averages about δ = 0, those nearest to a low, a middle and a high MSD.
    misfit = np.abs(msd - targets[:, np.newaxis]) / (float(np.ptp(msd)) or 1.0) + np.abs(mean_shift) / spread
    rows = np.unique(misfit.argmin(axis=1))
    rows = rows[np.argsort(msd[rows], kind="stable")]
    teaching.bars(file["series/delta"][:], statistical_weights(file, rows), msd[rows], out)


def _neighbors(file: h5py.File, out: Path) -> None:
    msd, first_shell = file["particle/msd"][:], float(file.attrs["first_shell"])
    # Structures that are drawn have evenly spaced σ; images of a trajectory have none.
    drawn = json.loads(str(file.attrs["campaign"])).get("structure", {}).get("images") is None
    place = file["particle/structure"][:].astype(np.float64) if drawn else None
    middle = int(np.argsort(msd, kind="stable")[len(msd) // 2])
    shares = file["particle/distribution"][:]
    teaching.neighbors_in_sigma(file["mesh/r"][:], shares, msd, middle, first_shell, out, place=place)


#: The data that each figure needs, and the function that draws it.
_FIGURES: dict[str, tuple[tuple[str, ...], Callable[[h5py.File, Path], None]]] = {
    "series": (("series",), _series),
    "roughness": (("series", "roughness"), _roughness),
    "weightings": (("series", "statistical"), _weightings),
    "disordered": (("particle",), _disordered),
    "differences": (("particle", "statistical", "series", "undistorted"), _differences),
    "distribution": (("particle",), _distribution),
    "weights_as_bars": (("series", "statistical"), _bars),
    "neighbors_in_sigma": (("particle", "particles"), _neighbors),
}
