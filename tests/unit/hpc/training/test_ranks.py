"""Training over fake ranks: what all agree on, and what happens when one is stopped or fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_comm import Aborted, FakeComm, run_ranks
from synthetic import campaign, write_tensors

from hpc.comm import Alone, split
from hpc.training import train as driver
from hpc.training.collective import Collective
from hpc.training.loop import Fitted
from hpc.training.share import load_share, read_split
from hpc.training.trainer import Trained
from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files.arrays import Floats
from xanesml.files.records import plain
from xanesml.learning.splits import Split


class FakeCollective(Collective):
    """The sums of Horovod, over fake ranks."""

    def __init__(self, comm: FakeComm) -> None:
        self._comm = comm
        self.rank, self.size, self.bcast = comm.rank, comm.size, comm.bcast

    def sum(self, values: Floats) -> Floats:
        return np.sum(self._comm.allgather(values), axis=0)

    def extremes(self, values: Floats) -> Floats:
        everyone = np.concatenate(self._comm.allgather(values))
        return np.array([everyone.min(), everyone.max()])


@pytest.fixture
def made_for(tmp_path: Path) -> Campaign:
    made = campaign(modes=["direct", "reference"], members=2)
    write_tensors(tmp_path / "tensors.h5", made)
    return made


def train(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    made_for: Campaign,
    ranks: int,
    one: Callable[[int, str], bool],
    finish: Callable[..., object] = lambda *_: "report",
    **options: Any,
) -> tuple[list[Any], list[str]]:
    """Train on fake ranks without networks; return what each rank returned or raised, and what rank 0 printed.

    `one` gets a rank of its group and the network, and says whether its training came to its end.
    """

    class Trainer:
        def __init__(self, _campaign: Campaign, collective: Collective, *_: object) -> None:
            self._rank = collective.rank

        def train(self, mode: Any, member: int, _say: object) -> Trained:
            return Trained(mode, member, Fitted([], 1.0, 1.0, one(self._rank, f"{mode} {member}")))

    def join_group(comm: FakeComm, count: int) -> tuple[int, Collective]:
        number, group = split(comm, count)
        return number, FakeCollective(group)

    fakes = {"Trainer": Trainer, "join_group": join_group, "check_backend": lambda _comm: None, "_finish": finish}
    for name, fake in fakes.items():
        monkeypatch.setattr(driver, name, fake)
    lines: list[str] = []

    def part(comm: FakeComm) -> Any:
        echo = lines.append if comm.rank == 0 else lambda _line: None
        return driver.train(comm, made_for, folder / "tensors.h5", folder / "model", echo=echo, **options)

    return run_ranks(ranks, part), lines


@pytest.mark.parametrize(
    ("ranks", "least", "groups"), [(1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 1, 3), (4, 2, 2), (6, 1, 4)]
)
def test_groups_share_the_networks_and_all_ranks_get_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_for: Campaign, ranks: int, least: int, groups: int
) -> None:
    trained: list[str] = []

    def one(rank: int, network: str) -> bool:
        if rank == 0:
            trained.append(network)
        return True

    returned, lines = train(monkeypatch, tmp_path, made_for, ranks, one, ranks_per_network=least)
    assert returned == ["report"] * ranks
    assert sorted(trained) == ["direct 0", "direct 1", "reference 0", "reference 1"]
    assert lines == [f"training 4 networks on 224 spectra: {ranks} ranks in {groups} groups"]


@pytest.mark.parametrize(("ranks", "least"), [(1, 1), (2, 1), (2, 2)])
def test_a_stop_of_one_group_is_a_stop_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_for: Campaign, ranks: int, least: int
) -> None:
    # Groups take turns: one group stops at its second network, of two groups one trains both of its own.
    returned, lines = train(
        monkeypatch, tmp_path, made_for, ranks, lambda _rank, name: name != "direct 1", ranks_per_network=least
    )
    assert returned == [None] * ranks
    done = 2 if ranks > least else 1
    assert lines[-1] == f"stopped with {done} of 4 networks trained: start the same command again"


def test_an_error_while_the_model_is_completed_is_raised_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_for: Campaign
) -> None:
    def fails(*_: object) -> None:
        raise StoreError("no space")

    raised, _ = train(monkeypatch, tmp_path, made_for, 3, lambda *_: True, finish=fails)
    assert [(type(error), str(error), error.collective) for error in raised] == [(StoreError, "no space", True)] * 3


@pytest.mark.parametrize("kind", [EnvironmentProblem, RuntimeError])
def test_an_error_of_one_rank_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_for: Campaign, kind: type[Exception]
) -> None:
    def one(rank: int, _network: str) -> bool:
        if rank == 1:
            raise kind("cannot write the checkpoint")
        return True

    raised, _ = train(monkeypatch, tmp_path, made_for, 2, one, ranks_per_network=2)
    assert [type(error) for error in raised] == [Aborted, kind]


def test_a_folder_that_cannot_be_made_is_an_error_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_for: Campaign
) -> None:
    (tmp_path / "model").touch()
    raised, _ = train(monkeypatch, tmp_path, made_for, 2, lambda *_: True)
    assert [(type(error), error.collective) for error in raised] == [(EnvironmentProblem, True)] * 2
    assert "cannot make the folder" in str(raised[1])


def test_shares_are_disjoint_and_the_scaling_is_that_of_all_rows(tmp_path: Path, made_for: Campaign) -> None:
    count, parts = read_split(made_for, tmp_path / "tensors.h5")

    def part(comm: Any) -> Any:
        together = FakeCollective(comm) if comm.size > 1 else Collective()
        return load_share(made_for, tmp_path / "tensors.h5", count, parts, comm, together)

    (whole, _, alone), shares = part(Alone()), run_ranks(3, part)
    assert sorted(np.concatenate([data.msd for data, _, _ in shares])) == sorted(whole.msd)
    assert sum(local.training.size for _, local, _ in shares) == parts.training.size
    for _, _, scaling in shares:
        assert plain(scaling) == plain(shares[0][2])
        np.testing.assert_allclose(scaling.feature_mean, alone.feature_mean, rtol=1e-12)
        assert scaling.ranges == alone.ranges


def test_a_rank_without_training_spectra_and_another_campaign_are_errors_of_all(
    tmp_path: Path, made_for: Campaign
) -> None:
    count, parts = read_split(made_for, tmp_path / "tensors.h5")
    few = replace(parts, training=parts.training[:1])

    def part(comm: FakeComm, asked: Campaign = made_for, some: Split = few) -> Any:
        return load_share(asked, tmp_path / "tensors.h5", count, some, comm, FakeCollective(comm))

    raised = run_ranks(2, part)
    assert [(type(error), error.collective) for error in raised] == [(StoreError, True)] * 2
    assert str(raised[0]).startswith("1 training spectra do not suffice for groups of 2 ranks; start fewer ranks")
    other = made_for.model_copy(update={"seed": 8})
    raised = run_ranks(2, lambda comm: part(comm, other, parts))
    assert [(type(error), error.collective) for error in raised] == [(StoreError, True)] * 2
    assert "another 'seed'" in str(raised[1])
