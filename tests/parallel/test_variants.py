"""Variants of a campaign's cards, farmed behind its own tasks: by real FEFF, added later, killed in the middle."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import FAKE_CAMPAIGN, MpiRun
from killing import PATIENCE, Simulation, done_rows, processes_in

from xanesml.files.layout import STORE, row_arrays
from xanesml.store.rows import open_store_file
from xanesml.validation import validate

pytestmark = pytest.mark.requires("mpi")

#: Two runs of FEFF10.
FEFF_CAMPAIGN = """
name = "short"
[structure]
atoms = 13
[distortion]
minimum = -0.05
maximum = 0.05
step = 0.1
[feff]
scf = false
corval = false
fms_radius = 3.5
"""

OTHER_CARDS = "exchange = [0, 1.0, 0.5]\n"

#: The first of them, and every other one, in other cards.
VARIANT = f'[feff.variants.other]\n{OTHER_CARDS}structures = "::2"\n'

#: Seven runs of a fake FEFF, and four of these in other cards.
FAKE = re.sub(r"\[disorder\][^\[]*", "", FAKE_CAMPAIGN).replace("step = 0.05", "step = 0.15")
FAKE = FAKE.replace("timeout = 5", "timeout = 900")
OWN, ADDED = 7, 4

#: What depends on when and where a run was made.
PROVENANCE = ("runs/seconds", "runs/cpu_seconds", "runs/memory", "runs/finished", "runs/checksum")


def columns(store: Path, rows: slice = slice(None), without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the bytes of rows, by column."""
    with h5py.File(store) as file:
        return {a.path: file[a.path][rows].tobytes() for a in row_arrays(STORE) if a.path not in without}


def tasks_run(store: Path) -> list[int]:
    """Return the tasks of the latest call that ended, ascending."""
    entries = [json.loads(line) for line in store.with_suffix(".journal").read_text().splitlines()]
    start = max(number for number, entry in enumerate(entries) if entry["event"] == "start")
    return sorted(entry["task"] for entry in entries[start:] if entry["event"] == "run")


@pytest.mark.feff
def test_rows_of_a_variant_are_those_of_a_campaign_of_its_own(mpirun: MpiRun, xanesml: str, tmp_path: Path) -> None:
    def simulate(name: str, text: str, output: str) -> Path:
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        done = mpirun(2, xanesml, "simulate", str(tmp_path / f"{name}.toml"), "-o", str(tmp_path / output))
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / output / "store.h5"

    store = simulate("own", FEFF_CAMPAIGN, "out")
    before = columns(store)
    assert simulate("varied", FEFF_CAMPAIGN + VARIANT, "out") == store
    assert tasks_run(store) == [2]
    assert columns(store, slice(0, 2)) == before
    other = simulate("other", FEFF_CAMPAIGN + OTHER_CARDS, "other")
    assert columns(store, slice(2, 3), PROVENANCE) == columns(other, slice(0, 1), PROVENANCE)
    assert columns(store, slice(2, 3), PROVENANCE) != columns(store, slice(0, 1), PROVENANCE)
    with open_store_file(store) as file, open_store_file(other) as alone:
        assert file["tasks/identity"][2] == alone["tasks/identity"][0]
    assert validate(store).lines() == [
        f"{store}: valid: xanesml-store version {STORE.version}, 3 tasks (1 in other): 3 done"
    ]


@pytest.mark.requires("linux")
def test_added_variants_survive_a_kill_and_leave_the_other_rows(mpirun: MpiRun, xanesml: str, tmp_path: Path) -> None:
    campaign, store, scratch = tmp_path / "fake.toml", tmp_path / "out" / "store.h5", tmp_path / "scratch"
    command = [xanesml, "simulate", str(campaign), "-o", str(store.parent), "--scratch", str(scratch)]
    scratch.mkdir()
    campaign.write_text(FAKE, encoding="utf-8")
    done = mpirun(2, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    before = columns(store)
    campaign.write_text(FAKE + VARIANT, encoding="utf-8")
    # No run ends before the kill, however slow the machine is.
    with Simulation(command, store, ranks=2, env={"FAKE_FEFF_SECONDS": "600"}) as simulation:
        assert simulation.wait_for(lambda: len(processes_in(scratch)) >= 2, "runs of both ranks")
        assert simulation.kill("job", scratch, np.random.default_rng(1))[0]
        simulation.process.wait(PATIENCE)
    assert "4 tasks added (4 in other)" in simulation.output
    kept, _ = done_rows(store)
    assert kept.keys() == set(range(OWN))
    assert columns(store, slice(0, OWN)) == before

    done = mpirun(2, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{OWN} of {OWN + ADDED} tasks done, {ADDED} to run ({ADDED} in other)" in done.stdout
    assert tasks_run(store) == list(range(OWN, OWN + ADDED))
    rows, torn = done_rows(store)
    assert (len(rows), torn) == (OWN + ADDED, 0)
    assert {task: rows[task] for task in kept} == kept
    assert columns(store, slice(0, OWN)) == before
