"""The reference: a measured spectrum of known disorder, which calibrates others of the same session."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from xanesml.errors import SpectrumError
from xanesml.files.records import RECORD, FloatArray
from xanesml.learning.augmentation import gaussian_averages
from xanesml.learning.model import TrainedModel
from xanesml.measured import MeasuredSpectrum
from xanesml.measured.calibration import Calibration, calibrate
from xanesml.measured.normalization import NormalizedSpectrum, normalize


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
    """

    source: str
    msd: float
    msd_error: float
    simulated: Annotated[FloatArray, Field(exclude=True)]
    measured: Annotated[FloatArray, Field(exclude=True)]
    calibration: Calibration


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
    return Reference(normalized.source, msd, msd_error, simulated, on_theory, calibration)


def normalized_for(model: TrainedModel, measured: MeasuredSpectrum) -> NormalizedSpectrum:
    """Normalize a measured spectrum as the training spectra of a model were, with the edge step taken where theirs was.

    Raises
    ------
    SpectrumError
        If it is of another element or edge than the model's, or unusable.
    """
    metadata = model.metadata
    if (measured.element, measured.edge) != (metadata.element, metadata.edge):
        raise SpectrumError(
            f"{measured.source} is of {measured.element} {measured.edge}, but the network is for "
            f"{metadata.element} {metadata.edge}; use a network trained for that edge"
        )
    return normalize(measured, step_offset=metadata.normalization_energy - metadata.edge_energy)
