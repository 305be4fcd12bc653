"""The summary of an output folder: what there is, where, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from xanesml.assessment import LABELS, Comparison, verdict
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.model import write_text

#: Bulk gold foil at room temperature by EXAFS: σ² = 0.0081(5) Å².
FOIL_MSD, FOIL_MSD_ERROR = 0.0081, 0.0005
#: What the reference case has at least.
FULL_FMS_RADIUS, FULL_EXCHANGE, FULL_K_STEP, FULL_SERIES = 7.0, 5, 0.05, 91


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
    series = campaign.distortion
    distortions = round((series.maximum - series.minimum) / series.step) + 1 if series else 0
    if distortions < FULL_SERIES:
        reductions.append(f"{distortions} distortions instead of {FULL_SERIES}")
    return reductions


def _files(output: Path, outcomes: Mapping[str, int], tensors: Mapping[str, int]) -> list[str]:
    runs = sum(outcomes.values())
    counts = ", ".join(f"{count} {label}" for label, count in outcomes.items())
    figures = sorted(path.name for path in (output / "figures").glob("*.png"))
    numbers = ", ".join(f"{count} {name}" for name, count in tensors.items())
    return [
        _file(output / "store.h5", f"{runs} FEFF runs: {counts}" if runs else "FEFF spectra"),
        _file(output / "tensors.h5", numbers or "training tensors"),
        _file(output / "model", "the trained network and its report"),
        _file(output / "predictions.json", "predictions for measured spectra"),
        _file(output / "figures", ", ".join(figures) or "no figures"),
    ]


def _file(path: Path, content: str) -> str:
    return f"- `{path}`: {content if path.exists() else 'not made yet'}"


def _errors(path: Path) -> list[str]:
    report = _read(path)
    if report is None:
        return ["No network has been trained yet; run `xanesml train`."]
    lines = ["| spectra | predictor | MAE (Å²) | RMSE (Å²) | R² | bias (Å²) |", "| --- " * 6 + "|"]
    try:
        test, particle = (Comparison.from_dict(report[split]) for split in ("test", "particle"))
        for comparison, title in ((test, "statistical averages"), (particle, "particle averages")):
            # In one order, so that the two sets can be compared line by line.
            errors = {name: comparison.errors[name] for name in test.by_error() if comparison.n}
            lines += [
                f"| {comparison.n} {title} | {LABELS[name]} "
                f"| {error.mae:.3g} | {error.rmse:.3g} | {_r2(error.r2)} | {error.bias:+.3g} |"
                for name, error in errors.items()
            ]
        lines += [
            "",
            verdict(test, particle),
            "",
            f"Trained for {report['epochs']} epochs on {report['ranks']} ranks in {report['seconds']:.0f} s, "
            f"{report['samples_per_second']:.0f} spectra per second.",
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _not_ours(path, f"lacks or misstates {error}") from error
    return lines


def _r2(value: float) -> str:
    return f"{value:.4f}" if isfinite(value) else "–"


def _predictions(path: Path) -> list[str]:
    content = _read(path)
    if content is None:
        return ["No measured spectrum has been given to the network yet; run `xanesml predict`."]
    try:
        return [line for prediction in content["predictions"] for line in _prediction(prediction)]
    except (KeyError, TypeError, ValueError) as error:
        raise _not_ours(path, f"lacks or misstates {error}") from error


def _prediction(prediction: Mapping[str, Any]) -> Sequence[str]:
    msd = float(prediction["msd"])
    lines = [
        f"- `{prediction['source']}` ({prediction['element']} {prediction['edge']}): MSD {msd:.4f} Å², "
        f"after a shift of {prediction['shift']:+.2f} eV; rms {prediction['rms']:.3f} from the mean training spectrum."
    ]
    if (prediction["element"], prediction["edge"]) == ("Au", "L3"):
        lines.append(
            f"  - EXAFS of bulk gold foil at room temperature: {FOIL_MSD:.4f}({FOIL_MSD_ERROR * 1e4:.0f}) Å²; "
            f"the network differs from it by {msd - FOIL_MSD:+.4f} Å²."
        )
    return lines + [f"  - Warning: {warning}." for warning in prediction["warnings"]]


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
