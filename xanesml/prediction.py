"""From a measured spectrum to its mean squared displacement, by a trained network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import SpectrumError
from xanesml.experiment import align, normalize, on_mesh, read_spectrum
from xanesml.model import TrainedModel, load_model, write_text
from xanesml.plots import measured_against_simulated

#: Distance beyond which a spectrum is called unlike the training spectra; theirs average 1.
LARGE_DISTANCE = 3.0


@dataclass(frozen=True)
class Prediction:
    """What a network says about a measured spectrum, and what that rests on.

    Attributes
    ----------
    source : str
        The file of the spectrum.
    element, edge : str
        What was measured.
    msd : float, Å²
        Predicted mean squared displacement. A single number without an uncertainty.
    shift : float, eV
        What was added to the measured energies.
    rms : float, edge steps
        Root mean square difference from the mean training spectrum after the shift.
    distance : float
        Root mean square over energies of (x − feature mean)/feature standard deviation.
    energy_range : tuple of float, eV
        First and last energy of the spectrum, shifted.
    mesh_range : tuple of float, eV
        First and last energy that the network uses.
    label_range : tuple of float, Å²
        Smallest and largest label that the network was trained on.
    e0 : float, eV
        Energy of the largest slope, not shifted.
    edge_step : float
        Edge step that the spectrum was divided by.
    normalization : dict
        The normalization's parameters; see `xanesml.experiment.NormalizedSpectrum`.
    warnings : tuple of str
        Reasons to doubt the number, one sentence each.
    spectrum : ndarray, shape (M,), float64, edge steps
        The normalized spectrum on the network's mesh, no NaN; not written to files.
    """

    source: str
    element: str
    edge: str
    msd: float
    shift: float
    rms: float
    distance: float
    energy_range: tuple[float, float]
    mesh_range: tuple[float, float]
    label_range: tuple[float, float]
    e0: float
    edge_step: float
    normalization: dict[str, Any]
    warnings: tuple[str, ...]
    spectrum: NDArray[np.float64] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return all but the spectrum, ready for JSON."""
        content = asdict(self)
        del content["spectrum"]
        return content

    def line(self) -> str:
        """Return what the command line prints: the number, what it rests on, and the doubts."""
        found = (
            f"{self.source}: {self.element} {self.edge}: MSD {self.msd:.4f} Å² "
            f"(shifted by {self.shift:+.2f} eV, rms {self.rms:.3f} from the mean training spectrum)"
        )
        return "; ".join([found, *(f"warning: {warning}" for warning in self.warnings)])


def predict_spectrum(
    model: TrainedModel,
    path: Path,
    *,
    element: str | None = None,
    edge: str | None = None,
    largest_shift: float = 15.0,
) -> Prediction:
    """Read, normalize and align a measured spectrum, and predict its MSD.

    Parameters
    ----------
    model : TrainedModel
        From `xanesml.model.load_model`. The mean of its training spectra is what the
        measured one is aligned with, and the edge step is taken where theirs was.
    path : Path
        An XDI or two-column text file.
    element, edge : str, optional
        What was measured, where the file does not say. Default: what the network is for.
    largest_shift : float, optional
        Bound on the energy shift, eV. Default 15.

    Returns
    -------
    Prediction
        With `warnings` where the number should not be trusted as it is.

    Raises
    ------
    SpectrumError
        If the spectrum is unusable, of another element or edge than the network's, or
        does not cover the network's energies, or if the prediction is not finite.
    """
    metadata = model.metadata
    mesh = model.mesh
    raw = read_spectrum(path, element=element or metadata["element"], edge=edge or metadata["edge"])
    if (raw.element, raw.edge) != (metadata["element"], metadata["edge"]):
        raise SpectrumError(
            f"{path} is of {raw.element} {raw.edge}, but the network is for "
            f"{metadata['element']} {metadata['edge']}; use a network trained for that edge"
        )
    measured = normalize(raw, step_offset=metadata["normalization_energy"] - metadata["edge_energy"])
    alignment = align(measured, mesh, np.asarray(metadata["reference"]), largest_shift=largest_shift)
    spectrum = on_mesh(measured, mesh, alignment.shift)
    msd = float(model.predict(spectrum[np.newaxis, :])[0])
    if not np.isfinite(msd):
        raise SpectrumError(f"{path}: the network answers {msd}; check that its training converged and train it again")
    scores = model.scaling.scale_features(spectrum[np.newaxis, :]).astype(np.float64)
    distance = float(np.sqrt(np.mean(scores**2)))
    lowest, highest = metadata["label_range"]
    return Prediction(
        source=measured.source,
        element=measured.element,
        edge=measured.edge,
        msd=msd,
        shift=alignment.shift,
        rms=alignment.rms,
        distance=distance,
        energy_range=(float(measured.energy[0]) + alignment.shift, float(measured.energy[-1]) + alignment.shift),
        mesh_range=(float(mesh[0]), float(mesh[-1])),
        label_range=(lowest, highest),
        e0=measured.e0,
        edge_step=measured.edge_step,
        normalization=measured.parameters,
        warnings=tuple(_doubts(msd, lowest, highest, distance)),
        spectrum=spectrum,
    )


def predict_files(
    folder: Path, paths: Sequence[Path], output: Path, *, element: str | None = None, edge: str | None = None
) -> list[Prediction]:
    """Predict from several files with one network; write `predictions.json` and a figure for each.

    Parameters
    ----------
    folder : Path
        Folder of the trained network.
    paths : sequence of Path
        Measured spectra.
    output : Path
        Folder to write to; made if it does not exist.
    element, edge : str, optional
        What was measured, for files that do not say.

    Returns
    -------
    list of Prediction
        In the order of `paths`.

    Raises
    ------
    StoreError, EnvironmentProblem
        If the network cannot be loaded.
    SpectrumError
        As `predict_spectrum`; nothing is written then.
    """
    model = load_model(folder)
    predictions = [predict_spectrum(model, path, element=element, edge=edge) for path in paths]
    output.mkdir(parents=True, exist_ok=True)
    write_predictions(output / "predictions.json", predictions)
    figures = output / "figures"
    figures.mkdir(exist_ok=True)
    for path, prediction in zip(paths, predictions, strict=True):
        measured_against_simulated(
            model.mesh,
            prediction.spectrum,
            np.asarray(model.metadata["reference"]),
            np.asarray(model.metadata["band"]),
            figures / f"{path.stem}.png",
            edge=model.metadata["edge_energy"],
            label=f"measured, shifted by {prediction.shift:+.2f} eV",
        )
    return predictions


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write predictions as JSON: whole or not at all.

    Parameters
    ----------
    path : Path
        The file, replaced if it exists.
    predictions : sequence of Prediction
        In the order to be written, under the key "predictions".
    """
    content = {"predictions": [prediction.as_dict() for prediction in predictions]}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _doubts(msd: float, lowest: float, highest: float, distance: float) -> list[str]:
    doubts = []
    if not lowest <= msd <= highest:
        doubts.append(f"the MSD {msd:.4f} Å² lies outside the {lowest:.4f} … {highest:.4f} Å² of the training labels")
    if distance > LARGE_DISTANCE:
        doubts.append(
            f"the spectrum is unlike the training spectra: {distance:.1f} of their standard deviations "
            f"from their mean (root mean square over energies; above {LARGE_DISTANCE:g} is large)"
        )
    return doubts
