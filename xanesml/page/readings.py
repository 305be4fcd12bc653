"""The section on measured spectra: their MSD with intervals, and reasons to doubt them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xanesml.assessment.report import LABELS
from xanesml.assessment.summary import FOIL_MSD, reduction_warning
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.files.records import read_json
from xanesml.page.chart import Axis, Chart, Mark
from xanesml.page.content import Section, Table

#: Readings in one figure; more are in the table alone.
MOST_READINGS = 40

_REMEDY = "make it again with `xanesml predict`"


def readings_section(path: Path, campaign: Campaign) -> Section:
    """Return the section on measured spectra, from `predictions.json` and the campaign that the model was made of.

    Raises
    ------
    StoreError
        If the file was not written by `xanesml predict`.
    """
    section = Section("readings", "Measured spectra")
    content = read_json(path, _REMEDY)
    try:
        predictions, refused = content["predictions"], content["refused"]
        if predictions and (warning := reduction_warning(campaign)):
            section.paragraphs.append(f"Not for publication. {warning}")
        if predictions:
            section.tables.append(_table(predictions))
            section.charts.append(_chart(predictions[:MOST_READINGS]))
        section.paragraphs += [
            f"{one['name'] if 'name' in one else one['source']}: {warning}."
            for one in predictions
            for warning in one["warnings"]
        ]
        section.paragraphs += [f"{one['source']} was refused: {one['reason']}." for one in refused]
    except (LookupError, TypeError, ValueError) as error:
        raise StoreError(f"{path} lacks or misstates {error}; {_REMEDY}") from error
    if not (predictions or refused):
        section.missing = "No measured spectrum has been read yet; run `xanesml predict`."
    return section


def pool_section(path: Path) -> Section:
    """Return the section on spectra that a pool has read beside references, from `readings.json`.

    Raises
    ------
    StoreError
        If the file was not written by `xanesml predict`.
    """
    section = Section("pool", "Measured spectra beside references")
    content = read_json(path, _REMEDY)
    try:
        readings, references = content["readings"], content["references"]
        told = " and ".join(f"{one['source']} of {one['msd']:.4f} Å²" for one in references)
        section.paragraphs.append(f"Read by the pool {content['pool']['name']} beside {told}.")
        section.tables.append(_pool_table(readings, crystal=content["crystal"]))
        section.charts.append(_pool_chart(readings[:MOST_READINGS], 1e3 * references[0]["msd"]))
        section.paragraphs += [f"{one['source']}: {warning}." for one in readings for warning in one["warnings"]]
        section.paragraphs += [f"{line}." for line in content["refused"]]
    except (LookupError, TypeError, ValueError) as error:
        raise StoreError(f"{path} lacks or misstates {error}; {_REMEDY}") from error
    return section


def _pool_table(readings: Sequence[Mapping[str, Any]], *, crystal: bool) -> Table:
    neighbors = "first neighbors" if crystal else "first neighbors − reference's"
    head = ("spectrum", "MSD (Å²)", "90 % interval (Å²)", "bond − reference's (Å)", neighbors, "shift (eV)")
    rows = [
        (
            str(one["source"]),
            f"{one['msd']:.4f}",
            f"{one['interval'][0]:.4f} … {one['interval'][1]:.4f}",
            f"{one['bond']:+.3f} ± {one['bond_error']:.3f}".replace("-", "−"),
            one["neighbors"].replace("-", "−") or "–",
            f"{one['shift']:+.2f}".replace("-", "−"),
        )
        for one in readings
    ]
    return Table("Readings beside references", head, list(rows))


def _pool_chart(readings: Sequence[Mapping[str, Any]], reference: float) -> Chart:
    place = np.arange(len(readings), dtype=np.float64)
    msd = 1e3 * np.array([one["msd"] for one in readings], dtype=np.float64)
    ends = 1e3 * np.array([one["interval"] for one in readings], dtype=np.float64)
    return Chart(
        "pool-msd",
        "MSD of the measured spectra, beside references",
        "With intervals of 90 %, in the order of the table. The thin line is the first reference.",
        Axis("spectrum", names=tuple(str(number + 1) for number in range(len(readings)))),
        Axis("MSD (10⁻³ Å²)"),
        [Mark("MSD with its interval", place, msd, "dots", 0, ends[:, 0], ends[:, 1])],
        levels=(reference,),
    )


def _table(predictions: Sequence[Mapping[str, Any]]) -> Table:
    head = (
        "spectrum",
        "edge",
        "mode",
        "predictor",
        "MSD (Å²)",
        "interval (Å²)",
        "nearest simulated (Å²)",
        "shift (eV)",
    )
    rows = [
        (
            str(one["source"]),
            f"{one['element']} {one['edge']}",
            _mode(one),
            LABELS[one["predictor"]],
            f"{one['msd']:.4f}",
            f"{one['interval'][0]:.4f} … {one['interval'][1]:.4f} ({one['confidence']:.0%})",
            f"{one['nearest']['msd']:.4f}",
            f"{one['shift']:+.2f}".replace("-", "−"),
        )
        for one in predictions
    ]
    return Table("Readings", head, list(rows))


def _mode(one: Mapping[str, Any]) -> str:
    reference = one["reference"]
    if reference is None:
        return str(one["mode"])
    return f"{one['mode']} to {reference['source']} of {reference['msd']:.4f} Å²"


def _chart(predictions: Sequence[Mapping[str, Any]]) -> Chart:
    place = np.arange(len(predictions), dtype=np.float64)
    msd = 1e3 * np.array([one["msd"] for one in predictions], dtype=np.float64)
    ends = 1e3 * np.array([one["interval"] for one in predictions], dtype=np.float64)
    nearest = 1e3 * np.array([one["nearest"]["msd"] for one in predictions], dtype=np.float64)
    gold = all((one["element"], one["edge"]) == ("Au", "L3") for one in predictions)
    foil = f" The thin line is bulk gold foil at room temperature by EXAFS, {FOIL_MSD:.4f} Å²." if gold else ""
    return Chart(
        "readings-msd",
        "MSD of the measured spectra",
        f"With intervals of {predictions[0]['confidence']:.0%}, in the order of the table.{foil}",
        Axis("spectrum", names=tuple(str(number + 1) for number in range(len(predictions)))),
        Axis("MSD (10⁻³ Å²)"),
        [
            Mark("MSD with its interval", place, msd, "dots", 0, ends[:, 0], ends[:, 1]),
            Mark("nearest simulated spectrum", place, nearest, "dots", 1),
        ],
        levels=(1e3 * FOIL_MSD,) if gold else (),
    )
