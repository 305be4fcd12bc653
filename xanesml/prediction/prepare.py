"""From a normalized spectrum to what predictors take: without networks, so that it runs in any process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from xanesml.averages.nearest import Nearest, nearest
from xanesml.averages.series import Series
from xanesml.campaign import AveragingSection
from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.learning.model import TrainedModel
from xanesml.measured.alike import Pair, clean, foil_shift, paired, relative_shift, renormalized, shifted
from xanesml.measured.normalization import NormalizedSpectrum, align, on_mesh
from xanesml.prediction.doubts import LIKELY_DRIFT
from xanesml.prediction.reference import Reference

#: Largest differences of the nearest simulated spectrum from a spectrum without a reference: of a factor from 1,
#: a shift, eV, a broadening, eV, and a slope, edge steps per 50 eV.
NEAREST_BOUNDS = {"largest_gain": 0.05, "largest_shift": 2.0, "largest_broadening": 2.0, "largest_slope": 0.05}
#: A difference between the edges of sample and reference that is told, eV.
DOUBTFUL_DIFFERENCE = 0.2


class Align(str, Enum):
    """What puts a sample's energies on those of its reference."""

    foil = "foil"
    edge = "edge"
    none = "none"


@dataclass(frozen=True)
class Theory:
    """What of a trained model a spectrum is prepared with; small, and without networks.

    Attributes
    ----------
    mesh : ndarray, shape (M,), float64, eV
        Photon energies.
    mean_spectrum : ndarray, shape (M,), float64, edge steps
        Mean training spectrum.
    series : Series
        The distorted series.
    averaging : AveragingSection
        Ranges of the training averages.
    edge_energy : float, eV
        The theory's edge.
    """

    mesh: Floats
    mean_spectrum: Floats
    series: Series
    averaging: AveragingSection
    edge_energy: float

    @classmethod
    def of(cls, model: TrainedModel) -> Theory:
        """Return that of a model."""
        metadata = model.metadata
        return cls(model.mesh, model.mean_spectrum, model.series, metadata.campaign.averaging, metadata.edge_energy)


@dataclass(frozen=True)
class Prepared:
    """A spectrum on the mesh, and the same as it may be wrong.

    Attributes
    ----------
    name : str
        Name of the spectrum in the names of files.
    normalized : NormalizedSpectrum
        The spectrum as it was normalized and aligned.
    reference : Reference or None
        The reference as it was normalized with it.
    spectra : ndarray, shape (1 + varied + 0 or 2, M), float64, edge steps
        The spectrum; normalized in other ways; its energies one standard uncertainty up and down.
    varied : int
        Number of other ways of normalization.
    shift : float, eV
        Added to the energies to put them on the mesh.
    nearest : Nearest
        The nearest simulated spectrum.
    warnings : tuple of str
        What is to be told of alignment and normalization.
    """

    name: str
    normalized: NormalizedSpectrum
    reference: Reference | None
    spectra: Floats
    varied: int
    shift: float
    nearest: Nearest
    warnings: tuple[str, ...] = ()


def prepare(
    theory: Theory,
    normalized: NormalizedSpectrum,
    *,
    name: str = "",
    reference: Reference | None = None,
    align_by: Align = Align.foil,
) -> Prepared:
    """Put a normalized spectrum on the theory's energies.

    Parameters
    ----------
    theory : Theory
        Of the model.
    normalized : NormalizedSpectrum
        From `xanesml.prediction.reference.normalized_for`.
    name : str, optional
        Name of the spectrum in the names of files.
    reference : Reference, optional
        From `xanesml.prediction.reference.make_reference`; by default there is none.
    align_by : Align, optional
        What puts the energies on those of the reference.

    Raises
    ------
    SpectrumError
        If the spectrum does not cover the model's energies or cannot be aligned.
    """
    mesh = theory.mesh
    if normalized.theory:
        # Theory needs no calibration: its difference from the simulated reference is exact.
        spectra, varied, shift, told = on_mesh(normalized, mesh, 0.0)[np.newaxis], 0, 0.0, list[str]()
    elif reference is None:
        shift, told = align(normalized, mesh, theory.mean_spectrum).shift, []
        spectra = np.array([on_mesh(one, mesh, shift) for one in (normalized, *_varied(normalized))])
        varied = len(spectra) - 1
    else:
        normalized, drift, told = _aligned(normalized, reference, align_by)
        if reference.normalized is not None and reference.normalized.source != normalized.source:
            told += [f"the reference: {doubt}" for doubt in reference.normalized.doubts]
        pair = paired(normalized, reference.normalized) if reference.normalized is not None else None
        shift = reference.calibration.shift
        if pair is None:
            difference = reference.calibration.apply(normalized, mesh)
            differences = (difference - reference.measured)[np.newaxis]
        else:
            told += [line for line in [pair.told(normalized, reference.normalized)] if line]
            normalized = pair.sample
            reference = replace(reference, measured=reference.calibration.apply(pair.reference, mesh))
            differences = np.array([_difference(one, reference, mesh) for one in (pair, *_tried(pair))])
        varied = len(differences) - 1
        drifted = [differences[0] + _moved(differences[0] + reference.measured, mesh, by) for by in (drift, -drift)]
        spectra = reference.simulated + np.array([*differences, *drifted])
    return Prepared(
        name, normalized, reference, spectra, varied, shift, _nearest(theory, spectra[0], reference), tuple(told)
    )


def _varied(normalized: NormalizedSpectrum) -> Iterator[NormalizedSpectrum]:
    if normalized.ranges is None:
        return
    for ranges in normalized.ranges.variations():
        try:
            yield renormalized(normalized, normalized.e0, ranges)
        except SpectrumError:
            # A shorter range may hold too few points: one choice less.
            continue


def _tried(pair: Pair) -> list[Pair]:
    try:
        return pair.varied()
    except SpectrumError:
        return []


def _difference(pair: Pair, reference: Reference, mesh: Floats) -> Floats:
    calibration = reference.calibration
    return calibration.apply(pair.sample, mesh) - calibration.apply(pair.reference, mesh)


def _moved(spectrum: Floats, mesh: Floats, by: float) -> Floats:
    """Return what a spectrum on the mesh changes by with `by` eV added to its energies."""
    return np.asarray(np.interp(mesh - by, mesh, spectrum) - spectrum)


def _aligned(
    normalized: NormalizedSpectrum, reference: Reference, align_by: Align
) -> tuple[NormalizedSpectrum, float, list[str]]:
    """Return the sample on the energies of the reference, the uncertainty of that, eV, and what is to be told."""
    known = reference.normalized
    if known is None or known.theory:
        return normalized, 0.0, []
    found = foil_shift(normalized, known) if align_by is Align.foil else None
    if found is not None:
        how = f"energies shifted by {found.shift:+.3f}({1e3 * found.error:.0f}) eV onto the reference's by the foil"
        return _noted(shifted(normalized, found.shift), f"{how} measured with both"), found.error, []
    told = []
    if align_by is Align.foil and normalized.foil is not None and known.foil is not None:
        told.append("the foils measured with it and with the reference are no spectra of one foil: it is not aligned")
    apart = relative_shift(*clean(normalized), *clean(known), known.e0)
    distance = 0.0 if apart is None else apart.shift
    if align_by is Align.edge and apart is not None:
        how = f"energies shifted by {distance:+.3f} eV onto the reference's by the edge itself"
        return _noted(shifted(normalized, distance), how), max(LIKELY_DRIFT, apart.error), []
    if abs(distance) <= DOUBTFUL_DIFFERENCE:
        return normalized, max(LIKELY_DRIFT, abs(distance)), told
    told.append(
        f"its edge lies {-distance:+.2f} eV from the reference's, and no foil was measured with both: "
        "drift of the energies or chemistry; the interval allows for drift"
    )
    return normalized, abs(distance), told


def _noted(normalized: NormalizedSpectrum, remark: str) -> NormalizedSpectrum:
    remarks = [*normalized.parameters.get("remarks", []), remark]
    return replace(normalized, parameters=normalized.parameters | {"remarks": remarks})


def _nearest(theory: Theory, spectrum: Floats, reference: Reference | None) -> Nearest:
    if reference is not None:
        return nearest(spectrum, theory.series, theory.averaging)
    return nearest(spectrum, theory.series, theory.averaging, edge=theory.edge_energy, **NEAREST_BOUNDS)
