from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.hdf5 import create, open_file, parallel_problem, text_attribute
from xanesml.files.layout import STORE, TENSORS
from xanesml.store import rows
from xanesml.store.rows import Row, RowWriter, StoreView, open_store_file, outcome_counts, torn_rows


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.h5"
    create(
        path,
        STORE,
        sizes={"structure": 2, "atom": 3, "task": 5, "energy_point": 10, "potential": 2, "variant": 0},
        attributes={"engine": "none"},
        initial={},
    )
    return path


def row(task: int, outcome: Outcome = Outcome.DONE, message: str = "") -> Row:
    rng = np.random.default_rng(task)
    spectrum: Any = SimpleNamespace(
        energy=np.arange(8.0) + task, mu=rng.random(8), mu0=rng.random(8), edge=11919.0 + task
    )
    return Row(
        task=task,
        outcome=outcome,
        message=message,
        seconds=1.5,
        finished=1.0e9,
        host="node1",
        spectrum=spectrum if outcome is Outcome.DONE else None,
    )


def write(file: h5py.File, *rows: Row) -> None:
    writer = RowWriter(file)
    for one in rows:
        writer.write(one)


def test_a_row_reads_back_as_written(store: Path) -> None:
    with open_store_file(store, mode="r+") as file:
        write(file, row(3))
    with open_store_file(store) as file:
        expected = row(3)
        assert expected.spectrum is not None
        np.testing.assert_array_equal(file["spectra/mu"][3, :8], expected.spectrum.mu)
        assert np.isnan(file["spectra/mu"][3, 8:]).all()
        assert file["spectra/points"][3] == 8
        assert file["spectra/edge"][3] == 11922.0
        assert file["runs/host"][3] == b"node1"
        assert outcome_counts(file) == {"pending": 4, "done": 1}
        assert torn_rows(file).size == 0


def test_a_failed_run_is_an_outcome_with_a_reason_and_no_numbers(store: Path) -> None:
    with open_store_file(store, mode="r+") as file:
        write(file, row(1, Outcome.TIMED_OUT, "took longer than 3 s"))
    with open_store_file(store) as file:
        assert file["runs/outcome"][1] == Outcome.TIMED_OUT
        assert file["runs/message"][1] == b"took longer than 3 s"
        assert np.isnan(file["spectra/mu"][1]).all()


@pytest.mark.parametrize("name", ["energy", "mu", "mu0"])
def test_one_flipped_bit_is_found(store: Path, name: str) -> None:
    with open_store_file(store, mode="r+") as file:
        for task in range(5):
            write(file, row(task))
    with h5py.File(store, "r+") as file:
        bits = file[f"spectra/{name}"][2].view(np.uint64)
        bits[4] ^= np.uint64(1)
        file[f"spectra/{name}"][2] = bits.view(np.float64)
    with open_store_file(store) as file:
        assert torn_rows(file).tolist() == [2]


@pytest.mark.parametrize("name", ["seconds", "memory", "host", "message", "log", "tries", "outcome", "checksum"])
def test_a_changed_byte_of_a_run_is_found(store: Path, name: str) -> None:
    with open_store_file(store, mode="r+") as file:
        write(file, *(row(task, Outcome.CRASHED, "signal 11") for task in range(5)))
    with h5py.File(store, "r+") as file:
        offset = file[f"runs/{name}"].id.get_offset() + 2 * file[f"runs/{name}"].dtype.itemsize
    content = bytearray(store.read_bytes())
    content[offset] ^= 1
    store.write_bytes(content)
    with open_store_file(store) as file:
        assert torn_rows(file).tolist() == [2]
        assert torn_rows(file, range(3, 5)).tolist() == []


def test_a_row_that_fails_the_next_time_leaves_no_numbers(store: Path) -> None:
    with open_store_file(store, mode="r+") as file:
        write(file, row(2))
        write(file, row(2, Outcome.CRASHED, "signal 11"))
        assert np.isnan(file["spectra/mu"][2]).all()
        assert file["spectra/points"][2] == 0
        assert torn_rows(file).size == 0


def test_rows_are_on_disk_before_the_file_is_closed(store: Path) -> None:
    file = open_store_file(store, mode="r+")
    write(file, row(0))
    content = store.read_bytes()
    file.close()
    expected = row(0)
    assert expected.spectrum is not None
    assert expected.spectrum.mu.tobytes() in content


def test_nothing_but_rows_changes_after_layout(store: Path) -> None:
    before = store.stat().st_size
    with open_store_file(store, mode="r+") as file:
        for task in range(5):
            write(file, row(task))
    assert store.stat().st_size == before


@pytest.mark.parametrize("local", [True, False])
def test_a_view_gives_the_same_by_map_and_by_reads(store: Path, monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    monkeypatch.setattr(rows, "is_local", lambda _path: local)
    with open_store_file(store, mode="r+") as file:
        file["structures/positions"][...] = written = np.arange(18.0).reshape(2, 3, 3)
        file["tasks/structure"][...] = np.arange(5) % 2
        view = pickle.loads(pickle.dumps(StoreView(file)))
    positions = view["structures/positions"]
    # A map of a network file system ends the process where the server evicts its host.
    assert (positions.shape, len(positions), isinstance(positions, np.memmap)) == ((2, 3, 3), 2, local)
    assert isinstance(view["tasks/structure"], np.memmap) == local
    np.testing.assert_array_equal(view["tasks/structure"], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(np.asarray(positions), written)
    for index in (0, -1, np.int32(1), slice(None), slice(1, 2), slice(1, 9), slice(2, 0), slice(0, 2, 2), [1, 0, 1]):
        np.testing.assert_array_equal(positions[index], written[index])
    for beyond in (2, -3):
        with pytest.raises(IndexError):
            positions[beyond]
    if not local:
        os.truncate(store, store.stat().st_size // 2)
        with pytest.raises(StoreError, match=r"store\.h5 is truncated; run `xanesml validate"):
            for name in ("structures/positions", "tasks/identity"):
                np.asarray(view[name])


def test_long_text_is_cut_to_its_column(store: Path) -> None:
    with open_store_file(store, mode="r+") as file:
        write(file, dataclasses.replace(row(0, Outcome.CRASHED, "x" * 500), host="h" * 90))
        assert file["runs/message"][0] == b"x" * 240
        assert file["runs/host"][0] == b"h" * 64


def test_nothing_lies_behind_the_datasets_however_long_the_texts(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file.attrs.modify("inputs_digest", np.bytes_("1" * 32))

    path = tmp_path / "store.h5"
    sizes = {"structure": 2, "atom": 3, "task": 5, "energy_point": 10, "potential": 2, "variant": 0}
    # The texts lie in pieces of 4096 bytes.
    for length in range(1, 4200, 41):
        attributes = {"campaign": "c" * length, "inputs_digest": np.bytes_("-" * 32)}
        create(path, STORE, sizes=sizes, attributes=attributes, initial={}, fill=fill)
        with open_store_file(path) as file:
            assert text_attribute(file, "inputs_digest") == "1" * 32
            outcome = file["runs/outcome"]
            assert path.stat().st_size == outcome.id.get_offset() + outcome.nbytes, f"a text of {length} bytes"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _path: None, "does not exist; make it with `xanesml simulate CAMPAIGN`"),
        (lambda path: path.write_bytes(b"not HDF5"), "is not a readable HDF5 file"),
        (lambda path: h5py.File(path, "w").close(), "is no xanesml file version None"),
        (
            lambda path: create(path, TENSORS, sizes=dict.fromkeys(TENSORS.dimensions, 1), attributes={}, initial={}),
            f"is xanesml-tensors version {TENSORS.version}, but xanesml-store version {STORE.version}",
        ),
        (
            lambda path: create(
                path,
                dataclasses.replace(STORE, version=99),
                sizes=dict.fromkeys(STORE.dimensions, 1),
                attributes={},
                initial={},
            ),
            f"is xanesml-store version 99, but xanesml-store version {STORE.version}",
        ),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "store.h5"
    make(path)
    with pytest.raises(StoreError) as caught:
        open_file(path, STORE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        create(blocked / "store.h5", STORE, sizes=dict.fromkeys(STORE.dimensions, 1), attributes={}, initial={})
    assert list(tmp_path.iterdir()) == [blocked]


def test_serial_hdf5_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5py, "get_config", lambda: SimpleNamespace(mpi=False))
    assert parallel_problem(tmp_path, comm=None) == "this h5py was built without MPI"
