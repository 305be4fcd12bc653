"""The page of figures shows what the table of `tools/figures.py` lists, and says where the method has flaws."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

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
    assert {path.stem for path in (ROOT / "docs" / "figures").glob("*.png")} == shown | {"gaps", "exafs", "information"}
    assert PAGE.count("**A flaw of the method") >= 5


def test_figures_are_taken_from_the_stages_and_missing_data_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import figures
    import method_figures

    def draw(tensors: Path, folder: Path) -> None:
        assert tensors == tmp_path / "tensors.h5"
        (folder / "series.png").write_bytes(b"drawn")

    monkeypatch.setattr(method_figures, "averaging_figures", draw)
    out = tmp_path / "out"
    arguments = [str(tmp_path), str(tmp_path), "--folder", str(out), "--only", "distorted", "weightings", "pair"]
    monkeypatch.setattr(sys, "argv", ["figures.py", *arguments])
    assert figures.main() == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"distorted.png": b"drawn"}
    told = capsys.readouterr()
    assert "left out weightings: neither average nor train drew weightings.png" in told.err
    assert "left out pair: " in told.err
    assert "## Distorted series" in told.out
