"""Many spectra: which files, in processes of their own, as they come, and written for others' tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from exact_model import FOIL, model
from measured_files import write_table

from xanesml.errors import SpectrumError
from xanesml.measured import MeasuredSpectrum, read_spectra, read_spectrum
from xanesml.prediction.batch import Predictions
from xanesml.prediction.files import spectra_of
from xanesml.prediction.model import Model
from xanesml.prediction.watch import Watched, watch

SPECTRUM = read_spectrum(FOIL)


@pytest.fixture
def loaded(tmp_path: Path) -> Model:
    return Model(tmp_path, model())


def series(folder: Path, count: int) -> list[Path]:
    """Files of the foil, each measured a minute later and a little thicker."""
    folder.mkdir(exist_ok=True)
    files = []
    for number in range(count):
        path = folder / f"scan_{number:02}.xdi"
        table = write_table(path, {"mu": (1 + 0.1 * number) * SPECTRUM.mu}, SPECTRUM.energy).read_text()
        path.write_text(f"# XDI/1.0\n# Scan.start_time: 2026-03-01T12:{number:02}:00\n{table}")
        files.append(path)
    return files


def test_a_folder_is_its_spectra_and_a_pattern_what_fits(tmp_path: Path) -> None:
    files = series(tmp_path / "in", 3)
    for name in ("notes.md", ".hidden.dat", "predictions.csv", "figure.png", "scan.dat~"):
        (tmp_path / "in" / name).write_text("1 2\n")
    (tmp_path / "in" / "folder.dat").mkdir()
    assert spectra_of([tmp_path / "in"]) == files
    assert spectra_of([f"{tmp_path}/in/scan_0[12].xdi", files[0], files[1]]) == [files[1], files[2], files[0]]
    choice = Path(f"{files[0]}:(if1+if2)*2")
    assert spectra_of([choice]) == [choice]
    odd = tmp_path / "a[1].dat"
    odd.write_text("")
    assert spectra_of([odd]) == [odd]
    with pytest.raises(SpectrumError, match=r"no file fits .*\*.xyz; check the pattern"):
        spectra_of([tmp_path / "*.xyz"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpectrumError, match="empty holds no spectra"):
        spectra_of([tmp_path / "empty"])


def test_processes_of_their_own_answer_as_one_does(loaded: Model, tmp_path: Path) -> None:
    reference = loaded.reference(FOIL, 0.0081)
    files: list[Path] = series(tmp_path / "in", 5)
    files[2].write_text("nothing\n")
    told: list[None] = []
    one = loaded.predict(files, reference=reference)
    two = loaded.predict(files, reference=reference, processes=2, advance=lambda: told.append(None))
    assert len(told) == len(files)
    assert [found.source for found in two] == [str(path) for path in files if path != files[2]]
    assert one.refused == two.refused
    assert [found.as_dict() for found in one] == [found.as_dict() for found in two]
    # The networks see all spectra in one call.
    assert len({id(found.mesh) for found in two}) == 1


def test_spectra_that_are_predicted_together_are_predicted_as_alone(loaded: Model, tmp_path: Path) -> None:
    files = series(tmp_path / "in", 3)
    together = loaded.predict(files, reference=(FOIL, 0.0081))
    for found, path in zip(together, files, strict=True):
        assert found == loaded.predict(path, reference=(FOIL, 0.0081))


def test_a_file_is_given_out_once_it_no_longer_changes(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.complete() == []
    first, second = tmp_path / "b.dat", tmp_path / "a.dat"
    first.write_text("half")
    assert watched.complete() == []
    first.write_text("half and the rest")
    (tmp_path / "notes.md").write_text("")
    assert watched.complete() == []
    second.write_text("whole")
    assert watched.complete() == [first]
    assert watched.complete() == [second]
    assert watched.complete() == []
    first.write_text("measured once more, longer")
    assert watched.complete() == []
    assert watched.complete() == [first]
    first.unlink()
    assert watched.complete() == []
    with pytest.raises(SpectrumError, match=r"there is no folder .*none to watch"):
        Watched(tmp_path / "none")


def test_a_watch_hands_over_what_comes_until_it_is_to_stop(tmp_path: Path) -> None:
    arriving = [tmp_path / name for name in ("1.dat", "2.dat")]
    given: list[list[Path]] = []
    looks = 0

    def wait() -> None:
        nonlocal looks
        looks += 1
        if arriving:
            arriving.pop(0).write_text("whole")

    watch(Watched(tmp_path), given.append, stop=lambda: looks == 5, wait=wait)
    assert given == [[tmp_path / "1.dat"], [tmp_path / "2.dat"]]


@pytest.mark.requires("larch")
def test_a_project_holds_the_normalized_spectra_and_the_readings(loaded: Model, tmp_path: Path) -> None:
    import larch.io

    shifted = MeasuredSpectrum(SPECTRUM.energy + 0.4, 3 * SPECTRUM.mu, "Au", "L3", "it's; shifted")
    found = loaded.predict([FOIL, shifted], reference=(FOIL, 0.0081), align="edge")
    found.refused.append(("bad.xdi", "no edge"))
    path = tmp_path / "series.prj"
    found.write_project(path)
    spectra = read_spectra(path, element="Au", edge="L3")
    assert len(spectra) == 2
    for one, prediction in zip(spectra, found, strict=True):
        np.testing.assert_allclose(one.energy, prediction.measured.energy + prediction.shift, atol=1e-8)
        np.testing.assert_allclose(one.mu, prediction.measured.mu, atol=1e-12)
    # The shifted one lies on the other.
    np.testing.assert_allclose(spectra[1].energy, spectra[0].energy, atol=5e-3)
    read = larch.io.read_athena(str(path))
    assert "MSD 0.0081 Å²" in read.journal
    assert "refused: bad.xdi: no edge" in read.journal
    with pytest.raises(SpectrumError, match="there are no spectra to write"):
        Predictions([], []).write_project(path)


def test_a_series_is_drawn_against_time_or_number(loaded: Model, tmp_path: Path) -> None:
    found = loaded.predict(series(tmp_path / "in", 4), reference=(FOIL, 0.0081))
    assert found[1].time == "2026-03-01T12:01:00"
    (axes,) = found.plot_series(tmp_path / "series.png").axes
    assert (tmp_path / "series.pdf").exists()
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0, 1, 2, 3])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1e3 * one.msd for one in found])
    assert axes.get_xlabel() == "Time (min)"
    untimed = MeasuredSpectrum(SPECTRUM.energy, SPECTRUM.mu, "Au", "L3", "no time")
    found.predictions.insert(0, loaded.predict(untimed, reference=(FOIL, 0.0081)))
    (axes,) = found.plot_series().axes
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [1, 2, 3, 4, 5])


def test_names_of_many_are_different(loaded: Model) -> None:
    one = loaded.predict(FOIL)
    names = Predictions([one] * 3, []).names
    assert names == [one.name, f"{one.name}-2", f"{one.name}-3"]


def test_what_is_read_is_kept_with_the_result(loaded: Model, tmp_path: Path) -> None:
    (path,) = series(tmp_path / "in", 1)
    loaded.predict([path], reference=(FOIL, 0.0081)).write(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"][0]
    assert content["uncertainties"].keys() == {"normalization", "energy", "reference"}
    kept = content["normalization"]
    assert kept["columns"] == "energy and mu"
    assert kept["time"] == "2026-03-01T12:00:00"
    for key in (
        "pre1",
        "pre2",
        "norm1",
        "norm2",
        "nnorm",
        "step_offset",
        "glitches",
        "glitches_left_out",
        "other_edges",
    ):
        assert key in kept
    assert "measured" not in content
