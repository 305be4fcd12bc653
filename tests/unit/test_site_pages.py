"""The pages of the reference that come from the code say what the code says."""

from __future__ import annotations

import json
import re

import site_pages
from conftest import ROOT

from hpc.cli import app


def cells(row: str) -> int:
    """Count the cells of a row as Python-Markdown does, which sees no bar in code."""
    return re.sub(r"`[^`]*`", "", row).replace("\\|", "").count("|") - 1


def test_every_command_and_option_is_on_the_page() -> None:
    page = site_pages.options_page()
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"\n## {command.name or command.callback.__name__}\n" in page
    rows = page.splitlines()
    meaning = "For a new store or new variants: copy another's finished tasks; may be repeated."
    assert f"| `--reuse STORE` | – | {meaning} |" in rows
    assert any(row.startswith("| `--align") and "| foil |" in row for row in rows)
    assert any(row.startswith("| `CAMPAIGN") and "| required | Campaign file (TOML). |" in row for row in rows)
    assert all(cells(row) == 3 for row in rows if row.startswith("| "))
    assert any("<auto|mpio|root>`" in row for row in rows)


def test_every_dataset_is_on_its_page() -> None:
    for name in ("store", "tensors"):
        page = site_pages.datasets_page(name)
        definition = json.loads((ROOT / "data_schema" / f"{name}.json").read_text(encoding="utf-8"))
        rows = [row for row in page.split("## Root attributes")[1].splitlines() if cells(row) == 5]
        heads = 2 * len({one["path"].rpartition("/")[0] for one in definition["datasets"]})
        assert len(rows) - heads == len(definition["datasets"])
    assert "| `msd` | average | `<f8` | Å² |" in site_pages.datasets_page("tensors")
