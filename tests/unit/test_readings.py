"""What the demo prints last: readings of measured samples beside EXAFS."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from readings import Known, main, read_known, table

from xanesml.measured import read_spectrum

MEASURED = ROOT / "examples" / "measured"
KNOWN = {"a.xdi": Known("colloid", 0.0108, 0.0006), "b.xdi": Known("foil", 0.008, 0.0)}


def prediction(source: str, msd: float, low: float, high: float, distance: float = 1.0) -> dict[str, Any]:
    return {"source": source, "msd": msd, "interval": [low, high], "distance": distance, "typical_distance": 3.0}


def test_the_table_by_hand() -> None:
    rows = [prediction("x/a.xdi", 0.0118, 0.01, 0.0136), prediction("b.xdi", 0.005, 0.004, 0.006, 6.0)]
    lines = list(table(KNOWN, [*rows, prediction("unknown.xdi", 1.0, 1.0, 1.0)]))
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "colloid 0.0118 0.0100 … 0.0136 0.0108(6) yes",
        "foil 0.0050 0.0040 … 0.0060 0.0080 no, flagged",
        "mean absolute difference from EXAFS 0.0020 Å², mean difference -0.0010 Å²",
        "1 of 2 intervals hold what EXAFS gives; flagged: unlike the theory",
    ]
    # One reading has no mean.
    assert len(list(table(KNOWN, rows[:1]))) == 2


def test_readings_of_a_pool_are_flagged_by_their_misfit() -> None:
    rows = [{"source": "a.xdi", "msd": 0.0118, "interval": [0.01, 0.0136], "misfit": misfit} for misfit in (1.4, 1.6)]
    assert [line.split()[-1] for line in table(KNOWN, rows)][1:3] == ["yes", "flagged"]


def test_the_samples_of_the_examples_are_there_and_fit_a_terminal() -> None:
    known = read_known(MEASURED / "exafs.csv")
    with (MEASURED / "exafs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [MEASURED / row["file"] for row in rows]
    assert [path.name for path in paths] == list(known)
    assert {path for path in paths if path.parent == MEASURED} == set(MEASURED.glob("*.xdi"))
    for row, path in zip(rows, paths, strict=True):
        spectrum = read_spectrum(path)
        assert (spectrum.element, spectrum.edge) == (row["element"], row["edge"])
    gold = [path for row, path in zip(rows, paths, strict=True) if row["element"] == "Au"]
    lines = list(table(known, [prediction(path.name, 0.02, 0.01, 0.03, 6.0) for path in gold]))
    assert max(len(line) for line in lines) <= 80
    # With the words around it, the table has to fit a screen.
    assert len(lines) <= 10


def test_the_program_prints_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps({"predictions": [prediction("au_foil.xdi", 0.0082, 0.007, 0.009)], "refused": []}))
    monkeypatch.setattr("sys.argv", ["readings.py", str(MEASURED / "exafs.csv"), str(file)])
    main()
    assert "foil, room temperature  0.0082" in capsys.readouterr().out
