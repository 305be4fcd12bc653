"""Simulations that are killed at a random moment, and what is left of them.

Shared by tests/parallel/test_kill.py and benchmarks/kills.py. Reads /proc: Linux only.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
from conftest import MPI_AS_ROOT, mpirun_command

from xanesml.feff.outcomes import Outcome
from xanesml.files.layout import STORE, row_arrays
from xanesml.store.rows import torn_rows

#: A rank; the launcher alone; the launcher with all ranks at once; a FEFF that runs.
VICTIMS = ("rank", "launcher", "job", "feff")

#: What has to be as without a kill; the other columns tell of time and place.
SPECTRA = ("spectra/energy", "spectra/mu", "spectra/mu0", "spectra/points", "spectra/edge", "runs/outcome")

#: How long anything here may take, s.
PATIENCE = 120.0


@dataclass(frozen=True)
class Kill:
    """A kill.

    Attributes
    ----------
    victim : str
        Who was killed; "nobody" where the simulation had ended before.
    done : int
        Rows done when the kill fell.
    torn : int
        Rows afterwards that do not match their checksum.
    told : int
        Such rows by the word of the next start.
    restart : float or None
        Time from the next start to its first row, s; None where nothing was left to run.
    """

    victim: str
    done: int
    torn: int
    told: int = 0
    restart: float | None = None


@dataclass
class Trial:
    """A campaign that was killed once or twice and then completed.

    Attributes
    ----------
    seed, writer, ranks : int, str, int
        What it was.
    kills : list of Kill
        The kills in order.
    lost : int
        Rows that were done at some time and were not any more, or had other bytes, later.
    remains : list of str
        Processes, folders and files that nobody removed.
    torn_in_the_end : int
        Rows of the complete store that do not match their checksum.
    different : int
        Tasks whose spectra are not bit for bit those of an undisturbed run.
    """

    seed: int
    writer: str
    ranks: int
    kills: list[Kill] = field(default_factory=list)
    lost: int = 0
    remains: list[str] = field(default_factory=list)
    torn_in_the_end: int = 0
    different: int = 0


class Simulation:
    """`xanesml simulate` under mpirun, watched from outside; ended when its `with` block is left."""

    def __init__(self, command: list[str], store: Path, *, ranks: int, env: dict[str, str]) -> None:
        self.store = store
        self.began = time.monotonic()
        self._out, self._err = store.parent.with_suffix(".out"), store.parent.with_suffix(".err")
        # Files and not pipes, which a process that survives would keep open.
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*mpirun_command(ranks), *command], env=os.environ | MPI_AS_ROOT | env, stdout=out, stderr=err
            )

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            for pid in (self.process.pid, *children(self.process.pid)):
                _kill(pid)
            self.process.wait()

    def completed(self) -> subprocess.CompletedProcess[str]:
        """Return how it ended, as `subprocess.run` does."""
        return subprocess.CompletedProcess("", self.process.returncode, self._out.read_text(), self._err.read_text())

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def said(self) -> str:
        return self._out.read_text() + self._err.read_text()

    def wait_for(self, condition: Callable[[], bool], what: str) -> bool:
        """Wait until something is so; False where the simulation ended without."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None:
                return condition()
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.said}"
            time.sleep(0.001)
        return True

    def wait_for_rows(self, count: int) -> bool:
        return self.wait_for(lambda: len(done_tasks(self.store)) >= count, f"{count} rows")

    def first_row(self, known: int) -> float | None:
        """Return the time from the start to the first row beyond those known, s; None where none came."""
        return time.monotonic() - self.began if self.wait_for_rows(known + 1) else None

    def kill(self, victim: str, scratch: Path, rng: np.random.Generator) -> tuple[bool, list[int]]:
        """Send SIGKILL to a victim; return whether there was one, and the tasks done just before.

        One that ends by itself before the signal comes is followed by the next.
        """
        pids: list[int] = []

        def found() -> bool:
            pids[:] = self._victims(victim, scratch, rng)
            return bool(pids)

        while self.wait_for(found, f"the victim {victim}"):
            seen = done_tasks(self.store)
            hits = [_kill(pid) for pid in pids]
            if any(hits):
                return True, seen
        return False, done_tasks(self.store)

    def _victims(self, victim: str, scratch: Path, rng: np.random.Generator) -> list[int]:
        ranks = children(self.process.pid)
        if victim == "feff":
            return processes_in(scratch)[:1]
        if victim == "rank":
            return [int(rng.choice(ranks))] if ranks else []
        return [self.process.pid, *(ranks if victim == "job" else [])]


def children(parent: int) -> list[int]:
    """Return the process ids of a process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The command in parentheses may hold blanks.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def processes_in(folder: Path) -> list[int]:
    """Return the processes that work in a folder, removed or not."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if str(link.readlink()).startswith(f"{folder}/"):
                found.append(int(link.parent.name))
    return found


def left_behind(scratch: Path) -> list[str]:
    """Return what is still in a scratch folder after a while: folders, and processes at work there."""
    deadline = time.monotonic() + 15
    while True:
        remains = [f"folder {path}" for path in scratch.iterdir()]
        remains += [f"process {pid}" for pid in processes_in(scratch)]
        if not remains or time.monotonic() > deadline:
            return remains
        time.sleep(0.01)


def done_tasks(store: Path) -> list[int]:
    """Return the tasks marked done, read past HDF5 as they are on disk at this moment; none without a store."""
    if store not in _columns:
        if not store.exists():
            return []
        with h5py.File(store, locking=False) as file:
            _columns[store] = file["runs/outcome"].id.get_offset(), len(file["runs/outcome"])
    offset, count = _columns[store]
    return np.flatnonzero(np.fromfile(store, np.uint8, count, offset=offset) == Outcome.DONE).tolist()


_columns: dict[Path, tuple[int, int]] = {}


def done_rows(store: Path) -> tuple[dict[int, bytes], int]:
    """Return the bytes of every row that is done and matches its checksum, and how many rows do not match."""
    with h5py.File(store, locking=False) as file:
        torn = torn_rows(file).tolist()
        columns = [np.ascontiguousarray(file[array.path][:]) for array in row_arrays(STORE)]
        done = np.flatnonzero(file["runs/outcome"][:] == Outcome.DONE).tolist()
    return {task: b"".join(column[task].tobytes() for column in columns) for task in set(done) - set(torn)}, len(torn)


def different_spectra(store: Path, reference: Path) -> int:
    """Count the tasks whose spectra or outcomes are not bit for bit those of another store."""
    with h5py.File(store, locking=False) as here, h5py.File(reference, locking=False) as there:
        differs = np.zeros(len(here["runs/outcome"]), bool)
        for path in SPECTRA:
            octets = [
                np.ascontiguousarray(file[path][:]).reshape(len(differs), -1).view(np.uint8) for file in (here, there)
            ]
            differs |= (octets[0] != octets[1]).any(axis=1)
    return int(differs.sum())


def run_trial(
    seed: int,
    folder: Path,
    *,
    xanesml: str,
    campaign: Path,
    reference: Path,
    victims: tuple[str, ...] = VICTIMS,
    pace: float = 0.03,
    nap: float = 0.1,
) -> Trial:
    """Run a campaign, kill it at moments drawn from the seed, let it complete, and compare.

    Parameters
    ----------
    seed : int
        Moments are drawn from it; victims, writers and ranks take turns with it. Every
        fourth seed kills twice; every third lets runs fail at first, so that rows are
        written over.
    folder : Path
        An empty folder.
    xanesml, campaign : str, Path
        The console command and the campaign file.
    reference : Path
        Store of the same campaign that nobody disturbed.
    victims : tuple of str
        Who may be killed.
    pace : float
        Time that a fake FEFF takes at least, s.
    nap : float
        Longest time between the last row looked for and the kill, s.
    """
    rng = np.random.default_rng(seed)
    turn, which = divmod(seed, len(victims))
    trial = Trial(seed, writer=("mpio", "root")[turn % 2], ranks=2 + turn // 2 % 2)
    store, scratch = folder / "out" / "store.h5", folder / "scratch"
    scratch.mkdir()
    command = [xanesml, "simulate", str(campaign), "-o", str(store.parent)]
    command += ["--writer", trial.writer, "--scratch", str(scratch)]
    kept: dict[int, bytes] = {}
    total = len(done_tasks(reference))

    def start(fake: str) -> Simulation:
        env = {"FAKE_FEFF_SECONDS": str(pace), "FAKE_FEFF": fake}
        simulation = at_the_end.enter_context(Simulation(command, store, ranks=trial.ranks, env=env))
        seconds = simulation.first_row(len(kept))
        if trial.kills:
            trial.kills[-1] = replace(trial.kills[-1], restart=seconds)
        return simulation

    def end(simulation: Simulation) -> int:
        """Take stock after a simulation; return how many rows do not match their checksum."""
        simulation.process.wait(PATIENCE)
        trial.remains += left_behind(scratch)
        if trial.kills:
            told = re.search(r"(\d+) rows did not match", simulation.output)
            trial.kills[-1] = replace(trial.kills[-1], told=int(told[1]) if told else 0)
        rows, torn = done_rows(store)
        trial.lost += sum(rows.get(task) != content for task, content in kept.items())
        kept.update(rows)
        return torn

    with ExitStack() as at_the_end:
        for number in range(2 if seed % 4 == 2 else 1):
            victim = victims[(which + number) % len(victims)]
            simulation = start("fail@6" if seed % 3 == 0 and not number else "succeed")
            wanted = len(kept) + int(rng.integers(1, max(2, (total - len(kept)) // 2)))
            simulation.wait_for_rows(wanted)
            time.sleep(rng.uniform(0, nap))
            hit, seen = simulation.kill(victim, scratch, rng)
            torn = end(simulation)
            trial.lost += len(set(seen) - kept.keys())
            trial.kills.append(Kill(victim if hit else "nobody", len(seen), torn))
        if len(kept) < total or torn:
            simulation = start("succeed")
            torn = end(simulation)
            assert simulation.process.returncode == 0, simulation.said
    trial.torn_in_the_end = torn
    known = {"store.h5", "store.journal", "store.totals", ".store.h5.lock", "failed"}
    trial.remains += sorted({path.name for path in store.parent.iterdir()} - known)
    trial.different = different_spectra(store, reference)
    return trial


def run_undisturbed(xanesml: str, campaign: Path, folder: Path) -> tuple[Path, float]:
    """Run a campaign to its end; return its store, and the time from the start to the first row, s."""
    command = [xanesml, "simulate", str(campaign), "-o", str(folder)]
    with Simulation(command, folder / "store.h5", ranks=2, env={}) as simulation:
        seconds = simulation.first_row(0)
        assert simulation.process.wait(PATIENCE) == 0, simulation.said
        assert seconds is not None
    return simulation.store, seconds


def _kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False
