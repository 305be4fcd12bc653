"""Follows a simulation: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpc.closing import duration
from xanesml.errors import printable
from xanesml.feff.outcomes import Outcome
from xanesml.store.status import read_status
from xanesml.store.tally import Status

#: Time between two looks at the journal, s: of a panel, and of a log.
PANEL_SECONDS, LOG_SECONDS = 1.0, 30.0

#: Hosts in the panel.
_MOST_HOSTS = 8

_BAR = 40


def follow(
    store: Path,
    *,
    failures: int,
    every: float | None = None,
    console: Console | None = None,
    echo: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Show the progress of a simulation until its call has ended, or Ctrl-C.

    Parameters
    ----------
    store : Path
        The store; it is not opened.
    failures : int
        How many failed runs the panel lists.
    every : float, optional
        Time between two looks, s; by default a second on a terminal and half a minute elsewhere.
    console : rich.console.Console, optional
        The terminal for a panel; None for lines.
    echo : callable
        Prints a line.
    wait : callable
        Waits for so many seconds.

    Raises
    ------
    StoreError
        If nothing was simulated there yet.
    """
    looks = _looks(store, every or (LOG_SECONDS if console is None else PANEL_SECONDS), wait)
    try:
        if console is None:
            for status in looks:
                echo(line(status, time.time()))
            return
        with Live(console=console, auto_refresh=False) as live:
            for status in looks:
                live.update(panel(store, status, failures=failures, now=time.time()), refresh=True)
    except KeyboardInterrupt:
        # The way to end it; the simulation goes on.
        return


def _looks(store: Path, every: float, wait: Callable[[float], None]) -> Iterator[Status]:
    while True:
        status = read_status(store)
        yield status
        if status.ended:
            return
        wait(every)


def line(status: Status, now: float) -> str:
    """Return the state in one line for a log; `now` in seconds since 1970."""
    failed = [f"{count} {label}" for label, count in status.outcomes.items() if label != Outcome.DONE.label and count]
    parts = [", ".join([f"{status.done} of {status.tasks} done", *failed, f"{status.left} left"]), _rate(status, now)]
    moment = time.strftime("%H:%M:%S", time.localtime(now))
    return f"{moment} {'; '.join(part for part in parts if part)}; {_life(status, now)}"


def panel(store: Path, status: Status, *, failures: int, now: float) -> RenderableType:
    """Return the state as a panel for a terminal; `now` in seconds since 1970."""
    rows: list[RenderableType] = [_bars(status), Text(_rate(status, now) or "no run has ended yet")]
    rows.append(Text(f"{status.ranks} ranks, {_life(status, now)}{_load(status, now)}"))
    if status.hosts:
        rows += [Text(), _hosts(status)]
    for rank, message in list(status.retired.items())[:failures]:
        rows.append(Text(printable(f"retired: rank {rank}: {message}"), "red"))
    latest = status.failed[::-1][:failures]
    if latest:
        rows.append(Text("\nlast failures", "bold"))
        rows += [
            Text(printable(f"task {run.task}: {run.outcome}: {run.message}"), overflow="ellipsis") for run in latest
        ]
    return Panel(Group(*rows), title=Text(printable(str(store))), title_align="left", expand=False)


def _bars(status: Status) -> Table:
    table = Table.grid(padding=(0, 1))
    for label, count in status.totals().most_common():
        if count:
            done = label == Outcome.DONE.label
            style = "green" if done else "bright_black" if label == Outcome.PENDING.label else "red"
            bar = ProgressBar(
                max(status.tasks, 1),
                count,
                width=_BAR,
                complete_style=style,
                finished_style=style,
                style="bright_black",
            )
            table.add_row(Text(label), bar, Text(f"{count:,}"), Text(f"{count / max(status.tasks, 1):.1%}"))
    return table


def _hosts(status: Status) -> Table:
    table = Table("host", "runs", box=None, padding=(0, 2, 0, 0), show_edge=False)
    for host, count in status.hosts.most_common(_MOST_HOSTS):
        table.add_row(Text(printable(host)), f"{count:,}")
    if (more := len(status.hosts) - _MOST_HOSTS) > 0:
        table.add_row(f"and {more} more", f"{sum(count for _, count in status.hosts.most_common()[_MOST_HOSTS:]):,}")
    return table


def _rate(status: Status, now: float) -> str:
    rate = status.runs_per_hour(now)
    if not rate:
        return ""
    left = "" if status.ended else f", about {duration(3600 * status.left / rate)} left"
    return f"{rate:,.0f} runs per hour{left}"


def _life(status: Status, now: float) -> str:
    if status.ended:
        return f"ended after {duration(status.latest - status.began)}"
    return f"last sign of life {duration(max(now - status.latest, 0.0))} ago"


def _load(status: Status, now: float) -> str:
    load = status.load(now)
    return f", {sum(load.values()) / len(load):.0%} of their time in FEFF" if load else ""
