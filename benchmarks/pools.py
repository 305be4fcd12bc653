#!/usr/bin/env python3
"""What pools of environments read: by simulation, in cards that were left out, and off measured samples.

    python benchmarks/pools.py reference/pools/au-l3.toml [--measured FOLDER] [--sessions 40]

1. The errors that are expected for each window of energies, from the pool alone.
2. Every card set in the place of nature: sessions of a crystal and samples made of its spectra, read by the pool whose
   error of theory is known from the other card sets alone. Root mean square errors, and the share in 90 % intervals.
3. With a folder of measured spectra and their table `exafs.csv`, such as examples/measured: readings beside the first
   of the pool's element, then beside it and each other in turn.

The baseline of 2 and 3 is "as the reference".
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, normalize
from xanesml.pools.environments import load_environments
from xanesml.pools.information import expected_errors
from xanesml.pools.mixtures import draw
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import PoolFile, Window
from xanesml.pools.reading import KnownSample, Reader, Reading

#: MSD of the crystal in simulated sessions, Å², and of samples relative to it.
#: Standard uncertainty of an MSD by EXAFS where none is given, Å².
USUAL_ERROR = 5e-4
CRYSTAL, SAMPLES = 0.008, (-0.003, 0.006)


def main() -> None:
    parser = argparse.ArgumentParser(description="What pools of environments read.")
    parser.add_argument("pool", type=Path)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--sessions", type=int, default=40)
    options = parser.parse_args()
    asked = PoolFile.load(options.pool)
    pool = Pool.make(asked)
    windows(pool)
    for name in asked.cards:
        left_out(asked, name, options.sessions)
    if options.measured is not None:
        measured(pool, options.measured)


def windows(pool: Pool) -> None:
    """Print the errors that are expected for windows of energies."""
    say("window, eV   expected error of MSD, 1e-3 Å²; bond, Å; neighbors")
    for last in (60.0, pool.window.last):
        for first in (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0):
            msd, bond, number = expected_errors(pool, Window(first=first, last=last, step=pool.window.step))
            say(f"{first:4.0f} … {last:3.0f}   {1e3 * msd:.2f}   {bond:.4f}   {number:.2f}")


def left_out(asked: PoolFile, name: str, sessions: int) -> None:
    """Let a card set be nature, and read it by a pool that does not know it."""
    others = {other: stores for other, stores in asked.cards.items() if other != name}
    pool = Pool.make(asked.model_copy(update={"cards": others}))
    own = load_environments(asked.cards[name], last=asked.window.last, step=asked.window.step)
    crystals = np.array([any(part.startswith(crystal) for crystal in asked.crystals) for part in own.names])
    nature = draw(own, crystals, count=4000, seed=asked.seed + 1)
    rng = np.random.default_rng(asked.seed)
    foils = np.flatnonzero(nature.crystal & (np.abs(nature.labels[:, 0] - CRYSTAL) < 1e-3))
    low, high = CRYSTAL + np.array(SAMPLES)
    samples = np.flatnonzero(~nature.crystal & (nature.labels[:, 0] > low) & (nature.labels[:, 0] < high))
    errors, inside, plain = [], [], []
    for _ in range(sessions):
        foil, sample = rng.choice(foils), rng.choice(samples)
        known = KnownSample(
            as_measured(own.energy, own.edge, nature.spectra[foil]), float(nature.labels[foil, 0]), 3e-4
        )
        (found,) = Reader(pool, [known]).read([as_measured(own.energy, own.edge, nature.spectra[sample])])
        truth = nature.labels[sample] - np.array([0.0, nature.labels[foil, 1], 0.0])
        errors.append(values(found) - truth)
        inside.append(found.interval[0] <= truth[0] <= found.interval[1])
        plain.append(nature.labels[foil, 0] - truth[0])
    rms = np.sqrt((np.array(errors) ** 2).mean(axis=0))
    same = float(np.sqrt(np.mean(np.square(plain))))
    say(
        f"cards {name} as nature, {sessions} sessions: MSD {1e3 * rms[0]:.2f}e-3 Å² "
        f"(as the crystal {1e3 * same:.2f}, ratio {same / rms[0]:.1f}), "
        f"bond {rms[1]:.4f} Å, neighbors {rms[2]:.2f}; {np.mean(inside):.0%} in 90 % intervals"
    )


def as_measured(energy: np.ndarray, edge: float, mu: np.ndarray) -> NormalizedSpectrum:
    """Return a simulated spectrum as if it were measured and normalized, continued beyond the ends of theory."""
    wide = np.arange(edge - 60.0, edge + 120.0, 0.5)
    values = np.interp(wide, energy + edge, mu)
    before = wide < energy[0] + edge
    values[before] *= np.linspace(0, 1, np.count_nonzero(before))
    return NormalizedSpectrum(wide, values, edge, 1.0, {}, "X", "K", "simulated")


def measured(pool: Pool, folder: Path) -> None:
    """Read measured samples of known disorder."""
    with (folder / "exafs.csv").open(encoding="utf-8") as file:
        every = [row for row in csv.DictReader(file) if (row["element"], row["edge"]) == (pool.element, pool.shell)]
    # Of one session: what lies in the folder itself.
    rows = [row for row in every if "/" not in row["file"] and row["neighbors"]]
    spectra = {
        row["file"]: normalize(read_spectrum(folder / row["file"], element=pool.element, edge=pool.shell))
        for row in rows
    }
    truth = {row["file"]: np.array([float(row[name]) for name in ("msd", "r", "neighbors")]) for row in rows}
    first, *samples = rows
    known = {
        row["file"]: KnownSample(spectra[row["file"]], float(row["msd"]), float(row["msd_error"] or USUAL_ERROR))
        for row in rows
    }
    for second in [None, *samples]:
        references = [known[first["file"]], *([known[second["file"]]] if second else [])]
        others = [row for row in samples if row is not second]
        found = Reader(pool, references).read([spectra[row["file"]] for row in others])
        own = np.array([0.0, truth[first["file"]][1], 0.0])
        away = np.array([values(one) + own - truth[row["file"]] for one, row in zip(found, others, strict=True)])
        if second is None:
            for one, row in zip(found, others, strict=True):
                true = truth[row["file"]]
                say(
                    f"{row['file']:22} MSD {1e3 * one.msd:5.1f} ({1e3 * true[0]:.1f}), "
                    f"{1e3 * one.interval[0]:.1f} … {1e3 * one.interval[1]:.1f}; "
                    f"bond {one.bond:+.3f} ± {one.bond_error:.3f} ({true[1] - truth[first['file']][1]:+.3f}); "
                    f"neighbors {one.coordination:.1f} ± {one.coordination_error:.1f} ({true[2]:.1f})"
                )
        rms = np.sqrt((away**2).mean(axis=0))
        plain = np.sqrt(np.mean([(truth[row["file"]][0] - truth[first["file"]][0]) ** 2 for row in others]))
        say(
            f"beside {first['file']}{' and ' + second['file'] if second else ''}: MSD RMS {1e3 * rms[0]:.2f}e-3 Å² "
            f"(as the reference {1e3 * plain:.2f}, ratio {plain / rms[0]:.1f}), bias {1e3 * away[:, 0].mean():+.2f}; "
            f"bond RMS {rms[1]:.4f} Å; neighbors RMS {rms[2]:.2f}"
        )


def values(reading: Reading) -> np.ndarray:
    """Return MSD, bond length and coordination number of a reading."""
    return np.array([reading.msd, reading.bond, reading.coordination])


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
