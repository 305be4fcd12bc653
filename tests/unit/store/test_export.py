from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import ase.io
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.measured import read_spectrum
from xanesml.store.create import lay_out
from xanesml.store.export import chosen_tasks, export_extxyz, export_xdi, parse_tasks
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file

CAMPAIGN = Campaign.model_validate(
    {
        "name": "small",
        "structure": {"atoms": 13},
        "distortion": {"minimum": -0.01, "maximum": 0.01},
        "disorder": {"structures": 2, "absorbers": [0, 3]},
        "feff": {"max_points": 30, "scf": False},
    }
)
#: Tasks 0–2 are distorted; 3 and 4, 5 and 6 the two absorbers of the disordered structures 3 and 4.
DONE = (0, 2, 3)
CENTER = expand(CAMPAIGN).cluster.absorber


def spectrum(task: int) -> StoredSpectrum:
    random = np.random.default_rng(task)
    energy = 11900.0 + np.cumsum(random.random(24) + 0.1)
    return StoredSpectrum(energy, 1e-4 * random.random(24), 1e-4 + 1e-4 * random.random(24), 11909.25)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.h5"
    lay_out(path, CAMPAIGN, expand(CAMPAIGN), engine="fake 1: a b")
    with open_store_file(path, mode="r+") as file:
        writer = RowWriter(file)
        for task in DONE:
            changes = "SCF 4.6 0 30 0.2 1" if task == 2 else ""
            writer.write(
                Row(
                    task=task,
                    outcome=Outcome.DONE,
                    finished=0,
                    host="n",
                    seconds=31.25,
                    changes=changes,
                    spectrum=spectrum(task),
                )
            )
        writer.write(Row(task=4, outcome=Outcome.CRASHED, finished=0, host="n"))
    return path


def test_an_archive_holds_the_same_files_in_one(store: Path, tmp_path: Path) -> None:
    export_xdi(store, tmp_path / "files", echo=str)
    for _ in range(2):
        assert export_xdi(store, tmp_path / "one", echo=str, archive=True) == len(DONE)
        assert [path.name for path in (tmp_path / "one").iterdir()] == ["spectra.zip"]
    with ZipFile(tmp_path / "one" / "spectra.zip") as members:
        assert members.testzip() is None
        assert {name: members.read(name) for name in members.namelist()} == {
            path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()
        }


@pytest.mark.requires("larch")
@pytest.mark.parametrize("pure_python", [True, False])
def test_larch_reads_the_numbers_to_the_last_digit(store: Path, tmp_path: Path, pure_python: bool) -> None:
    import larch.io

    said: list[str] = []
    assert export_xdi(store, tmp_path / "xdi", echo=said.append) == 3
    assert said == [f"{store}: tasks 1, 4–6 are not done, or damaged, and left out"]
    assert sorted(p.name for p in (tmp_path / "xdi").iterdir()) == [f"task-00000{task}.xdi" for task in DONE]
    for task in DONE:
        group = larch.io.read_xdi(str(tmp_path / "xdi" / f"task-00000{task}.xdi"), use_pyxdi=pure_python)
        expected = spectrum(task)
        np.testing.assert_array_equal(group.energy, expected.energy)
        np.testing.assert_array_equal(group.mu, expected.mu)
        np.testing.assert_array_equal(group.mu0, expected.mu0)
        assert (group.element, group.edge) == ("Au", "L3")
        assert group.array_labels == ["energy", "mu", "mu0"]
        assert group.xdi_version == "1.0"
        assert group.attrs["scan"]["edge_energy"] == "11909.25 eV"


@pytest.mark.requires("larch")
def test_an_xdi_file_says_what_it_is_of(store: Path, tmp_path: Path) -> None:
    import larch.io

    export_xdi(store, tmp_path, [2, 3], echo=lambda _line: None)
    distorted, disordered = (larch.io.read_xdi(str(tmp_path / f"task-00000{t}.xdi")).attrs["xanesml"] for t in (2, 3))
    with h5py.File(store) as file:
        identity = file["tasks/identity"][2].decode()
        sigma = file["structures/sigma"][3]
    assert distorted == {
        "task": "2",
        "structure": "2",
        "kind": "distorted",
        "delta": "0.01",
        "scale": distorted["scale"],
        "absorber": str(CENTER),
        "multiplicity": "1",
        "campaign_digest": CAMPAIGN.digest(),
        "engine": "fake 1: a b",
        "identity": identity,
        "changes": "SCF 4.6 0 30 0.2 1",
        "solver": "unknown",
        "seconds": "31.25",
    }
    assert float(distorted["scale"]) == pytest.approx(1 + 0.01 / (4.0782 / np.sqrt(2)))
    assert disordered["kind"] == "disordered"
    assert float(disordered["sigma"]) == sigma
    assert "delta" not in disordered
    assert disordered["changes"] == "none"


@pytest.mark.requires("larch")
def test_our_own_reader_of_measured_spectra_reads_it(store: Path, tmp_path: Path) -> None:
    export_xdi(store, tmp_path, [2], echo=lambda _line: None)
    read = read_spectrum(tmp_path / "task-000002.xdi", element="Au", edge="L3")
    np.testing.assert_array_equal(read.energy, spectrum(2).energy)
    np.testing.assert_array_equal(read.mu, spectrum(2).mu)


def test_ase_reads_the_structures_with_what_they_are(store: Path, tmp_path: Path) -> None:
    said: list[str] = []
    target = tmp_path / "new" / "structures.extxyz"
    assert export_extxyz(store, target, echo=said.append) == 5
    assert len(said) == 1
    frames = ase.io.read(target, index=":")
    table = expand(CAMPAIGN)
    assert len(frames) == 5
    for index, frame in enumerate(frames):
        np.testing.assert_allclose(frame.positions, table.positions[index], atol=1e-8)
        assert (frame.numbers == 79).all()
        assert frame.info["structure"] == index
        assert frame.info["scale"] == pytest.approx(table.scale[index], abs=1e-8)
    assert [frame.info["kind"] for frame in frames] == ["distorted"] * 3 + ["disordered"] * 2
    assert [frame.info.get("delta") for frame in frames] == [-0.01, 0.0, 0.01, None, None]
    assert [frame.info.get("sigma") for frame in frames] == [None, None, None, 0.02, 0.14]
    assert [np.ravel(frame.info["absorbers"]).tolist() for frame in frames] == [[CENTER]] * 3 + [[0, 3]] * 2
    finished = [np.ravel(frame.info.get("tasks_done", [])).tolist() for frame in frames]
    assert finished == [[0], [], [2], [3], []]


def test_atoms_that_an_absorber_stands_for_are_exported(tmp_path: Path) -> None:
    content = CAMPAIGN.model_dump() | {"distortion": {"step": 0.45, "absorbers": "sites"}, "disorder": None}
    sites, path = Campaign.model_validate(content), tmp_path / "store.h5"
    lay_out(path, sites, expand(sites), engine="fake 1")
    with open_store_file(path, mode="r+") as file:
        RowWriter(file).write(Row(task=1, outcome=Outcome.DONE, finished=0, host="n", spectrum=spectrum(1)))
    export_extxyz(path, tmp_path / "all.extxyz", echo=str)
    frames = ase.io.read(tmp_path / "all.extxyz", index=":")
    assert [frame.info["multiplicity"].tolist() for frame in frames] == [[1, 12]] * 3
    assert [frame.info["absorbers"][0] for frame in frames] == [CENTER] * 3
    assert export_xdi(path, tmp_path / "xdi", echo=str) == 1
    assert "# Xanesml.multiplicity: 12\n" in (tmp_path / "xdi" / "task-000001.xdi").read_text(encoding="utf-8")


def test_only_the_structures_of_chosen_tasks_are_written(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "some.extxyz"
    assert export_extxyz(store, target, [2, 3, 4], echo=lambda _line: None) == 2
    assert [frame.info["structure"] for frame in ase.io.read(target, index=":")] == [2, 3]


def test_damaged_rows_are_not_exported(store: Path, tmp_path: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["spectra/mu"][2, 3] = 0.5
    said: list[str] = []
    assert export_xdi(store, tmp_path / "xdi", [0, 2], echo=said.append) == 1
    assert said == [f"{store}: task 2 is not done, or damaged, and left out"]


def test_nothing_done_is_an_error_and_leaves_nothing(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "some.extxyz"
    for export, where in ((export_xdi, tmp_path / "xdi"), (export_extxyz, target)):
        with pytest.raises(StoreError, match=r"none of the 2 tasks is done; run `xanesml simulate CAMPAIGN` first"):
            export(store, where, [1, 4], echo=lambda _line: None)
    assert list(tmp_path.iterdir()) == [store]


def test_a_folder_that_cannot_be_written_is_named(store: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EnvironmentProblem, match=r"cannot write .*task-000000\.xdi"):
        export_xdi(store, blocked, echo=lambda _line: None)


def test_tasks_are_chosen_by_numbers_and_ranges(store: Path) -> None:
    assert parse_tasks("0,5-9", 10) == [0, 5, 6, 7, 8, 9]
    assert parse_tasks(" 3 - 4, 4,1", 10) == [1, 3, 4]
    assert chosen_tasks(store, "0,5-6") == [0, 5, 6]
    with open_store_file(store) as file:
        assert chosen_tasks(store, None) == list(range(len(file["runs/outcome"])))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is neither a task nor a range of tasks"),
        ("1,,2", "'' is neither"),
        ("1-", "'1-' is neither"),
        ("-1", "'-1' is neither"),
        ("1.5", "'1.5' is neither"),
        ("²", "'²' is neither"),
        ("9-5", "the range 9-5 runs backwards"),
        ("5-10", "there is no task 10"),
        ("0-999999999999999999", "there is no task 999999999999999999"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(text: str, problem: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_tasks(text, 10)
    assert str(caught.value).startswith(f"--tasks {text}: {problem}")
    assert str(caught.value).endswith("give numbers and ranges from 0 to 9, such as 0,5-9")


@given(st.sets(st.integers(0, 99), min_size=1))
def test_any_choice_is_read_as_written(tasks: set[int]) -> None:
    assert parse_tasks(",".join(map(str, tasks)), 100) == sorted(tasks)
