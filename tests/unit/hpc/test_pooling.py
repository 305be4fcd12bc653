"""Pools on the command line: made, and used to read spectra beside a reference."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hpc.cli import app
from hpc.pooling import read_beside
from xanesml.errors import SpectrumError
from xanesml.measured import Treatment
from xanesml.page.readings import pool_section
from xanesml.pools.model import Pool

ROOT = Path(__file__).parents[3]
POOLS = ROOT / "reference" / "pools"
FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("pool")
    stores = [str(POOLS / "au-crystal"), str(POOLS / "au-particle147")]
    (base / "pool.toml").write_text(
        f'name = "small"\nstores = {stores}\ncrystals = ["au-crystal"]\nmixtures = 800\n'.replace("'", '"')
    )
    done = CliRunner().invoke(app, ["pool", str(base / "pool.toml"), "--output", str(base / "out")])
    assert done.exit_code == 0, done.output
    assert "800 mixtures of 164 runs in 2 stores, Au L3" in done.output
    assert "  crystal: MSD 0." in done.output
    return base / "out"


def read(folder: Path, output: Path, *spectra: Path, msd: float = 0.008) -> list[str]:
    lines: list[str] = []
    read_beside(
        Pool.load(folder),
        spectra,
        [(FOIL, msd, None)],
        crystal=True,
        element=None,
        edge=None,
        signal=None,
        treatment=Treatment(),
        output=output,
        figures=True,
        echo=lines.append,
    )
    return lines


def test_a_foil_beside_itself_is_as_disordered_as_it_is(folder: Path, tmp_path: Path) -> None:
    lines = read(folder, tmp_path, FOIL)
    with (tmp_path / "readings.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["msd"]) == pytest.approx(0.008, abs=0.0007)
    assert abs(float(row["bond_minus_reference"])) < float(row["bond_error"])
    assert float(row["coordination"]) == pytest.approx(12.0, abs=0.4)
    assert float(row["shift_eV"]) == pytest.approx(0.0, abs=0.01)
    assert f"{FOIL}: MSD 0.00" in lines[0]
    assert "warning: the pool small has no card sets that its uncertainties were tested by" in lines[1]
    content = json.loads((tmp_path / "readings.json").read_text())
    assert content["references"] == [{"source": str(FOIL), "msd": 0.008, "msd_error": 5e-4}]
    assert (tmp_path / "figures" / "readings.png").stat().st_size > 10_000


def test_what_is_read_is_on_the_page(folder: Path, tmp_path: Path) -> None:
    known = ("--reference", FOIL, "--reference-msd", "0.008")
    given = (folder, FOIL, *known, "--output", tmp_path, "--no-figures")
    assert predict(*given)[0] == 0
    tables = [(table.head, table.rows) for table in pool_section(tmp_path / "readings.json").tables]
    ((head, ((_, msd, *_, neighbors, _),)),) = tables
    assert float(msd) == pytest.approx(0.008, abs=0.0007)
    assert (head[4], neighbors[:2]) in (("first neighbors", "11"), ("first neighbors", "12"))
    status, text = predict(*given, "--reference-is-particle")
    assert (status, "first neighbors against the reference" in text) == (0, True), text
    ((head, ((*_, neighbors, _),)),) = [
        (table.head, table.rows) for table in pool_section(tmp_path / "readings.json").tables
    ]
    assert head[4] == "first neighbors − reference's"
    assert neighbors[0] in "+−"


def test_what_cannot_be_read_is_told_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpectrumError, match="outside"):
        read(folder, tmp_path / "a", FOIL, msd=0.2)
    (tmp_path / "notes.dat").write_text("no spectrum\n")
    with pytest.raises(SpectrumError, match=r"notes\.dat"):
        read(folder, tmp_path / "b", tmp_path / "notes.dat")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def predict(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    return done.exit_code, done.output if done.exception is None else done.output + str(done.exception)


def test_references_go_with_their_values(folder: Path, tmp_path: Path) -> None:
    given = (folder, FOIL, "--output", tmp_path, "--no-figures")
    known = ("--reference", FOIL, "--reference-msd", "0.008")
    status, text = predict(*given, *known, *known, "--reference-error", "0.0004", "--reference-error", "0.0005")
    assert (status, "MSD 0.00" in text) == (0, True), text
    assert len(json.loads((tmp_path / "readings.json").read_text())["references"]) == 2
    # As disordered as the warmest crystals: the interval reaches beyond what the pool holds.
    status, text = predict(*given, "--reference", FOIL, "--reference-msd", "0.019")
    assert (status, "of the pool's mixtures; make a pool of warmer" in text) == (0, True), text
    for wrong, message in (
        (("--reference", FOIL), "1 --reference and 0 --reference-msd"),
        ((*known, *known, "--reference-error", "0.1"), "2 --reference and 1 --reference-error"),
        ((), "a pool reads differences"),
        ((*known, "--with", "network"), "do not go with a pool"),
    ):
        status, text = predict(*given, *wrong)
        assert status != 0
        assert message in text
