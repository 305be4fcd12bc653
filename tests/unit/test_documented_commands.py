"""Every command that a page shows exists, with the options that it is given there."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import ROOT
from documented_commands import NEEDS, PAGES, blocks, calls

from hpc.cli import app

TARGET = re.compile(r"^\s*make ([\w -]+?)(?: +\w+=.*)?(?: +#.*)?$", re.MULTILINE)


def parsed(arguments: list[str]) -> str:
    """Parse a call as the command line does, without running it; return the name of the command."""
    group: Any = typer.main.get_command(app)
    called: list[str] = []

    def record(command: str, /, **_: object) -> None:
        called.append(command)

    for name, command in group.commands.items():
        command.callback = partial(record, name)
    group.main(arguments, prog_name="xanesml", standalone_mode=False)
    return " ".join(called)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_call_on_a_page_parses(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for block in blocks(page):
        for arguments in calls(block.text):
            try:
                parsed(arguments)
            except Exception as error:  # noqa: BLE001 (Click's, or the copy of it in Typer)
                wrong.append(f"{block.page}:{block.line}: xanesml {' '.join(arguments)}: {error}")
    capsys.readouterr()
    assert wrong == []


def test_calls_are_found_in_all_the_ways_that_pages_write_them() -> None:
    text = (
        "mpirun -n 2 .venv/bin/xanesml train a.toml \\\n  --output b  # trains\nFOIL=x xanesml predict m $FOIL && ls\n"
    )
    assert list(calls(text)) == [["train", "a.toml", "--output", "b"], ["predict", "m", "$FOIL"]]
    assert list(calls("xanesml export STORE -o F [--tasks 0,5-9] [--format xdi|extxyz]")) == [
        ["export", "STORE", "-o", "F", "--tasks", "0,5-9", "--format", "xdi"]
    ]
    assert sum(1 for page in PAGES for block in blocks(page) for _ in calls(block.text)) > 60


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("simulat a.toml", "simulat"),
        ("simulate a.toml --writr root", "--writr"),
        ("simulate a.toml --writer disk", "disk"),
        ("simulate", "(?i)campaign"),
        ("trace t.h5 first", "integer"),
    ],
)
def test_a_wrong_call_is_told(call: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        parsed(call.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_needs_are_known_and_targets_of_make_exist(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for block in blocks(page):
        assert block.needs in ("", *NEEDS), f"{block.page}:{block.line}"
        for names in TARGET.findall(block.text):
            assert set(names.split()) <= set(targets), f"{block.page}:{block.line}: make {names}"
