"""The search for training settings under mpirun: one study, shared by groups of ranks."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import MPI_AS_ROOT, MpiRun, mpirun_command
from processes import wait_for
from synthetic import write_tensors

from hpc.drain import RESUBMIT
from xanesml.campaign import Campaign

pytestmark = pytest.mark.requires("mpi", "optuna")

TRAINING = 'filters = [4]\ndense = [8]\nheads = []\nmodes = ["direct"]\n'
CHOICES = "filters = [[4], [8]]\nkernel = [3]\ndense = [[8]]\nbatch_size = [64]\n"

#: Optuna's codes in a journal: a trial's change of state and an epoch of it, and the states.
STATE_OF_A_TRIAL, EPOCH_OF_A_TRIAL = 6, 7
COMPLETE, PRUNED, FAILED = 1, 2, 3


def campaign(folder: Path, **tuning: Any) -> str:
    """Write a campaign and its tensors; return the path of the file."""
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in tuning.items())
    file = folder / "synthetic.toml"
    file.write_text(f'name = "synthetic"\nseed = 7\n[distortion]\n[training]\n{TRAINING}[tuning]\n{CHOICES}{keys}')
    if not (folder / "tensors.h5").exists():
        write_tensors(folder / "tensors.h5", Campaign.load(file))
    return str(file)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "tuning" / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def journal(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of the journal so far."""
    file = folder / "tuning" / "journal.log"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def changes(folder: Path) -> list[tuple[int, int, str]]:
    """Return number, new state and process of every change of a trial's state, in their order."""
    lines = [one for one in journal(folder) if one["op_code"] == STATE_OF_A_TRIAL]
    return [(one["trial_id"], one["state"], one["worker_id"]) for one in lines]


def trials_under_way(folder: Path) -> set[int]:
    """Return the numbers of the trials that have reported an epoch."""
    return {one["trial_id"] for one in journal(folder) if one["op_code"] == EPOCH_OF_A_TRIAL}


def test_two_ranks_share_a_study_and_run_no_trial_twice(mpirun: MpiRun, xanesml: str, tmp_path: Path) -> None:
    file = campaign(tmp_path, trials=4, epochs=2)
    done = mpirun(2, xanesml, "tune", file, "-o", str(tmp_path), timeout=200)
    assert done.returncode == 0, done.stderr
    assert [row["trial"] for row in table(tmp_path)] == ["0", "1", "2", "3"]
    ended = [(number, process) for number, state, process in changes(tmp_path) if state in (COMPLETE, PRUNED)]
    assert set(Counter(number for number, _ in ended).values()) == {1}
    assert len({process for _, process in ended}) == 2
    best = min(table(tmp_path), key=lambda row: float(row["validation_mae"]))
    own = float(table(tmp_path)[0]["validation_mae"])
    assert done.stdout.endswith(f"; next: mpirun xanesml train {file} --output {tmp_path}\n")
    assert done.stdout.splitlines()[-2] == (
        f"tuning: {tmp_path / 'tuning'}: best validation MAE {float(best['validation_mae']):.3g} Å² "
        f"(trial {best['trial']}), {own:.3g} Å² with the campaign's own settings; 4 trials, 0 pruned"
    )


@pytest.mark.requires("horovod")
def test_two_ranks_train_a_trial_together_and_give_up_what_diverges(
    mpirun: MpiRun, xanesml: str, tmp_path: Path
) -> None:
    file = campaign(tmp_path, trials=2, epochs=3, learning_rate=[1e30, 1e30])
    done = mpirun(2, xanesml, "tune", file, "-o", str(tmp_path), "--ranks-per-trial", "2", timeout=200)
    assert done.returncode == 0, done.stderr
    assert [(row["outcome"], row["epochs"]) for row in table(tmp_path)] == [("complete", "3"), ("pruned", "1")]


def test_a_killed_search_runs_only_the_trials_that_are_left(tmp_path: Path, xanesml: str) -> None:
    file = campaign(tmp_path, trials=4, epochs=2)
    command = [xanesml, "tune", file, "-o", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if line.startswith("trial 1 "))
        process.kill()
    before = [number for number, state, _ in changes(tmp_path) if state == COMPLETE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("trial ")] == [
        row["trial"] for row in table(tmp_path) if int(row["trial"]) not in before
    ]
    assert len(table(tmp_path)) == 4
    ended = {number: state for number, state, _ in changes(tmp_path)}
    judged = [row["trial"] for row in table(tmp_path)]
    assert {str(number) for number, state in ended.items() if state in (COMPLETE, PRUNED)} == set(judged)
    assert set(ended.values()) <= {COMPLETE, PRUNED, FAILED}


def test_usr1_stops_the_search_with_the_status_to_submit_it_again(tmp_path: Path, xanesml: str) -> None:
    file = campaign(tmp_path, trials=4, epochs=100_000)
    command = [*mpirun_command(2), xanesml, "tune", file, "-o", str(tmp_path)]
    with subprocess.Popen(command, env=os.environ | MPI_AS_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: trials_under_way(tmp_path) == {0, 1}, 100)
        finally:
            process.send_signal(signal.SIGUSR1)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == RESUBMIT
    assert "start the same command again" in said
    assert {number: state for number, state, _ in changes(tmp_path)} == {0: FAILED, 1: FAILED}
    assert table(tmp_path) == []
