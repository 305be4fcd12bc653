"""The layers of the house: imports go downwards only, and the page that draws them says the same."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

#: The only modules in the root of `xanesml`; everything else is in a package.
IN_THE_ROOT = {"__init__.py", "campaign.py", "errors.py", "extra_cards.py", "seeds.py", "py.typed"}


def layers(contract: str) -> list[set[str]]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return [
        set(line.split(" | ")) for line in config[f"importlinter:contract:{contract}"]["layers"].split("\n") if line
    ]


def lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    program = [str(Path(sys.executable).with_name("lint-imports")), "--config", str(config), "--no-cache"]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.requires("import-linter")
def test_imports_go_downwards() -> None:
    done = lint_imports(ROOT / "setup.cfg")
    assert done.returncode == 0, done.stdout


@pytest.mark.requires("import-linter")
@pytest.mark.parametrize("swapped", [("    store\n    feff\n", "    feff\n    store\n")])
def test_an_import_that_goes_upwards_is_found(tmp_path: Path, swapped: tuple[str, str]) -> None:
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert swapped[0] in text
    config = tmp_path / "setup.cfg"
    config.write_text(text.replace(*swapped), encoding="utf-8")
    done = lint_imports(config)
    assert done.returncode == 1
    assert "xanesml.store is not allowed to import xanesml.feff" in done.stdout


def test_the_root_holds_packages_and_little_else() -> None:
    assert {path.name for path in (ROOT / "xanesml").iterdir() if path.is_file()} == IN_THE_ROOT


@pytest.mark.parametrize("package", ["xanesml", "hpc"])
def test_the_page_draws_these_layers(package: str) -> None:
    drawing = (ROOT / "docs" / "where.md").read_text(encoding="utf-8").split("```")[1]
    part = {"hpc": drawing.split("───", 1)[0], "xanesml": drawing.rsplit("───", 1)[1]}[package]
    rows = [
        re.split(r"\s{3,}", line.removeprefix(package).strip())[0] for line in part.splitlines() if line.strip("─ \n")
    ]
    assert [set(row.split(" · ")) for row in rows] == layers(package)


def test_unit_tests_stand_where_their_packages_do() -> None:
    packages = {path.parent.name for path in (ROOT / "xanesml").glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "tests" / "unit").iterdir() if any(path.glob("**/test_*.py"))}
    assert packages - folders == set()
