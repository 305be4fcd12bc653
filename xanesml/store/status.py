"""The progress of a simulation, read from its journal."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.store.journal import journal_path

#: Failed and slowest tasks that a status keeps.
_REMEMBERED = 100

#: Ranks below this share of the mean load are named.
_IDLE = 0.5


class Finished(NamedTuple):
    """A finished task, as in the journal."""

    seconds: float
    task: int
    outcome: str
    rank: int
    message: str


@dataclass
class Status:
    """The state of the latest call of `simulate`, from its journal.

    Attributes
    ----------
    before : Counter
        Tasks of the store by outcome label when the call began.
    pending : int
        Tasks left to run when it began.
    ranks : int
        Ranks of the call.
    outcomes : Counter
        Runs of the call by outcome label.
    busy : dict of int to float
        Seconds that each rank spent in FEFF runs that have ended.
    running : dict
        For each working rank: when its tasks were dispatched (seconds since 1970), and their numbers.
    slowest : list of Finished
        The slowest runs, slowest first; at most 100.
    failed : list of Finished
        The latest runs that failed; at most 100.
    retired : dict
        Ranks that take no further tasks, and why.
    began, latest : float
        Times of the call's first and last line, seconds since 1970.
    ended : bool
        Whether the call has ended.
    """

    before: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    ranks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    busy: dict[int, float] = field(default_factory=dict)
    running: dict[int, tuple[float, list[int]]] = field(default_factory=dict)
    slowest: list[Finished] = field(default_factory=list)
    failed: list[Finished] = field(default_factory=list)
    retired: dict[int, str] = field(default_factory=dict)
    began: float = 0.0
    latest: float = 0.0
    ended: bool = False

    @property
    def tasks(self) -> int:
        """Tasks in the store."""
        return self.before.total()

    @property
    def left(self) -> int:
        """Tasks not yet run by the call."""
        return self.pending - self.outcomes.total()

    @property
    def done(self) -> int:
        """Tasks done in all."""
        return self.before[Outcome.DONE.label] + self.outcomes[Outcome.DONE.label]

    def totals(self) -> Counter[str]:
        """Tasks by outcome label; a task that failed in an earlier call counts as pending until it runs again."""
        pending = Outcome.PENDING.label
        totals = Counter({pending: self.tasks, Outcome.DONE.label: self.before[Outcome.DONE.label]})
        totals[pending] -= self.before[Outcome.DONE.label]
        totals.update(self.outcomes)
        totals[pending] -= self.outcomes.total()
        return totals

    def runs_per_hour(self, now: float) -> float:
        """Rate of the call up to its end, or up to `now` (seconds since 1970); 0 before its first run has ended."""
        elapsed = (self.latest if self.ended else now) - self.began
        return 3600 * self.outcomes.total() / elapsed if elapsed > 0 else 0.0

    def load(self, now: float) -> dict[int, float]:
        """Share of its time that each rank spent in FEFF runs, those under way included."""
        until = self.latest if self.ended else now
        elapsed = max(until - self.began, 1e-9)
        shares = {rank: self.busy.get(rank, 0.0) / elapsed for rank in range(self.ranks)}
        if not self.ended:
            for rank, (since, _) in self.running.items():
                shares[rank] += (until - since) / elapsed
        return {rank: min(share, 1.0) for rank, share in shares.items()}


def read_status(store: Path) -> Status:
    """Read a store's journal, line by line in bounded memory.

    Parameters
    ----------
    store : Path
        The store; it is not opened.

    Returns
    -------
    Status
        State of the latest call of `simulate`.

    Raises
    ------
    StoreError
        If there is no journal.
    """
    path = journal_path(store)
    status = Status()
    slowest: list[Finished] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    continue  # cut off by a kill, or being written now
                if entry["event"] == "start":
                    status = Status(
                        before=Counter(entry["outcomes"]),
                        pending=entry["pending"],
                        ranks=entry["ranks"],
                        began=entry["time"],
                    )
                    slowest = []
                _note(status, slowest, entry)
    except OSError as error:
        raise StoreError(
            f"no journal {path}: nothing was simulated there yet, or the store was copied without its journal; "
            f"run `xanesml simulate CAMPAIGN`, or count the runs of a finished store by `xanesml validate {store}`"
        ) from error
    status.slowest = sorted(slowest, reverse=True)
    return status


def _note(status: Status, slowest: list[Finished], entry: dict[str, Any]) -> None:
    status.latest = entry["time"]
    event = entry["event"]
    if event == "give":
        status.running[entry["rank"]] = entry["time"], entry["tasks"]
    elif event == "run":
        run = Finished(entry["seconds"], entry["task"], entry["outcome"], entry["rank"], entry.get("message", ""))
        status.outcomes[run.outcome] += 1
        status.busy[run.rank] = status.busy.get(run.rank, 0.0) + run.seconds
        status.running.pop(run.rank, None)
        push = heapq.heappush if len(slowest) < _REMEMBERED else heapq.heappushpop
        push(slowest, run)
        if run.outcome != Outcome.DONE.label:
            status.failed = [*status.failed[1 - _REMEMBERED :], run]
    elif event == "retire":
        status.retired[entry["rank"]] = entry["message"]
        status.running.pop(entry["rank"], None)
    elif event == "end":
        status.ended = True
        status.running.clear()


def status_lines(status: Status, *, failures: int, now: float) -> Iterator[str]:
    """Yield lines on the progress of a simulation.

    Parameters
    ----------
    status : Status
        The state of the simulation.
    failures : int
        How many failed tasks, slowest tasks and longest runs under way to list.
    now : float
        The present time, seconds since 1970.
    """
    totals = status.totals()
    yield f"tasks: {status.done} of {status.tasks} done ({_counts(totals)}), {status.left} left to run in this call"
    state = "ended" if status.ended else f"under way, last sign of life {now - status.latest:.0f} s ago"
    yield f"latest call: {_counts(status.outcomes) or 'no run yet'}; {status.ranks} ranks, {state}"
    rate = status.runs_per_hour(now)
    if rate:
        remaining = f", about {60 * status.left / rate:.0f} min left" if not status.ended else ""
        yield f"rate: {rate:.0f} runs per hour{remaining}"
        load = sorted((share, rank) for rank, share in status.load(now).items())
        mean = sum(share for share, _ in load) / len(load)
        least, most = load[0], load[-1]
        extremes = f"rank {least[1]} {least[0]:.0%}, rank {most[1]} {most[0]:.0%}"
        yield f"load: {mean:.0%} of the ranks' time in FEFF; {extremes}"
        idle = [rank for share, rank in load if share < _IDLE * mean]
        if idle and not status.ended:
            yield f"ranks far below the mean: {', '.join(map(str, idle[:10]))}{' …' if len(idle) > 10 else ''}"
    for rank, message in list(status.retired.items())[:failures]:
        yield f"retired: rank {rank}: {message}"
    under_way = sorted((since, rank, tasks) for rank, (since, tasks) in status.running.items())
    for since, rank, tasks in under_way[:failures]:
        yield f"running: task {tasks[0]} on rank {rank} for {now - since:.0f} s"
    for run in status.slowest[:failures]:
        yield f"slowest: task {run.task}: {run.seconds:.1f} s, {run.outcome}"
    for run in status.failed[-failures:] if failures else ():
        yield f"failed: task {run.task}: {run.outcome}: {run.message}"


def _counts(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in outcomes.most_common() if count)
