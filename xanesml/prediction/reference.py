"""The reference: a measured spectrum of known disorder, which calibrates others of the same session."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from pydantic.dataclasses import dataclass

from xanesml.errors import SpectrumError
from xanesml.files.records import RECORD, FloatArray
from xanesml.learning.augmentation import gaussian_averages
from xanesml.learning.model import TrainedModel
from xanesml.measured import MeasuredSpectrum, read_spectra, read_spectrum, spectrum_from_arrays
from xanesml.measured.calibration import Calibration, calibrate
from xanesml.measured.normalization import NormalizedSpectrum, Treatment, normalize

#: A file, with `:NAME` after it for one spectrum of several; energies (eV) and absorption; or a spectrum.
Spectrum = str | os.PathLike[str] | tuple[ArrayLike, ArrayLike] | MeasuredSpectrum


@dataclass(frozen=True, config=RECORD)
class Reference:
    """A measured spectrum of known disorder with its calibration.

    Attributes
    ----------
    source : str
        The file.
    msd, msd_error : float, Å²
        Mean squared displacement of the sample, and its standard uncertainty.
    simulated : ndarray, shape (M,), float64, edge steps
        The Gaussian average with this displacement; not in files.
    measured : ndarray, shape (M,), float64, edge steps
        The measured spectrum, calibrated; not in files.
    calibration : Calibration
        Puts measured spectra of the session on the theory's mesh.
    normalized : NormalizedSpectrum or None
        The measured spectrum, to treat samples alike; not in files.
    """

    source: str
    msd: float
    msd_error: float
    simulated: Annotated[FloatArray, Field(exclude=True)]
    measured: Annotated[FloatArray, Field(exclude=True)]
    calibration: Calibration
    normalized: Annotated[Any, Field(exclude=True)] = None


def make_reference(
    model: TrainedModel, normalized: NormalizedSpectrum, msd: float, *, msd_error: float = 0.0
) -> Reference:
    """Calibrate a model with a measured spectrum of known disorder; doubts about it are in its calibration.

    Parameters
    ----------
    normalized : NormalizedSpectrum
        The measured spectrum, from `normalized_for`.
    msd, msd_error : float, Å²
        Mean squared displacement of the sample, and its standard uncertainty.

    Raises
    ------
    SpectrumError
        If the displacement is outside the training labels, its uncertainty is negative or not finite, or the
        spectrum cannot be calibrated.
    """
    if not 0 <= msd_error < np.inf:
        raise SpectrumError(f"the uncertainty {msd_error} Å² of the reference's MSD is no finite number ≥ 0")
    low, high = model.scaling.ranges["msd"]
    if not low <= msd <= high:
        raise SpectrumError(
            f"the reference's MSD {msd} Å² lies outside the {low:.4f} … {high:.4f} Å² that the model was trained on; "
            "give another reference, or widen averaging.sigma and train again"
        )
    simulated = gaussian_averages(model.series, np.array([msd]))[0]
    calibration = calibrate(normalized, model.mesh, simulated, edge=model.metadata.edge_energy)
    on_theory = calibration.apply(normalized, model.mesh)
    return Reference(normalized.source, msd, msd_error, simulated, on_theory, calibration, normalized)


def normalized_for(
    model: TrainedModel, measured: MeasuredSpectrum, treatment: Treatment | None = None
) -> NormalizedSpectrum:
    """Normalize a measured spectrum as the training spectra of a model were, with the edge step taken where theirs was.

    Raises
    ------
    SpectrumError
        If it is of another element or edge than the model's, or unusable.
    """
    return Wanted.of(model).normalized(measured, treatment)


@dataclass(frozen=True, config=RECORD)
class Wanted:
    """What a model needs of a measured spectrum.

    Attributes
    ----------
    element, edge : str
        Absorber and edge.
    step_offset : float, eV
        Where the edge step is taken, above the edge.
    """

    element: str
    edge: str
    step_offset: float

    @classmethod
    def of(cls, model: TrainedModel) -> Wanted:
        """Return that of a model."""
        metadata = model.metadata
        return cls(metadata.element, metadata.edge, metadata.normalization_energy - metadata.edge_energy)

    def read(
        self,
        spectrum: Spectrum,
        element: str | None,
        edge: str | None,
        signal: str | None,
        refuse: Callable[[str], object] | None = None,
    ) -> list[MeasuredSpectrum]:
        """Read the one spectrum, or, if some may be refused, all spectra of a file.

        Raises
        ------
        SpectrumError
            As `xanesml.measured.read_spectra`.
        """
        if isinstance(spectrum, MeasuredSpectrum):
            return [spectrum]
        element, edge = element or self.element, edge or self.edge
        if isinstance(spectrum, tuple):
            return [spectrum_from_arrays(*spectrum, element=element, edge=edge)]
        if refuse is None:
            return [read_spectrum(Path(spectrum), element=element, edge=edge, signal=signal)]
        return read_spectra(Path(spectrum), element=element, edge=edge, signal=signal, refuse=refuse)

    def normalized(self, measured: MeasuredSpectrum, treatment: Treatment | None = None) -> NormalizedSpectrum:
        """Normalize a spectrum; see `normalized_for`."""
        if (measured.element, measured.edge) != (self.element, self.edge):
            raise SpectrumError(
                f"{measured.source} is of {measured.element} {measured.edge}, but the network is for "
                f"{self.element} {self.edge}; use a network trained for that edge"
            )
        return normalize(measured, step_offset=self.step_offset, treatment=treatment)
