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

from xanesml.feff.engine import make_engine, run_feff
from xanesml.files.layout import STORE, row_arrays
from xanesml.store.plan import load_campaign
from xanesml.store.rows import open_store_file, read_spectrum
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


def columns(store: Path, rows: slice = slice(None)) -> dict[str, bytes]:
    """Return the bytes of rows, by column."""
    with h5py.File(store) as file:
        return {a.path: file[a.path][rows].tobytes() for a in row_arrays(STORE)}


def tasks_run(store: Path) -> list[int]:
    """Return the tasks of the latest call that ended, ascending."""
    entries = [json.loads(line) for line in store.with_suffix(".journal").read_text().splitlines()]
    start = max(number for number, entry in enumerate(entries) if entry["event"] == "start")
    return sorted(entry["task"] for entry in entries[start:] if entry["event"] == "run")


@pytest.mark.feff
def test_rows_of_a_variant_are_those_of_a_campaign_of_its_own(mpirun: MpiRun, xanesml: str, tmp_path: Path) -> None:
    path, store = tmp_path / "campaign.toml", tmp_path / "out" / "store.h5"

    def simulate(text: str) -> None:
        path.write_text(text, encoding="utf-8")
        done = mpirun(2, xanesml, "simulate", str(path), "-o", str(store.parent))
        assert done.returncode == 0, done.stdout + done.stderr

    simulate(FEFF_CAMPAIGN)
    before = columns(store)
    simulate(FEFF_CAMPAIGN + VARIANT)
    assert tasks_run(store) == [2]
    assert columns(store, slice(0, 2)) == before
    path.write_text(FEFF_CAMPAIGN + OTHER_CARDS, encoding="utf-8")
    other = load_campaign(path)
    engine, table = make_engine(other.engine), other.tasks()
    alone = run_feff(engine, tmp_path / "run", *table.inputs(0))
    with open_store_file(store) as file:
        assert file["tasks/identity"][2] == table.identities(engine.identity, slice(0, 1), table.positions[:1])[0]
        found, own = read_spectrum(file, 2), read_spectrum(file, 0)
    assert alone.spectrum is not None
    for name in ("energy", "mu", "mu0", "edge"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone.spectrum, name))
    assert not np.array_equal(found.mu, own.mu)
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
