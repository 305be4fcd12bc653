"""The marker `requires`, and that unit tests start no MPI: each on small test files of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from requirements import require

TESTS = ROOT / "tests"

#: Two requirements that nothing meets, one by a command and one by another machine.
MISSING = """
import pytest, requirements
from requirements import Requirement, require
requirements.REQUIREMENTS |= {
    "nothing": Requirement(lambda: ""),
    "moon": Requirement(lambda: "no module moon", "`make moon`"),
    "wings": Requirement(lambda: "Operation not permitted", machine=True),
}
"""


def run_pytest(folder: Path, text: str, *, ci: str = "") -> str:
    """Run a test file in a process of its own; return what pytest prints."""
    (folder / "test_small.py").write_text(MISSING + text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": ci} if ci else {})
    command = [sys.executable, "-m", "pytest", "-rs", "--color=no", "-p", "requirements", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(folder), str(folder)],
        env=environment | {"PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


SMALL = """
@pytest.fixture
def moonlight():
    require("moon")

@pytest.mark.requires("nothing")
def test_met(): pass

@pytest.mark.requires("nothing", "moon")
def test_curable(): raise AssertionError

def test_curable_by_a_fixture(moonlight): raise AssertionError

@pytest.mark.requires("wings")
def test_machine(): raise AssertionError
"""
LISTED = "1 test: this machine cannot provide wings: Operation not permitted"


def test_a_missing_requirement_skips_and_names_its_cure(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, SMALL)
    assert "1 passed, 3 skipped" in said, said
    assert said.count("needs moon: no module moon; `make moon` provides it") == 2
    assert LISTED in said.splitlines()


def test_in_ci_only_what_the_machine_cannot_do_is_skipped(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, SMALL, ci="true")
    assert "1 passed, 1 skipped, 2 errors" in said, said
    assert "needs moon: no module moon; `make moon` provides it (not skipped, because CI is set)" in said
    assert LISTED in said.splitlines()


@pytest.mark.parametrize(("ci", "ending"), [("", "1 skipped"), ("true", "1 error")])
def test_a_module_can_require_before_it_imports(tmp_path: Path, ci: str, ending: str) -> None:
    said = run_pytest(tmp_path, 'require("moon")\nimport moon\ndef test(): pass\n', ci=ci)
    assert ending in said, said
    assert "ModuleNotFoundError" not in said


@pytest.mark.parametrize(("names", "said"), [('"mon"', "'mon'"), ("", "nothing")])
def test_unknown_names_end_the_run(tmp_path: Path, names: str, said: str) -> None:
    printed = run_pytest(tmp_path, f"pytestmark = pytest.mark.requires({names})\ndef test(): pass\n")
    assert f"test_small.py::test: {said} cannot be required; known are 'import-linter'," in printed
    assert "passed" not in printed
    with pytest.raises(ValueError, match="'mon' cannot be required"):
        require("mon")


def test_nothing_skips_in_another_way() -> None:
    other = re.compile(r"pytest\.(skip|importorskip|mark\.skip)|\bskipif\b")
    found = [
        str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py") if other.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["requirements.py"]


def test_a_unit_test_that_starts_mpirun_fails_and_is_named(tmp_path: Path) -> None:
    shutil.copy(TESTS / "unit" / "conftest.py", tmp_path)
    said = run_pytest(tmp_path, "import os\ndef test_quiet(): os.system(\"sh -c 'mpirun -n 2 true'\")\n")
    assert "1 passed, 1 error" in said, said
    assert re.search(r"test_small\.py::test_quiet \(call\): \S+/mpirun -n 2 true", said), said
