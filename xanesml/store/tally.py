"""Running totals of a simulation, from the entries of its journal.

Rank 0 keeps them while it writes the journal, and leaves them beside it now and then with the place in the journal
that they are of. Whoever asks for the status reads them and the rest of the journal, not all of it.
"""

from __future__ import annotations

import json
from bisect import insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from xanesml.feff.outcomes import Outcome

#: Failed and slowest tasks that a status keeps.
REMEMBERED = 100


def journal_path(store: Path) -> Path:
    """Return the name of the journal that belongs to a store."""
    return store.with_suffix(".journal")


def totals_path(store: Path) -> Path:
    """Return the name of the file with the running totals of a store's journal."""
    return store.with_suffix(".totals")


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
    hosts : Counter
        Runs of the call by host.
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
    variants : dict of str to int
        Tasks of the store by variant.
    """

    before: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    ranks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    busy: dict[int, float] = field(default_factory=dict)
    running: dict[int, tuple[float, list[int]]] = field(default_factory=dict)
    slowest: list[Finished] = field(default_factory=list)
    failed: list[Finished] = field(default_factory=list)
    retired: dict[int, str] = field(default_factory=dict)
    began: float = 0.0
    latest: float = 0.0
    ended: bool = False
    variants: dict[str, int] = field(default_factory=dict)

    def note(self, entry: Mapping[str, Any]) -> None:
        """Take one entry of the journal, the next in order; a `start` begins anew."""
        self.latest = entry["time"]
        match entry["event"]:
            case "start":
                self.__init__(  # type: ignore[misc]
                    before=Counter(entry["outcomes"]),
                    pending=entry["pending"],
                    ranks=entry["ranks"],
                    began=entry["time"],
                    latest=entry["time"],
                    variants=entry.get("variants", {}),
                )
            case "give":
                self.running[entry["rank"]] = entry["time"], entry["tasks"]
            case "run":
                self.hosts[entry.get("host", "")] += 1
                self._note_run(
                    Finished(entry["seconds"], entry["task"], entry["outcome"], entry["rank"], entry.get("message", ""))
                )
            case "retire":
                self.retired[entry["rank"]] = entry["message"]
                self.running.pop(entry["rank"], None)
            case "end":
                self.ended = True
                self.running.clear()

    def _note_run(self, run: Finished) -> None:
        self.outcomes[run.outcome] += 1
        self.busy[run.rank] = self.busy.get(run.rank, 0.0) + run.seconds
        self.running.pop(run.rank, None)
        if len(self.slowest) < REMEMBERED or run > self.slowest[-1]:
            insort(self.slowest, run, key=lambda other: tuple(-value for value in other[:2]))
            del self.slowest[REMEMBERED:]
        if run.outcome != Outcome.DONE.label:
            self.failed.append(run)
            del self.failed[:-REMEMBERED]

    def to_json(self) -> str:
        """Return the status as one line of JSON, which `from_json` reads."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Status:
        """Return the status that `to_json` wrote.

        Raises
        ------
        ValueError, TypeError, KeyError
            If the text is anything else.
        """
        values = json.loads(text)
        return cls(
            **values
            | {name: Counter(values[name]) for name in ("before", "outcomes", "hosts")}
            | {name: [Finished(*run) for run in values[name]] for name in ("slowest", "failed")}
            # JSON has no numbers for names.
            | {name: {int(rank): value for rank, value in values[name].items()} for name in ("busy", "retired")}
            | {"running": {int(rank): (since, tasks) for rank, (since, tasks) in values["running"].items()}}
        )

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
