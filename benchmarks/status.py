"""Time of `xanesml status` on the journal of a large simulation, with its running totals and without them.

python benchmarks/status.py [--runs 1000000] [--ranks 10000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from xanesml.feff.outcomes import Outcome
from xanesml.store.journal import Journal
from xanesml.store.status import read_status
from xanesml.store.tally import journal_path, totals_path


def main(runs: int, ranks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.h5"
        began = time.perf_counter()
        journal = Journal(store, outcomes={"pending": runs}, pending=runs, ranks=ranks)
        for task in range(runs):
            rank = task % ranks
            journal.give(rank, [task])
            outcome, message = (Outcome.CRASHED, "signal 11") if task % 100 == 0 else (Outcome.DONE, "")
            journal.run(task=task, outcome=outcome, seconds=24.0, rank=rank, host=f"n{rank}", tries=1, message=message)
        journal.close()
        written = time.perf_counter() - began
        sizes = [path.stat().st_size / 1e6 for path in (journal_path(store), totals_path(store))]
        took = {"running totals": _seconds(store)}
        totals_path(store).unlink()
        took["the whole journal (baseline)"] = _seconds(store)
    sys.stdout.write(
        f"journal of {runs:,} runs on {ranks:,} ranks: {sizes[0]:.0f} MB, totals {sizes[1]:.2f} MB, "
        f"{1e6 * written / runs:.0f} µs to write a run\n\n| read | s | ratio |\n| --- | --- | --- |\n"
    )
    baseline = took["the whole journal (baseline)"]
    for name, seconds in took.items():
        sys.stdout.write(f"| {name} | {seconds:.3g} | {baseline / seconds:.3g} |\n")


def _seconds(store: Path) -> float:
    began = time.perf_counter()
    read_status(store)
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--ranks", type=int, default=10_000)
    given = parser.parse_args()
    main(given.runs, given.ranks)
