"""The page of figures shows what the table of `tools/figures.py` lists, and says where the method has flaws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from synthetic import campaign, write_tensors

PAGE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.requires("keras", "larch")


def test_the_page_has_every_figure_with_its_caption_and_its_file() -> None:
    import figures

    parts = PAGE.split("\n## ")
    assert parts[0].strip() == figures.INTRODUCTION
    assert [part.partition("\n")[0] for part in parts[1:]] == [one.title for one in figures.FIGURES]
    for part, one in zip(parts[1:], figures.FIGURES, strict=True):
        caption = re.escape(" ".join(one.caption.split()))
        pattern = re.sub(r"\\\{\w+\\\}", r"\\S.*?", caption)
        assert re.fullmatch(pattern, part.strip().splitlines()[-1]), f"{one.name}: run `make figures`"
        assert (ROOT / "docs" / "figures" / f"{one.name}.png").stat().st_size > 10_000
    shown = set(re.findall(r"\(figures/([\w-]+)\.png\)", PAGE))
    assert {path.stem for path in (ROOT / "docs" / "figures").glob("*.png")} == shown | {"gaps"}
    assert PAGE.count("**A flaw of the method") >= 5


def test_figures_of_the_stages_are_drawn_and_missing_data_are_named(tmp_path: Path) -> None:
    write_tensors(tmp_path / "tensors.h5", campaign())
    command = [sys.executable, "tools/figures.py", str(tmp_path), str(tmp_path), "--folder", str(tmp_path / "out")]
    command += ["--only", "distorted", "pair"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["distorted.png"]
    assert "left out pair: " in done.stderr
