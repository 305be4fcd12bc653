#!/usr/bin/env python3
"""How far above the edge full multiple scattering of gold is right, by its lmax, and what a longer range would tell.

    python benchmarks/range.py [--folder DIR] [--environments 32] [--measured examples/measured]

Environments of the pools (reference/pools), spectra to 137 eV. FEFF makes potentials and phase shifts, the native stage
solves, FEFF makes the spectrum. With `--folder` a broken-off call goes on. Half an hour on one processor.

1. By lmax, against lmax 8: errors of μ and of the differences that pools read, in units of what 0.002 Å² of disorder
   does.
2. By the radius of the cluster.
3. Scattering order by order with lmax 6, against all orders, and FEFF's path expansion against the same orders.
4. Time of a run for each lmax; the baseline is lmax 3.
5. Expected errors of readings for windows that end at 60 to 130 eV, by the spectra that ship and by those with larger
   lmax; with a folder of measured spectra what is read off them, too. The baseline is the window that ships and the
   spectra that ship, of the same environments.
6. The errors of these pools where nature is as the spectra with larger lmax are; the baseline is lmax 3.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from feff_cases import work_folder
from range_runs import COMPOSITE, LMAX4, LOW, OUTER5, POOLS, STORES, WIDER, Recipe, Runs, names, plain, some

from xanesml.averages.mesh import NORMALIZATION_OFFSET
from xanesml.fms.dense import solve_dense
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, normalize
from xanesml.pools.environments import Environments, load_environments
from xanesml.pools.information import expected_errors
from xanesml.pools.mixtures import draw
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, Window
from xanesml.pools.reading import KnownSample, Reader
from xanesml.pools.theory import TheoryError
from xanesml.pools.trials import SESSIONS, make_sessions

#: Environments that are compared: of a crystal with an MSD of 0.008 Å², of one with 0.012 Å², and of a particle.
COLD, WARM, PARTICLE = "au-crystal-39", "au-crystal-65", "au-particle147-30"
#: What 0.002 Å² of disorder does to a spectrum, root mean square, edge steps.
UNIT = 1.2e-3
BANDS = ((15, 30), (30, 45), (45, 60), (60, 80), (80, 100), (100, 120), (120, 136))
#: Energies of the tables, eV from the edge.
MESH = np.arange(-5.0, 136.5, 0.5)
#: Relative error of theory, as the card sets of `au-l3-pool` show it, and its length, eV.
THEORY = (0.35, 2.0)
#: Environments that a pool here may have.
FEWEST, MOST = 16, 40
#: How often every time is measured.
ROUNDS = 3
#: Noise of a difference, edge steps, and errors of theory that are smaller than the pool allows for.
SMALL_NOISE, SMALL_THEORY = 0.002, 0.03
#: Which of the two stores are of crystals.
CRYSTALS = np.array([True, False])


def differences(spectra: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return μ of the cold crystal, and what is read: differences from it."""
    cold = spectra[COLD]
    return {"μ": cold, "warm − cold crystal": spectra[WARM] - cold, "particle − crystal": spectra[PARTICLE] - cold}


def table(title: str, rows: dict[str, np.ndarray], *, first: float = 0.0) -> None:
    """Print root mean squares over bands of energies from the first, eV, in units of what 0.002 Å² do."""
    bands = [band for band in BANDS if band[0] >= first]
    say(f"\n{title}; units of {UNIT} edge steps".ljust(60) + " ".join(f"{a}–{b}".rjust(7) for a, b in bands))
    for name, values in rows.items():
        within = [values[(a <= MESH) & (b > MESH)] for a, b in bands]
        say(name.ljust(59) + " ".join(f"{np.sqrt((one**2).mean()) / UNIT:7.2f}" for one in within))


def compared(runs: Runs, recipe: Recipe) -> dict[str, np.ndarray]:
    """Return the differences of the environments that are compared, by one recipe."""
    edge = _edge()
    return differences({one: runs.spectrum(one, recipe).normalized(MESH, edge) for one in (COLD, WARM, PARTICLE)})


def by_lmax(runs: Runs) -> None:
    """Print errors by lmax, against lmax 8."""
    exact = compared(runs, plain(5.2, 8))
    spectrum = runs.spectrum(COLD, plain(5.2, 8))
    smooth = replace(spectrum, mu=spectrum.mu0).normalized(MESH, _edge())
    table("The signals themselves", {"μ − μ0": exact["μ"] - smooth} | {k: v for k, v in exact.items() if k != "μ"})
    for lmax in (2, 3, 4, 5, 6):
        found = compared(runs, plain(5.2, lmax))
        table(f"Errors of lmax {lmax}, 5.2 Å", {name: found[name] - exact[name] for name in exact})


def by_radius(runs: Runs) -> None:
    """Print what the radius changes, and what the sum of spheres of the small pool is wrong by."""
    found = {radius: compared(runs, plain(radius, 4)) for radius in (5.2, 7.0)}
    table("5.2 Å for 7.0 Å, lmax 4", {name: found[5.2][name] - found[7.0][name] for name in found[7.0]})
    outer, wider = compared(runs, plain(7.0, 3)), compared(runs, WIDER)
    table(f"7.0 Å for 9.0 Å above {LOW:.0f} eV, lmax 3", {name: outer[name] - wider[name] for name in wider}, first=LOW)
    outer, better = compared(runs, COMPOSITE), compared(runs, OUTER5)
    table(
        f"lmax 4 for 5 beyond 5.2 Å above {LOW:.0f} eV",
        {name: outer[name] - better[name] for name in better},
        first=LOW,
    )


def by_order(runs: Runs) -> None:
    """Print the errors of the expansion in scatterings, and FEFF's path expansion beside it."""
    edge = _edge()
    whole = runs.spectrum(COLD, plain(5.2, 6)).normalized(MESH, edge)
    orders = [one.normalized(MESH, edge) for one in runs.orders(COLD, 5.2, 6, 4)]
    errors = {f"up to {number} scatterings": one - whole for number, one in enumerate(orders, start=1)}
    table("Scatterings with lmax 6 for all of them, 5.2 Å", errors, first=LOW)
    paths = {legs - 1: runs.paths(COLD, 5.2, legs).normalized(MESH, edge) for legs in (2, 3)}
    table(
        "FEFF's paths for the same scatterings",
        {f"up to {number}": path - orders[number - 1] for number, path in paths.items()},
        first=LOW,
    )


def by_time(runs: Runs) -> None:
    """Print the time of runs by lmax."""
    real, count = runs.energies(COLD)
    rest = float((runs.prepared(COLD) / "prepared").read_text())
    few = np.flatnonzero(real > LOW)[::9]
    cases = ((7.0, 3), (7.0, 4), (7.0, 5), (7.0, 6), (5.2, 3), (5.2, 4), (5.2, 5), (5.2, 6))
    # What is made once for all energies takes part in both; all cases in turn, as the machine's speed changes.
    rounds = [[[_solving(runs, *case, rows) for rows in (few[:1], few)] for case in cases] for _ in range(ROUNDS)]
    one, all_of_few = np.median(rounds, axis=0).T
    seconds = rest + one + (all_of_few - one) / (len(few) - 1) * (count - 1)
    say(f"\nCPU time of a run to 137 eV, {count} energies; {rest:.1f} s of it are the stages before the solver")
    for (radius, lmax), own in zip(cases, seconds, strict=True):
        say(f"lmax {lmax}, {radius} Å: {own:6.1f} s, {own / seconds[0]:.2f} × lmax 3")


def _solving(runs: Runs, radius: float, lmax: int, rows: np.ndarray) -> float:
    cluster, phases = runs.cluster(COLD, radius, lmax), some(runs.phases(COLD, lmax), rows)
    began = time.process_time()
    solve_dense(cluster, phases)
    return time.process_time() - began


@cache
def _shipped() -> Environments:
    return load_environments([POOLS / store for store in STORES], last=80.0, step=0.5)


def _edge() -> float:
    return _shipped().edge


def environments(runs: Runs, count: int) -> dict[str, Environments]:
    """Return the same environments by the spectra that ship, and by others."""
    shipped = _shipped()
    chosen = names(count)
    starts = dict(zip(STORES, (0, int((shipped.store == 0).sum())), strict=True))
    rows = np.array([starts[name.rpartition("-")[0]] + int(name.rpartition("-")[2]) for name in chosen])
    own = shipped.chosen(rows)
    found = {"as shipped, lmax 3": own}
    for title, recipe in (("lmax 4", LMAX4), ("lmax 6", COMPOSITE)):
        made = [runs.spectrum(name, recipe) for name in chosen]
        mu = np.array([np.interp(MESH + own.edge, one.energy, one.mu) for one in made])
        step = np.array([np.interp(own.edge + NORMALIZATION_OFFSET, one.energy, one.mu0) for one in made])
        found[title] = replace(own, energy=MESH, mu=mu, step=step)
    return found


def pool(found: Environments, last: float) -> Pool:
    """Return a pool of environments whose window is 15 eV to `last`."""
    within = found.energy <= last
    kept = replace(found, energy=found.energy[within], mu=found.mu[:, within])
    return Pool(  # noqa: S604 (an electron shell)
        name="small",
        element="Au",
        shell="L3",
        energy=kept.energy,
        edge=kept.edge,
        mixtures=draw(kept, CRYSTALS, count=4000, seed=20250101),
        window=Window(last=last),
        errors=Errors(),
        theory=TheoryError(np.full(len(kept.energy), THEORY[0]), THEORY[1], {}),
        sources=(),
    )


def windows(found: dict[str, Environments], folder: Path | None) -> None:
    """Print the expected errors of windows; with a folder of measured spectra also what is read off them."""
    say("\nexpected errors of MSD, 1e-3 Å², bond, Å, and neighbors, and how many times smaller than the baseline's")
    baseline = expected_errors(pool(found["as shipped, lmax 3"], 80.0), Window())
    for name, one in found.items():
        for last in (60.0, 80.0, 100.0, 115.0, 130.0):
            if last > one.energy[-1]:
                continue
            made = pool(one, last)
            line = f"{name}, 15 … {last:.0f} eV"
            for noise, theory in (
                (made.errors.noise, THEORY[0]),
                (SMALL_NOISE, THEORY[0]),
                (SMALL_NOISE, SMALL_THEORY),
            ):
                wrong = TheoryError(np.full(len(made.energy), theory), THEORY[1], {})
                errors = expected_errors(replace(made, errors=Errors(noise=noise), theory=wrong), made.window)
                line += f"; noise {noise}, theory {theory}: {1e3 * errors[0]:.2f}, {errors[1]:.4f}, {errors[2]:.2f}"
                line += f" ({', '.join(f'{one:.2f}' for one in baseline / errors)})"
            say(line if folder is None else f"{line}; {measured(made, folder)}")


def foil(found: dict[str, Environments], folder: Path) -> None:
    """Print how far the measured foil is from the spectra of crystals of its MSD; shift, gain, offset, slope free."""
    row, spectrum = next((row, one) for row, one in _measured(folder) if row["neighbors"] == "12")
    bands = ((0.0, 45.0), (45.0, 80.0), (15.0, 80.0), (30.0, 130.0))
    say(
        "\nmeasured foil minus crystals, root mean square, 1e-3 edge steps; gain".ljust(60) + "  ".join(map(str, bands))
    )
    for name, one in found.items():
        mixtures = draw(one, CRYSTALS, count=4000, seed=20250101)
        near = mixtures.near(float(row["msd"]), crystal=True)
        theory, line = near @ mixtures.spectra / near.sum(), name.ljust(60)
        for first, last in bands:
            if last > one.energy[-1]:
                continue
            mesh = MESH[(first <= MESH) & (last >= MESH)]
            measured = np.interp(mesh + spectrum.e0, spectrum.energy, spectrum.mu)
            best = min(_aligned(mesh, measured, one.energy, theory, shift) for shift in np.arange(-4, 4, 0.02))
            line += f"{1e3 * best[0]:9.1f}; {best[1]:.2f}"
        say(line)


def _aligned(mesh: np.ndarray, measured: np.ndarray, energy: np.ndarray, theory: np.ndarray, shift: float) -> tuple:
    columns = np.column_stack([np.interp(mesh - shift, energy, theory), np.ones_like(mesh), mesh])
    fitted = np.linalg.lstsq(columns, measured, rcond=None)[0]
    return float(np.sqrt(((columns @ fitted - measured) ** 2).mean())), float(fitted[0])


def trial(found: dict[str, Environments]) -> None:
    """Print what pools read off sessions made of the spectra with lmax 6, all else right."""
    say("\nroot mean square errors where nature has lmax 6; how many times smaller than the baseline's")
    made = make_sessions(found["lmax 6"], CRYSTALS, pool(found["lmax 6"], 80.0), count=SESSIONS, seed=1)
    true = np.array([one.known for one in made])
    baseline = None
    for name, last in (*((name, 80.0) for name in found), *((name, 60.0) for name in found), ("lmax 6", 100.0)):
        reader = pool(found[name], last)
        readings = [Reader(reader, [one.crystal]).read([one.sample])[0] for one in made]
        errors = np.sqrt(
            ((np.array([(one.msd, one.bond, one.coordination) for one in readings]) - true) ** 2).mean(axis=0)
        )
        baseline = errors if baseline is None else baseline
        ratios = ", ".join(f"{one:.2f}" for one in baseline / errors)
        say(f"{name}, 15 … {last:.0f} eV: {1e3 * errors[0]:.2f}, {errors[1]:.4f}, {errors[2]:.2f} ({ratios})")


def measured(pool: Pool, folder: Path) -> str:
    """Return what a pool reads off measured samples of gold beside their foil: root mean square errors by EXAFS."""
    rows, spectra = zip(*_measured(folder), strict=True)
    reader = Reader(pool, [KnownSample(spectra[0], float(rows[0]["msd"]), float(rows[0]["msd_error"]))])
    found = np.array([(one.msd, one.bond, one.coordination) for one in reader.read(spectra[1:])])
    true = np.array([[float(row[key]) for key in ("msd", "r", "neighbors")] for row in rows])
    true = true[1:] - [0.0, true[0, 1], 0.0]
    msd, bond, number = np.sqrt(((found - true) ** 2).mean(axis=0))
    slope = np.polyfit(true[:, 1], found[:, 1], 1)[0]
    return f"measured RMS {1e3 * msd:.2f}, {bond:.4f} (slope {slope:.2f}), {number:.2f}"


def _measured(folder: Path) -> list[tuple[dict[str, str], NormalizedSpectrum]]:
    """Return the gold samples of a folder with their rows in its table, the foil first."""
    with (folder / "exafs.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["element"] == "Au" and "/" not in row["file"]]
    return [(row, normalize(read_spectrum(folder / row["file"], element="Au", edge="L3"))) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep FEFF's folders and spectra, and go on from them")
    parser.add_argument(
        "--environments", type=int, default=32, help=f"{FEWEST} to {MOST} of them in the pools of 5 and 6"
    )
    parser.add_argument("--measured", type=Path)
    options = parser.parse_args()
    if not FEWEST <= options.environments <= MOST:
        parser.error(
            f"--environments {options.environments}: give {FEWEST} to {MOST}, as fewer hold no crystal like a foil"
        )
    with work_folder(options.folder) as folder:
        runs = Runs(folder)
        parts: tuple[Callable[[Runs], None], ...] = (by_lmax, by_radius, by_order, by_time)
        for part in parts:
            part(runs)
        found = environments(runs, options.environments)
        if options.measured is not None:
            foil(found, options.measured)
        windows(found, options.measured)
        trial(found)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
