#!/usr/bin/env python3
"""What pools of environments read: by simulation, in cards that were left out, and off measured samples.

    python benchmarks/pools.py reference/pools/au-l3.toml [--measured FOLDER] [--figure FILE] [--information FILE]
        [--sessions 100] [--readers pool,networks]

1. The errors that are expected for each window of energies, from the pool alone; its figure shows what each energy
   tells of disorder, bonds and size.
2. Every card set in the place of nature: sessions of a crystal and samples made of its spectra, with errors of
   measurement, read by a pool that knows neither these cards nor these structures. Root mean square errors, and the
   share in intervals as wide as the other sets need.
3. With a folder of measured spectra and their table `exafs.csv`, such as examples/measured: what two foils differ by;
   readings beside the first foil of the pool's element, in other windows and without card sets, then beside the foil
   and each other sample in turn; the figure sets readings beside EXAFS.

The baseline of 2 and 3 is "as the reference". Beside the pool stand other readers of the same mixtures: least
squares on their derivatives by the labels, boosted trees, and networks, trained on the mixtures of the pool alone or on
those of its card sets as well.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from pool_information import draw_information
from pool_network import Network, network_reader
from pool_readers import Boosting, Derivatives

from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, normalize
from xanesml.pools.card_sets import card_sets
from xanesml.pools.information import expected_errors
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import PoolFile, Window
from xanesml.pools.reading import KnownSample, Reader, Reading
from xanesml.pools.trials import HELD, SESSIONS, TESTED, Trials, calibrated, judged, left_out, smallest_factor

#: Standard uncertainty of an MSD by EXAFS where none is given, Å².
USUAL_ERROR = 5e-4


def always(reader: type[Reader]) -> Callable[..., type[Reader]]:
    """Return what gives one reader for all pools."""

    def give(asked: PoolFile, without: str | None = None, *, crystal: bool = True) -> type[Reader]:  # noqa: ARG001
        return reader

    return give


#: What makes a reader for a pool, without a card set or with all, by name; the first is what `predict` reads with.
READERS: dict[str, Callable[..., type[Reader]]] = {
    "pool": always(Reader),
    "derivatives": always(Derivatives),
    "boosting": always(Boosting),
    "networks": network_reader,
    "networks of all cards": partial(network_reader, cards=True),
}
#: Those whose uncertainties are their own.
CERTAIN = ("pool", "networks", "networks of all cards")
#: Windows in which measured samples are read as well, eV from the edge.
WINDOWS = ((15.0, 80.0), (15.0, 60.0), (15.0, 45.0), (20.0, 80.0), (30.0, 80.0))
#: Those that read beside several references.
SEVERAL = ("pool", "derivatives")


def main() -> None:
    parser = argparse.ArgumentParser(description="What pools of environments read.")
    parser.add_argument("pool", type=Path)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--information", type=Path)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument(
        "--spread", type=float, help="of the MSD of samples before they are read, Å²; default the pool's"
    )
    parser.add_argument("--readers", default=",".join(READERS), help=f"of: {', '.join(READERS)}; default all")
    options = parser.parse_args()
    # Networks come out the same on any number of cores.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    asked = PoolFile.load(options.pool)
    if options.spread is not None:
        asked = asked.model_copy(update={"spread": options.spread})
    readers = options.readers.split(",")
    if unknown := sorted(set(readers) - set(READERS)):
        parser.error(f"there is no reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    if not card_sets(asked):
        readers = [name for name in readers if name != "networks of all cards"]
    pool = calibrated(asked)
    say(f"uncertainties times {', '.join(f'{factor:.2f}' for factor in pool.widening)} (MSD, bond, neighbors)")
    windows(pool)
    if options.information is not None:
        draw_information(options.information, pool)
    names = list(card_sets(asked))
    trials = {reader: {name: cards(asked, name, reader, options.sessions) for name in names} for reader in readers}
    if len(names) > 1:
        if "pool" in readers:
            coverage("pool", judged(asked, replace(pool, widening=(1.0, 1.0, 1.0))))
        for reader in readers:
            if reader.startswith("networks"):
                coverage(reader, trials[reader])
    if options.measured is not None:
        measured(asked, pool, options.measured, options.figure, trials)


def windows(pool: Pool) -> None:
    """Print the errors that are expected for windows of energies."""
    say("window, eV   expected error of MSD, 1e-3 Å²; bond, Å; neighbors")
    for last in (60.0, pool.window.last):
        for first in (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0):
            msd, bond, number = expected_errors(pool, Window(first=first, last=last, step=pool.window.step))
            say(f"{first:4.0f} … {last:3.0f}   {1e3 * msd:.2f}   {bond:.4f}   {number:.2f}")


def cards(asked: PoolFile, name: str, reader: str, sessions: int) -> Trials:
    """Let a card set be nature, and read it by a pool that knows neither its cards nor its structures."""
    trials = left_out(asked, name, sessions=sessions, reader=READERS[reader](asked, name))
    away = trials.found - trials.known
    rms = np.sqrt((away**2).mean(axis=0))
    same = float(np.sqrt(np.mean((trials.crystal - trials.known[:, 0]) ** 2)))
    slope = np.polyfit(trials.known[:, 0] - trials.crystal, trials.found[:, 0] - trials.crystal, 1)[0]
    inside = (np.abs(away) < HELD * trials.sd).mean(axis=0)
    held = f"; 90 % intervals hold {inside[0]:.0%}, {inside[1]:.0%}, {inside[2]:.0%}" if reader in CERTAIN else ""
    say(
        f"cards {name} as nature, {sessions} sessions, {reader}: MSD {1e3 * rms[0]:.2f}e-3 Å², slope {slope:.2f} "
        f"(as the crystal {1e3 * same:.2f}, ratio {same / rms[0]:.1f}), "
        f"bond {rms[1]:.4f} Å, neighbors {rms[2]:.2f}{held}"
    )
    return trials


def coverage(reader: str, trials: dict[str, Trials]) -> None:
    """Print the share of a card set's sessions that intervals hold whose width the other sets have told."""
    for name, one in trials.items():
        factors = np.max([other.widening() for key, other in trials.items() if key != name], axis=0)
        inside = (np.abs(one.found - one.known) < HELD * factors * one.sd).mean(axis=0)
        say(
            f"cards {name}, {reader}: 90 % intervals as wide as the other sets need hold {inside[0]:.0%} (MSD), "
            f"{inside[1]:.0%} (bond), {inside[2]:.0%} (neighbors)"
        )


def measured(
    asked: PoolFile, pool: Pool, folder: Path, figure: Path | None, trials: dict[str, dict[str, Trials]]
) -> None:
    """Read measured samples of known disorder, by the readers that have been tried."""
    with (folder / "exafs.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["element"], row["edge"]) == (pool.element, pool.shell)]
    spectra = {
        row["file"]: normalize(read_spectrum(folder / row["file"], element=pool.element, edge=pool.shell))
        for row in rows
    }
    # Of one session: what lies in the folder itself.
    session, elsewhere = [row for row in rows if "/" not in row["file"]], [row for row in rows if "/" in row["file"]]
    known = {
        row["file"]: KnownSample(spectra[row["file"]], float(row["msd"]), float(row["msd_error"] or USUAL_ERROR))
        for row in rows
    }
    first, *samples = session
    crystal = first["neighbors"] == "12"
    readers = {name: READERS[name](asked, crystal=crystal) for name in trials}
    for name, reader in readers.items():
        if issubclass(reader, Network) and len(trials[name]) >= TESTED:
            factors = [one.widening() for one in trials[name].values()]
            reader.widening = np.maximum(np.max(factors, axis=0), smallest_factor(pool))
    for row in elsewhere:
        foils(pool, known[first["file"]], spectra[row["file"]])
        for name, reader in readers.items():
            if name in CERTAIN:
                beside(pool, [first], [row], known, crystal=crystal, name=name, reader=reader)
                beside(pool, [row], [first], known, crystal=crystal, name=name, reader=reader)
    for name, reader in readers.items():
        found = beside(pool, [first], samples, known, crystal=crystal, name=name, reader=reader)
        if figure is not None and name == "pool":
            draw(figure, first, samples, found, pool)
    for begin, end in WINDOWS if "pool" in readers else ():
        window = asked.window.model_copy(update={"first": begin, "last": end})
        for told, sets in (("all card sets", None), ("no card set", {})):
            other = Pool.make(asked.model_copy(update={"window": window}), cards=sets)
            name = f"pool that reads {begin:g} … {end:g} eV, {told}"
            beside(other, [first], samples, known, crystal=crystal, name=name, reader=Reader)
    for second in samples if len(samples) > 1 else []:
        others = [row for row in samples if row is not second]
        for name in SEVERAL:
            if name in readers:
                beside(pool, [first, second], others, known, crystal=crystal, name=name, reader=readers[name])


def foils(pool: Pool, foil: KnownSample, other: NormalizedSpectrum) -> None:
    """Print what two foils differ by."""
    reader = Reader(pool, [foil])
    difference, shift = reader.difference(other)
    within = reader.measurement.within
    energy = pool.energy[within]
    columns = [pool.mixtures.spectra[pool.mixtures.crystal].mean(axis=0)[within], energy / 50.0, np.ones_like(energy)]
    shapes = np.column_stack([*columns, reader.measurement.slope[within]])
    fitted = np.linalg.lstsq(shapes, difference, rcond=None)[0]
    left = difference - shapes @ fitted
    say(
        f"{other.source} minus {foil.spectrum.source}: {np.sqrt((difference**2).mean()):.5f} edge steps, aligned by "
        f"{shift:+.2f} eV; gain {fitted[0]:+.4f}, slope {fitted[1]:+.4f}, offset {fitted[2]:+.4f}, "
        f"shift {fitted[3]:+.3f} eV; left {np.sqrt((left**2).mean()):.5f}"
    )


Rows = list[dict[str, str]]


def beside(
    pool: Pool,
    references: Rows,
    samples: Rows,
    known: dict[str, KnownSample],
    *,
    crystal: bool,
    name: str,
    reader: type[Reader],
) -> list[Reading]:
    """Read samples beside references; print how far they are from EXAFS."""
    given = [known[row["file"]] for row in references]
    found = reader(pool, given, crystal=crystal).read([known[row["file"]].spectrum for row in samples])
    first, names = references[0], " and ".join(row["file"] for row in references)
    truth = np.array([labels(row, first) for row in samples])
    away = np.array([values(one) for one in found]) - truth
    for one, true, row in zip(found, truth, samples, strict=True):
        if name in CERTAIN and len(references) == 1:
            say(
                f"{row['file']:22} MSD {1e3 * one.msd:5.1f} ({1e3 * true[0]:.1f}), "
                f"{1e3 * one.interval[0]:.1f} … {1e3 * one.interval[1]:.1f}; "
                f"bond {one.bond:+.3f} ± {one.bond_error:.3f} ({true[1]:+.3f}); "
                f"neighbors {one.coordination:.1f} ± {one.coordination_error:.1f} ({true[2]:.1f})"
            )
    rms = np.sqrt((away**2).mean(axis=0))
    plain = np.sqrt(np.mean([(true[0] - float(first["msd"])) ** 2 for true in truth]))
    inside = np.mean([one.interval[0] <= true[0] <= one.interval[1] for one, true in zip(found, truth, strict=True)])
    say(
        f"beside {names}, {name}: MSD RMS {1e3 * rms[0]:.2f}e-3 Å² "
        f"(as the reference {1e3 * plain:.2f}, ratio {plain / rms[0]:.1f}), bias {1e3 * away[:, 0].mean():+.2f}; "
        f"bond RMS {rms[1]:.4f} Å; neighbors RMS {rms[2]:.2f}" + (f"; {inside:.0%} inside" if name in CERTAIN else "")
    )
    return found


def labels(row: dict[str, str], first: dict[str, str]) -> np.ndarray:
    """Return MSD, bond length minus the first reference's, and neighbors by EXAFS; NaN where there is none."""
    return np.array([float(row["msd"]), float(row["r"]) - float(first["r"]), float(row["neighbors"] or "nan")])


def values(reading: Reading) -> np.ndarray:
    """Return MSD, bond length and coordination number of a reading."""
    return np.array([reading.msd, reading.bond, reading.coordination])


def draw(path: Path, first: dict[str, str], samples: Rows, found: list[Reading], pool: Pool) -> None:
    """Draw readings over EXAFS, both with their uncertainties."""
    from xanesml.plots.style import BLUE, TWO_COLUMNS, new_figure  # noqa: PLC0415 (slow)

    truth = np.array([labels(row, first) for row in samples])
    errors = np.array([(one.msd_error, one.bond_error, one.coordination_error) for one in found])
    exafs = (np.array([float(row["msd_error"] or USUAL_ERROR) for row in samples]), 0.005, 0.6)
    names = ("MSD (10⁻³ Å²)", "bond length − foil's (Å)", "first neighbors")
    with new_figure(path, height=2.6, width=TWO_COLUMNS) as figure:
        for column, (axes, name, scale) in enumerate(zip(figure.subplots(1, 3), names, (1e3, 1.0, 1.0), strict=True)):
            x = scale * truth[:, column]
            y = scale * np.array([values(one) for one in found])[:, column]
            bars = {"yerr": 1.645 * scale * errors[:, column], "xerr": scale * exafs[column]}
            axes.errorbar(x, y, fmt="o", color=BLUE, **bars)
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axes.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
            axes.set_xlabel(f"by EXAFS: {name}")
            axes.set_ylabel(f"{pool.name}: {name}")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
