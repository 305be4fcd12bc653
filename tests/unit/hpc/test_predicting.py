"""`xanesml predict` on many files, on a folder that is watched, and its options."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_model import FOIL, model
from measured_files import write_table
from typer.testing import CliRunner, Result

from hpc.cli import app
from hpc.predicting import Results, energy_range, expected_elements, watch_folder
from xanesml.errors import SpectrumError
from xanesml.measured import read_spectrum
from xanesml.prediction.model import Model

SPECTRUM = read_spectrum(FOIL)
REFERENCE = ("--reference", str(FOIL), "--reference-msd", "0.0081")


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model(tmp_path / "model", model())
    monkeypatch.setattr("xanesml.prediction.model.load_model", lambda _: found)
    return found


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", "model", *map(str, arguments)])


def files(folder: Path, count: int, **columns: np.ndarray) -> Path:
    folder.mkdir()
    for number in range(count):
        write_table(folder / f"{number:03}.dat", columns or {"mu": SPECTRUM.mu * (1 + number)}, SPECTRUM.energy)
    return folder


@pytest.mark.requires("larch")
@pytest.mark.usefixtures("loaded")
def test_a_folder_becomes_one_table_with_progress(tmp_path: Path) -> None:
    folder = files(tmp_path / "in", 22)
    (folder / "021.dat").write_text("no numbers\n")
    found = predict(folder, *REFERENCE, "--output", tmp_path / "out", "--project", tmp_path / "out" / "all.prj")
    assert found.exit_code == 3, found.output
    assert "spectra: 22 of 22" in found.output
    assert "21 spectra: MSD 0.0081 … 0.0081 Å², " in found.output
    assert "with warnings, 1 refused; table:" in found.output
    with (tmp_path / "out" / "predictions.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 21
    assert sorted(path.name for path in (tmp_path / "out" / "figures").iterdir()) == ["readings.pdf", "readings.png"]
    assert (tmp_path / "out" / "all.prj").stat().st_size > 1000


@pytest.mark.usefixtures("loaded")
def test_few_spectra_get_a_line_and_a_figure_each(tmp_path: Path) -> None:
    folder = files(tmp_path / "in", 2)
    found = predict(f"{folder}/*.dat", *REFERENCE, "--output", tmp_path / "out")
    assert found.exit_code == 0, found.output
    assert found.output.count("Au L3: MSD 0.0081 Å²") == 2
    figures = tmp_path / "out" / "figures"
    assert {path.name for path in figures.iterdir()} >= {"000.png", "001.png", "readings.png"}
    found = predict(f"{folder}/*.dat", *REFERENCE, "--output", tmp_path / "none", "--no-figures")
    assert [path.name for path in (tmp_path / "none" / "figures").glob("*.png")] == ["readings.png"]


@pytest.mark.usefixtures("loaded")
def test_options_reach_reading_and_normalization(tmp_path: Path) -> None:
    folder = files(tmp_path / "in", 1, I0=np.ones(470), If1=SPECTRUM.mu + 2, If2=SPECTRUM.mu + 2)
    text = (tmp_path / "out" / "predictions.json").read_text
    found = predict(
        *(folder, *REFERENCE, "--output", tmp_path / "out", "--signal", "If2/I0"),
        *("--pre-edge", "-90,-30", "--post-edge=30,400", "--others", "Se", "--align", "none", "--leave-out-glitches"),
    )
    # The reference is transmission, which has no such column.
    assert found.exit_code == 0, found.output
    for kept in ('"columns": "energy and If2/I0"', '"norm2": 400.0', '"glitches_left_out": true', '"the Se K edge'):
        assert (kept in text()) == (kept != '"the Se K edge')
    assert '"nvict": 0' in text()
    more = ("--pre-edge", "-90,-30", "--nvict", "4")
    found = predict(folder / "000.dat:If2/I0", *REFERENCE, "--output", tmp_path / "out", *more)
    assert found.exit_code == 0, found.output
    assert '"columns": "energy and If2/I0"' in text()
    assert '"pre1": -90.0' in text()
    assert '"nvict": 4' in text()


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no spectra are given; name files, folders or patterns, or --watch a folder"),
        ((FOIL, "--align", "all"), "--align is 'all'; give foil, edge or none"),
        ((FOIL, "--pre-edge", "-90"), "--pre-edge is '-90'; give two energies"),
        ((FOIL, "--others", "Se,Qq"), "--others names 'Qq', which is no element"),
        ((FOIL, "--reference-msd", "0.0081"), "there are 0 --reference and 1 --reference-msd; give one MSD for each"),
        (("--watch", "nowhere"), "there is no folder nowhere to watch"),
        ((FOIL, "--project-ranges"), "holds no fit ranges; only groups of Athena projects do"),
    ],
)
def test_bad_options_are_refused_in_one_line(arguments: tuple[Any, ...], says: str, tmp_path: Path) -> None:
    found = predict(*arguments, "--output", tmp_path / "out")
    assert isinstance(found.exception, SpectrumError)
    assert says in str(found.exception)
    assert "\n" not in str(found.exception)


def test_a_watched_folder_is_answered_as_files_come(
    loaded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files(tmp_path / "in", 1)
    known = loaded.reference(FOIL, 0.0081)
    lines: list[str] = []
    looks = 0

    class Ends:
        """Ends the watch after some looks, and lets a file come at each of the first two."""

        def __init__(self, _seconds: float | None) -> None: ...

        def listen(self) -> None: ...

        @property
        def requested(self) -> bool:
            nonlocal looks
            looks += 1
            if looks == 3:
                write_table(folder / "001.dat", {"mu": 2 * SPECTRUM.mu}, SPECTRUM.energy)
            if looks == 6:
                (folder / "002.dat").write_text("1 2\n3 4\n")
            if looks == 12:
                write_table(folder / "002.dat", {"mu": 3 * SPECTRUM.mu}, SPECTRUM.energy)
            return looks > 20

    monkeypatch.setattr("hpc.predicting.Drain", Ends)
    results = Results(tmp_path / "out", project=None, figures=False, echo=lines.append)
    watch_folder(loaded, folder, {"reference": known}, results, 0.0)
    assert [line.partition(": ")[0] for line in lines] == [str(folder / f"{number:03}.dat") for number in range(3)]
    assert all("MSD 0.0081 Å²" in line for line in lines)
    assert f"refused: {folder / '002.dat'} has 2 energies" in capsys.readouterr().err
    # What was refused has come again, whole.
    assert not results.refused
    with (tmp_path / "out" / "predictions.csv").open() as table:
        assert [Path(row["source"]).name for row in csv.DictReader(table)] == ["000.dat", "001.dat", "002.dat"]


def test_ranges_and_elements_are_read_from_options() -> None:
    assert energy_range("--pre-edge", None) is None
    assert energy_range("--pre-edge", "-150,-3.5") == (-150.0, -3.5)
    assert expected_elements(None) == ()
    assert expected_elements("se, HG") == ("Se", "Hg")


def test_a_model_that_ships_is_listed_and_taken_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["models"])
    assert listed.exit_code == 0
    (line,) = [line for line in listed.output.splitlines() if line.startswith("au-l3: ")]
    assert "Au L3, MSD 0.000" in line
    done = CliRunner().invoke(app, ["predict", "au-l3", str(FOIL), "--no-figures"])
    assert done.exit_code == 0
    assert done.output.splitlines()[-1].endswith("xanesml predict au-l3 SPECTRUM --reference FOIL --reference-msd MSD")
    # What it is stands before what it says, and nothing is written into the package.
    assert done.output.splitlines()[0] == f"model {line}"
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {"predictions.json", "predictions.csv"}
