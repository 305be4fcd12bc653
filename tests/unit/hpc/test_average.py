"""The averaging driver over fake ranks: an error anywhere leaves the old file, and nothing else."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import FAKE_CAMPAIGN
from fake_comm import Aborted, run_ranks
from made_store import made_store

import hpc.average
from hpc.average import average
from hpc.comm import Writer
from xanesml.averages.reader import open_tensors
from xanesml.averages.tensor_file import Block, blocks
from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files.layout import TENSORS
from xanesml.files.lock import WriteLock
from xanesml.learning.dataset import load_tensors, read_families
from xanesml.store.plan import expand
from xanesml.store.rows import open_store_file
from xanesml.validation import validate

OLD = b"the old file"


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    (tmp_path / "fake.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    made = Campaign.load(tmp_path / "fake.toml")
    made_store(tmp_path / "out" / "store.h5", made)
    (tmp_path / "out" / "tensors.h5").write_bytes(OLD)
    return made


def run(ranks: int, campaign: Campaign, folder: Path) -> list[Any]:
    """Average on fake ranks; return what each raised, or None."""
    store, tensors = folder / "store.h5", folder / "tensors.h5"
    return run_ranks(ranks, lambda comm: average(comm, campaign, store, tensors, writer=Writer.root, echo=print))


def test_variants_are_in_no_average_and_change_none(campaign: Campaign, tmp_path: Path) -> None:
    from hpc.training.share import _mismatch

    varied = Campaign.model_validate(
        campaign.model_dump() | {"feff": campaign.feff.model_dump() | {"variants": {"less": {"s02": 0.9}}}}
    )
    made_store(tmp_path / "varied" / "store.h5", varied)
    # The spectra of variants do not cover the mesh.
    with open_store_file(tmp_path / "varied" / "store.h5", mode="r+") as file:
        file["spectra/points"][len(expand(campaign)) :] = 3
    assert run(2, campaign, tmp_path / "out") == [None, None]
    assert run(2, varied, tmp_path / "varied") == [None, None]
    own, other = tmp_path / "out" / "tensors.h5", tmp_path / "varied" / "tensors.h5"
    with h5py.File(own) as file, h5py.File(other) as again:
        assert file.attrs["tasks_digest"] == again.attrs["tasks_digest"]
        for array in TENSORS.arrays:
            np.testing.assert_array_equal(file[array.path][...], again[array.path][...], array.path)
    # Averages that were made before a variant was added are still those to train on.
    assert _mismatch(varied, load_tensors(own), own) is None
    assert _mismatch(campaign, load_tensors(other), other) is None


def assert_old(folder: Path) -> None:
    assert (folder / "tensors.h5").read_bytes() == OLD
    assert sorted(path.name for path in folder.iterdir()) == ["store.h5", "tensors.h5"]


def break_blocks(monkeypatch: pytest.MonkeyPatch, bad: int, error: Exception) -> None:
    """Let one rank fail after its first block, and give the others many blocks to send."""

    def broken(*arguments: Any, rank: int, size: int) -> Iterator[Block]:
        first = next(blocks(*arguments))
        for number in range(20):
            if rank == bad and number == 1:
                raise error
            yield first
        assert size == 3

    monkeypatch.setattr(hpc.average, "blocks", broken)


def test_the_file_is_the_same_for_any_number_of_ranks(campaign: Campaign, tmp_path: Path) -> None:
    written = []
    for ranks in (1, 3):
        assert run(ranks, campaign, tmp_path / "out") == [None] * ranks
        written.append((tmp_path / "out" / "tensors.h5").read_bytes())
    assert written[0] == written[1] != OLD
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["store.h5", "tensors.h5"]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_error_on_one_rank_while_others_send_is_raised_by_all(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    break_blocks(monkeypatch, bad, StoreError("a bad spectrum"))
    raised = run(3, campaign, tmp_path / "out")
    assert [(type(error), str(error), error.collective) for error in raised] == [
        (StoreError, "a bad spectrum", True)
    ] * 3
    assert_old(tmp_path / "out")


@pytest.mark.parametrize("bad", [0, 1])
def test_a_defect_on_one_rank_ends_the_others(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    break_blocks(monkeypatch, bad, RuntimeError("a defect"))
    raised = run(3, campaign, tmp_path / "out")
    assert [type(error) for error in raised] == [RuntimeError if rank == bad else Aborted for rank in range(3)]
    assert_old(tmp_path / "out")


def fill_the_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line(campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hpc.average, "_write", fill_the_disk)
    first, *others = run(3, campaign, tmp_path / "out")
    assert isinstance(first, EnvironmentProblem)
    assert str(first).startswith(f"cannot write {tmp_path / 'out' / 'tensors.h5'}: No space left on device")
    assert [type(error) for error in others] == [Aborted, Aborted]
    assert_old(tmp_path / "out")


def test_a_file_that_cannot_get_its_name_is_an_error_of_all(campaign: Campaign, tmp_path: Path) -> None:
    tensors = tmp_path / "out" / "tensors.h5"
    tensors.unlink()
    tensors.mkdir()
    raised = run(2, campaign, tmp_path / "out")
    assert [(type(error), error.collective) for error in raised] == [(EnvironmentProblem, True)] * 2
    assert str(raised[1]).startswith(f"cannot write {tensors}: Is a directory")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["store.h5", "tensors.h5"]


def remove_store(folder: Path) -> str:
    (folder / "store.h5").unlink()
    return "does not exist"


def spoil_store(folder: Path) -> str:
    (folder / "store.h5").write_bytes(b"not a store")
    return "store.h5"


@pytest.mark.parametrize("spoil", [remove_store, spoil_store])
def test_a_store_that_cannot_be_averaged_is_an_error_of_all(
    campaign: Campaign, tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    words = spoil(tmp_path / "out")
    raised = run(2, campaign, tmp_path / "out")
    assert [(type(error), error.collective) for error in raised] == [(StoreError, True)] * 2
    assert words in str(raised[1])
    assert (tmp_path / "out" / "tensors.h5").read_bytes() == OLD


def test_a_file_is_marked_complete_and_readers_refuse_one_that_is_not(campaign: Campaign, tmp_path: Path) -> None:
    tensors = tmp_path / "out" / "tensors.h5"
    assert run(2, campaign, tmp_path / "out") == [None] * 2
    load_tensors(tensors)
    assert validate(tensors).ok
    # As a rank leaves it that was stopped before the end.
    with h5py.File(tensors, "r+") as file:
        file.attrs.modify("complete", np.uint8(0))
    for read in (load_tensors, read_families, open_tensors):
        with pytest.raises(StoreError, match=r"was not completed: .*; run `xanesml average CAMPAIGN`$"):
            read(tensors)
    assert validate(tensors).problems == ("was not completed: the root attribute complete is 0, not 1",)


def test_a_rank_that_fails_before_the_end_leaves_no_mark(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def failing(partial: Path) -> None:
        with h5py.File(partial) as file:
            seen.append(int(file.attrs["complete"]))
        raise StoreError("no mark")

    monkeypatch.setattr(hpc.average, "_complete", failing)
    assert [str(error) for error in run(2, campaign, tmp_path / "out")] == ["no mark"] * 2
    assert seen == [0]
    assert_old(tmp_path / "out")


@pytest.mark.parametrize("name", [".tensors.h5~12ab.partial.h5", "..tensors.h5~12ab.partial.h5~34cd.partial.h5"])
def test_what_a_killed_call_has_left_is_removed(campaign: Campaign, tmp_path: Path, name: str) -> None:
    left, of_another = tmp_path / "out" / name, tmp_path / "out" / ".tensors.h5.old~12ab.partial.h5"
    left.touch()
    of_another.touch()
    assert run(1, campaign, tmp_path / "out") == [None]
    assert (left.exists(), of_another.exists()) == (False, True)


def test_a_second_average_is_refused_with_host_and_process_of_the_first(
    campaign: Campaign, tmp_path: Path, xanesml: str
) -> None:
    tensors = tmp_path / "out" / "tensors.h5"
    command = [xanesml, "average", f"{campaign.name}.toml", "-o", "out"]
    with WriteLock(tensors, print):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    holder = f"process {os.getpid()} on {socket.gethostname()} since "
    assert re.match(rf"xanesml: out/tensors.h5 is being written by {holder}.*; wait for it", done.stderr), done.stderr
    assert_old(tmp_path / "out")
