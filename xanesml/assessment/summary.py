"""The summary of an output folder: its files, the errors of the networks, and the predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from xanesml.assessment.report import (
    LABELS,
    NETWORK,
    REPORT_FILE,
    Comparison,
    Errors,
    ModeReport,
    TrainingReport,
    read_report,
)
from xanesml.campaign import Campaign, Mode
from xanesml.errors import StoreError, printable
from xanesml.files.lock import WriteLock
from xanesml.files.records import read_json
from xanesml.files.whole import write_text
from xanesml.store.variants import in_variants
from xanesml.structures import deltas

#: Bulk gold foil at room temperature by EXAFS: σ² = 0.0081(5) Å².
FOIL_MSD, FOIL_MSD_ERROR = 0.0081, 0.0005
#: The cards of `examples/au55-l3.toml`.
FULL_FMS_RADIUS, FULL_EXCHANGE, FULL_K_STEP, FULL_SERIES = 7.0, 5, 0.05, 91

#: Particle averages in a sentence, by mode of training.
PARTICLES: dict[Mode, str] = {
    "direct": "particle averages",
    "reference": "differences between pairs of particle averages",
}


def write_summary(
    output: Path,
    campaign: Campaign,
    *,
    outcomes: Mapping[str, int],
    variants: Mapping[str, int] | None = None,
    tensors: Mapping[str, int] | None = None,
) -> str:
    """Write `summary.md` into an output folder.

    It is made from `model/report.json`, `predictions.json` and the names in `figures/`;
    it says which of them do not exist yet.

    Parameters
    ----------
    output : Path
        Output folder of the campaign.
    campaign : Campaign
        The campaign.
    outcomes : mapping of str to int
        Number of FEFF runs in `store.h5` by outcome; empty without a store.
    variants : mapping of str to int, optional
        Number of these in each variant of the campaign's cards.
    tensors : mapping of str to int, optional
        Sizes of `tensors.h5` by name, such as {"statistical averages": 20000}.

    Returns
    -------
    str
        The summary, for the terminal.

    Raises
    ------
    StoreError
        If one of the files was not written by this version of xanesml, or another process writes the summary.
    """
    sections = [
        [f"# {campaign.name}", "", f"Everything is in `{output}`; the campaign's digest is {campaign.digest()}."],
        ["## Files", "", *_files(output, outcomes, variants or {}, tensors or {})],
        ["## Errors on held-out spectra", "", *_errors(output / "model" / REPORT_FILE)],
        ["## Measured spectra", "", *_predictions(output / "predictions.json")],
    ]
    if warning := reduction_warning(campaign):
        sections.append(["## Not for publication", "", warning])
    text = "\n\n".join("\n".join(lines) for lines in sections) + "\n"
    with WriteLock(output / "summary.md"):
        write_text(output / "summary.md", text)
    return text


def reduction_warning(campaign: Campaign) -> str:
    """Return what to think of numbers from a campaign with cheap cards; empty for one without."""
    reductions = reduced_cards(campaign)
    if not reductions:
        return ""
    return (
        f"The campaign is reduced: {'; '.join(reductions)}. A single number from cheap cards has no known uncertainty; "
        "agreement with another number proves nothing."
    )


def reduced_cards(campaign: Campaign) -> list[str]:
    """Return the settings that make a campaign cheaper than `examples/au55-l3.toml`, one phrase each."""
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
    return 0 if campaign.distortion is None else len(deltas(campaign.distortion))


def _files(
    output: Path, outcomes: Mapping[str, int], variants: Mapping[str, int], tensors: Mapping[str, int]
) -> list[str]:
    runs = sum(outcomes.values())
    counts = ", ".join(f"{count} {label}" for label, count in outcomes.items())
    figures = sorted(path.name for path in (output / "figures").glob("*.png"))
    numbers = ", ".join(f"{count} {name}" for name, count in tensors.items())
    return [
        _file(output / "store.h5", f"{runs} FEFF runs{in_variants(variants)}: {counts}" if runs else "FEFF spectra"),
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
    for mode, content in report.modes.items():
        lines += [f"### Mode {mode}", "", *assessment_lines(mode, content), ""]
    return [*lines, training_line(report)]


def assessment_lines(mode: Mode, content: ModeReport) -> list[str]:
    """Return the errors of a mode as lines of Markdown: a table, the verdict, fine-tuning and intervals."""
    test, particle, untuned = content.test, content.particle, content.particle_before_fine_tuning
    also = f", and on {particle.n} {PARTICLES[mode]}" if particle.n else ""
    lines = [f"Errors in 10⁻³ Å² on {test.n} {test.spectra}{also}:", ""]
    lines += [*_error_table(test, particle if particle.n else None, untuned), "", content.verdict()]
    if untuned is not None:
        tuned = particle.errors[NETWORK]
        lines += [
            "",
            f"Fine-tuning changed the network's mean absolute error on the particle averages from {untuned.mae:.3g} Å² "
            f"(bias {untuned.bias:+.2g}) to {tuned.mae:.3g} Å² (bias {tuned.bias:+.2g}).",
        ]
    if n := content.fitted.n:
        title = f"On {n} of these spectra, each also fitted by an average of the series (least squares):"
        lines += ["", title, "", *_error_table(content.fitted)]
    return [*lines, "", *_interval_lines(content)]


def _error_table(test: Comparison, particle: Comparison | None = None, untuned: Errors | None = None) -> list[str]:
    columns = ("MAE", "RMSE", "R²", "bias")
    rows = [[LABELS[name], *_cells(test.errors[name])] for name in test.by_error()]
    if particle is None:
        return table(("predictor", *columns), rows)
    rows = [[*row, *_cells(particle.errors[name])] for row, name in zip(rows, test.by_error(), strict=True)]
    if untuned is not None:
        rows.append([f"{LABELS[NETWORK]}, not fine-tuned", *["–"] * len(columns), *_cells(untuned)])
    return table(("predictor", *columns, *(f"particles: {name}" for name in columns)), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> list[str]:
    """Return a table as lines of Markdown; all columns after the first `texts` hold numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _cells(errors: Errors) -> list[str]:
    r2 = f"{errors.r2:.4f}" if isfinite(errors.r2) else "–"
    return [f"{1e3 * errors.mae:.3g}", f"{1e3 * errors.rmse:.3g}", r2, f"{1e3 * errors.bias:+.2g}"]


def _interval_lines(content: ModeReport) -> list[str]:
    interval = content.interval
    lines = [
        f"The network's {interval.confidence:.0%} interval, calibrated on {interval.families} families held out, holds "
        f"{content.coverage:.1%} of the test labels and is {content.width:.2g} Å² wide on average. Over "
        f"{content.scatter.divisions} other divisions of these families into calibration and test it holds "
        f"{content.scatter}. {content.flagged:.1%} of the test spectra are flagged as unlike the training spectra."
    ]
    if not interval.sufficient:
        lines.append(
            f"{interval.families} families are too few for {interval.confidence:.0%}: the interval is as wide as the "
            "largest error on them, and is not guaranteed to hold more."
        )
    if content.particle_coverage is None or content.measured_coverage is None:
        return lines
    lines[0] += f" The same interval holds {content.particle_coverage:.1%} of the particle averages' labels."
    if interval.particle_quantile is None:
        lines.append(f"{interval.structures} other structures are too few to widen it by.")
    elif interval.particle_quantile > interval.quantile:
        lines.append(
            f"For measured spectra it is made {interval.particle_quantile / interval.quantile:.2g} times as wide, "
            f"by {interval.structures} other structures, and holds {content.measured_coverage:.1%} of these labels."
        )
    return lines


def training_line(report: TrainingReport) -> str:
    """Return the size and the time of a training in a sentence or two."""
    networks = sum(len(content.best_epochs) for content in report.modes.values())
    tuned = f", then fine-tuned on {report.tuned} disordered structures" if report.tuned else ""
    return (
        f"{_count(networks, 'network')} of {report.parameters:,} parameters, each trained for "
        f"{_count(report.epochs, 'epoch')} on {report.training:,} spectra{tuned}: "
        f"{_count(report.ranks, 'rank')} in {_count(report.groups, 'group')}, {report.seconds:.0f} s, "
        f"{report.samples_per_second:.0f} spectra per second."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _predictions(path: Path) -> list[str]:
    remedy = "make it again with `xanesml predict`"
    content = read_json(path, remedy) if path.exists() else {"predictions": [], "refused": []}
    try:
        predictions, refused = content["predictions"], content["refused"]
        if not (predictions or refused):
            return ["No measured spectrum has been predicted yet; run `xanesml predict`."]
        return _prediction_lines(predictions, refused)
    except (LookupError, TypeError, ValueError) as error:
        raise StoreError(f"{path} lacks or misstates {error}; {remedy}") from error


def _prediction_lines(predictions: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, str]]) -> list[str]:
    lines = []
    if predictions:
        names = ["spectrum", "mode", "predictor", "MSD (Å²)", "interval (Å²)", "spread (Å²)"]
        names += ["mean shift (Å)", "skewness", "nearest simulated (Å²)", "its rms", "energy shift (eV)"]
        lines = table(names, map(_prediction_cells, predictions), texts=3)
    remarks = [f"- {code(one['source'])}: {prose(remark)}." for one in predictions for remark in _remarks(one)]
    remarks += [f"- {code(one['source'])} was refused: {prose(one['reason'])}." for one in refused]
    return lines + ([""] if lines and remarks else []) + remarks


def code(text: str) -> str:
    """Return a text from a file as code in Markdown, in which it is neither HTML nor the end of a table's cell."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', '/').replace(chr(10), ' ')}`"


def prose(text: str) -> str:
    """Return a text that a file has a part in as Markdown without HTML."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ").replace("|", "/")


def _prediction_cells(one: Mapping[str, Any]) -> list[str]:
    low, high = one["interval"]
    reference = one["reference"]
    beside = "" if reference is None else f" to {code(reference['source'])} of {reference['msd']:.4f} Å²"
    return [
        f"{code(one['source'])} ({prose(one['element'])} {prose(one['edge'])})",
        f"{prose(one['mode'])}{beside}",
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


def _remarks(one: Mapping[str, Any]) -> Iterator[str]:
    if (one["element"], one["edge"]) == ("Au", "L3"):
        low, high = one["interval"]
        holds = "holds" if low <= FOIL_MSD <= high else "does not hold"
        yield (
            f"bulk gold foil at room temperature has {FOIL_MSD:.4f}({FOIL_MSD_ERROR * 1e4:.0f}) Å² by EXAFS; this MSD "
            f"differs by {one['msd'] - FOIL_MSD:+.4f} Å², and the interval {holds} that value"
        )
    yield from (f"warning: {warning}" for warning in one["warnings"])
