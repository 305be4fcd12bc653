"""The search for training settings: what is tried, what is counted, and what it may not see."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import pytest
from synthetic import campaign, write_tensors

from hpc.comm import Alone
from hpc.training.checkpoint import Epoch
from hpc.training.share import read_split
from hpc.tuning.study import Study, import_optuna, outcome, repair_journal, settings_of
from hpc.tuning.tune import BEST_FILE, TRIALS_FILE, TuningReport, tune
from xanesml.campaign import Campaign, TrainingSection, TuningSection
from xanesml.errors import CampaignError, EnvironmentProblem, StoreError

TRAINING: dict[str, Any] = {"filters": [4], "dense": [8], "heads": [], "modes": ["direct"], "batch_size": 64}
#: Holds neither the campaign's kernel, 7, nor its dropout, 0.1.
TUNING: dict[str, Any] = {
    "trials": 4,
    "epochs": 2,
    "filters": [[4], [8]],
    "kernel": [3, 5],
    "dense": [[8], [16]],
    "batch_size": [32, 64],
    "dropout": [0.0, 0.05],
}
TOML = 'name = "synthetic"\nseed = 7\n[distortion]\n'


def searched(**tuning: Any) -> Campaign:
    section = TuningSection.model_validate(TUNING | tuning)
    return campaign(**TRAINING).model_copy(update={"tuning": section})


def epochs(*errors: float) -> list[Epoch]:
    return [Epoch(number, 0.001, 1.0, error, 0.1) for number, error in enumerate(errors, start=1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropout = [0.3, 0.1]", r"tuning.dropout: the range \[0.3, 0.1\] runs backwards"),
        ("kernel = []", "tuning.kernel: .*at least 1 item"),
        ("filters = [[16, 0]]", "tuning.filters.0.1: .*greater than 0"),
        ("learning_rates = [1e-4, 1e-3]", "unknown key 'tuning.learning_rates'; accepted here: trials"),
        (
            "learning_rate = false\nbatch_size = false\nfilters = false\nkernel = false\n"
            "dense = false\ndropout = false\nhead_weight = false",
            "tuning: nothing to search: give a range or choices for one of learning_rate",
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "campaign.toml").write_text(f"{TOML}[tuning]\n{text}\n")
    with pytest.raises(CampaignError, match=message):
        Campaign.load(tmp_path / "campaign.toml")


def test_what_is_false_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "campaign.toml").write_text(f"{TOML}[tuning]\nkernel = false\ndropout = false\n")
    assert Campaign.load(tmp_path / "campaign.toml").tuning.searched().keys() == {
        "learning_rate",
        "batch_size",
        "filters",
        "dense",
        "head_weight",
    }


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(EnvironmentProblem, match=r"^tuning needs Optuna \(.*\); run `pip install 'xanesml\[train\]'`$"):
        import_optuna()


@pytest.mark.requires("optuna")
def test_the_first_trial_has_the_campaigns_own_settings_and_the_others_those_of_the_space(tmp_path: Path) -> None:
    made_for = searched(trials=30)
    study = Study(made_for, tmp_path / "journal.log", 1)
    needed = study.begin()
    drawn = []
    while (trial := study.draw(needed)) is not None:
        drawn.append(settings_of(trial))
        study.end(trial, finished=True, hopeless=False)
    own, *others = drawn
    assert own == {name: getattr(made_for.training, name) for name in TUNING if name not in ("trials", "epochs")} | {
        "learning_rate": made_for.training.learning_rate
    }
    assert len(others) == 29
    for name in ("filters", "kernel", "dense", "batch_size"):
        assert {str(one[name]) for one in others} == {str(choice) for choice in TUNING[name]}
    assert all(0 <= one["dropout"] <= 0.05 and 3e-4 <= one["learning_rate"] <= 5e-3 for one in others)
    assert len({str(one) for one in others}) == 29


@pytest.mark.requires("optuna")
def test_two_groups_never_take_the_same_trial_nor_more_than_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Study(searched(trials=5), tmp_path / "journal.log", 1, group) for group in (0, 1))
    needed = first.begin()
    taken = [study.draw(needed) for study in (first, second, second, first, first, second, first)]
    assert [None if trial is None else trial.number for trial in taken] == [0, 1, 2, 3, 4, None, None]
    # As one that has looked just before the other took the last.
    monkeypatch.setattr(second, "_all", lambda *_states: [])
    assert second.draw(needed) is None


@pytest.mark.requires("optuna")
def test_what_a_kill_leaves_is_repaired_and_does_not_count(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    study = Study(searched(), journal, 1)
    needed = study.begin()
    for _ in range(2):
        trial = study.draw(needed)
        assert trial is not None
    study.report(trial, epochs(0.01))
    with journal.open("ab") as file:
        file.write(b'{"op_code":7,"worker')
    (tmp_path / "journal.log.lock").touch()

    repair_journal(journal)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.log"]
    again = Study(searched(), journal, 1)
    needed = again.begin()
    assert needed == 6
    drawn = []
    while (trial := again.draw(needed)) is not None:
        drawn.append(trial.number)
        again.report(trial, epochs(0.01))
        again.end(trial, finished=True, hopeless=False)
    # The third is the campaign's own settings once more.
    assert drawn == [2, 3, 4, 5]
    assert [(trial.number, outcome(trial)) for trial in again.judged()] == [(n, "complete") for n in drawn]
    assert settings_of(again.judged()[0])["kernel"] == 7


@pytest.mark.requires("optuna")
def test_a_hopeless_trial_is_pruned_and_the_campaigns_own_settings_are_not(tmp_path: Path) -> None:
    study = Study(searched(trials=9, epochs=4), tmp_path / "journal.log", 1)
    needed = study.begin()

    def run(*errors: float) -> str:
        trial = study.draw(needed)
        assert trial is not None
        hopeless = False
        for number in range(1, len(errors) + 1):
            hopeless = study.report(trial, epochs(*errors[:number]))
            if hopeless:
                break
        return f"{outcome(study.end(trial, finished=number == 4, hopeless=hopeless))} {number}"

    nan = float("nan")
    assert run(9.0, 9.0, nan, 9.0) == "complete 4"
    assert [run(0.3, 0.2, 0.1, 0.1) for _ in range(4)] == ["complete 4"] * 4
    assert run(0.9, 0.8, 0.7, 0.6) == "pruned 2"
    assert run(0.2, nan, 0.1, 0.1) == "pruned 2"
    assert run(0.2, 0.1, 0.1, 0.05) == "complete 4"
    assert run(0.2, 0.1) == "failed 2"
    assert [trial.value for trial in study.judged()][-1] == 0.05


@pytest.mark.requires("optuna")
def test_more_trials_continue_a_study_and_other_settings_begin_another(tmp_path: Path) -> None:
    def taken(made_for: Campaign, ranks: int = 1) -> int:
        study = Study(made_for, tmp_path / "journal.log", ranks)
        needed, number = study.begin(), 0
        while (trial := study.draw(needed)) is not None:
            study.report(trial, epochs(0.01))
            study.end(trial, finished=True, hopeless=False)
            number += 1
        return number

    assert [taken(searched(trials=3)), taken(searched(trials=3)), taken(searched(trials=5))] == [3, 0, 2]
    noisy = campaign(**TRAINING, noise=0.01).model_copy(update={"tuning": searched(trials=5).tuning})
    assert [taken(noisy), taken(searched(trials=5, epochs=3)), taken(searched(trials=5), ranks=2)] == [5, 5, 5]


@pytest.mark.requires("optuna")
def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text("not a journal\nat all\n")
    with pytest.raises(StoreError, match=r"journal.log is not a journal that Optuna .* reads .*remove it"):
        Study(searched(), tmp_path / "journal.log", 1)


def run_tuning(folder: Path, made_for: Campaign, **options: Any) -> TuningReport:
    return tune(Alone(), made_for, folder / "tensors.h5", folder / "tuning", echo=print, **options)


@pytest.mark.requires("optuna")
def test_ranks_that_do_not_part_evenly_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "tensors.h5", searched())
    with pytest.raises(CampaignError, match="1 ranks do not divide into groups of 2"):
        run_tuning(tmp_path, searched(), ranks_per_trial=2)
    assert not (tmp_path / "tuning").exists()


@pytest.mark.requires("optuna")
def test_the_search_never_sees_what_judges_it(tmp_path: Path) -> None:
    made_for = searched(trials=2, epochs=1)
    tables = []
    for spoilt in ((), ("calibration", "test"), ("validation",)):
        folder = tmp_path / "-".join(("spoilt", *spoilt))
        folder.mkdir()
        write_tensors(folder / "tensors.h5", made_for)
        _, split = read_split(made_for, folder / "tensors.h5")
        with h5py.File(folder / "tensors.h5", "r+") as file:
            for name in ("spectra", "msd"):
                values = file[f"statistical/{name}"][:]
                for part in spoilt:
                    values[getattr(split, part)] = 1e3
                file[f"statistical/{name}"][:] = values
                if "test" in spoilt:
                    file[f"particle/{name}"][:] = 1e3
        run_tuning(folder, made_for)
        tables.append((folder / "tuning" / TRIALS_FILE).read_text())
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.requires("optuna")
def test_a_stopped_search_goes_on_and_its_best_settings_make_a_campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_for = searched(learning_rate=[0.01, 0.02])
    write_tensors(tmp_path / "tensors.h5", made_for)
    # One look before each trial and one after each epoch: stopped within the second.
    looks = count(1)
    stopped = run_tuning(tmp_path, made_for, stop=lambda: next(looks) >= 5)
    assert (stopped.complete, stopped.trials, stopped.best) == (False, 1, 0)
    assert "trial 1 failed after 1 epochs" in capsys.readouterr().out
    report = run_tuning(tmp_path, made_for)
    assert (report.complete, report.trials) == (True, 4)
    # A learning rate of 0.001 for two epochs is far too small.
    assert report.best_mae < 0.9 * report.own_mae
    assert sorted(path.name for path in (tmp_path / "tuning").iterdir()) == [BEST_FILE, "journal.log", TRIALS_FILE]

    best = (tmp_path / "tuning" / BEST_FILE).read_text()
    (tmp_path / "own.toml").write_text(TOML)
    (tmp_path / "best.toml").write_text(TOML + best)
    found, own = (Campaign.load(tmp_path / f"{name}.toml").training for name in ("best", "own"))
    changed = {line.split(" = ")[0] for line in best.splitlines() if " = " in line}
    assert {"learning_rate", "kernel", "dropout"} <= changed <= set(TUNING) | {"learning_rate"}
    assert 0.01 <= found.learning_rate <= 0.02
    assert found.kernel in (3, 5)
    assert found.noise == own.noise
    rows = (tmp_path / "tuning" / TRIALS_FILE).read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["trial", "0", "2", "3", "4"]
    assert run_tuning(tmp_path, made_for) == report


@pytest.mark.requires("optuna")
def test_every_way_of_training_can_be_searched(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "block_dropout": [0.0, 0.2],
        "activation": ["relu", "silu"],
        "pooling": ["max", "average", "none"],
        "stride": [1, 2],
        "initial_weights": ["he_normal", "glorot_uniform"],
        "optimizer": ["adam", "adamw", "sgd", "rmsprop"],
        "momentum": [0.5, 0.99],
        "weight_decay": [1e-5, 1e-1],
        "l1": [1e-7, 1e-4],
        "l2": [1e-6, 1e-3],
    }
    made_for = searched(trials=18, **given)
    study = Study(made_for, tmp_path / "journal.log", 1)
    needed, drawn = study.begin(), []
    while (trial := study.draw(needed)) is not None:
        drawn.append(settings_of(trial))
        # What tuning makes of them is a valid section.
        TrainingSection.model_validate(made_for.training.model_dump() | drawn[-1])
        study.end(trial, finished=True, hopeless=False)
    own, *others = drawn
    assert own["optimizer"] == "adam"
    assert own["weight_decay"] == own["l1"] == own["l2"] == 0.0
    for name, choices in given.items():
        if isinstance(choices[0], float):
            assert all(choices[0] <= one[name] <= choices[1] for one in others)
        else:
            assert len({one[name] for one in others}) > 1
            assert {one[name] for one in others} <= set(choices)
    # On a logarithmic scale half of them are below the geometric mean.
    assert 2 < sum(one["weight_decay"] < 1e-3 for one in others) < 15
