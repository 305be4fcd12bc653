from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files import apart
from xanesml.files.hdf5 import create, full_size
from xanesml.files.layout import STORE, TENSORS, fixed_arrays, row_arrays
from xanesml.files.rows_text import ranges
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file, torn_rows
from xanesml.validation import ValidationReport, validate

CAMPAIGN = Campaign.model_validate(
    {
        "name": "small",
        "structure": {"atoms": 13},
        "distortion": {"minimum": -0.03, "maximum": 0.03},
        "feff": {"max_points": 12, "scf": False},
    }
)
TASKS = 7
REUSE = "make a new store with `xanesml simulate CAMPAIGN --output NEW --reuse"


def row(task: int, outcome: Outcome = Outcome.DONE, **changes: Any) -> Row:
    random = np.random.default_rng(task)
    spectrum = StoredSpectrum(11900.0 + np.arange(10.0), random.random(10), 0.1 + random.random(10), 11904.5 + task)
    values: dict[str, Any] = {
        "finished": 1.7e9 + task,
        "host": "node1",
        "seconds": 30.0 + task,
        "cpu_seconds": 29.0,
        "memory": 140.0,
        "solver": "feff",
        "spectrum": spectrum if outcome is Outcome.DONE else None,
        "message": "" if outcome is Outcome.DONE else "took too long",
    }
    return Row(task=task, outcome=outcome, **(values | changes))


def write(path: Path, *rows: Row) -> None:
    with open_store_file(path, mode="r+") as file:
        writer = RowWriter(file)
        for one in rows:
            writer.write(one)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 7 tasks, task 5 timed out, the others done."""
    path = tmp_path_factory.mktemp("full") / "store.h5"
    lay_out(path, CAMPAIGN, expand(CAMPAIGN), engine="fake 1")
    write(path, *(row(task, Outcome.TIMED_OUT if task == 5 else Outcome.DONE) for task in range(TASKS)))
    return path


@pytest.fixture
def store(full: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(full, tmp_path / "store.h5"))


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    path = tmp_path / "tensors.h5"
    synthetic.write_tensors(path, synthetic.campaign(), families=40, members=2)
    return path


def where(path: Path, names: list[str]) -> list[tuple[str, int, int, int]]:
    """Name, offset, rows and bytes of a row of some datasets."""
    with h5py.File(path) as file:
        return [
            (n, file[n].id.get_offset(), len(file[n]), file[n].nbytes // len(file[n])) for n in names if len(file[n])
        ]


def flip(path: Path, byte: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        value = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([value ^ (1 << bit)]))


def test_a_sound_store_is_valid_and_its_outcomes_are_counted(store: Path) -> None:
    report = validate(store)
    assert report.ok
    assert report.lines() == [f"{store}: valid: xanesml-store version {STORE.version}, 7 tasks: 6 done, 1 timed-out"]


def test_a_fresh_store_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    lay_out(path, CAMPAIGN, expand(CAMPAIGN), engine="fake 1")
    assert validate(path).lines() == [f"{path}: valid: xanesml-store version {STORE.version}, 7 tasks: 7 pending"]


def test_validation_leaves_a_store_as_it_is(store: Path) -> None:
    before = store.read_bytes()
    validate(store, repair=True)
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_a_row_names_that_row(full: Path, tmp_path: Path, data: st.DataObject) -> None:
    path = Path(shutil.copy(full, tmp_path / "flipped.h5"))
    _, offset, rows, size = data.draw(st.sampled_from(where(full, [array.path for array in row_arrays(STORE)])))
    task = data.draw(st.integers(0, rows - 1))
    flip(path, offset + task * size + data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 7)))
    report = validate(path)
    assert report.torn.tolist() == [task]
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"row {task} ")
    with open_store_file(path) as file:
        assert set(torn_rows(file).tolist()) <= {task}
    # And a repaired store is valid, with nothing lost but that row.
    repaired = validate(path, repair=True)
    assert repaired.ok
    with open_store_file(path) as file, open_store_file(full) as original:
        others = np.delete(np.arange(TASKS), task)
        for array in row_arrays(STORE):
            np.testing.assert_array_equal(file[array.path][others], original[array.path][others])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_structures_or_tasks_is_found(full: Path, tmp_path: Path, data: st.DataObject) -> None:
    path = Path(shutil.copy(full, tmp_path / "flipped.h5"))
    name, offset, rows, size = data.draw(st.sampled_from(where(full, [array.path for array in fixed_arrays(STORE)])))
    flip(path, offset + data.draw(st.integers(0, rows * size - 1)), data.draw(st.integers(0, 7)))
    before = path.read_bytes()
    report = validate(path, repair=True)
    assert f"{REUSE} {path}`" in report.problems[0]
    assert report.problems[0].startswith("task identities" if name == "tasks/identity" else "structures or tasks")
    assert report.torn.size == 0
    assert path.read_bytes() == before


def test_an_outcome_byte_that_was_not_written_is_worded_as_harmless(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["runs/outcome"][3] = Outcome.PENDING
    assert validate(store).lines() == [
        f"{store}: row 3 is complete but not marked; it is run again, unless --repair marks it",
        f"{store}: not valid, 1 problem: xanesml-store version {STORE.version}, "
        "7 tasks: 1 pending, 5 done, 1 timed-out",
    ]
    assert validate(store, repair=True).lines() == [
        f"{store}: repaired: row 3 is marked (1 done)",
        f"{store}: valid: xanesml-store version {STORE.version}, 7 tasks: 6 done, 1 timed-out",
    ]


def test_a_kill_before_the_checksum_is_told_from_damage(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["runs/outcome"][3] = Outcome.PENDING
        file["runs/checksum"][3] = 0
        file["spectra/mu"][1, 2] = 0.5
    report = validate(store)
    assert report.problems == (
        "row 1 does not match its checksum; it is run again",
        "row 3 has no outcome and is not empty (a kill in mid-write leaves this); it is run again",
    )
    assert report.torn.tolist() == [1, 3]


def test_a_repaired_row_is_as_in_a_fresh_store(store: Path, tmp_path: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["spectra/mu"][[1, 2, 6], 2] = 0.5
    report = validate(store, repair=True)
    assert report.ok
    assert report.repairs == ("rows 1–2, 6 are pending again",)
    fresh = tmp_path / "fresh.h5"
    lay_out(fresh, CAMPAIGN, expand(CAMPAIGN), engine="fake 1")
    with open_store_file(store) as file, open_store_file(fresh) as empty:
        for array in row_arrays(STORE):
            assert file[array.path][[1, 2, 6]].tobytes() == empty[array.path][[1, 2, 6]].tobytes()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"energy": np.array([1.0, 3.0, 2.0])}, "row 2 done, but with energies that do not increase"),
        ({"mu": np.array([1.0, np.inf, 1.0])}, "row 2 done, but with numbers that are not finite"),
        ({"mu0": np.array([1.0, 0.0, 1.0])}, "row 2 done, but with μ0 that is not positive"),
        ({"edge": np.nan}, "row 2 done, but with numbers that are not finite"),
        ({name: np.empty(0) for name in ("energy", "mu", "mu0")}, "row 2 done, but the number of energy points"),
    ],
)
def test_a_done_row_that_makes_no_sense_is_named(store: Path, changes: dict[str, Any], problem: str) -> None:
    three = StoredSpectrum(np.arange(1.0, 4.0), np.ones(3), np.ones(3), 2.0)
    write(store, row(2, spectrum=three._replace(**changes)))
    (found,) = validate(store).problems
    assert found.startswith(problem)


def test_rows_that_are_not_done_hold_no_numbers_and_done_ones_took_a_try(store: Path) -> None:
    write(store, row(2, tries=0), row(4, Outcome.CRASHED, spectrum=row(4).spectrum))
    assert validate(store).problems == ("row 2 done without a try", "row 4 not done, but with a spectrum")


def test_an_unknown_outcome_code_is_named_and_counted(store: Path) -> None:
    write(store, row(4, 77))  # type: ignore[arg-type]
    report = validate(store)
    assert report.problems == ("row 4 has an unknown outcome code",)
    assert report.content.endswith("5 done, 1 timed-out, 1 of unknown code 77")
    assert validate(store, repair=True).content.endswith("1 pending, 5 done, 1 timed-out")


@pytest.mark.parametrize("lost", [1, 4, 7, 8, 30, 200, 5000, 12000])
def test_a_truncated_store_is_read_and_repaired(full: Path, store: Path, lost: int) -> None:
    whole = store.stat().st_size
    ends = {name: (offset, size) for name, offset, _, size in where(full, [a.path for a in row_arrays(STORE)])}
    os.truncate(store, whole - lost)
    with pytest.raises(StoreError, match=r"is truncated.*--repair keeps the others"):
        open_store_file(store)

    def kept(name: str) -> int:
        offset, size = ends[name]
        return min(TASKS, max(0, whole - lost - offset) // size)

    report = validate(store)
    assert store.stat().st_size == whole - lost
    assert report.problems[0] == f"truncated: {whole - lost} of {whole} bytes are there"
    # Where all of `runs` is lost, nothing tells the task that timed out from one never run.
    evident = [task for task in range(TASKS) if task != 5 or lost < 12000]
    assert report.torn.tolist() == evident[kept("runs/outcome") :]

    assert validate(store, repair=True).ok
    assert store.stat().st_size == whole == full_size(store)
    with open_store_file(store) as file, open_store_file(full) as original:
        # Rows whose checksum is there are whole, and are marked again.
        outcomes = original["runs/outcome"][:]
        outcomes[kept("runs/checksum") :] = Outcome.PENDING
        np.testing.assert_array_equal(file["runs/outcome"][:], outcomes)
        good = kept("runs/checksum")
        np.testing.assert_array_equal(file["spectra/mu"][:good], original["spectra/mu"][:good])
        assert np.isnan(file["spectra/mu"][good:]).all()
    write(store, row(6))
    assert validate(store).ok


def test_rows_never_run_are_not_counted_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    lay_out(path, CAMPAIGN, expand(CAMPAIGN), engine="fake 1")
    write(path, row(1), row(2, Outcome.CRASHED))
    whole = path.stat().st_size
    os.truncate(path, whole - 2000)
    report = validate(path)
    assert report.torn.tolist() == [1, 2]
    assert report.problems[1:] == (
        "rows 1–2 have no outcome and are not empty (the end of the file is lost); they are run again",
    )
    assert validate(path, repair=True).lines() == [
        f"{path}: repaired: extended from {whole - 2000} to its full {whole} bytes",
        f"{path}: repaired: rows 1–2 are pending again",
        f"{path}: valid: xanesml-store version {STORE.version}, 7 tasks: 7 pending",
    ]


@pytest.mark.parametrize("size", [60, 5000, 200_000])
def test_a_store_without_its_structure_is_said_to_be_lost(store: Path, size: int) -> None:
    os.truncate(store, size)
    (problem,) = validate(store, repair=True).problems
    assert problem.endswith("and its structure is not among them; nothing in it can be recovered")
    assert store.stat().st_size == size


def test_a_store_cut_within_its_structures_is_said_to_be_lost(store: Path) -> None:
    (_, offset, _, _), *_ = where(store, ["tasks/identity"])
    os.truncate(store, offset + 3)
    report = validate(store, repair=True)
    assert report.problems[-1] == (
        "structures or tasks are lost, and with them all spectra; run `xanesml simulate` for a new store"
    )
    assert store.stat().st_size == offset + 3


def test_a_store_whose_attributes_lie_in_the_lost_end_is_not_extended(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file.attrs["engine"] = "x" * 5000
    os.truncate(store, store.stat().st_size - 100)
    before = store.read_bytes()
    report = validate(store, repair=True)
    assert report.problems[1] == "attributes are lost with its end, so that it cannot be repaired"
    assert report.torn.size == 0
    assert store.read_bytes() == before


def test_a_damaged_end_of_file_address_is_not_followed(store: Path) -> None:
    size = store.stat().st_size
    flip(store, 45, 3)
    assert "that number is damaged" in validate(store, repair=True).problems[1]
    assert store.stat().st_size == size


def _retype(file: h5py.File) -> None:
    del file["spectra/points"]
    file["spectra/points"] = np.zeros(TASKS, "<i8")
    file["spectra/points"].attrs["units"] = ""
    file["spectra/points"].attrs["description"] = STORE["spectra/points"].description


def _chunk(file: h5py.File) -> None:
    dataset, attributes = file["spectra/mu"][:], dict(file["spectra/mu"].attrs)
    del file["spectra/mu"]
    file.create_dataset("spectra/mu", data=dataset, compression="gzip").attrs.update(attributes)


def _shorten(file: h5py.File) -> None:
    attributes = dict(file["runs/tries"].attrs)
    del file["runs/tries"]
    file.create_dataset("runs/tries", data=np.ones(6, "u1")).attrs.update(attributes)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file.attrs.__delitem__("engine"), "the root attribute engine is missing"),
        (lambda file: file.attrs.__setitem__("note", "x"), "the root attribute note is not part of the format"),
        (lambda file: file.attrs.__setitem__("schema", "x"), "no file of xanesml: the root attribute schema is 'x'"),
        (
            lambda file: file.attrs.__setitem__("schema_version", 1),
            f"has version 1 of its format, not {STORE.version}; use the xanesml that wrote it",
        ),
        (lambda file: file.attrs.__setitem__("central_absorber", 13), "the root attribute central_absorber is"),
        (lambda file: file.attrs.__setitem__("campaign", "{}"), "the root attribute campaign does not match"),
        (lambda file: file.attrs.__setitem__("campaign", "nonsense"), "the root attribute campaign is no campaign"),
        (lambda file: file.attrs.__setitem__("tasks_digest", "0"), "the root attribute tasks_digest does not match"),
        (lambda file: file["spectra/mu"].attrs.__setitem__("units", "eV"), "spectra/mu has units 'eV', not ''"),
        (lambda file: file.__delitem__("runs/log"), "the dataset runs/log is missing"),
        (lambda file: file.create_group("notes"), "notes is not part of the format"),
        (lambda file: file["runs"].create_dataset("x", data=1), "runs/x is not part of the format"),
        (lambda file: file.__delitem__("task"), "the dimension task has no dimension scale"),
        (lambda file: file["runs/tries"].dims[0].detach_scale(file["task"]), "runs/tries does not name its dimension"),
        (lambda file: file.create_dataset("tasks2", data=1), "tasks2 is not part of the format"),
        (_retype, "spectra/points has the type <i8, not <i4"),
        (_chunk, "spectra/mu is not contiguous"),
        (_shorten, "runs/tries has the shape (6,), but task is 7 by tasks/structure"),
    ],
)
def test_what_departs_from_the_layout_is_named(store: Path, change: Any, problem: str) -> None:
    with h5py.File(store, "r+") as file:
        change(file)
    report = validate(store)
    assert report.problems[0].startswith(problem)
    assert not any("\n" in line for line in report.lines())


def test_tasks_out_of_range_are_named(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["tasks/structure"][[1, 2]] = 7
        file["tasks/absorber"][4] = -1
    assert validate(store).problems[1:] == (
        "tasks/structure: rows 1–2 are out of range (0 … 6)",
        "tasks/absorber: row 4 is out of range (0 … 12)",
    )


def test_an_absorber_of_its_own_stands_for_itself(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["tasks/multiplicity"][[2, 3]] = [0, 2]
    assert validate(store).problems[1:] == (
        "tasks/multiplicity: rows 2–3 are no number of atoms that an absorber stands for",
    )


@pytest.mark.parametrize(
    ("multiplicity", "problem"),
    [
        ([1, 0], "row 3 is no number of atoms that an absorber stands for"),
        ([1, 11], "structure 1 does not stand for all 13 absorbing atoms"),
        ([12, 1], None),
    ],
)
def test_the_sites_of_a_distortion_stand_for_all_atoms(
    tmp_path: Path, multiplicity: list[int], problem: str | None
) -> None:
    sites = Campaign.model_validate(
        CAMPAIGN.model_dump() | {"distortion": {"step": 0.45, "absorbers": "sites"}, "disorder": {"structures": 1}}
    )
    path = tmp_path / "store.h5"
    lay_out(path, sites, expand(sites), engine="fake 1")
    assert validate(path).ok
    with h5py.File(path, "r+") as file:
        assert file["tasks/multiplicity"][:].tolist() == [1, 12] * 3 + [1] * 13
        file["tasks/multiplicity"][2:4] = multiplicity
    digest, *others = validate(path).problems
    assert digest.startswith("structures or tasks do not match inputs_digest")
    assert others == ([] if problem is None else [f"tasks/multiplicity: {problem}"])


def test_other_files_are_judged_or_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        validate(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    (line,) = validate(text).problems
    assert line.startswith("not a readable HDF5 file")


def test_a_structure_on_which_hdf5_dies_is_reported(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_readers", {})
    (path := store.with_name("killer")).write_text("#!/bin/sh\nkill -SEGV $$\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    (problem,) = validate(store, apart=True).problems
    assert problem == "its structure is damaged: HDF5 crashes on it (SIGSEGV); restore it from a copy"


def test_a_store_that_a_driver_holds_is_refused(store: Path) -> None:
    lock = store.with_name(".store.h5.lock")
    holder = (
        f"import fcntl, sys; f = open({str(lock)!r}, 'a+'); fcntl.lockf(f, fcntl.LOCK_EX); print(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        for repair in (False, True):
            with pytest.raises(StoreError, match="is being written by another process"):
                validate(store, repair=repair)
        driver.communicate("\n")
    assert validate(store).ok


def test_without_file_locks_a_recent_sign_of_life_counts(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    lock = store.with_name(".store.h5.lock")
    lock.write_text("{}")
    with pytest.raises(StoreError, match="is being written"):
        validate(store)
    os.utime(lock, (0, 0))
    assert validate(store).ok


def test_sound_tensors_are_valid(tensors: Path) -> None:
    report = validate(tensors)
    assert report.problems == ()
    assert report.content.endswith("32 mesh points, series of 91, 80 statistical and 5 particle averages")


@pytest.mark.parametrize(
    ("path", "index", "value", "problem"),
    [
        ("statistical/spectra", (7, 3), np.nan, "statistical/spectra: row 7 is not finite"),
        ("particle/msd", 2, np.inf, "particle/msd: row 2 is not finite"),
        ("statistical/msd", 2, -1.0, "statistical/msd: row 2 is out of range (such as -1.0)"),
        ("statistical/family", 2, 2500, "statistical/family: row 2 is out of range (such as 2500)"),
        ("particle/absorbers", 2, 0, "particle/absorbers: row 2 is out of range (such as 0)"),
        ("particle/structure", 2, 0, "particle/structure: row 2 is not above the one before"),
        ("mesh/energy", 4, 0.0, "mesh/energy: row 4 is not above the one before"),
        ("series/task", 3, -1, "series/task: row 3 is out of range (such as -1)"),
        ("series/task", 3, 2, "series/task names a row of the store twice"),
        ("series/multiplicity", 0, 0, "series/multiplicity: row 0 is out of range (such as 0)"),
        ("series/multiplicity", 0, 12, "series/multiplicity is not that of one central absorber, distortion.absorbers"),
        ("statistical/coordination", 2, 0.0, "statistical/coordination: row 2 is out of range (such as 0.0)"),
        ("statistical/coordination", 2, np.inf, "statistical/coordination: row 2 is out of range (such as inf)"),
        ("statistical/coordination", 2, 7.9, "statistical/coordination is not the same in all rows"),
        ("statistical/coordination", 2, np.nan, "statistical/coordination is not the same in all rows"),
        ("series/roughness", 7, np.nan, "series/roughness: row 7 is not finite"),
        ("series/roughness", [0, 90], 0.1, "series/roughness: rows 0, 90 are at the ends and not NaN"),
        ("mesh/r", 4, 2.53, "mesh/r is not evenly spaced: its steps are "),
        ("mesh/r", 4, 2.0, "mesh/r: row 4 is not above the one before"),
        ("statistical/weights", (7, 3), np.nan, "statistical/weights: row 7 is not finite"),
        ("statistical/weights", ([7, 8], 3), -0.1, "statistical/weights: rows 7–8 are out of range (such as -0.1"),
        ("statistical/weights", (7, 45), 0.0, "statistical/weights: row 7 does not sum to 1"),
        ("statistical/spectra", (7, 3), 1.5, "statistical/spectra: row 7 is inconsistent with the weights"),
        ("statistical/msd", 7, 0.02, "statistical/msd: row 7 is inconsistent with the weights"),
        ("statistical/mean_shift", [7, 8], 0.3, "statistical/mean_shift: rows 7–8 are inconsistent with the weights"),
        ("statistical/skewness", 7, 0.3, "statistical/skewness: row 7 is inconsistent with the weights"),
        ("statistical/kurtosis", 7, -0.3, "statistical/kurtosis: row 7 is inconsistent with the weights"),
        ("statistical/kurtosis", 7, np.nan, "statistical/kurtosis: row 7 is not finite"),
        ("statistical/distribution", (7, 3), 0.9, "statistical/distribution: row 7 does not sum to 1"),
        ("statistical/distribution", (7, 3), -0.5, "statistical/distribution: row 7 is out of range (such as -0.5)"),
        ("particle/skewness", 2, np.nan, "particle/skewness: row 2 is not finite"),
        ("particle/distribution", (2, 22), 0.0, "particle/distribution: row 2 does not hold the share of the bonds"),
        ("particle/distribution", (2, 3), 0.5, "particle/distribution: row 2 does not hold the share of the bonds"),
        ("particle/weights", (2, 45), 0.0, "particle/weights: row 2 does not sum to 1"),
        ("particle/mean_shift", 2, 0.01, "particle/weights: row 2 does not have the mean shift of the bonds"),
        ("particle/outside", 2, 1.2, "particle/outside: row 2 is out of range (such as 1.2)"),
        ("particle/weights", (2, 3), -0.5, "particle/weights: row 2 is out of range (such as -0.5)"),
        ("particle/coordination", 2, 0.0, "particle/coordination: row 2 is out of range (such as 0.0)"),
        ("particle/absorbers", 2, 14, "particle/absorbers: row 2 is out of range (such as 14)"),
        ("particle/task", (2, 3), -2, "particle/task: row 2 is out of range (such as -2)"),
        ("particle/task", (2, 3), -1, "particle/task: row 2 does not name as many rows of the store as particle/abso"),
        ("particle/task", (2, 3), 117, "particle/task: row 2 names a row of the store twice"),
    ],
)
def test_tensors_out_of_range_are_named(tensors: Path, path: str, index: Any, value: float, problem: str) -> None:
    with h5py.File(tensors, "r+") as file:
        file[path][index] = value
    assert any(found.startswith(problem) for found in validate(tensors).problems)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("interpolation", "cubic", "the root attribute interpolation is 'cubic', not linear or pchip"),
        ("interpolation", "pchip", "the root attribute interpolation is pchip, but in the campaign linear"),
        ("smoothing", 6, "the root attribute smoothing is 6, not 0 or an odd number from 5 to 91"),
        ("smoothing", 93, "the root attribute smoothing is 93, not 0 or an odd number from 5 to 91"),
        ("smoothing", 7, "the root attribute smoothing is 7, but in the campaign 0"),
        ("normalization", "feff", "the root attribute normalization is feff, but in the campaign absolute"),
        ("first_shell", np.nan, "the root attribute first_shell is nan, not a length in Å"),
        ("refused", "none", "the root attribute refused is 'none', not reasons by structure as JSON"),
        ("refused", "[1]", "the root attribute refused is '[1]', not reasons by structure as JSON"),
        ("refused", '{"92": "", "7": ""}', "structure 92 is refused, but has an average"),
    ],
)
def test_attributes_of_tensors_that_make_no_sense_are_named(
    tensors: Path, name: str, value: object, problem: str
) -> None:
    with h5py.File(tensors, "r+") as file:
        file.attrs[name] = value
    assert validate(tensors).problems == (problem,)


@pytest.mark.parametrize("name", ["skewness", "kurtosis"])
def test_the_shape_of_a_distribution_without_width_is_undefined(tensors: Path, name: str) -> None:
    with h5py.File(tensors, "r+") as file:
        file["particle/msd"][2] = 0.0
        file[f"particle/{name}"][2] = np.nan
    assert validate(tensors).ok


def test_averages_whose_absorbers_are_missing_or_bonds_outside_are_valid(tensors: Path) -> None:
    with h5py.File(tensors, "r+") as file:
        file["particle/task"][2, [3, 7]] = -1
        file["particle/absorbers"][2] = 11
        file["particle/distribution"][3] *= 0.75
        file["particle/outside"][3] = 0.25
        file["particle/distribution"][4] = 0.0
        file["particle/weights"][4] = 0.0
        file["particle/outside"][4] = 1.0
    assert validate(tensors).problems == ()


def test_weights_are_kept_of_all_averages_or_of_none(tensors: Path) -> None:
    with h5py.File(tensors) as file:
        sizes = {name: len(file[path]) for name, path in TENSORS.scales.items()}
        attributes = dict(file.attrs)
        content = {array.path: file[array.path][:] for array in TENSORS.arrays}
    weights = content["statistical/weights"]

    def keep(count: int) -> None:
        kept = content | {"statistical/weights": weights[:count]}
        create(tensors, TENSORS, sizes=sizes | {"weighted": count}, attributes=attributes, initial=kept)

    keep(0)
    assert validate(tensors).problems == ()
    keep(3)
    assert validate(tensors).problems == ("statistical/weights: 3 rows for 80 averages, where all or none are kept",)


def test_tensors_are_judged_alike_in_blocks(tensors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tensors, "r+") as file:
        file["statistical/msd"][[3, 4, 60]] = 0.1
        file["statistical/distribution"][[3, 4, 60], 2] = 0.5
    whole = validate(tensors).problems
    assert whole == (
        "statistical/distribution: rows 3–4, 60 do not sum to 1",
        "statistical/msd: rows 3–4, 60 are inconsistent with the weights",
    )
    monkeypatch.setattr("xanesml.files.hdf5.BLOCK_BYTES", 1000)
    assert validate(tensors).problems == whole


def test_a_truncated_tensor_file_is_averaged_again(tensors: Path) -> None:
    whole = tensors.stat().st_size
    os.truncate(tensors, whole - 10)
    report = validate(tensors, repair=True)
    assert any(p.endswith("are there; run `xanesml average CAMPAIGN` again") for p in report.problems)
    assert tensors.stat().st_size == whole - 10


@settings(deadline=None)
@given(st.sets(st.integers(0, 3000), min_size=1))
def test_ranges_name_the_rows_within_a_line(rows: set[int]) -> None:
    text = ranges(np.array(sorted(rows)))
    named: set[int] = set()
    for part in text.partition(" … ")[0].split(", "):
        first, _, last = part.partition("–")
        named |= set(range(int(first), int(last or first) + 1))
    if " … " in text:
        assert named < rows
        assert text.endswith(f" … ({len(rows)} in all)")
    else:
        assert named == rows
    assert len(text) < 90


def test_ranges_join_neighbors() -> None:
    assert ranges(np.array([3, 17, 18, 19, 40])) == "3, 17–19, 40"


def test_a_report_counts_its_problems() -> None:
    assert ValidationReport(path=Path("a"), problems=("x", "y")).lines() == ["a: x", "a: y", "a: not valid, 2 problems"]
