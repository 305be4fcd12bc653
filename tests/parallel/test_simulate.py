"""The simulation driver with a fake FEFF: farming, resuming, failing, stopping."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import FAKE_CAMPAIGN, MPI_AS_ROOT, MpiRun, mpirun_command
from killing import different_spectra, done_tasks, run_undisturbed

from hpc.drain import RESUBMIT
from hpc.farming.feff_lead import KEPT_FAILURES

pytestmark = pytest.mark.requires("mpi")

TASKS = 19 + 2 * 13


def spectra(store: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with h5py.File(store) as file:
        return file["runs/outcome"][:], file["spectra/mu"][:]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, xanesml: str) -> Path:
    """The store of `FAKE_CAMPAIGN` on two ranks."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "fake.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    return run_undisturbed(xanesml, folder / "fake.toml", folder / "out")[0]


@pytest.mark.parametrize("writer", ["mpio", "root"])
@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_every_task_is_done_whatever_the_ranks(
    mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path, reference: Path, ranks: int, writer: str
) -> None:
    done = mpirun(ranks, xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out"), "--writer", writer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TASKS} done; {TASKS} runs" in done.stdout
    assert done.stdout.count("laid out for") == 1, "only rank 0 talks"
    last, store = done.stdout.splitlines()[-1], tmp_path / "out" / "store.h5"
    assert last.startswith(f"made {TASKS} FEFF runs in {store} in ")
    assert last.endswith(f"; next: mpirun xanesml average {fake_campaign} --output {tmp_path / 'out'}")
    assert different_spectra(tmp_path / "out" / "store.h5", reference) == 0


def test_started_again_only_what_is_missing_runs(
    mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path
) -> None:
    command = [xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out")]
    first = mpirun(2, *command, env={"FAKE_FEFF": "fail@4"})
    outcome, mu = spectra(tmp_path / "out" / "store.h5")
    failed = int((outcome != 2).sum())
    assert 0 < failed < TASKS
    assert first.returncode == 3
    assert f"{failed} crashed, {TASKS - failed} done" in first.stdout
    assert first.stdout.endswith(f"; next: xanesml status {fake_campaign} --output {tmp_path / 'out'}\n")
    assert np.isnan(mu[outcome != 2]).all(), "a failed run leaves no numbers"
    runs = [json.loads(line) for line in (tmp_path / "out" / "store.journal").read_text().splitlines()]
    failures = Counter(run["rank"] for run in runs if run.get("outcome") == "crashed")
    kept = list((tmp_path / "out" / "failed").iterdir())
    assert len(kept) == sum(min(count, KEPT_FAILURES) for count in failures.values())
    assert {path.name for path in kept} <= {f"task-{task:06d}" for task in np.flatnonzero(outcome != 2)}
    assert all((path / "feff.inp").is_file() for path in kept)

    second = mpirun(2, *command)
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"{TASKS - failed} of {TASKS} tasks done, {failed} to run" in second.stdout
    assert f"{TASKS} done; {failed} runs" in second.stdout
    again, mu_again = spectra(tmp_path / "out" / "store.h5")
    assert (again == 2).all()
    np.testing.assert_array_equal(mu_again[outcome == 2], mu[outcome == 2])

    third = mpirun(2, *command)
    assert f"{TASKS} done; 0 runs" in third.stdout


def test_a_torn_row_is_run_again(mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path) -> None:
    command = [xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out")]
    mpirun(2, *command)
    store = tmp_path / "out" / "store.h5"
    _, mu = spectra(store)
    with h5py.File(store, "r+") as file:
        file["spectra/mu"][7, 3] += 1e-9
    done = mpirun(2, *command)
    assert "1 rows did not match their checksum and are run again" in done.stdout
    assert f"{TASKS} done; 1 runs" in done.stdout
    np.testing.assert_array_equal(spectra(store)[1], mu)


@pytest.mark.parametrize(
    ("mode", "label"),
    [
        ("hang@12", "timed-out"),
        ("truncate@6", "bad-output"),
        ("nothing@6", "bad-output"),
        ("wrong-edge@6", "bad-output"),
    ],
)
def test_a_bad_run_is_an_outcome_and_the_rest_goes_on(
    mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path, mode: str, label: str
) -> None:
    done = mpirun(
        2, xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out"), env={"FAKE_FEFF": mode}, timeout=120
    )
    assert done.returncode == 3
    counts = re.search(rf"(\d+) {label}", done.stdout.splitlines()[-3])
    assert counts, done.stdout
    outcome, _ = spectra(tmp_path / "out" / "store.h5")
    assert (outcome == 2).sum() == TASKS - int(counts[1])


def test_too_many_failures_end_the_call(mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path) -> None:
    text = fake_campaign.read_text(encoding="utf-8")
    fake_campaign.write_text(text.replace("max_failed = 1", "max_failed = 0.1"), encoding="utf-8")
    command = (xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out"))
    done = mpirun(2, *command, env={"FAKE_FEFF": "nothing"})
    assert done.returncode == 4, done.stdout + done.stderr
    assert "5 tasks have failed, more than engine.max_failed allows: no further tasks" in done.stdout
    ended = int((spectra(tmp_path / "out" / "store.h5")[0] != 0).sum())
    # A tenth of 45 tasks, the next one, and what ran on the other rank by then.
    assert 5 <= ended < TASKS // 2
    assert mpirun(2, *command).returncode == 0


@pytest.mark.parametrize(
    ("number", "ranks"), [(signal.SIGUSR1, 1), (signal.SIGTERM, 1), (signal.SIGUSR1, 2), (signal.SIGUSR2, 2)]
)
def test_a_signal_stops_early_and_asks_for_more(
    xanesml: str, fake_campaign: Path, tmp_path: Path, number: signal.Signals, ranks: int
) -> None:
    store = tmp_path / "out" / "store.h5"
    process = subprocess.Popen(
        [
            *(mpirun_command(ranks) if ranks > 1 else ()),
            xanesml,
            "simulate",
            str(fake_campaign),
            "-o",
            str(store.parent),
        ],
        env=os.environ | MPI_AS_ROOT | {"FAKE_FEFF_SECONDS": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )

    def runs() -> int:
        return len(done_tasks(store))

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and runs() < ranks:
        time.sleep(0.02)
    # Well within the next run of every rank.
    time.sleep(0.5)
    before = runs()
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == RESUBMIT, out
    assert "start the same command again" in out
    finished = ranks if number == signal.SIGUSR1 else 0
    assert runs() == before + finished
    outcome, _ = spectra(store)
    assert store.with_suffix(".journal").read_text().count('"run"') == runs()
    assert (outcome[outcome != 2] == 0).all(), "what was abandoned is pending"
    status = subprocess.run(
        [xanesml, "status", str(fake_campaign), "-o", str(store.parent)], capture_output=True, text=True, check=True
    )
    assert f"tasks: {runs()} of {TASKS} done" in status.stdout


def test_a_changed_campaign_takes_over_what_it_has_in_common(
    mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    mpirun(2, xanesml, "simulate", str(fake_campaign), "-o", str(first))
    with h5py.File(first / "store.h5", "r+") as file:
        file["spectra/mu"][4, 0] += 1e-9
    fake_campaign.write_text(
        FAKE_CAMPAIGN.replace("structures = 2", "structures = 1").replace("step = 0.05", "step = 0.025")
    )
    second = tmp_path / "second"
    command = [xanesml, "simulate", str(fake_campaign), "-o", str(second), "--reuse"]
    missing = mpirun(2, *command, str(tmp_path / "none.h5"))
    assert missing.returncode == 2
    assert "none.h5 does not exist" in missing.stderr
    assert not second.exists()
    done = mpirun(2, *command, str(first / "store.h5"))
    # Every second distortion and the structure with the smallest σ are the same; one row is torn.
    assert f"{19 + 13 - 1} tasks taken over" in done.stdout
    assert f"{37 + 13} done; {37 + 13 - 31} runs" in done.stdout
    np.testing.assert_array_equal(spectra(second / "store.h5")[1][6], spectra(first / "store.h5")[1][3])


def test_parts_that_ran_apart_make_one_store(mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path) -> None:
    without_series = re.sub(r"\[distortion\][^\[]*", "", FAKE_CAMPAIGN)
    parts = {"some": (FAKE_CAMPAIGN, range(6)), "others": (without_series, range(6, 13))}
    command, stores = [xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "whole")], []
    for name, (text, absorbers) in parts.items():
        part = tmp_path / f"{name}.toml"
        only = text.replace("[disorder]", f"[disorder]\nabsorbers = {list(absorbers)}")
        part.write_text(only.replace('name = "fake"', f'name = "{name}"'))
        assert mpirun(2, xanesml, "simulate", str(part), "-o", str(tmp_path / name)).returncode == 0
        stores.append(str(tmp_path / name / "store.h5"))
        command += ["--reuse", stores[-1]]
    done = mpirun(1, *command)
    assert f"{19 + 2 * 6} tasks taken over from {stores[0]}" in done.stdout, done.stderr
    assert f"{2 * 7} tasks taken over from {stores[1]}" in done.stdout
    assert f"{TASKS} done; 0 runs" in done.stdout
    assert mpirun(2, xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "alone")).returncode == 0
    for joined, alone in zip(*(spectra(tmp_path / name / "store.h5") for name in ("whole", "alone")), strict=True):
        np.testing.assert_array_equal(joined, alone)


def test_averaging_and_training_settings_may_change(
    mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path
) -> None:
    command = [xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out")]
    mpirun(1, *command)
    fake_campaign.write_text(FAKE_CAMPAIGN.replace("families = 300", "families = 60"))
    assert f"{TASKS} done; 0 runs" in mpirun(1, *command).stdout


def test_scratch_is_left_empty(mpirun: MpiRun, xanesml: str, fake_campaign: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    mpirun(2, xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "out"), "--scratch", str(scratch))
    assert list(scratch.iterdir()) == []
    shutil.rmtree(scratch)
    missing = mpirun(
        2, xanesml, "simulate", str(fake_campaign), "-o", str(tmp_path / "other"), "--scratch", str(scratch)
    )
    assert missing.returncode == 2
    assert missing.stderr.count("xanesml: cannot make a scratch folder in") == 1
