"""Reference runs of FEFF by cluster, what their programs use, and a record of it that outlives a broken call."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xanesml.campaign import FeffSection, StructureSection
from xanesml.feff.cards import feff_input
from xanesml.feff.feff10 import stage_command
from xanesml.feff.process import clean_environment, raise_stack_limit
from xanesml.feff.request import Request
from xanesml.structures import build_cluster, disorder, distort

#: Atoms of the gold cluster, displacement σ or shift δ of the first shell in Å, and the absorber: reference cards all.
CASES: dict[str, tuple[int, str, float, str]] = {
    "55-disorder": (55, "disorder", 0.1, "center"),
    "55-distorted": (55, "distorted", 0.1, "center"),
    "561-disorder": (561, "disorder", 0.1, "center"),
    "561-distorted": (561, "distorted", 0.1, "center"),
    "55-vertex": (55, "distorted", 0.0, "vertex"),
}

# Starts a program from a process that is small itself: the peak of a process includes what the process was that
# made it, and this one has numpy and ase.
LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
child = os.fork()
if child == 0:
    os.dup2(2, 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - began
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, cpu, usage.ru_maxrss / 1024, usage.ru_minflt]))
"""


@dataclass(frozen=True)
class Used:
    """What a program and the children it waited for used: s, s, MiB of the largest, and page faults."""

    seconds: float
    cpu: float
    memory: float
    faults: int


def case_input(name: str) -> tuple[str, Request]:
    """Return the feff.inp of a case, and what its output must agree with."""
    atoms, kind, length, site = CASES[name]
    cluster = build_cluster(StructureSection(atoms=atoms))
    scale = 1.0
    if kind == "disorder":
        positions = disorder(cluster, np.array([length]), seed=1, first=0)[0]
    else:
        positions, scale = distort(cluster, np.array([length]))[0], 1 + length / cluster.first_shell
    distances = np.linalg.norm(positions - positions[cluster.absorber], axis=1)
    absorber = cluster.absorber if site == "center" else int(np.argmax(distances))
    feff = FeffSection()
    text = feff_input(numbers=cluster.numbers, positions=positions, absorber=absorber, feff=feff, scale=scale)
    return text, Request.of(feff, absorber_number=int(cluster.numbers[absorber]), scale=scale)


def used(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Used:
    """Run a program in a folder and return what it used; one that fails ends the benchmark."""
    raise_stack_limit()
    log = folder / "benchmark.log"
    with log.open("wb") as output:
        launcher = subprocess.run(
            [sys.executable, "-IS", "-c", LAUNCHER, *command],
            cwd=folder,
            env=environment or clean_environment(),
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            check=True,
        )
    status, *numbers = json.loads(launcher.stdout)
    if status:
        sys.exit(f"{' '.join(command)}: exit status {status}\n{log.read_text(errors='replace')[-2000:]}")
    return Used(*numbers)


def prepared(folder: Path, name: str, *stages: str) -> Path:
    """Return a folder in which some of FEFF's stages have run for a case, made by the first call."""
    ready = folder / name / "-".join(stages)
    if not ready.exists():
        unfinished = ready.with_name(f"{ready.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        (unfinished / "feff.inp").write_text(case_input(name)[0], encoding="utf-8")
        used(stage_command(unfinished, *stages), unfinished)
        unfinished.rename(ready)
    return ready


def copied(source: Path, name: str) -> Path:
    """Return a fresh copy of a prepared folder beside it."""
    target = source.with_name(name)
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


class Record:
    """Measurements by their words, kept in a file as they are made.

    Parameters
    ----------
    path : Path
        The file.
    resume : bool
        Whether those of earlier calls count.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        if not resume:
            path.unlink(missing_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._made: list[tuple[list[str], Used]] = [
            (words, Used(**numbers)) for words, numbers in map(json.loads, lines)
        ]

    def of(self, *words: str) -> list[Used]:
        """Return the measurements of these words, oldest first."""
        return [measured for these, measured in self._made if these == list(words)]

    def add(self, measured: Used, *words: str) -> None:
        """Keep a measurement."""
        self._made.append((list(words), measured))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([words, asdict(measured)]) + "\n")

    def in_turn(self, repeats: int, ways: Mapping[tuple[str, ...], Callable[[], Used]]) -> None:
        """Measure in turn, so that a busy moment falls on all, until each way has been measured often enough."""
        for done in range(repeats):
            for words, measure in ways.items():
                if len(self.of(*words)) <= done:
                    self.add(measure(), *words)

    def median(self, *words: str) -> Used:
        """Return the medians of the measurements of these words."""
        made = self.of(*words)
        return Used(
            seconds=statistics.median(one.seconds for one in made),
            cpu=statistics.median(one.cpu for one in made),
            memory=max(one.memory for one in made),
            faults=round(statistics.median(one.faults for one in made)),
        )


def arguments(parser: argparse.ArgumentParser, cases: Sequence[str], repeats: int = 3) -> argparse.Namespace:
    """Add the options that the benchmarks of FEFF's cost share, and parse the command line."""
    parser.add_argument("--case", action="append", choices=cases, help="only this case; may be given again")
    parser.add_argument("--repeats", type=int, default=repeats, help="measurements of each way; their median counts")
    parser.add_argument("--folder", type=Path, help="where prepared runs are kept for the next call")
    parser.add_argument("--resume", action="store_true", help="go on with the measurements in the folder")
    options = parser.parse_args()
    options.case = options.case or list(cases)
    return options


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder given, made if missing, or a temporary one."""
    if given is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute()


def row(*cells: object) -> None:
    """Print a row of a Markdown table at once."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def heading(*cells: str) -> None:
    """Print the head of a Markdown table."""
    row(*cells)
    row(*("---" for _ in cells))
