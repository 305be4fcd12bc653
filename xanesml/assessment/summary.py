"""The summary of an output folder: what there is, where, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from xanesml.assessment.assess import LABELS, NETWORK, Comparison, verdict
from xanesml.assessment.baselines import Errors
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.files.whole import write_text
from xanesml.learning.intervals import Interval

#: Bulk gold foil at room temperature by EXAFS: σ² = 0.0081(5) Å².
FOIL_MSD, FOIL_MSD_ERROR = 0.0081, 0.0005
#: What the reference case has at least.
FULL_FMS_RADIUS, FULL_EXCHANGE, FULL_K_STEP, FULL_SERIES = 7.0, 5, 0.05, 91

#: What the particle averages of a mode of training are.
PARTICLES = {"direct": "particle averages", "reference": "particle averages, each beside another"}

#: What content of another shape than expected raises.
MALFORMED = (LookupError, TypeError, ValueError)


def write_summary(
    output: Path, campaign: Campaign, *, outcomes: Mapping[str, int], tensors: Mapping[str, int] | None = None
) -> str:
    """Write `summary.md` into an output folder.

    Read there are `model/report.json`, `predictions.json` and the names in `figures/`,
    each if it exists; what does not is said to be missing.

    Parameters
    ----------
    output : Path
        Output folder of the campaign.
    campaign : Campaign
        The campaign, for its name and for what its cards leave out.
    outcomes : mapping of str to int
        Number of FEFF runs in `store.h5` by the label of their outcome; empty without a store.
    tensors : mapping of str to int, optional
        What is in `tensors.h5`, by name, such as {"statistical averages": 20000}.

    Returns
    -------
    str
        The summary, for the terminal.

    Raises
    ------
    StoreError
        If one of the files read is not what xanesml writes.
    """
    sections = [
        [f"# {campaign.name}", "", f"Everything is in `{output}`; the campaign's digest is {campaign.digest()}."],
        ["## Files", "", *_files(output, outcomes, tensors or {})],
        ["## Errors on held-out spectra", "", *_errors(output / "model" / "report.json")],
        ["## Measured spectra", "", *_predictions(output / "predictions.json")],
    ]
    if reductions := reduced_cards(campaign):
        sections.append(
            [
                "## Not for publication",
                "",
                f"The campaign is reduced: {'; '.join(reductions)}. "
                "An isolated number from cheap cards carries no uncertainty; "
                "that it agrees with another number proves nothing.",
            ]
        )
    text = "\n\n".join("\n".join(lines) for lines in sections) + "\n"
    write_text(output / "summary.md", text)
    return text


def reduced_cards(campaign: Campaign) -> list[str]:
    """Return what makes a campaign cheaper than the reference case, empty if nothing does."""
    reductions = []
    if campaign.feff.scf is None:
        reductions.append("no self-consistent potentials (no SCF card)")
    if campaign.feff.fms_radius < FULL_FMS_RADIUS:
        reductions.append(f"an FMS radius of {campaign.feff.fms_radius:g} Å instead of {FULL_FMS_RADIUS:g} Å")
    model = campaign.feff.exchange[0]
    if model != FULL_EXCHANGE:
        reductions.append(f"exchange model {model} instead of {FULL_EXCHANGE}")
    step = campaign.feff.xanes[1]
    if step > FULL_K_STEP:
        reductions.append(f"a k step of {step:g} Å⁻¹ instead of {FULL_K_STEP:g} Å⁻¹")
    if (distortions := series_length(campaign)) < FULL_SERIES:
        reductions.append(f"{distortions} distortions instead of {FULL_SERIES}")
    return reductions


def series_length(campaign: Campaign) -> int:
    """Return the number of distorted structures of a campaign."""
    series = campaign.distortion
    return 0 if series is None else round((series.maximum - series.minimum) / series.step) + 1


def _files(output: Path, outcomes: Mapping[str, int], tensors: Mapping[str, int]) -> list[str]:
    runs = sum(outcomes.values())
    counts = ", ".join(f"{count} {label}" for label, count in outcomes.items())
    figures = sorted(path.name for path in (output / "figures").glob("*.png"))
    numbers = ", ".join(f"{count} {name}" for name, count in tensors.items())
    return [
        _file(output / "store.h5", f"{runs} FEFF runs: {counts}" if runs else "FEFF spectra"),
        _file(output / "tensors.h5", numbers or "training tensors"),
        _file(output / "model", "the trained networks, their report and their model card"),
        _file(output / "predictions.json", "predictions for measured spectra"),
        _file(output / "figures", ", ".join(figures) or "no figures"),
    ]


def _file(path: Path, content: str) -> str:
    return f"- `{path}`: {content if path.exists() else 'not made yet'}"


def _errors(path: Path) -> list[str]:
    if not path.exists():
        return ["No network has been trained yet; run `xanesml train`."]
    report = read_report(path)
    lines = []
    try:
        for mode, content in report["modes"].items():
            lines += [f"### Mode {mode}", "", *assessment_lines(mode, content), ""]
        lines.append(training_line(report))
    except MALFORMED as error:
        raise _not_ours(path, f"lacks or misstates {error}") from error
    return lines


def assessment_lines(mode: str, content: Mapping[str, Any]) -> list[str]:
    """Return a table of the errors of a mode's predictors, and in sentences the verdict, fine-tuning and intervals.

    Parameters
    ----------
    mode : str
        The mode of training.
    content : mapping
        What `xanesml.assessment.assess.Assessment.to_dict` returned.

    Returns
    -------
    list of str
        Lines of Markdown.

    Raises
    ------
    LookupError, TypeError, ValueError
        If it is something else.
    """
    test, particle = (Comparison.from_dict(content[name]) for name in ("test", "particle"))
    also = f", and on {particle.n} {PARTICLES[mode]}" if particle.n else ""
    lines = [f"Errors in 10⁻³ Å² on {test.n} {test.spectra}{also}:", ""]
    before = content["particle_before_fine_tuning"]
    untuned = None if before is None else Errors.from_dict(before)
    lines += [*_table(test, particle, untuned), "", verdict(test, particle)]
    if untuned is not None:
        tuned = particle.errors[NETWORK]
        lines += [
            "",
            f"Fine-tuning took the network on the particle averages from a mean absolute error of {untuned.mae:.3g} Å² "
            f"(bias {untuned.bias:+.2g}) to {tuned.mae:.3g} Å² (bias {tuned.bias:+.2g}).",
        ]
    fitted = Comparison.from_dict(content["fitted"])
    if fitted.n:
        lines += [
            "",
            f"On {fitted.n} of these spectra, to each of which an average of the series was fitted by least squares:",
            "",
            "| predictor | MAE | RMSE | R² | bias |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(f"| {LABELS[name]} | {' | '.join(_cells(fitted.errors[name]))} |" for name in fitted.by_error()),
        ]
    return [*lines, "", *_interval_lines(content, particle)]


def _table(test: Comparison, particle: Comparison, untuned: Errors | None) -> list[str]:
    columns = ("MAE", "RMSE", "R²", "bias")
    names = [*columns, *(f"particles: {name}" for name in columns if particle.n)]
    lines = [f"| predictor | {' | '.join(names)} |", "| --- " + "| ---: " * len(names) + "|"]
    for name in test.by_error():
        cells = _cells(test.errors[name]) + (_cells(particle.errors[name]) if particle.n else [])
        lines.append(f"| {LABELS[name]} | {' | '.join(cells)} |")
    if untuned is not None:
        lines.append(f"| {LABELS[NETWORK]}, not fine-tuned | {' | '.join(['–'] * len(columns) + _cells(untuned))} |")
    return lines


def _cells(errors: Errors) -> list[str]:
    r2 = f"{errors.r2:.4f}" if isfinite(errors.r2) else "–"
    return [f"{1e3 * errors.mae:.3g}", f"{1e3 * errors.rmse:.3g}", r2, f"{1e3 * errors.bias:+.2g}"]


def _interval_lines(content: Mapping[str, Any], particle: Comparison) -> list[str]:
    interval = Interval(**content["interval"])
    lines = [
        f"The network's {interval.confidence:.0%} interval holds {content['coverage']:.1%} of the test labels and is "
        f"{content['width']:.2g} Å² wide on average."
    ]
    if particle.n:
        lines[0] += f" The same interval holds {content['particle_coverage']:.1%} of the particle averages' labels."
        if interval.particle_quantile is None:
            lines.append(f"{interval.particle_count} particle averages are too few to widen it by.")
        elif interval.particle_quantile > interval.quantile:
            lines.append(
                f"For measured spectra it is made {interval.particle_quantile / interval.quantile:.2g} times as wide, "
                f"so that it holds {interval.confidence:.0%} of the {interval.particle_count} particle averages."
            )
    return lines


def training_line(report: Mapping[str, Any]) -> str:
    """Return in a sentence or two what a training, `TrainingReport.to_dict`, took; raises as above."""
    networks = sum(len(content["best_epochs"]) for content in report["modes"].values())
    tuned = f", then fine-tuned on {report['tuned']} disordered structures" if report["tuned"] else ""
    return (
        f"{_count(networks, 'network')} of {report['parameters']:,} parameters, each trained for "
        f"{_count(report['epochs'], 'epoch')} on {report['training']:,} spectra{tuned}: "
        f"{_count(report['ranks'], 'rank')} in {_count(report['groups'], 'group')}, {report['seconds']:.0f} s, "
        f"{report['samples_per_second']:.0f} spectra per second."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _predictions(path: Path) -> list[str]:
    content = _read(path)
    if content is None or content == {"predictions": [], "refused": []}:
        return ["No measured spectrum has been given to the network yet; run `xanesml predict`."]
    try:
        return _prediction_lines(content["predictions"], content["refused"])
    except MALFORMED as error:
        raise _not_ours(path, f"lacks or misstates {error}") from error


def _prediction_lines(predictions: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, str]]) -> list[str]:
    lines = []
    if predictions:
        names = ["spectrum", "mode", "predictor", "MSD (Å²)", "interval (Å²)", "spread (Å²)"]
        names += ["mean shift (Å)", "skewness", "nearest simulated (Å²)", "its rms", "energy shift (eV)"]
        lines += [f"| {' | '.join(names)} |", "| --- " * 3 + "| ---: " * (len(names) - 3) + "|"]
        lines += [f"| {' | '.join(_prediction_cells(prediction))} |" for prediction in predictions]
    remarks = [f"- `{one['source']}`: {remark}." for one in predictions for remark in _remarks(one)]
    remarks += [f"- `{one['source']}` was refused: {one['reason']}." for one in refused]
    return lines + ([""] if lines and remarks else []) + remarks


def _prediction_cells(one: Mapping[str, Any]) -> list[str]:
    low, high = one["interval"]
    reference = one["reference"]
    beside = "" if reference is None else f" to `{reference['source']}` of {reference['msd']:.4f} Å²"
    return [
        f"`{one['source']}` ({one['element']} {one['edge']})",
        f"{one['mode']}{beside}",
        LABELS[one["predictor"]],
        f"{one['msd']:.4f}",
        f"{low:.4f} … {high:.4f} ({one['confidence']:.0%})",
        f"{one['spread']:.4f}",
        _number(one["mean_shift"], "+.3f"),
        _number(one["skewness"], "+.2f"),
        f"{one['nearest']['msd']:.4f}",
        f"{one['nearest']['rms']:.3f}",
        f"{one['shift']:+.2f}",
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _remarks(one: Mapping[str, Any]) -> list[str]:
    remarks = [f"warning: {warning}" for warning in one["warnings"]]
    if (one["element"], one["edge"]) == ("Au", "L3"):
        low, high = one["interval"]
        holds = "holds" if low <= FOIL_MSD <= high else "does not hold"
        remarks.insert(
            0,
            f"bulk gold foil at room temperature has {FOIL_MSD:.4f}({FOIL_MSD_ERROR * 1e4:.0f}) Å² by EXAFS; this MSD "
            f"differs by {one['msd'] - FOIL_MSD:+.4f} Å², and the interval {holds} that value",
        )
    return remarks


def read_report(path: Path) -> dict[str, Any]:
    """Read the report of a training.

    Parameters
    ----------
    path : Path
        A model's `report.json`.

    Returns
    -------
    dict
        Its content; see `hpc.training.train.TrainingReport`.

    Raises
    ------
    StoreError
        If there is no such file, or it has no modes of training.
    """
    content = _read(path)
    if content is None:
        raise StoreError(f"there is no {path}; make it with `xanesml train`")
    if not isinstance(content.get("modes"), dict):
        raise _not_ours(path, "lacks or misstates 'modes'")
    return content


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _not_ours(path, f"cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise _not_ours(path, "holds no JSON object")
    return content


def _not_ours(path: Path, what: str) -> StoreError:
    return StoreError(f"{path} {what}; remove it and make it again with `xanesml train` or `xanesml predict`")
