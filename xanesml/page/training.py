"""Sections on a trained model: learning, errors beside baselines, intervals, sensitivity to errors of measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xanesml.assessment.report import LABELS, NETWORK, REPORT_FILE, Comparison, ModeReport, TrainingReport, read_report
from xanesml.assessment.sensitivity import ERRORS, Sensitivity, read_sensitivity, sensitivity_file
from xanesml.assessment.summary import PARTICLES, training_line
from xanesml.campaign import Mode
from xanesml.files.arrays import Floats
from xanesml.files.table import read_csv
from xanesml.page.chart import Axis, Chart, Mark, thinned
from xanesml.page.content import Section, Table, shares

#: Dots of a parity plot.
MOST_DOTS = 1500

#: Bins of equal numbers of spectra in which the intervals are tested.
_BINS = 10

_MILLI = "(10⁻³ Å²)"


def training_sections(model: Path) -> list[Section]:
    """Return the sections on a model.

    Raises
    ------
    StoreError
        If one of its files is not readable.
    """
    report = read_report(model / REPORT_FILE)
    sections = [_learning(model, report)]
    for mode, content in report.modes.items():
        sections += [_errors(model, mode, content), _intervals(model, mode, content)]
        if (model / sensitivity_file(mode)).exists():
            sections.append(_sensitivity(mode, read_sensitivity(model / sensitivity_file(mode))))
    return sections


def _learning(model: Path, report: TrainingReport) -> Section:
    loss, error = [], []
    for color, (mode, content) in enumerate(report.modes.items()):
        for member, best in enumerate(content.best_epochs):
            epoch, train, validation = _columns(
                model / f"history-{mode}-{member}.csv", "epoch", "train_loss", "validation_mae"
            )
            label = f"{mode}, network {member + 1}" if len(content.best_epochs) > 1 else mode
            loss.append(Mark(label, epoch, train, color=color, legend=member == 0))
            error.append(Mark(label, epoch, 1e3 * validation, color=color, legend=member == 0))
            kept = epoch == best
            error.append(Mark(f"{label}, epoch kept", epoch[kept], 1e3 * validation[kept], "dots", color, legend=False))
    charts = [
        Chart("loss", "Training loss", "One curve for each network.", Axis("epoch"), Axis("loss", log=True), loss),
        Chart(
            "validation",
            "Validation error",
            "Mean absolute error on held-out families that choose the epoch; dots mark the epochs whose weights were "
            "kept.",
            Axis("epoch"),
            Axis(f"validation MAE {_MILLI}", log=True),
            error,
        ),
    ]
    return Section("learning", "Learning", [training_line(report)], charts=charts)


def _errors(model: Path, mode: Mode, content: ModeReport) -> Section:
    label, prediction, _ = _parity(model, mode)
    true, read = thinned(1e3 * label, 1e3 * prediction, most=MOST_DOTS)
    some = f"; {len(true):,} of {len(label):,} spectra are drawn" if len(true) < len(label) else ""
    marks = [Mark("statistical averages of the test", true, read, "dots", 0)]
    particles = model / f"particles-{mode}.csv"
    if particles.exists() and content.particle.n:
        known, answered = _columns(particles, "label", "prediction")
        x, y = thinned(1e3 * known, 1e3 * answered, most=MOST_DOTS)
        marks.append(Mark(PARTICLES[mode], x, y, "dots", 1))
    chart = Chart(
        f"parity-{mode}",
        f"Predicted against true MSD, mode {mode}",
        f"On spectra that nothing was fitted to{some}. The line is where both are equal.",
        Axis(f"true MSD {_MILLI}"),
        Axis(f"predicted MSD {_MILLI}"),
        marks,
        diagonal=True,
    )
    tables = [_table(f"Errors on {content.test.n:,} {content.test.spectra}", content.test)]
    if content.particle.n:
        tables.append(_table(f"Errors on {content.particle.n} {PARTICLES[mode]}", content.particle))
    return Section(f"errors-{mode}", f"Errors and baselines, mode {mode}", [content.verdict()], tables, [chart])


def _table(caption: str, compared: Comparison) -> Table:
    names = compared.by_error()
    errors = [compared.errors[name] for name in names]
    cells = zip(
        [f"{LABELS[name]}{' (this model)' if name == NETWORK else ''}" for name in names],
        shares([1e3 * error.mae for error in errors], "{:.3g}"),
        [f"{1e3 * error.rmse:.3g}" for error in errors],
        [f"{error.r2:.4f}" if np.isfinite(error.r2) else "–" for error in errors],
        [f"{1e3 * error.bias:+.2g}".replace("-", "−") for error in errors],
        strict=True,
    )
    return Table(f"{caption}, in 10⁻³ Å²", ("predictor", "MAE", "RMSE", "R²", "bias"), list(cells))


def _intervals(model: Path, mode: Mode, content: ModeReport) -> Section:
    label, prediction, half = _parity(model, mode)
    confidence = content.interval.confidence
    ratio = np.sort(np.abs(prediction - label) / np.where(half > 0, half, np.nan))
    ratio = ratio[np.isfinite(ratio)]
    share = np.arange(1.0, len(ratio) + 1) / max(len(label), 1)
    times, inside = thinned(ratio, share)
    order = np.argsort(label, kind="stable")
    parts = np.array_split(order, min(_BINS, len(order)))
    held = np.array([float((np.abs(prediction - label) <= half)[part].mean()) for part in parts])
    edges = np.array([label[parts[0][0]], *(label[part[-1]] for part in parts)])
    charts = [
        Chart(
            f"width-{mode}",
            f"Share of labels inside an interval, by its width, mode {mode}",
            f"The interval of the model is 1 wide and meant to hold {confidence:.0%}, the thin line. A curve above it "
            "at 1 means an interval that is too wide, below it one too narrow.",
            Axis("width of the interval, the model's = 1", limits=(0.0, 3.0)),
            Axis("share of labels inside", limits=(0.0, 1.02)),
            [Mark("share inside", times, inside, legend=False)],
            levels=(confidence,),
        ),
        Chart(
            f"coverage-{mode}",
            f"Share of labels inside the interval, by MSD, mode {mode}",
            f"In {len(parts)} bins of equal numbers of spectra. The interval is made to hold {confidence:.0%} over all "
            "of them; the bins show where it holds less.",
            Axis(f"true MSD {_MILLI}"),
            Axis("share of labels inside", limits=(0.0, 1.02)),
            [Mark("share inside", 1e3 * edges, held, "steps", legend=False)],
            levels=(confidence,),
        ),
    ]
    text = (
        f"The {confidence:.0%} interval holds {content.coverage:.1%} of {content.test.n:,} test labels and is "
        f"{1e3 * content.width:.2g} × 10⁻³ Å² wide on average; over {content.scatter.divisions} other divisions of the "
        f"held-out families it holds {content.scatter}."
    )
    paragraphs = [text]
    if content.particle_coverage is not None:
        noun = "particle average" if content.particle.n == 1 else "particle averages"
        paragraphs.append(f"It holds {content.particle_coverage:.1%} of the labels of {content.particle.n} {noun}.")
    if content.measured_coverage is not None:
        paragraphs.append(
            f"As it is made for measured spectra, it holds {content.measured_coverage:.1%} of these labels."
        )
    return Section(f"intervals-{mode}", f"Calibration of the intervals, mode {mode}", paragraphs, charts=charts)


def _sensitivity(mode: Mode, rows: list[Sensitivity]) -> Section:
    section = Section(
        f"sensitivity-{mode}",
        f"Sensitivity to errors of measurement, mode {mode}",
        ["Each error alone, on test spectra. The network was trained with the sizes that the captions name."],
    )
    predictors = [name for name in LABELS if any(row.predictor == name for row in rows)]
    for error in dict.fromkeys(row.error for row in rows):
        name, unit = ERRORS[error]
        own = [row for row in rows if row.error == error]
        marks = [
            Mark(
                LABELS[predictor],
                np.array([row.size for row in own if row.predictor == predictor]),
                np.array([1e3 * row.mae for row in own if row.predictor == predictor]),
                color=color,
                dashed=predictor != NETWORK,
            )
            for color, predictor in enumerate(predictors)
        ]
        trained = f"Trained with {own[0].trained:g} {unit}." if own[0].trained else "Not part of the training."
        section.charts.append(
            Chart(
                f"sensitivity-{mode}-{error.replace('_', '-')}",
                f"Error of the MSD under {name}, mode {mode}",
                trained,
                Axis(f"{name} ({unit})"),
                Axis(f"MAE {_MILLI}", log=True),
                marks,
            )
        )
    return section


def _parity(model: Path, mode: Mode) -> list[Floats]:
    return _columns(model / f"parity-{mode}.csv", "label", "prediction", "half_width")


def _columns(path: Path, *names: str) -> list[Floats]:
    rows = read_csv(path, lambda row: [float(row[name]) for name in names], made_by="xanesml train")
    return list(np.array(rows, dtype=np.float64).reshape(-1, len(names)).T)
