#!/usr/bin/env python3
"""Print readings of measured samples beside EXAFS: readings.py KNOWN PREDICTIONS...

KNOWN is a table of the samples (`examples/measured/exafs.csv`), PREDICTIONS are files that `xanesml predict`
wrote: predictions.json of networks, readings.json of pools.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: A misfit from which `xanesml predict` tells that a spectrum lies outside a pool.
_MISFIT = 1.5
#: Widths of the columns: sample, reading, interval, EXAFS.
_WIDTHS = (22, 8, 15, 10)


@dataclass(frozen=True)
class Known:
    """A sample and the mean squared displacement by EXAFS, Å², with its standard uncertainty, 0 if it is not known."""

    sample: str
    msd: float
    error: float

    def __str__(self) -> str:
        return f"{self.msd:.4f}" + (f"({round(1e4 * self.error)})" if self.error else "")


def read_known(path: Path) -> dict[str, Known]:
    """Return what is known of the samples, by the names of their files."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        Path(row["file"]).name: Known(row["sample"], float(row["msd"]), float(row["msd_error"] or 0)) for row in rows
    }


def table(known: Mapping[str, Known], predictions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of readings, and what their errors are together.

    Parameters
    ----------
    known : mapping of str to Known
        By the names of files; predictions of others are left out.
    predictions : sequence of mapping
        From `predictions.json` or `readings.json`.
    """
    errors: list[float] = []
    held = 0
    yield _row("sample", "read, Å²", "90 % interval", "EXAFS", "holds EXAFS")
    for one in predictions:
        of = known.get(Path(one["source"]).name)
        if of is None:
            continue
        low, high = one["interval"]
        inside = low <= of.msd <= high
        held += inside
        errors.append(one["msd"] - of.msd)
        unlike = ", flagged" if _unlike(one) else ""
        yield _row(
            of.sample, f"{one['msd']:.4f}", f"{low:.4f} … {high:.4f}", str(of), ("yes" if inside else "no") + unlike
        )
    if len(errors) > 1:
        mean = sum(errors) / len(errors)
        size = sum(map(abs, errors)) / len(errors)
        yield f"mean absolute difference from EXAFS {size:.4f} Å², mean difference {mean:+.4f} Å²"
        yield f"{held} of {len(errors)} intervals hold what EXAFS gives; flagged: unlike the theory"


def _unlike(one: Mapping[str, Any]) -> bool:
    """Whether a reading is of a spectrum unlike those of the networks, or outside the pool."""
    if "misfit" in one:
        return bool(one["misfit"] > _MISFIT)
    return bool(one["distance"] > one["typical_distance"])


def _row(*cells: str) -> str:
    return "  ".join([*(f"{cell:<{width}}" for cell, width in zip(cells[:-1], _WIDTHS, strict=True)), cells[-1]])


def main() -> None:
    """Print the table of the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("known", type=Path, help="table of the samples")
    parser.add_argument("predictions", type=Path, nargs="+", help="predictions.json or readings.json")
    options = parser.parse_args()
    files = [json.loads(path.read_text(encoding="utf-8")) for path in options.predictions]
    readings = [one for file in files for one in file.get("predictions", file.get("readings"))]
    for line in table(read_known(options.known), readings):
        print(line)


if __name__ == "__main__":
    main()
