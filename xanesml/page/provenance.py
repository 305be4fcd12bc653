"""The section on where everything comes from."""

from __future__ import annotations

import json
from pathlib import Path

import h5py

from xanesml.campaign import Campaign
from xanesml.files.hdf5 import open_file, text_attribute
from xanesml.files.layout import STORE, TENSORS, Layout
from xanesml.page.content import Log, Section, Table


def provenance_section(folder: Path, campaign: Campaign) -> Section:
    """Return the section on the campaign, the engine and the versions that made each file.

    Raises
    ------
    StoreError
        If a file is not readable.
    """
    rows = [("campaign", campaign.name), ("digest", campaign.digest()), ("seed", str(campaign.seed))]
    for name, layout in (("store.h5", STORE), ("tensors.h5", TENSORS)):
        if (folder / name).exists():
            rows += _file_rows(folder / name, layout)
    section = Section("provenance", "Provenance", tables=[Table("Where it comes from", ("what", "which"), list(rows))])
    text = json.dumps(json.loads(campaign.resolved()), indent=2, ensure_ascii=False)
    section.logs.append(Log("The campaign with all its settings", text))
    return section


def _file_rows(path: Path, layout: Layout) -> list[tuple[str, str]]:
    with open_file(path, layout) as file:
        rows = [(f"{path.name}, versions", _versions(file))]
        for attribute, what in (("engine", "FEFF"), ("campaign_digest", "campaign digest"), ("tasks_digest", "tasks")):
            if attribute in layout.attributes:
                rows.append((f"{path.name}, {what}", text_attribute(file, attribute)))
    return rows


def _versions(file: h5py.File) -> str:
    return ", ".join(f"{name} {number}" for name, number in json.loads(text_attribute(file, "versions")).items())
