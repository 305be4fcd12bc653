"""The effect of each error of measurement, by itself, on the network and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from xanesml.assessment.report import LABELS, NETWORK
from xanesml.campaign import Campaign, Mode, TrainingSection
from xanesml.files.table import read_csv, write_csv
from xanesml.learning.augmentation import augmenter
from xanesml.learning.dataset import Tensors
from xanesml.learning.predictors import Predictor
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import Split, evenly
from xanesml.seeds import Stream, seed_of

#: Names and units of the errors, by their key in the campaign's training section.
ERRORS = {
    "noise": ("counting noise", "edge steps"),
    "energy_shift": ("energy shift", "eV"),
    "broadening": ("broadening", "eV"),
    "step_error": ("edge-step error", "relative"),
    "slope": ("background slope", "edge steps per 50 eV"),
    "drift": ("drift against the reference", "eV"),
    "amplitude": ("amplitude of differences", "relative"),
}

#: Errors that occur only in the mode `reference`.
BESIDE_A_REFERENCE = ("drift", "amplitude")

#: Sizes of an error in units of the campaign's, or of the default if it is off in the campaign.
FACTORS = (0.0, 0.5, 1.0, 2.0, 4.0)

#: Largest number of test spectra, evenly taken.
SENSITIVITY_SPECTRA = 2000


@dataclass(frozen=True)
class Sensitivity:
    """Error of a predictor on spectra with a single error of measurement; a row of the table.

    Attributes
    ----------
    error : str
        The error, a key of `ERRORS`.
    factor : float
        Its size in units of the campaign's, or of the default if it is off in the campaign.
    size : float
        Its size, in the unit of `ERRORS`.
    trained : float
        The campaign's size, in the same unit; 0 if it is off.
    predictor : str
        The predictor, a key of `xanesml.assessment.report.LABELS`.
    mae : float
        Mean absolute error of the mean squared displacement, Å².
    """

    error: str
    factor: float
    size: float
    trained: float
    predictor: str
    mae: float


def errors_of_mode(mode: Mode) -> list[str]:
    """Return the keys of `ERRORS` that occur in a mode of training."""
    return [name for name in ERRORS if mode == "reference" or name not in BESIDE_A_REFERENCE]


def sensitivity(
    predictors: Mapping[str, Predictor],
    mode: Mode,
    tensors: Tensors,
    split: Split,
    scaling: Scaling,
    campaign: Campaign,
) -> list[Sensitivity]:
    """Measure the effect of each error of measurement by itself, with all others off.

    Parameters
    ----------
    predictors : mapping of str to callable
        From scaled features to mean squared displacements, Å², by their key in `LABELS`; `network` among them.
    mode : {"direct", "reference"}
        Their mode of training.
    tensors : Tensors
        All averages.
    split : Split
        At most 2,000 spectra of its test side are used, evenly taken.
    scaling : Scaling
        The scaling of the features.
    campaign : Campaign
        The campaign, for sizes and seed. All sizes of an error see the same draws.

    Returns
    -------
    list of Sensitivity
        By error, factor and predictor.
    """
    section, default = campaign.training, TrainingSection()
    rows = split.test[evenly(len(split.test), SENSITIVITY_SPECTRA)]
    labels = tensors.msd[rows]

    def errors_with(**sizes: float) -> dict[str, float]:
        only = section.model_copy(update=dict.fromkeys(ERRORS, 0.0) | sizes)
        drawn = augmenter(only, mode, tensors, scaling.ranges["msd"]).on_arrays(
            tensors.spectra[rows], seed_of(campaign.seed, Stream.SENSITIVITY)
        )
        features = scaling.scale_features(drawn)
        # As in `Answers`, no displacement is negative.
        answers = {name: np.maximum(predict(features), 0.0) for name, predict in predictors.items()}
        return {name: float(np.abs(answer - labels).mean()) for name, answer in answers.items()}

    found = []
    # The matrices are small, and threads on cores that other ranks use would wait for each other.
    with threadpool_limits(1):
        none = errors_with()
        for error in errors_of_mode(mode):
            trained = float(getattr(section, error))
            unit = trained or float(getattr(default, error))
            for factor in FACTORS:
                maes = errors_with(**{error: factor * unit}) if factor else none
                found += [Sensitivity(error, factor, factor * unit, trained, name, mae) for name, mae in maes.items()]
    return found


def most_harmful(rows: Sequence[Sensitivity]) -> str:
    """Return in one sentence, without a full stop, which error, at the campaign's size, hurts the network most."""
    ours = [row for row in rows if row.predictor == NETWORK]
    none = next(row.mae for row in ours if row.factor == 0)
    worst = max((row for row in ours if row.factor == 1), key=lambda row: row.mae)
    if worst.mae <= none:
        return f"no error of measurement alone hurts the network, which has {none:.3g} Å² without any"
    name, unit = ERRORS[worst.error]
    off = "" if worst.trained else ", off in the campaign"
    return (
        f"of the errors of measurement alone, {name} ({worst.size:g} {unit}{off}) hurts the network most: "
        f"MAE {worst.mae:.3g} Å², without any {none:.3g} Å²"
    )


def sensitivity_file(mode: str) -> str:
    """Return the name of the table in a model's folder."""
    return f"sensitivity-{mode}.csv"


def write_sensitivity(path: Path, rows: Sequence[Sensitivity]) -> None:
    """Write the table as CSV, one line for each row, whole or not at all.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    write_csv(path, [field.name for field in fields(Sensitivity)], map(astuple, rows))


def read_sensitivity(path: Path) -> list[Sensitivity]:
    """Read a table that `write_sensitivity` wrote.

    Raises
    ------
    StoreError
        If the file cannot be read or holds something else.
    """
    return read_csv(path, _of_row, made_by="xanesml train")


def _of_row(row: dict[str, str]) -> Sensitivity:
    if row["error"] not in ERRORS or row["predictor"] not in LABELS:
        raise ValueError(f"unknown error or predictor: {row['error']!r}, {row['predictor']!r}")
    factor, size, trained = (float(row[name]) for name in ("factor", "size", "trained"))
    return Sensitivity(row["error"], factor, size, trained, row["predictor"], float(row["mae"]))
