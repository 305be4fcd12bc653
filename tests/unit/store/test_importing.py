"""Runs made elsewhere: exported as folders, found among a campaign's tasks, judged, and imported."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import fake_feff
import h5py
import numpy as np
import pytest
from fake_comm import run_ranks
from made_store import made_store
from typer.testing import CliRunner, Result

from hpc.average import average
from hpc.cli import app
from hpc.comm import Writer
from xanesml.campaign import Campaign
from xanesml.errors import SpectrumError, StoreError
from xanesml.feff.xmu import read_program, read_xmu
from xanesml.measured import read_spectrum
from xanesml.store.export_feff import export_feff
from xanesml.store.importing import import_runs
from xanesml.store.plan import expand
from xanesml.store.rows import open_store_file
from xanesml.validation import validate

CAMPAIGN = """
name = "c"
[structure]
atoms = 13
[distortion]
minimum = -0.02
maximum = 0.02
[disorder]
structures = 2
absorbers = [0, 3]
[feff]
corval = false
[averaging]
families = 3
means_per_family = 1
sigma = [0.005, 0.006]
location = [-0.001, 0.001]
truncation_limit = 0.02
"""
#: Five distortions, then two structures of two absorbers.
TASKS = 9


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    (tmp_path / "c.toml").write_text(CAMPAIGN)
    return Campaign.load(tmp_path / "c.toml")


def run_fake(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str = "succeed") -> None:
    with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(folder)
        patch.setattr("sys.argv", ["fake_feff.py", mode])
        assert fake_feff.main() == 0


@pytest.fixture
def runs(tmp_path: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for each task but the last, without logs, as the source leaves them."""
    table = expand(campaign)
    for task in range(TASKS - 1):
        folder = tmp_path / "runs" / f"a{task % 2}" / f"run{task}"
        folder.mkdir(parents=True)
        (folder / "feff.inp").write_text(table.inputs(task)[0])
        run_fake(folder, monkeypatch)
        for log in folder.glob("log*.dat"):
            log.unlink()
    return tmp_path / "runs"


def xanesml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        return CliRunner().invoke(app, arguments)


def spectra(store: Path) -> dict[str, np.ndarray]:
    with h5py.File(store) as file:
        return {name: file[f"spectra/{name}"][:] for name in ("energy", "mu", "mu0", "edge", "points")}


def test_what_is_exported_is_imported_to_the_last_bit(
    tmp_path: Path, runs: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = xanesml(tmp_path, monkeypatch, "import", "runs", "c.toml")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1:] == [
        "imported: 8 runs: 8 done",
        "8 without a log: whether their potentials converged is not known",
        "store: c/store.h5: 8 done, 1 pending",
    ]
    store = tmp_path / "c" / "store.h5"
    assert validate(store).ok
    with h5py.File(store) as file:
        assert file.attrs["engine"] == "imported: FEFF 10.0.0"
        log = file["runs/log"][3].decode()
        assert log.startswith(f"imported from {runs}/a1/run3\nfeff.inp blake2b ")
        assert "computed by FEFF 10.0.0" in log
        assert file["runs/solver"][3] == b"imported, FEFF 10.0.0"
        table = np.loadtxt(runs / "a1" / "run3" / "xmu.dat").T
        np.testing.assert_array_equal(file["spectra/mu"][3, : len(table[0])], table[3])

    out = xanesml(tmp_path, monkeypatch, "export", "c/store.h5", "--format", "feff", "-o", "again")
    assert out.stdout.splitlines()[-1] == "9 folders in again, each with feff.inp, 8 with xmu.dat"
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [f"task-{n:06d}" for n in range(TASKS)]
    assert (tmp_path / "again/task-000008/feff.inp").read_text() == expand(campaign).inputs(8)[0]
    done = xanesml(tmp_path, monkeypatch, "import", "again", "c.toml", "-o", "second")
    assert done.exit_code == 0, done.output
    assert "1 without an xmu.dat" in done.stdout.splitlines()
    for name, values in spectra(store).items():
        np.testing.assert_array_equal(spectra(tmp_path / "second" / "store.h5")[name], values, err_msg=name)
    with h5py.File(tmp_path / "second" / "store.h5") as file:
        assert file.attrs["engine"] == "imported: FEFF 10.0.0"
    again = xanesml(tmp_path, monkeypatch, "import", "runs", "c.toml")
    assert again.stdout.splitlines()[:2] == ["imported: 0 runs", "8 in the store already, with the same spectrum"]


def test_imported_runs_are_averaged_like_any_other(
    tmp_path: Path, runs: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = expand(campaign)
    (runs / "last").mkdir()
    (runs / "last" / "feff.inp").write_text(table.inputs(TASKS - 1)[0])
    run_fake(runs / "last", monkeypatch)
    store, tensors = tmp_path / "store.h5", tmp_path / "tensors.h5"
    import_runs(runs, campaign, store, echo=str)
    (raised,) = run_ranks(1, lambda comm: average(comm, campaign, store, tensors, writer=Writer.root, echo=str))
    assert raised is None
    with h5py.File(tensors) as file:
        assert len(file["statistical/msd"]) == 3
        assert file["particle/absorbers"][:].tolist() == [2, 2]


def test_numbers_of_atoms_may_differ(tmp_path: Path, runs: Path, campaign: Campaign) -> None:
    folder = runs / "a0" / "run4"
    text = (folder / "feff.inp").read_text()
    (folder / "feff.inp").write_text(re.sub(r"^([01] 79 Au -1 -1) \d+$", r"\1", text, flags=re.MULTILINE))
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert report.refused == {
        folder: 'the numbers of atoms of its POTENTIALS are others than the campaign\'s (feff.stoichiometry = "feff")'
    }


def test_the_exported_columns_are_feffs_or_said_not_to_be(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xanesml(tmp_path, monkeypatch, "import", "runs", "c.toml")
    out = xanesml(tmp_path, monkeypatch, "export", "c/store.h5", "--format", "feff", "--tasks", "3", "-o", "again")
    assert out.stdout.startswith("xmu.dat: the column e is NaN, as the store does not keep FEFF's Fermi level")
    archive = xanesml(tmp_path, monkeypatch, "export", "c/store.h5", "--format", "feff", "--archive", "-o", "no")
    assert "--archive is for XDI spectra" in str(archive.exception)
    assert not (tmp_path / "no").exists()
    path = tmp_path / "again" / "task-000003" / "xmu.dat"
    theirs, ours = np.loadtxt(runs / "a1" / "run3" / "xmu.dat").T, np.loadtxt(path).T
    assert np.isnan(ours[1]).all()
    for column in (0, 3, 4):
        np.testing.assert_array_equal(ours[column], theirs[column])
    np.testing.assert_allclose(ours[2], theirs[2], atol=2e-5)  # the fake rounds ħ²/2m
    np.testing.assert_allclose(ours[5], theirs[5], atol=1e-13)
    assert read_xmu(path).edge == read_xmu(runs / "a1" / "run3" / "xmu.dat").edge
    assert read_program(path) == "imported: FEFF 10.0.0"
    assert read_spectrum(path).edge == "L3"
    # Of any other FEFF, a NaN is still an overflow.
    path.write_text(re.sub("^# Exported.*\n", "", path.read_text(), flags=re.MULTILINE))
    with pytest.raises(SpectrumError, match="expected six finite numbers"):
        read_xmu(path)


@pytest.mark.parametrize(("moved", "accepted"), [(0.0, True), (5e-4, True), (2e-3, False)])
def test_atoms_may_be_in_any_order_and_place(
    tmp_path: Path, runs: Path, campaign: Campaign, moved: float, accepted: bool
) -> None:
    folder = runs / "a0" / "run6"
    head, atoms = (folder / "feff.inp").read_text().split("ATOMS\n")
    rows = [line.split() for line in atoms.splitlines()[:-1]]
    # The representatives, which come first, stay before the others of their potential.
    rows = [*rows[:2], *rows[:1:-1]]
    lines = []
    for number, row in enumerate(rows):
        x, y, z = (float(word) + 5.0 for word in row[:3])
        lines.append(f"{x + moved * (number == 4):.6f} {y:.6f} {z:.6f} {row[3]} Au")
    (folder / "feff.inp").write_text("\n".join([f"{head}ATOMS", *lines, "END", ""]))
    report = import_runs(folder.parent, campaign, tmp_path / "store.h5", echo=str)
    assert (folder not in report.refused) == accepted
    if accepted:
        with open_store_file(tmp_path / "store.h5") as file:
            np.testing.assert_array_equal(file["runs/outcome"][:] == 2, [True, False] * 4 + [False])
    else:
        assert re.match(
            r"no task has its atoms: the nearest is task 6 \(σ = 0\.\d+ Å, absorber 3\), with atoms up to 0\.0020 Å",
            report.refused[folder],
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("FMS 7.0", "FMS 6.5"), "feff.fms_radius is 6.548548, and 7.048548 in the campaign"),
        (("EDGE L3", "EDGE L2"), "feff.edge is L2, and L3 in the campaign"),
        (("EDGE L3", "EDGE L3\nCORVAL -120"), "feff.corval is -120.0, and none in the campaign"),
        (("EDGE L3", "EDGE L3\nSIG2 0.003"), "it has the card SIG2, which changes the spectrum"),
        (("ABSOLUTE\n", ""), "it has no card ABSOLUTE, and the campaign the card (feff.normalization)"),
        (("EXCHANGE 5 0.2 0.5", "EXCHANGE 0 0.2 0.5"), "feff.exchange is 0 0.2 0.5, and 5 0.2 0.5 in the campaign"),
        (("EDGE L3", "EDGE L3\nUNFREEZEF"), "feff.extra_cards is UNFREEZEF, and none in the campaign"),
        ((" 1\nEND", " 0\nEND"), "has 2 atoms of potential 0"),
        (("END", "9 9 9 1\nEND"), "it has 14 atoms, and the campaign's structures 13"),
        (("1 79 Au", "1 78 Pt"), "it is AuPt12, and the campaign's structure Au13"),
    ],
)
def test_other_cards_are_named(
    tmp_path: Path, runs: Path, campaign: Campaign, change: tuple[str, str], reason: str
) -> None:
    folder = runs / "a0" / "run4"
    text = (folder / "feff.inp").read_text()
    assert change[0] in text
    (folder / "feff.inp").write_text(text.replace(*change))
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert list(report.refused) == [folder]
    assert reason in report.refused[folder]
    assert report.imported == 7
    with pytest.raises(StoreError, match=re.escape(reason)):
        import_runs(folder, campaign, tmp_path / "other.h5", echo=str)
    assert not (tmp_path / "other.h5").exists()


def test_how_the_potentials_are_reached_does_not_matter(
    tmp_path: Path, runs: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = runs / "a0" / "run4"
    text = (folder / "feff.inp").read_text()
    (folder / "feff.inp").write_text(re.sub(r"(SCF \S+ \S+) .*", r"\1 99 0.1 3\nPRINT 5 5 5", text))
    run_fake(folder, monkeypatch)
    report = import_runs(folder, campaign, tmp_path / "store.h5", echo=str)
    assert (report.imported, report.unlogged, report.refused) == (1, 0, {})


def shared_otherwise(text: str) -> str:
    return text.replace("ATOMS\n", "2 79 Au -1 -1 0\nATOMS\n").replace(" 1\nEND", " 2\nEND")


def test_atoms_that_share_a_potential_otherwise_are_refused(tmp_path: Path, runs: Path, campaign: Campaign) -> None:
    folder = runs / "a0" / "run0"
    (folder / "feff.inp").write_text(shared_otherwise((folder / "feff.inp").read_text()))
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert "its atoms share 3 potentials, and in another way the campaign's 2" in report.refused[folder]


def test_another_atom_that_stands_for_a_potential_is_recorded(tmp_path: Path, runs: Path, campaign: Campaign) -> None:
    folder = runs / "a1" / "run5"
    head, atoms = (folder / "feff.inp").read_text().split("ATOMS\n")
    rows = atoms.splitlines()
    (folder / "feff.inp").write_text("\n".join([f"{head}ATOMS", rows[0], *rows[-2:0:-1], "END", ""]))
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert (report.imported, report.changed) == (8, 1)
    with open_store_file(tmp_path / "store.h5") as file:
        changes = file["runs/changes"][5]
        assert re.match(rb"potential 1 of an atom \d\.\d{3} .* from the absorber, not ", changes)
    # The exported feff.inp is the campaign's; that the run was of another is not lost.
    export_feff(tmp_path / "store.h5", tmp_path / "again", echo=str)
    report = import_runs(tmp_path / "again", campaign, tmp_path / "second.h5", echo=str)
    assert (report.imported, report.changed) == (8, 1)
    with open_store_file(tmp_path / "second.h5") as file:
        assert file["runs/changes"][5] == changes


def test_each_run_is_judged(tmp_path: Path, runs: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    for task, mode in ((0, "succeed"), (1, "unconverged"), (2, "truncate"), (3, "wrong-edge")):
        run_fake(runs / f"a{task % 2}" / f"run{task}", monkeypatch, mode)
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert report.outcomes == {"done": 5, "scf-not-converged": 1, "bad-output": 2}
    assert report.unlogged == 4
    assert validate(tmp_path / "store.h5").ok


def remove_outputs(runs: Path) -> None:
    for path in runs.rglob("xmu.dat"):
        path.unlink()


def other_program(runs: Path) -> None:
    path = runs / "a0" / "run2" / "xmu.dat"
    path.write_text(path.read_text().replace("FEFF 10.0.0", "FEFF 9.6.4"))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (remove_outputs, "has no finished FEFF run among its 8 folders with a feff.inp"),
        (other_program, "by several programs, 7 by FEFF 10.0.0, 1 by FEFF 9.6.4; import them into a store each"),
        (shutil.rmtree, "cannot be read: No such file or directory; give an existing folder"),
    ],
)
def test_a_folder_that_cannot_be_imported_is_one_line(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[Path], None], message: str
) -> None:
    break_it(runs)
    done = xanesml(tmp_path, monkeypatch, "import", "runs", "c.toml")
    assert message in str(done.exception)
    assert not (tmp_path / "c" / "store.h5").exists()


def test_a_task_takes_one_run(tmp_path: Path, runs: Path, campaign: Campaign) -> None:
    shutil.copytree(runs / "a0" / "run2", runs / "z")
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert report.imported == 8
    assert report.refused == {runs / "z": f"its task, 2, is that of {runs}/a0/run2 as well"}
    path = runs / "z" / "xmu.dat"
    shutil.rmtree(runs / "a0" / "run2")
    path.write_text(re.sub(r"(\d\.\d{8})\d\dE-05", r"\g<1>11E-05", path.read_text()))
    report = import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
    assert report.present == 7
    assert report.refused == {runs / "z": "its task, 2, is done in the store, with another spectrum"}


def test_runs_of_another_engine_do_not_mix(tmp_path: Path, runs: Path, campaign: Campaign) -> None:
    made_store(tmp_path / "store.h5", campaign)
    with pytest.raises(StoreError, match=r"was computed by made up, and this is imported: FEFF 10\.0\.0"):
        import_runs(runs, campaign, tmp_path / "store.h5", echo=str)
