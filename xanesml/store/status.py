"""The progress of a simulation, read from its journal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from xanesml.errors import StoreError
from xanesml.store.tally import Status, journal_path, totals_path

#: Ranks below this share of the mean load are named.
_IDLE = 0.5


def read_status(store: Path) -> Status:
    """Read a store's journal from where its running totals end, or from its beginning where there are none.

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
    try:
        with path.open("rb") as journal:
            status, place = _totals(store, path.stat().st_size)
            journal.seek(place)
            for line in journal:
                try:
                    entry = json.loads(line.decode(errors="replace"))
                except json.JSONDecodeError:
                    continue  # cut off by a kill, or being written now
                status.note(entry)
    except OSError as error:
        raise StoreError(
            f"no journal {path}: nothing was simulated there yet, or the store was copied without its journal; "
            f"run `xanesml simulate CAMPAIGN`, or count the runs of a finished store by `xanesml validate {store}`"
        ) from error
    return status


def _totals(store: Path, size: int) -> tuple[Status, int]:
    """Return the running totals and the place in the journal, of `size` bytes, that they are of."""
    try:
        head, text = totals_path(store).read_text(encoding="utf-8").split("\n", 1)
        place = int(json.loads(head)["journal_bytes"])
        # Those of another journal, as after a copy of one of the two, may be of a place behind its end.
        if place <= size:
            return Status.from_json(text), place
    except (OSError, ValueError, LookupError, TypeError):
        # They only save time.
        pass
    return Status(), 0


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
    if status.variants:
        counts = ", ".join(f"{count} in {name}" for name, count in status.variants.items())
        yield f"variants: {counts}"
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
