"""`xanesml exafs`, and what `predict` takes of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from exact_model import FOIL, model
from exafs_data import path_of, unpacked
from typer.testing import CliRunner, Result

from hpc.cli import app
from xanesml.campaign import Campaign
from xanesml.errors import SpectrumError
from xanesml.feff.paths import FeffPath
from xanesml.prediction.model import Model


@pytest.fixture(autouse=True)
def feff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths from files in place of FEFF's runs, whose elements are listed."""
    runs: list[str] = []

    def paths_of(campaign: Campaign) -> list[FeffPath]:
        runs.append(campaign.structure.element)
        return [path_of(campaign.structure.element, tmp_path)]

    monkeypatch.setattr("hpc.exafs.paths_of", paths_of)
    return runs


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the figures, which are not drawn."""
    names: list[str] = []
    monkeypatch.setattr("xanesml.plots.exafs_figure", lambda _fit, out, **_label: names.append(out.name))
    return names


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model(tmp_path / "model", model())
    monkeypatch.setattr("xanesml.prediction.model.load_model", lambda _: found)
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def short(folder: Path) -> Path:
    lines = FOIL.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.startswith("#") or float(line.split()[0]) < 12200]
    path = folder / "short.xdi"
    path.write_text("".join(kept))
    return path


@pytest.mark.requires("larch")
def test_spectra_are_fitted_and_written(tmp_path: Path, feff: list[str], drawn: list[str]) -> None:
    foils = [unpacked("au_foil.xdi", tmp_path / folder) for folder in ("a", "b")]
    copper = unpacked("cu_foil_10K.xdi", tmp_path)
    given = (*foils, copper, short(tmp_path))
    found = run("exafs", *given, "-o", tmp_path / "out", "--k-range", "3,11.5", "--k-weights", "2")
    assert found.exit_code == 3, found.output
    assert found.output.count("σ² 7.8") == 2
    assert "k 3.0 … 11.5 1/Å, weights 2;" in found.output
    assert "refused: " in found.output
    assert "too early for EXAFS" in found.output
    # Once for each element.
    assert feff == ["Au", "Cu"]
    with (tmp_path / "out" / "exafs.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["source"] for row in rows] == [*map(str, foils), str(copper)]
    fits = json.loads((tmp_path / "out" / "exafs.json").read_text())
    assert [fit["sigma2"] for fit in fits] == [float(row["sigma2"]) for row in rows]
    assert fits[0]["third"] is None
    assert drawn == ["exafs-au_foil.png", "exafs-au_foil-2.png", "exafs-cu_foil_10K.png"]


@pytest.mark.requires("larch")
@pytest.mark.usefixtures("loaded")
def test_a_reference_gets_its_msd_from_its_own_exafs_and_readings_stand_beside_theirs(
    tmp_path: Path, feff: list[str], drawn: list[str]
) -> None:
    reference = ("--reference", FOIL, "--reference-msd", "exafs", "--exafs", "--no-figures")
    found = run("predict", "model", FOIL, short(tmp_path), *reference, "-o", tmp_path / "out")
    assert found.exit_code == 0, found.output
    (fit,) = json.loads((tmp_path / "out" / "reference" / "exafs.json").read_text())
    reading, _ = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert 0.0077 < fit["sigma2"] < 0.0087
    assert reading["reference"]["msd"] == fit["sigma2"]
    assert reading["reference"]["msd_error"] == fit["sigma2_error"]
    assert reading["msd"] == pytest.approx(fit["sigma2"], abs=1e-4)
    assert "Å² read, σ² 0.0083 ± 0.0004 Å² by EXAFS" in found.output
    assert "no EXAFS: " in found.output
    # FEFF runs once for the reference and the readings.
    assert feff == ["Au"]
    assert drawn == [f"exafs-{FOIL.stem}.png"] * 2


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("predict", "model", FOIL, "--reference", FOIL, "--reference-msd", "good"),
            "--reference-msd is 'good'; give a",
        ),
        (
            ("predict", "model", FOIL, "--reference", FOIL, "--reference-msd", "exafs", "--reference-error", "0.001"),
            "leave out --reference-error",
        ),
        (("exafs", FOIL, "--k-range", "3"), "--k-range is '3'; give two wave numbers"),
        (("exafs", FOIL, "--k-weights", "x"), "--k-weights is 'x'; give whole numbers from 0 to 3"),
        (("exafs", FOIL, "--element", "Cu"), "Cu"),
    ],
)
def test_bad_options_are_refused_in_one_line(arguments: tuple[Any, ...], says: str, tmp_path: Path) -> None:
    found = run(*arguments, "-o", tmp_path / "out")
    assert isinstance(found.exception, SpectrumError)
    assert says in str(found.exception)
    assert "\n" not in str(found.exception)
    assert not (tmp_path / "out").exists()
