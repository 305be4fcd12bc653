"""Kills at random moments: nothing that was done is lost, and nothing is left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import FAKE_CAMPAIGN
from killing import Trial, run_trial, run_undisturbed

# Processes are looked up in /proc.
pytestmark = pytest.mark.requires("mpi", "linux")

#: The 19 distorted runs only.
CAMPAIGN = re.sub(r"\[disorder\][^\[]*", "", FAKE_CAMPAIGN)

#: Five runs of FEFF10, each longer than the nap before a kill.
FEFF_CAMPAIGN = """
name = "short"
[structure]
atoms = 13
[distortion]
minimum = -0.1
maximum = 0.1
step = 0.05
[feff]
scf = false
corval = false
fms_radius = 3.5
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory, xanesml: str) -> tuple[Path, Path]:
    """A campaign of fake runs, and the store of an undisturbed simulation of it."""
    return _undisturbed(tmp_path_factory.mktemp("fake"), CAMPAIGN, xanesml)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, xanesml: str) -> tuple[Path, Path]:
    """A campaign of FEFF10, and the store of an undisturbed simulation of it."""
    return _undisturbed(tmp_path_factory.mktemp("real"), FEFF_CAMPAIGN, xanesml)


def _undisturbed(folder: Path, content: str, xanesml: str) -> tuple[Path, Path]:
    campaign = folder / "campaign.toml"
    campaign.write_text(content, encoding="utf-8")
    return campaign, run_undisturbed(xanesml, campaign, folder / "undisturbed")[0]


def assert_unharmed(trial: Trial) -> None:
    assert trial.lost == 0, trial
    assert trial.different == 0, trial
    assert trial.torn_in_the_end == 0, trial
    assert trial.remains == [], trial
    for kill in trial.kills:
        assert kill.victim != "nobody", trial
        assert kill.told == kill.torn, trial


@pytest.mark.parametrize("seed", range(20))
def test_a_kill_costs_what_was_under_way_and_nothing_else(
    tmp_path: Path, xanesml: str, fake: tuple[Path, Path], seed: int
) -> None:
    campaign, reference = fake
    assert_unharmed(run_trial(seed, tmp_path, xanesml=xanesml, campaign=campaign, reference=reference))


@pytest.mark.feff
# Five runs on two ranks: after the first one is done, each rank has another to run.
@pytest.mark.parametrize(("seed", "victim"), [(0, "rank"), (4, "job")])
def test_a_kill_of_real_feff_costs_what_was_under_way_and_nothing_else(
    tmp_path: Path, xanesml: str, real: tuple[Path, Path], seed: int, victim: str
) -> None:
    campaign, reference = real
    trial = run_trial(
        seed, tmp_path, xanesml=xanesml, campaign=campaign, reference=reference, victims=(victim,), pace=0, nap=0.5
    )
    assert_unharmed(trial)
