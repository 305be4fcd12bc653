#!/usr/bin/env python3
"""What pools of environments read: by simulation, in cards that were left out, and off measured samples.

    python benchmarks/pools.py reference/pools/au-l3.toml [--measured FOLDER] [--figure FILE] [--sessions 100]

1. The errors that are expected for each window of energies, from the pool alone.
2. Every card set in the place of nature: sessions of a crystal and samples made of its spectra, with errors of
   measurement, read by a pool that knows neither these cards nor these structures. Root mean square errors, and the
   share in intervals as wide as the other sets need.
3. With a folder of measured spectra and their table `exafs.csv`, such as examples/measured: what two foils differ by;
   readings beside the first foil of the pool's element, then beside it and each other sample in turn; the figure sets
   readings beside EXAFS.

The baseline of 2 and 3 is "as the reference". Beside the pool stand two other readers of the same mixtures: least
squares on their derivatives by the labels, and boosted trees.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline

from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, normalize
from xanesml.pools.card_sets import card_sets
from xanesml.pools.information import expected_errors
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import PoolFile, Window
from xanesml.pools.reading import KnownSample, Reader, Reading
from xanesml.pools.trials import HELD, SESSIONS, calibrated, judged, left_out

#: Standard uncertainty of an MSD by EXAFS where none is given, Å².
USUAL_ERROR = 5e-4
#: Differences that boosted trees learn from.
PAIRS = 3000


class Derivatives(Reader):
    """Least squares on the derivatives of spectra by MSD, bond and neighbors, with gain, offset, slope and energy."""

    def _read(self, sample: NormalizedSpectrum) -> Reading:
        reading, (x, _) = super()._read(sample), self.difference(sample)
        moments, within = self.of_samples, self.measurement.within
        derivatives = np.linalg.pinv(moments.yy, rcond=1e-6) @ moments.yx
        energy = self.pool.energy[within]
        mean = self.pool.mixtures.spectra[self.pool.mixtures.crystal].mean(axis=0)[within]
        others = [mean, np.ones_like(energy), energy / 50.0, self.measurement.slope[within]]
        found = np.linalg.lstsq(np.column_stack([*derivatives, *others]), x, rcond=None)[0][:3]
        return _with(self, reading, found)


class Boosting(Reader):
    """Boosted trees on differences of mixtures from crystals, with the errors that the pool allows for."""

    def __init__(self, pool: Pool, references: list[KnownSample], *, crystal: bool = True) -> None:
        super().__init__(pool, references, crystal=crystal)
        rng = np.random.default_rng(pool.mixtures.spectra.shape)
        mixtures = pool.mixtures
        near, around = mixtures.near(self.first.msd, crystal=crystal), mixtures.around(self.first.msd)
        one = rng.choice(len(mixtures), PAIRS, p=around / around.sum())
        other = rng.choice(len(mixtures), PAIRS, p=near / near.sum())
        x = self.measurement.features(mixtures.spectra[one] - mixtures.spectra[other])
        wrong = rng.multivariate_normal(np.zeros(x.shape[1]), self.measurement.theory, PAIRS, method="eigh")
        noise = rng.multivariate_normal(np.zeros(x.shape[1]), self.measurement.noise, PAIRS, method="eigh")
        trees = MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=150, random_state=1))
        self._trees = make_pipeline(PCA(12), trees)
        self._scale = np.array([1e-3, 1e-2, 1.0])
        y = (mixtures.labels[one] - mixtures.labels[other]) / self._scale
        self._trees.fit(x * (1 + wrong) + noise, y)

    def _read(self, sample: NormalizedSpectrum) -> Reading:
        reading, (x, _) = super()._read(sample), self.difference(sample)
        return _with(self, reading, self._trees.predict(x[np.newaxis])[0] * self._scale)


def _with(reader: Reader, reading: Reading, found: np.ndarray) -> Reading:
    number = reader.of_reference.y[2] + found[2]
    return replace(reading, msd=reader.first.msd + found[0], bond=found[1], coordination=number)


#: Readers by name; the first is what `predict` reads with.
READERS: dict[str, type[Reader]] = {"pool": Reader, "derivatives": Derivatives, "boosting": Boosting}


def main() -> None:
    parser = argparse.ArgumentParser(description="What pools of environments read.")
    parser.add_argument("pool", type=Path)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    options = parser.parse_args()
    asked = PoolFile.load(options.pool)
    pool = calibrated(asked)
    say(f"uncertainties times {', '.join(f'{factor:.2f}' for factor in pool.widening)} (MSD, bond, neighbors)")
    windows(pool)
    names = list(card_sets(asked))
    for name in names:
        for reader in READERS:
            cards(asked, name, reader, options.sessions)
    if len(names) > 1:
        coverage(asked, pool)
    if options.measured is not None:
        measured(pool, options.measured, options.figure)


def windows(pool: Pool) -> None:
    """Print the errors that are expected for windows of energies."""
    say("window, eV   expected error of MSD, 1e-3 Å²; bond, Å; neighbors")
    for last in (60.0, pool.window.last):
        for first in (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0):
            msd, bond, number = expected_errors(pool, Window(first=first, last=last, step=pool.window.step))
            say(f"{first:4.0f} … {last:3.0f}   {1e3 * msd:.2f}   {bond:.4f}   {number:.2f}")


def cards(asked: PoolFile, name: str, reader: str, sessions: int) -> None:
    """Let a card set be nature, and read it by a pool that knows neither its cards nor its structures."""
    trials = left_out(asked, name, sessions=sessions, reader=READERS[reader])
    away = trials.found - trials.known
    rms = np.sqrt((away**2).mean(axis=0))
    same = float(np.sqrt(np.mean((trials.crystal - trials.known[:, 0]) ** 2)))
    slope = np.polyfit(trials.known[:, 0] - trials.crystal, trials.found[:, 0] - trials.crystal, 1)[0]
    say(
        f"cards {name} as nature, {sessions} sessions, {reader}: MSD {1e3 * rms[0]:.2f}e-3 Å², slope {slope:.2f} "
        f"(as the crystal {1e3 * same:.2f}, ratio {same / rms[0]:.1f}), "
        f"bond {rms[1]:.4f} Å, neighbors {rms[2]:.2f}"
    )


def coverage(asked: PoolFile, pool: Pool) -> None:
    """Print the share of a card set's sessions that intervals hold whose width the other sets have told."""
    trials = judged(asked, replace(pool, widening=(1.0, 1.0, 1.0)))
    for name, one in trials.items():
        factors = np.max([other.widening() for key, other in trials.items() if key != name], axis=0)
        inside = (np.abs(one.found - one.known) < HELD * factors * one.sd).mean(axis=0)
        say(
            f"cards {name}: 90 % intervals as wide as the other sets need hold {inside[0]:.0%} (MSD), "
            f"{inside[1]:.0%} (bond), {inside[2]:.0%} (neighbors)"
        )


def measured(pool: Pool, folder: Path, figure: Path | None) -> None:
    """Read measured samples of known disorder."""
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
    for row in elsewhere:
        foils(pool, known[first["file"]], spectra[row["file"]])
        beside(pool, [first], [row], known, crystal=crystal, tell=True)
        beside(pool, [row], [first], known, crystal=crystal, tell=True)
    for name in READERS:
        found = beside(pool, [first], samples, known, crystal=crystal, tell=name == "pool", reader=name)
        if figure is not None and name == "pool":
            draw(figure, first, samples, found, pool)
    for second in samples if len(samples) > 1 else []:
        for name in READERS:
            if name != "boosting":
                others = [row for row in samples if row is not second]
                beside(pool, [first, second], others, known, crystal=crystal, tell=False, reader=name)


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
    tell: bool,
    reader: str = "pool",
) -> list[Reading]:
    """Read samples beside references; print how far they are from EXAFS."""
    given = [known[row["file"]] for row in references]
    found = READERS[reader](pool, given, crystal=crystal).read([known[row["file"]].spectrum for row in samples])
    first, names = references[0], " and ".join(row["file"] for row in references)
    truth = np.array([labels(row, first) for row in samples])
    away = np.array([values(one) for one in found]) - truth
    for one, true, row in zip(found, truth, samples, strict=True):
        if tell:
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
        f"beside {names}, {reader}: MSD RMS {1e3 * rms[0]:.2f}e-3 Å² "
        f"(as the reference {1e3 * plain:.2f}, ratio {plain / rms[0]:.1f}), bias {1e3 * away[:, 0].mean():+.2f}; "
        f"bond RMS {rms[1]:.4f} Å; neighbors RMS {rms[2]:.2f}" + (f"; {inside:.0%} inside" if reader == "pool" else "")
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
