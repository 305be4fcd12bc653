"""Predictions for many files: what can be used is answered, what cannot is refused with a reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.assessment.report import NETWORK
from xanesml.errors import EnvironmentProblem, SpectrumError
from xanesml.files.whole import write_text
from xanesml.learning.model import TrainedModel, load_model
from xanesml.measured import MeasuredSpectrum, read_spectra, read_spectrum
from xanesml.plots import measured_against_simulated
from xanesml.prediction.predict import Prediction, predict_spectrum
from xanesml.prediction.reference import Reference, make_reference, normalized_for

_COLUMNS = (
    "source",
    "mode",
    "predictor",
    "msd",
    "low",
    "high",
    "spread",
    "mean_shift",
    "shift",
    "distance",
    "warnings",
)


@dataclass(frozen=True)
class KnownReference:
    """What a user says of a reference: its file, and its mean squared displacement with its uncertainty, Å²."""

    path: Path
    msd: float
    msd_error: float = 0.0


@dataclass(frozen=True)
class Predictions:
    """Answers to some files.

    Attributes
    ----------
    predictions : list of Prediction
        In the order of the files.
    refused : list of (str, str)
        What could not be used, and why.
    """

    predictions: list[Prediction]
    refused: list[tuple[str, str]]


def predict_files(
    folder: Path,
    paths: Sequence[Path],
    output: Path,
    *,
    element: str | None = None,
    edge: str | None = None,
    reference: KnownReference | None = None,
    predictor: str = NETWORK,
) -> Predictions:
    """Predict from several files with one model; write `predictions.json`, `predictions.csv` and figures.

    Parameters
    ----------
    folder : Path
        Folder of the trained model.
    paths : sequence of Path
        Measured spectra; a file may hold several.
    output : Path
        Folder to write to; made if it does not exist.
    element, edge : str, optional
        What was measured, for files that do not say. Default: what the model is for.
    reference : KnownReference, optional
        A spectrum of known disorder from the same session.
    predictor : str, optional
        A baseline of the model's in place of its networks.

    Returns
    -------
    Predictions
        A file that cannot be used does not keep the others from being answered.

    Raises
    ------
    StoreError
        If the model cannot be loaded, or has nothing for the mode.
    EnvironmentProblem
        If a library is missing or the folder cannot be written to.
    SpectrumError
        If the reference cannot be used, or none of the spectra; nothing is written then.
    """
    model = load_model(folder)
    expected = {"element": element or model.metadata.element, "edge": edge or model.metadata.edge}
    known = None
    if reference is not None:
        measured = normalized_for(model, read_spectrum(reference.path, **expected))
        known = make_reference(model, measured, reference.msd, msd_error=reference.msd_error)
    found = Predictions([], [])
    for path in paths:
        _predict_file(model, path, found, expected, known, predictor)
    if not found.predictions:
        raise SpectrumError("; ".join(reason for _, reason in found.refused))
    try:
        (output / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot make the folder {output / 'figures'}: {error.strerror}; name one that can be written to"
        ) from error
    write_predictions(output, found)
    for prediction, name in zip(found.predictions, figure_names(found.predictions), strict=True):
        draw(model, prediction, output / "figures" / f"{name}.png")
    return found


def _predict_file(
    model: TrainedModel,
    path: Path,
    found: Predictions,
    expected: dict[str, str],
    reference: Reference | None,
    predictor: str,
) -> None:
    try:
        spectra: list[MeasuredSpectrum] = read_spectra(
            path, **expected, refuse=lambda reason: found.refused.append((str(path), reason))
        )
    except SpectrumError as error:
        found.refused.append((str(path), str(error)))
        return
    for spectrum in spectra:
        try:
            normalized = normalized_for(model, spectrum)
            prediction = predict_spectrum(
                model, normalized, name=spectrum.stem, reference=reference, predictor=predictor
            )
            found.predictions.append(prediction)
        except SpectrumError as error:
            found.refused.append((spectrum.source, str(error)))


def figure_names(predictions: Sequence[Prediction]) -> list[str]:
    """Return a name for the figure of each prediction: its own, numbered where an earlier one has it."""
    names: list[str] = []
    for prediction in predictions:
        name, number = prediction.name, 1
        while name in names:
            number += 1
            name = f"{prediction.name}-{number}"
        names.append(name)
    return names


def draw(model: TrainedModel, prediction: Prediction, path: Path) -> None:
    """Draw a prediction: measured and nearest simulated spectrum, their difference, and the bond lengths."""
    shares = prediction.distribution
    if prediction.reference is None:
        label = f"measured, shifted by {prediction.shift:+.2f} eV"
    else:
        label = "simulated reference + measured difference"
    measured_against_simulated(
        model.mesh,
        prediction.spectrum,
        prediction.nearest_spectrum,
        model.metadata.band,
        path,
        edge=model.metadata.edge_energy,
        label=label,
        simulated_label=f"nearest simulated, MSD {prediction.nearest['msd']:.4f} Å²",
        msd=prediction.msd,
        interval=prediction.interval,
        confidence=prediction.confidence,
        distribution=None if shares is None else (np.asarray(shares["r"]), np.asarray(shares["share"])),
        first_shell=model.metadata.first_shell,
        mean_shift=prediction.mean_shift,
    )


def write_predictions(output: Path, found: Predictions) -> None:
    """Write `predictions.json` and `predictions.csv` into a folder, each whole or not at all."""
    content = {
        "predictions": [prediction.as_dict() for prediction in found.predictions],
        "refused": [{"source": source, "reason": reason} for source, reason in found.refused],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(_COLUMNS)
    for one in found.predictions:
        numbers = one.msd, *one.interval, one.spread, one.mean_shift, one.shift, one.distance
        table.writerow([one.source, one.mode, one.predictor, *numbers, "; ".join(one.warnings)])
    write_text(output / "predictions.json", text)
    write_text(output / "predictions.csv", buffer.getvalue())
