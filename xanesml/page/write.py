"""Collects what the files of a campaign hold, and writes it as one page."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined

from xanesml.assessment.report import REPORT_FILE
from xanesml.campaign import Campaign
from xanesml.errors import XanesmlError, printable
from xanesml.files.lock import WriteLock
from xanesml.files.whole import write_text
from xanesml.page.content import Section
from xanesml.page.provenance import provenance_section
from xanesml.page.readings import pool_section, readings_section
from xanesml.page.runs import failure_section, planned_section, progress_section, read_runs, time_section
from xanesml.page.spectra import averages_section, comparison_section, series_section, stored_series_section
from xanesml.page.training import training_sections

PAGE_FILE = "report.html"

#: What the browser may fetch and run besides the page's script: nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_page(folder: Path, campaign: Campaign, *, now: float | None = None) -> Path:
    """Write `report.html` into the output folder of a campaign at any stage.

    Parameters
    ----------
    folder : Path
        Output folder of the campaign.
    campaign : Campaign
        The campaign.
    now : float, optional
        Time that the page names, seconds since 1970 UTC.

    Returns
    -------
    Path
        The page. What is not there yet is named in it with the command that makes it, and a file that cannot be
        read with the reason.

    Raises
    ------
    StoreError
        If another process writes the page.
    EnvironmentProblem
        If the folder cannot be written to.
    """
    sections = collect(folder, campaign)
    path = folder / PAGE_FILE
    with WriteLock(path):
        write_text(path, render(campaign.name, sections, time.time() if now is None else now))
    return path


def collect(folder: Path, campaign: Campaign) -> list[Section]:
    """Return the sections of a campaign's page, in order; no file is changed."""
    store, tensors, model = folder / "store.h5", folder / "tensors.h5", folder / "model"
    sections: list[Section] = []

    def add(name: str, title: str, make: Callable[[], Section | list[Section]], missing: str = "") -> None:
        if missing:
            sections.append(Section(name, title, missing=missing))
            return
        try:
            made = make()
        except XanesmlError as error:
            made = Section(name, title, problem=printable(str(error)))
        sections.extend(made if isinstance(made, list) else [made])

    def runs() -> list[Section]:
        read = read_runs(store)
        return [progress_section(read), failure_section(read), time_section(read)]

    add("progress", "Progress", runs if store.exists() else lambda: planned_section(campaign))
    no_tensors = "" if tensors.exists() else "Nothing is averaged yet; run `xanesml average`."
    if tensors.exists() or not store.exists():
        add("series", "Spectra by δ", lambda: series_section(tensors), no_tensors)
    else:
        add("series", "Spectra by δ", lambda: stored_series_section(store))
    add("averages", "Averages by MSD", lambda: averages_section(tensors), no_tensors)
    add("comparison", "Particle against statistical averages", lambda: comparison_section(tensors), no_tensors)
    no_model = "" if (model / REPORT_FILE).exists() else "No network has been trained yet; run `xanesml train`."
    add("learning", "Learning", lambda: training_sections(model), no_model)
    readings = folder / "predictions.json"
    by_pool = folder / "readings.json"
    if readings.exists() or not by_pool.exists():
        no_readings = "" if readings.exists() else "No measured spectrum has been read yet; run `xanesml predict`."
        add("readings", "Measured spectra", lambda: readings_section(readings, campaign), no_readings)
    if by_pool.exists():
        add("pool", "Measured spectra beside references", lambda: pool_section(by_pool))
    add("provenance", "Provenance", lambda: provenance_section(folder, campaign))
    return sections


def render(name: str, sections: list[Section], now: float) -> str:
    """Return the page as HTML; every text that is not of the page's own is escaped."""
    script, style = _own("page.js"), _own("page.css")
    # The page's script alone runs, and nothing is asked for.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=DictLoader({"page": _own("page.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page").render(
        name=printable(name),
        sections=sections,
        script=script,
        style=style,
        policy=f"{_POLICY}; script-src 'sha256-{digest}'",
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now)),
    )


@cache
def _own(name: str) -> str:
    return (files("xanesml.page") / "templates" / name).read_text(encoding="utf-8")
