"""Training under mpirun: what the ranks agree on, and what comes out."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import MPI_AS_ROOT, mpirun_command
from synthetic import campaign, write_tensors

from hpc.drain import RESUBMIT
from hpc.training.trainer import checkpoint_file
from xanesml.assessment.report import LABELS, NEAREST, read_report
from xanesml.files.records import plain
from xanesml.learning.dataset import load_tensors
from xanesml.learning.model import load_model, unfinished_folder
from xanesml.learning.numpy_network import NumpyNetwork
from xanesml.learning.particle_set import ParticleSet, ParticleSplit
from xanesml.learning.splits import split_by_family

PROGRAMS = Path(__file__).parent / "programs"
TRAINING: dict[str, Any] = {
    "filters": [8, 8],
    "kernel": 5,
    "dense": [16],
    "dropout": 0.0,
    "batch_size": 32,
    "epochs": 12,
    "learning_rate": 0.004,
    "members": 1,
    "modes": ["direct"],
    "noise": 0.001,
    "energy_shift": 0.0,
    "broadening": 0.0,
    "step_error": 0.0,
    "slope": 0.0,
}
CHECKPOINT = checkpoint_file("direct", 0)

pytestmark = pytest.mark.requires("mpi", "tensorflow")


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    made_for = campaign(**TRAINING)
    (tmp_path / "campaign.json").write_text(made_for.resolved())
    write_tensors(tmp_path / "tensors.h5", made_for)
    return tmp_path / "tensors.h5"


def weights(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[f"arr_{i}"] for i in range(sum(name.startswith("arr_") for name in file.files))]


def run_program(mpirun: Any, ranks: int, program: str, *argv: str) -> None:
    done = mpirun(ranks, sys.executable, str(PROGRAMS / program), *argv, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.requires("horovod")
def test_two_ranks_take_the_step_that_one_rank_takes_on_the_whole_batch(mpirun: Any, tmp_path: Path) -> None:
    # Without batch normalization, whose statistics are those of each rank's own half, and without dropout.
    for ranks in (1, 2):
        run_program(mpirun, ranks, "gradients.py", str(tmp_path), "plain")
    alone, first, second = (weights(tmp_path / f"{name}.npz") for name in ("1-0", "2-0", "2-1"))
    for one, two in zip(alone, first, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    half = len(alone) // 2
    moved = [np.abs(after - before).max() for before, after in zip(alone[:half], alone[half:], strict=True)]
    assert min(moved) > 1e-4


@pytest.mark.requires("horovod")
def test_ranks_agree_on_weights_statistics_sums_and_what_the_root_says(mpirun: Any, tmp_path: Path) -> None:
    run_program(mpirun, 2, "gradients.py", str(tmp_path), "normalized")
    first, second = (weights(tmp_path / f"2-{rank}.npz") for rank in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    for rank in (0, 1):
        with np.load(tmp_path / f"2-{rank}.npz") as file:
            assert file["total"].tolist() == [3.0]
            assert file["extremes"].tolist() == [-1.0, 0.5]
            assert file["root"] == 0


@pytest.mark.requires("horovod")
def test_two_ranks_train_a_network_that_beats_the_mean(mpirun: Any, tensors: Path) -> None:
    folder = tensors.parent / "model"
    run_program(mpirun, 2, "train_synthetic.py", str(tensors), str(folder))
    report = json.loads((folder / "report.json").read_text())
    found = report["modes"]["direct"]
    assert (report["ranks"], report["groups"], report["tuned"]) == (2, 1, 0)
    sizes = report["training"], report["validation"], report["calibration"], found["test"]["n"], found["particle"]["n"]
    assert sizes == (224, 32, 32, 32, 3)
    assert found["test"]["errors"]["network"]["mae"] < 0.5 * found["test"]["errors"]["mean"]["mae"]
    assert "another way" in found["particle"]["spectra"]
    for split in ("test", "particle"):
        assert list(found[split]["errors"]) == list(found["test"]["errors"])
        assert found[split]["errors"].keys() == LABELS.keys() - {NEAREST}
        assert "wins with a mean absolute error" in found[split]["verdict"]
    read = read_report(folder / "report.json")
    assert json.loads(json.dumps(plain(read))) == report
    assert all(json.loads((folder / f"returned-{rank}.json").read_text()) == report for rank in (0, 1))

    with (folder / "history-direct-0.csv").open() as file:
        history = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in history] == list(range(1, 13))
    # Two ranks, and a warm-up of two epochs.
    assert [float(row["learning_rate"]) for row in history[:3]] == pytest.approx([0.004, 0.008, 0.008])
    best = min(history, key=lambda row: float(row["validation_mae"]))
    assert [int(best["epoch"])] == found["best_epochs"]

    with (folder / "parity-direct.csv").open() as file:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(file)]
    labels, predictions, _, half_widths = np.array(rows).T
    assert np.abs(predictions - labels).mean() == pytest.approx(found["test"]["errors"]["network"]["mae"])
    assert np.mean(np.abs(predictions - labels) <= half_widths) == pytest.approx(found["coverage"])

    model = load_model(folder)
    data = load_tensors(tensors)
    split = split_by_family(data.family, validation=0.1, calibration=0.1, test=0.1, seed=7)
    assert np.array_equal(labels, data.msd[split.test])
    assert np.shape(model.metadata.band) == (2, data.mesh.size)
    answers = model.predict(data.spectra)
    assert np.abs(answers.msd - data.msd).mean() < 0.5 * np.abs(data.msd - data.msd.mean()).mean()
    np.testing.assert_allclose(answers.distribution.sum(axis=1), 1.0, rtol=1e-5)
    assert (model.metadata.element, model.metadata.edge) == ("Au", "L3")
    assert plain(model.metadata.baseline_intervals["direct"]["ridge"]) == found["baseline_intervals"]["ridge"]


@pytest.mark.requires("horovod")
def test_two_ranks_train_on_averages_made_in_the_step(mpirun: Any, tensors: Path) -> None:
    made_for = campaign(**TRAINING | {"source": "on_the_fly", "epochs": 24})
    (tensors.parent / "campaign.json").write_text(made_for.resolved())
    folder = tensors.parent / "model"
    run_program(mpirun, 2, "train_synthetic.py", str(tensors), str(folder))
    test = json.loads((folder / "report.json").read_text())["modes"]["direct"]["test"]
    # The test split is of narrower distributions than those trained on.
    assert test["errors"]["network"]["mae"] < 0.75 * test["errors"]["mean"]["mae"]


@pytest.mark.requires("horovod")
def test_groups_of_ranks_train_the_networks_of_all_modes_side_by_side(mpirun: Any, tensors: Path) -> None:
    settings = TRAINING | {"members": 2, "modes": ["direct", "reference"], "epochs": 4, "fine_tuning": 3}
    made_for = campaign(**settings)
    (tensors.parent / "campaign.json").write_text(made_for.resolved())
    write_tensors(tensors, made_for, particles=8)
    folders = {ranks: tensors.parent / f"model-{ranks}" for ranks in (2, 3)}
    for ranks, folder in folders.items():
        run_program(mpirun, ranks, "train_synthetic.py", str(tensors), str(folder))
    reports = {ranks: json.loads((folder / "report.json").read_text()) for ranks, folder in folders.items()}
    assert [reports[ranks]["groups"] for ranks in (2, 3)] == [2, 3]
    assert reports[2]["tuned"] == 4
    # Each network was trained by one rank alone, whichever it was.
    for mode in ("direct", "reference"):
        assert (folders[2] / f"parity-{mode}.csv").read_bytes() == (folders[3] / f"parity-{mode}.csv").read_bytes()
        assert reports[2]["modes"][mode]["particle_before_fine_tuning"] is not None
    one, other = (NumpyNetwork.load(folders[2] / f"direct-{member}.npz").answers["msd"].kernel for member in (0, 1))
    assert not np.array_equal(one, other)

    data = load_tensors(tensors)
    rows = ParticleSplit.of(8, made_for).test
    pairs = ParticleSet.of(data, "reference", rows, rows)
    assert reports[2]["modes"]["reference"]["particle"]["n"] == len(pairs.msd) == 2
    assert reports[2]["modes"]["direct"]["interval"]["structures"] == 2
    assert not list(folders[2].glob("checkpoint-*"))


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history-direct-0.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.requires("horovod")
@pytest.mark.parametrize("source", ["tensors", "on_the_fly"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(mpirun: Any, tensors: Path, source: str) -> None:
    settings = TRAINING | {"dropout": 0.2, "source": source}
    (tensors.parent / "campaign.json").write_text(campaign(**settings).resolved())
    whole, stopped, fewer = (tensors.parent / name for name in ("whole", "stopped", "fewer"))
    run_program(mpirun, 2, "train_synthetic.py", str(tensors), str(whole))
    assert not list(tensors.parent.glob("*.unfinished"))
    program = [sys.executable, str(PROGRAMS / "train_synthetic.py"), str(tensors), str(stopped)]
    # Four steps an epoch and a look every twenty: the second is in epoch 10.
    interrupted = mpirun(2, *program, "--stop", "1", timeout=120)
    assert interrupted.returncode == RESUBMIT, interrupted.stderr
    assert "stopped with 0 of 1 networks trained" in interrupted.stdout
    assert len(history(unfinished_folder(stopped))) == 9
    assert not stopped.exists()
    shutil.copytree(unfinished_folder(stopped), unfinished_folder(fewer))
    again = mpirun(2, *program, timeout=120)
    assert "continuing after epoch 9" in again.stdout
    assert (stopped / "parity-direct.csv").read_bytes() == (whole / "parity-direct.csv").read_bytes()
    assert history(stopped) == history(whole)
    assert not (stopped / CHECKPOINT).exists()
    run_program(mpirun, 1, "train_synthetic.py", str(tensors), str(fewer))
    assert [row["epoch"] for row in history(fewer)] == [str(epoch) for epoch in range(1, 13)]
    assert history(fewer)[:9] == history(whole)[:9]
    report = json.loads((fewer / "report.json").read_text())
    test = report["modes"]["direct"]["test"]
    # On the fly the networks see wider distributions than those of the test split.
    assert test["errors"]["network"]["mae"] < (1.0 if source == "tensors" else 1.5) * test["errors"]["mean"]["mae"]


def test_a_checkpoint_of_another_campaign_or_a_damaged_one_is_not_gone_on_from(mpirun: Any, tensors: Path) -> None:
    folder = tensors.parent / "model"
    program = [sys.executable, str(PROGRAMS / "train_synthetic.py"), str(tensors), str(folder), "--no-horovod"]
    assert mpirun(1, *program, "--stop", "1", timeout=120).returncode == RESUBMIT
    left = (unfinished_folder(folder) / CHECKPOINT).read_bytes()
    (tensors.parent / "campaign.json").write_text(campaign(**TRAINING | {"epochs": 2, "kernel": 3}).resolved())
    other = mpirun(1, *program, timeout=120)
    assert (other.returncode, "continuing" in other.stdout) == (0, False)
    unfinished_folder(folder).mkdir()
    (unfinished_folder(folder) / CHECKPOINT).write_bytes(left[: len(left) // 2])
    (folder / "notes.txt").write_text("mine")
    cut = mpirun(1, *program, timeout=120)
    assert (cut.returncode, "continuing" in cut.stdout) == (0, False)
    assert sorted(path.name for path in (folder / "logs").iterdir())
    assert (folder / "notes.txt").read_text() == "mine"
    assert not unfinished_folder(folder).exists()


@pytest.mark.requires("horovod")
def test_usr1_stops_the_command_with_the_status_to_submit_it_again(tensors: Path, xanesml: str) -> None:
    endless = TRAINING | {"epochs": 100_000}
    file = tensors.parent / "synthetic.toml"
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in endless.items())
    file.write_text(f'name = "synthetic"\nseed = 7\n[distortion]\n[training]\n{keys}')
    command = [*mpirun_command(2), xanesml, "train", str(file), "-o", str(tensors.parent)]
    with subprocess.Popen(command, env=os.environ | MPI_AS_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "epoch 2/" in line)
        second = subprocess.run(command[-5:], capture_output=True, text=True, check=False)
        assert (second.returncode, second.stdout) == (2, "")
        assert re.fullmatch(r"xanesml: \S+/model is being written by process \d+ on .*\n", second.stderr)
        process.send_signal(signal.SIGUSR1)
        said = line + process.stdout.read()
        assert process.wait(60) == RESUBMIT
    assert "start the same command again" in said
    assert (tensors.parent / "model.unfinished" / CHECKPOINT).exists()


@pytest.mark.requires("horovod")
def test_a_rank_that_is_killed_ends_all_and_the_next_call_goes_on(tensors: Path, xanesml: str) -> None:
    file = tensors.parent / "synthetic.toml"
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in (TRAINING | {"epochs": 100_000}).items())
    file.write_text(f'name = "synthetic"\nseed = 7\n[distortion]\n[training]\n{keys}')
    command = [*mpirun_command(2), xanesml, "train", str(file), "-o", str(tensors.parent)]

    def until(process: subprocess.Popen[str], words: str) -> None:
        assert process.stdout is not None
        assert any(words in line for line in process.stdout), words

    with subprocess.Popen(command, env=os.environ | MPI_AS_ROOT, stdout=subprocess.PIPE, text=True) as process:
        until(process, "epoch 3/")
        ranks = [child for child in psutil.Process(process.pid).children(recursive=True) if "train" in child.cmdline()]
        assert len(ranks) == 2
        ranks[1].kill()
        assert process.wait(60) not in (0, RESUBMIT)
        # On a busy machine mpirun may be gone before the ranks that it killed.
        _, left = psutil.wait_procs(ranks, timeout=10)
        assert [rank for rank in left if rank.status() != psutil.STATUS_ZOMBIE] == []
    assert not (tensors.parent / "model").exists()
    with subprocess.Popen(command, env=os.environ | MPI_AS_ROOT, stdout=subprocess.PIPE, text=True) as process:
        until(process, "continuing after epoch")
        until(process, "epoch 5/")
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == RESUBMIT


def test_one_process_trains_reproducibly_without_horovod(mpirun: Any, tensors: Path) -> None:
    folders = [tensors.parent / name for name in ("first", "again")]
    for folder in folders:
        run_program(mpirun, 1, "train_synthetic.py", str(tensors), str(folder), "--no-horovod")
    first, again = (json.loads((folder / "report.json").read_text()) for folder in folders)
    assert first["ranks"] == 1
    test = first["modes"]["direct"]["test"]
    assert test["errors"]["network"]["mae"] < 0.5 * test["errors"]["mean"]["mae"]
    assert test == again["modes"]["direct"]["test"]


def test_two_ranks_without_horovod_are_refused_in_one_line(mpirun: Any, tensors: Path) -> None:
    folder = tensors.parent / "model"
    done = mpirun(
        2, sys.executable, str(PROGRAMS / "train_synthetic.py"), str(tensors), str(folder), "--no-horovod", timeout=120
    )
    assert done.returncode != 0
    assert "EnvironmentProblem: training one network on 2 ranks needs Horovod" in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()
    assert not list(unfinished_folder(folder).iterdir())
