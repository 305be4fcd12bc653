"""The pages of the site that come from the code: options of the commands, HDF5 datasets, functions and classes.

`pages` returns them by their path below docs/. `tools/site_hooks.py` gives them to MkDocs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parent.parent

#: Pages that are files of the repository outside docs/, by their path on the site.
BORROWED = {
    "reference/formats.md": "data_schema/README.md",
    "reference/changelog.md": "CHANGELOG.md",
    "benchmarks/programs.md": "benchmarks/README.md",
    "explanation/contributing.md": "CONTRIBUTING.md",
    "reference/measured.md": "examples/measured/README.md",
}

#: What the page of functions and classes shows: a heading, and dotted names.
PUBLIC = {
    "Open and load": [
        "xanesml.store.plan.load_campaign",
        "xanesml.store.reader.open_store",
        "xanesml.averages.reader.open_tensors",
        "xanesml.prediction.model.load_model",
    ],
    "Campaign and tasks": ["xanesml.campaign.Campaign", "xanesml.store.tasks.TaskTable"],
    "Store": ["xanesml.store.reader.Store", "xanesml.store.reader.Spectra"],
    "Tensor file": [
        "xanesml.averages.reader.TensorFile",
        "xanesml.averages.reader.Averages",
        "xanesml.averages.series.Series",
    ],
    "Model and predictions": ["xanesml.prediction.model.Model", "xanesml.prediction.predict.Prediction"],
    "Measured spectra": [
        "xanesml.measured.read_spectrum",
        "xanesml.measured.MeasuredSpectrum",
        "xanesml.measured.Treatment",
    ],
    "Errors": ["xanesml.errors"],
}


def pages() -> dict[str, str]:
    """Return the Markdown of every page made here, by its path below docs/."""
    made = {
        "reference/options.md": options_page(),
        "reference/store.md": datasets_page("store"),
        "reference/tensors.md": datasets_page("tensors"),
        "reference/modules.md": modules_page(),
    }
    return made | {page: (ROOT / source).read_text(encoding="utf-8") for page, source in BORROWED.items()}


def command_line() -> Any:
    """Return the command line as Click's group, with the name and the context that it is shown in."""
    from hpc.cli import app  # noqa: PLC0415 (MkDocs loads this file before the path is set)

    return typer.main.get_command(app)


def options_page() -> str:
    """Return the page of all commands with their arguments and options."""
    group = command_line()
    top = group.context_class(group, info_name="xanesml")
    parts = [
        "# Options of the commands",
        "What `xanesml COMMAND --help` prints. [Commands](running.md) says how they work together.",
        "Options before the name of any command:",
        _options(group, top),
    ]
    for name, command in group.commands.items():
        context = group.context_class(command, info_name=name, parent=top)
        usage = command.get_usage(context).partition(":")[2]
        parts += [f"## {name}", " ".join((command.help or "").split()), f"```text\n{' '.join(usage.split())}\n```"]
        parts.append(_options(command, context))
    return "\n\n".join(parts) + "\n"


#: What Typer puts behind the help of a parameter.
EXTRA = re.compile(r"\s*\[((?:default|required|env)[^\]]*(?:\[[^\]]*\])?[^\]]*)\]$")


def _options(command: Any, context: Any) -> str:
    """Return the table of a command's arguments and options, but `--help`."""
    lines = ["| argument or option | default | meaning |", "| --- | --- | --- |"]
    for one in command.params:
        record = one.get_help_record(context)
        if record is None:
            continue
        name, meaning = record
        extra = EXTRA.search(meaning)
        default = extra[1].removeprefix("default: ") if extra else "–"
        words = (meaning[: extra.start()] if extra else meaning).replace("|", "\\|")
        # A bar in code does not end a cell, and a backslash before it would be shown.
        lines.append("| " + " | ".join(" ".join(cell.split()) for cell in (f"`{name}`", default, words)) + " |")
    return "\n".join(lines)


def datasets_page(name: str) -> str:
    """Return the page of one of the HDF5 files: its dimensions, attributes and datasets.

    Parameters
    ----------
    name : str
        ``store`` or ``tensors``, a definition in data_schema/.
    """
    definition = json.loads((ROOT / "data_schema" / f"{name}.json").read_text(encoding="utf-8"))
    title = {"store": "Datasets of a store", "tensors": "Datasets of a tensor file"}[name]
    parts = [
        f"# {title}",
        f"Format `{definition['schema']}`, version {definition['version']}, as `data_schema/{name}.json` defines it. "
        "[Store and tensor files](formats.md) has the rules that both files follow.",
        "## Dimensions",
        _pairs("dimension", definition["dimensions"]),
        "## Root attributes",
        _pairs("attribute", definition["attributes"]),
    ]
    if "outcomes" in definition:
        outcomes = {str(code): label for label, code in definition["outcomes"].items()}
        parts += ["## Outcomes of a run", _pairs("code", outcomes)]
    groups: dict[str, list[str]] = {}
    for one in definition["datasets"]:
        group, _, leaf = one["path"].rpartition("/")
        cells = [f"`{leaf}`", " × ".join(one["shape"]) or "scalar", f"`{one['dtype']}`", one["units"] or "–"]
        row = "| " + " | ".join([*cells, one["description"]]).replace("<", "&lt;") + " |"
        groups.setdefault(group, []).append(row.replace("`&lt;", "`<"))
    for group, rows in groups.items():
        head = ["| dataset | shape | dtype | unit | meaning |", "| --- | --- | --- | --- | --- |"]
        parts += [f"## `{group}`", "\n".join([*head, *rows])]
    return "\n\n".join(parts) + "\n"


def _pairs(what: str, meanings: dict[str, str]) -> str:
    rows = [f"| `{key}` | {meaning} |" for key, meaning in meanings.items()]
    return "\n".join([f"| {what} | meaning |", "| --- | --- |", *rows])


def modules_page() -> str:
    """Return the page of the public functions and classes, as mkdocstrings fills it."""
    parts = [
        "# Functions and classes",
        "Made of the docstrings. [The Python API](api.md) shows them at work; what is on neither page may change.",
    ]
    for heading, names in PUBLIC.items():
        parts += [f"## {heading}", *(f"::: {name}" for name in names)]
    return "\n\n".join(parts) + "\n"
