"""The model card: purpose, data, errors and limits of a trained model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xanesml.assessment.report import TrainingReport
from xanesml.assessment.sensitivity import ERRORS, errors_of_mode, most_harmful, read_sensitivity, sensitivity_file
from xanesml.assessment.summary import assessment_lines, reduced_cards, series_length, table, training_line
from xanesml.campaign import Campaign, DisorderSection, TrainingSection
from xanesml.files.whole import write_text
from xanesml.learning.model import ModelMetadata

CARD_FILE = "README.md"

_MODES = {
    "direct": "for spectra as they are, `xanesml predict FOLDER SPECTRUM...`",
    "reference": "for differences from a reference of known MSD, "
    "`xanesml predict FOLDER SPECTRUM... --reference FOIL --reference-msd MSD`",
}


def write_card(folder: Path, metadata: ModelMetadata, report: TrainingReport) -> Path:
    """Write `README.md` into a model's folder; it quotes the tables `sensitivity-*.csv` there.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    StoreError
        If a table of sensitivities was not written by `xanesml train`.
    EnvironmentProblem
        If the folder cannot be written to.
    """
    campaign = metadata.campaign
    sections = [
        _purpose(metadata),
        _data(report, campaign),
        _networks(report, campaign),
        _errors(folder, report),
        _limits(metadata, report),
        _reproduction(metadata, report),
    ]
    path = folder / CARD_FILE
    write_text(path, "\n\n".join("\n".join(lines) for lines in sections) + "\n")
    return path


def _purpose(metadata: ModelMetadata) -> list[str]:
    campaign = metadata.campaign
    absorber = f"{metadata.element} {metadata.edge}"
    return [
        f"# {campaign.name}: bond-length disorder from {absorber} XANES",
        "",
        f"Networks that read the mean squared displacement (MSD, Å²) of first-shell bond lengths off a normalized "
        f"{absorber} spectrum, with an interval of {campaign.training.confidence:.0%}, and flag a spectrum unlike "
        "the training spectra:",
        "",
        *(f"- `{mode}`: {_MODES[mode]}" for mode in campaign.training.modes),
    ]


def _data(report: TrainingReport, campaign: Campaign) -> list[str]:
    structure, feff, averaging = campaign.structure, campaign.feff, campaign.averaging
    cluster = (
        f"cut from `{structure.file}`"
        if structure.file
        else f"fcc cuboctahedron, {structure.atoms} atoms, a = {structure.lattice_constant:g} Å"
    )
    scf = "none" if feff.scf is None else f"{feff.scf.radius:g} Å"
    # All modes have the same test split.
    held_out = max(content.test.n for content in report.modes.values())
    averages = report.training + report.validation + report.calibration + held_out
    tested = (f"{content.particle.n} in the test of `{mode}`" for mode, content in report.modes.items())
    rows = {
        "campaign": f"{campaign.name}, digest `{report.campaign_digest}`, seed {campaign.seed}",
        "structure": f"{structure.element}, {cluster}",
        "distorted series": _series(campaign),
        "disordered structures": _disorder(campaign.disorder),
        "FEFF": f"edge {feff.edge}, SCF radius {scf}, FMS radius {feff.fms_radius:g} Å ({feff.radii}), "
        f"exchange {_numbers(feff.exchange)}, XANES {_numbers(feff.xanes)}, normalization {feff.normalization}",
        "statistical averages": f"{averages:,} in {report.families:,} families of skew-normal distributions: "
        f"σ {_range(averaging.sigma)} Å, μ {_range(averaging.location)} Å, α {_range(averaging.alpha)}",
        "splits, by whole families": f"{report.training:,} training, {report.validation:,} validation (chooses "
        f"the epoch), {report.calibration:,} calibration (of the interval), {held_out:,} test",
        "particle averages": ", ".join([f"{report.tuned} to fine-tune on", *tested]),
    }
    return ["## Data", "", *table(("what", "which"), rows.items(), texts=2)]


def _series(campaign: Campaign) -> str:
    series = campaign.distortion
    if series is None:
        return "none"
    runs = "one FEFF run each" if series.absorbers == "center" else "one FEFF run for each class of equivalent atoms"
    return (
        f"{series_length(campaign)} structures, {runs}, first shell shifted by "
        f"{series.minimum:+g} … {series.maximum:+g} Å in steps of {series.step:g} Å"
    )


def _disorder(disorder: DisorderSection | None) -> str:
    if disorder is None:
        return "none"
    named = {"first_shell": "the center and its first neighbors", "all": "all atoms of the element"}
    given = disorder.absorbers
    absorbers = named[given] if isinstance(given, str) else f"{len(given)}"
    sigma = _range((disorder.sigma_minimum, disorder.sigma_maximum))
    return f"{disorder.structures}, displaced by N(0, σ), σ {sigma} Å; absorbers: {absorbers}, one FEFF run each"


def _networks(report: TrainingReport, campaign: Campaign) -> list[str]:
    section = campaign.training
    rows = {
        "ensemble": f"{section.members} for each mode, from different initial weights",
        "convolutions": f"{_numbers(section.filters)} filters, {section.kernel} points wide, each with "
        f"{'batch normalization, ' if section.batch_normalization else ''}ReLU and pooling by two",
        "dense layers": f"{_numbers(section.dense) or 'none'}, dropout {section.dropout:g}",
        "answers": ", ".join(["MSD", *(name.replace("_", " ") for name in section.heads)]),
        "loss": f"squared error of the scaled MSD; {section.head_weight:g} of those of the other answers",
        "training": f"Adam, learning rate {section.learning_rate:g} for one rank, {section.batch_size} spectra a step "
        f"on each rank, warm-up over {section.warmup_epochs:g} epochs, source {section.source}",
        "epochs kept": "; ".join(
            f"`{mode}`: {_numbers(content.best_epochs)}" for mode, content in report.modes.items()
        ),
    }
    return ["## Networks", "", *table(("what", "which"), rows.items(), texts=2), "", training_line(report)]


def _errors(folder: Path, report: TrainingReport) -> list[str]:
    lines = ["## Errors"]
    for mode, content in report.modes.items():
        lines += ["", f"### Mode {mode}", "", *assessment_lines(mode, content)]
        table = folder / sensitivity_file(mode)
        if table.exists():
            harm = most_harmful(read_sensitivity(table))
            lines += ["", f"{harm[0].upper()}{harm[1:]} (`{table.name}`)."]
    return lines


def _limits(metadata: ModelMetadata, report: TrainingReport) -> list[str]:
    campaign, mesh, (low, high) = metadata.campaign, metadata.mesh, metadata.scaling.ranges["msd"]
    bounds = ", ".join(f"{distance:.2f} (`{mode}`)" for mode, distance in metadata.distances.items())
    lines = [
        "## Limits",
        "",
        f"- {metadata.element} {metadata.edge} only, on {mesh[0]:g} … {mesh[-1]:g} eV of the theory's energies, "
        "all of which a spectrum has to cover.",
        f"- MSD between {low:.4f} and {high:.4f} Å², the range of the training labels; answers outside it are guesses.",
        f"- 99 % of spectra of further families lie within a distance of {bounds} from the training spectra, the root "
        "mean square of their z-scores. A spectrum farther off is flagged; the interval does not hold for it.",
        "- The interval holds for simulated spectra. Theory and measurement may differ by more than disorder changes a "
        "spectrum; held-out simulations cannot show that.",
        "- All shells of a statistical average scale together; atoms of a particle move independently. The errors on "
        "particle averages above show the effect.",
    ]
    if not any(content.particle.n for content in report.modes.values()):
        lines[-1] = (
            "- There was no particle average to test on: the effect of what statistical averages leave out is unknown."
        )
    if reductions := reduced_cards(campaign):
        lines.append(f"- Not for publication; the campaign is reduced: {'; '.join(reductions)}.")
    trained = errors_of_mode("reference" if "reference" in report.modes else "direct")
    errors = ((ERRORS[name][0], _size(campaign.training, name)) for name in trained)
    return [*lines, "", *table(("error of a measurement", "trained with"), errors, texts=2)]


def _size(section: TrainingSection, name: str) -> str:
    size = getattr(section, name)
    return f"{size:g} {ERRORS[name][1]}" if size else "off"


def _reproduction(metadata: ModelMetadata, report: TrainingReport) -> list[str]:
    campaign, name = metadata.campaign, f"{metadata.campaign.name}.toml"
    together = report.ranks // report.groups
    return [
        "## How to reproduce it",
        "",
        f"    xanesml simulate {name}",
        f"    xanesml average {name}",
        f"    mpirun -n {report.ranks} xanesml train {name}"
        + (f" --ranks-per-network {together}" if together > 1 else ""),
        "",
        f"with `{name}`:",
        "",
        "```toml",
        *_toml(campaign.model_dump(mode="json", exclude_defaults=True)),
        "```",
        "",
        "Made with " + ", ".join(f"{name} {version}" for name, version in metadata.versions.items()) + ".",
    ]


def _toml(content: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a campaign's content as lines of TOML."""
    values = {key: value for key, value in content.items() if not isinstance(value, dict)}
    lines = [f"{key} = {_value(value)}" for key, value in values.items()]
    for key, value in content.items():
        if isinstance(value, dict):
            lines += ["", f"[{prefix}{key}]", *_toml(value, f"{prefix}{key}.")]
    return lines


def _value(value: Any) -> str:
    # `false` leaves an optional part out; every other scalar is the same in JSON and TOML.
    return json.dumps(False if value is None else value, ensure_ascii=False)


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} … {limits[1]:g}"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
