from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from conftest import MpiRun

from xanesml.files.hdf5 import create
from xanesml.files.layout import STORE
from xanesml.store.rows import open_store_file, outcome_counts, torn_rows

pytestmark = pytest.mark.requires("mpi", "mpio")

PROGRAM = str(Path(__file__).with_name("programs") / "write_rows.py")


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_both_writers_make_the_same_file_bit_for_bit(mpirun: MpiRun, tmp_path: Path, ranks: int) -> None:
    empty = tmp_path / "empty.h5"
    create(
        empty,
        STORE,
        sizes={"structure": 3, "atom": 4, "task": 23, "energy_point": 50, "potential": 2, "variant": 0},
        attributes={"engine": "none"},
        initial={},
    )
    for writer in ("mpio", "root"):
        shutil.copy(empty, tmp_path / f"{writer}.h5")
        done = mpirun(ranks, sys.executable, PROGRAM, str(tmp_path / f"{writer}.h5"), writer, timeout=60)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "mpio.h5").read_bytes() == (tmp_path / "root.h5").read_bytes()
    assert (tmp_path / "mpio.h5").read_bytes() != empty.read_bytes()
    with open_store_file(tmp_path / "mpio.h5") as file:
        assert outcome_counts(file) == {"done": 20, "crashed": 3}
        assert torn_rows(file).size == 0
