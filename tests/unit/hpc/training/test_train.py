"""What training decides before and between its steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import campaign, write_tensors

from hpc.comm import Alone
from hpc.training.loop import learning_rate
from hpc.training.train import train
from xanesml.errors import EnvironmentProblem, StoreError


def test_the_learning_rate_rises_linearly_to_its_value_for_all_ranks() -> None:
    rates = [learning_rate(step, base=0.01, size=4, warmup=8) for step in (1, 4, 8, 9)]
    assert rates == pytest.approx([0.005, 0.02, 0.04, 0.04])


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(1, base=0.01, size=2, warmup=0) == pytest.approx(0.02)


@pytest.mark.requires("keras")
def test_averages_of_another_campaign_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "tensors.h5", campaign())
    other = campaign().model_copy(update={"seed": 8})
    with pytest.raises(StoreError, match=r"another 'seed'.*xanesml average"):
        train(Alone(), other, tmp_path / "tensors.h5", tmp_path / "model", echo=print)


@pytest.mark.requires("keras")
def test_a_folder_that_cannot_be_made_is_named_before_training(tmp_path: Path) -> None:
    write_tensors(tmp_path / "tensors.h5", campaign())
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match=r"cannot write .*model: (Not a directory|File exists)"):
        train(Alone(), campaign(), tmp_path / "tensors.h5", tmp_path / "file" / "model", echo=print)
