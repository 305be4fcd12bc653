"""Sections on the FEFF runs of a store: progress, failures, time, and how well the cores were used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Integers
from xanesml.page.chart import Axis, Chart, Mark, thinned
from xanesml.page.content import Log, Section, Table, shares
from xanesml.store.cost import table_seconds
from xanesml.store.plan import expand
from xanesml.store.rows import open_store_file
from xanesml.store.variants import in_variants, variant_sizes

#: Failed runs whose last words are shown, and slowest runs that are listed.
MOST_FAILED, MOST_SLOW = 20, 10

#: Stretches of time over which the use of the cores is averaged.
_STRETCHES = 120


@dataclass(frozen=True)
class Runs:
    """The columns of a store's runs.

    Attributes
    ----------
    outcome : ndarray of uint8, shape (T,)
        Outcome codes.
    seconds, finished : ndarray of float64, shape (T,)
        Wall time, s, and end, seconds since 1970; NaN where nothing ran.
    host : list of str
        Host of each run; empty where nothing ran.
    failed : list of tuple
        Of the latest failed runs, the latest first: task, outcome, why, and the end of FEFF's log.
    variants : dict of str to int
        Number of tasks of each variant.
    """

    outcome: Integers
    seconds: Floats
    finished: Floats
    host: list[str]
    failed: list[tuple[int, str, str, str]]
    variants: dict[str, int]


def read_runs(store: Path) -> Runs:
    """Read the runs of a store.

    Raises
    ------
    StoreError
        If the file is not readable.
    """
    with open_store_file(store) as file:
        outcome = file["runs/outcome"][:].astype(np.int64)
        finished = file["runs/finished"][:]
        bad = np.flatnonzero((outcome != Outcome.PENDING) & (outcome != Outcome.DONE))
        latest = bad[np.argsort(-finished[bad], kind="stable")][:MOST_FAILED]
        failed = [
            (
                int(task),
                _label(int(outcome[task])),
                _text(file["runs/message"][task]),
                _text(file["runs/log"][task]),
            )
            for task in latest
        ]
        hosts = list(map(_text, file["runs/host"][:]))
        return Runs(outcome, file["runs/seconds"][:], finished, hosts, failed, variant_sizes(file))


def _text(content: bytes) -> str:
    return bytes(content).rstrip(b"\0").decode(errors="replace")


def _label(code: int) -> str:
    try:
        return Outcome(code).label
    except ValueError:
        return f"unknown outcome {code}"


def planned_section(campaign: Campaign) -> Section:
    """Return the section on progress of a campaign that has no store yet: what there is to do."""
    table = expand(campaign)
    seconds = table_seconds(table, campaign.engine)
    return Section(
        "progress",
        "Progress",
        [
            f"{len(table):,} FEFF runs{in_variants(table.variant_sizes)} are planned, about "
            f"{seconds.sum() / 3600:.1f} core-hours at {seconds.mean():.0f} s a run."
        ],
        missing="No run has been made yet; run `xanesml simulate`.",
    )


def progress_section(runs: Runs) -> Section:
    """Return the section on outcomes, and on runs over time."""
    codes, counts = np.unique(runs.outcome, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    total = len(runs.outcome)
    done = int((runs.outcome == Outcome.DONE).sum())
    table = Table(
        "Runs by outcome",
        ("outcome", "runs"),
        list(
            zip(
                [_label(int(code)) for code in codes[order]],
                shares([float(count) for count in counts[order]], "{:,.0f}"),
                strict=True,
            )
        ),
    )
    section = Section(
        "progress", "Progress", [f"{done:,} of {total:,} FEFF runs{in_variants(runs.variants)} are done."], [table]
    )
    ended = np.sort(runs.finished[np.isfinite(runs.finished)])
    if len(ended) > 1 and ended[-1] > ended[0]:
        unit, length = _unit(float(ended[-1] - ended[0]))
        time, count = thinned((ended - ended[0]) / length, np.arange(1.0, len(ended) + 1))
        section.charts.append(
            Chart(
                "finished",
                "Runs that have ended, over time",
                "Each run counts from its end, whatever its outcome; of a run that was repeated, the last end.",
                Axis(f"time since the first run ended ({unit})"),
                Axis("runs", limits=(0.0, 1.05 * total)),
                [Mark("runs ended", time, count, legend=False)],
                levels=(float(total),),
            )
        )
    return section


def failure_section(runs: Runs) -> Section:
    """Return the section on failed runs with FEFF's last words."""
    bad = int(((runs.outcome != Outcome.PENDING) & (runs.outcome != Outcome.DONE)).sum())
    if not bad:
        return Section("failures", "Failures", ["No run has failed."])
    some = f"; the latest {len(runs.failed)} are shown" if bad > len(runs.failed) else ""
    table = Table(
        "Failed runs, the latest first",
        ("task", "outcome", "why"),
        [(str(task), outcome, why) for task, outcome, why, _ in runs.failed],
    )
    noun = "run has" if bad == 1 else "runs have"
    section = Section("failures", "Failures", [f"{bad:,} {noun} failed{some}."], [table])
    section.logs += [Log(f"FEFF's last words in task {task}", log) for task, _, _, log in runs.failed if log]
    return section


def time_section(runs: Runs) -> Section:
    """Return the section on the time that runs take and on the use of the cores."""
    section = Section("time", "Time and use of the cores")
    ran = np.flatnonzero(np.isfinite(runs.seconds) & np.isfinite(runs.finished) & (runs.seconds > 0))
    if not len(ran):
        section.missing = "No run has ended yet; run `xanesml simulate`."
        return section
    seconds, finished = runs.seconds[ran], runs.finished[ran]
    section.paragraphs.append(
        f"A run takes {np.median(seconds):.1f} s in the median, {seconds.max():.1f} s at most; all together "
        f"{seconds.sum() / 3600:.2f} core-hours."
    )
    counts, edges = np.histogram(seconds, bins=min(40, max(5, len(seconds) // 4)))
    section.charts += [
        Chart(
            "seconds",
            "Wall time of the runs",
            "All tries of a task together.",
            Axis("wall time (s)"),
            Axis("runs", limits=(0.0, 1.08 * float(counts.max()))),
            [Mark("runs", edges, counts.astype(np.float64), "steps", legend=False)],
        ),
        _use(seconds, finished),
    ]
    section.tables += [_hosts([runs.host[task] for task in ran], seconds, runs.outcome[ran]), _slowest(runs, ran)]
    return section


def _use(seconds: Floats, finished: Floats) -> Chart:
    begun = finished - seconds
    edges = np.linspace(begun.min(), finished.max(), _STRETCHES + 1)
    # Core-seconds spent until each edge.
    spent = np.array([np.clip(edge - begun, 0, seconds).sum() for edge in edges])
    busy = np.diff(spent) / np.diff(edges)
    unit, length = _unit(float(edges[-1] - edges[0]))
    return Chart(
        "use",
        "FEFF runs at a time",
        f"Mean number of runs under way in each of {_STRETCHES} stretches of time. A gap is time between jobs, or of "
        "ranks without work. Runs of tasks that were repeated or taken over from another store stand where they ended.",
        Axis(f"time since the first run began ({unit})"),
        Axis("runs at a time", limits=(0.0, 1.1 * float(busy.max()))),
        [Mark("runs at a time", (edges - edges[0]) / length, busy, "steps", legend=False)],
    )


def _unit(span: float) -> tuple[str, float]:
    """Return the unit for a span of so many seconds, and its length, s."""
    return next(
        (name, length)
        for name, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
        if span > 3 * length or name == "s"
    )


def _hosts(hosts: list[str], seconds: Floats, outcome: Integers) -> Table:
    names, place = np.unique(np.array(hosts), return_inverse=True)
    count = np.bincount(place, minlength=len(names))
    failed = np.bincount(place, weights=outcome != Outcome.DONE, minlength=len(names))
    hours = np.bincount(place, weights=seconds, minlength=len(names)) / 3600
    median = [float(np.median(seconds[place == index])) for index in range(len(names))]
    cells = zip(
        [name or "not known" for name in names.tolist()],
        map(str, count.tolist()),
        [f"{number:.0f}" for number in failed],
        shares(hours.tolist(), "{:.2f} h"),
        shares(median, "{:.1f} s"),
        strict=True,
    )
    return Table("Use by host", ("host", "runs", "failed", "core-hours in FEFF", "median run"), list(cells))


def _slowest(runs: Runs, ran: Integers) -> Table:
    slow = ran[np.argsort(-runs.seconds[ran], kind="stable")][:MOST_SLOW]
    cells = zip(
        map(str, slow.tolist()),
        shares(runs.seconds[slow].tolist(), "{:.1f} s"),
        [_label(int(code)) for code in runs.outcome[slow]],
        [runs.host[task] for task in slow],
        strict=True,
    )
    return Table("Slowest runs", ("task", "wall time", "outcome", "host"), list(cells))
