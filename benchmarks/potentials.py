#!/usr/bin/env python3
"""What the choice of the potentials does to spectra of gold, in terms of what disorder does.

    python benchmarks/potentials.py FOLDER [--part sites|absorbers|structures]... [--atoms N]... [--sigma S]...

Runs FEFF10 with three rules of potentials and keeps every run in FOLDER, so that the same call
goes on where it was stopped:

- nearest: an element is a potential, and the atom nearest to the absorber stands for it with
  100 times the absorber's weight. FEFF does so by itself.
- element: an element is a potential, and a typical atom stands for it with the weight of all.
- coordination: one potential for each number of first neighbors, likewise.

`sites`: center, neighbor, face, edge and vertex of undistorted clusters, and a fourth rule, one
potential for each class of equivalent sites, as far as there are at most nine.
`absorbers`: the center and its neighbors in one disordered structure, and their mean.
`structures`: one neighbor in several disordered structures.

Prints Fermi level and interstitial level, eV; the RMS distance of μ from coordination, edge steps; and
that distance over the distance between two averages whose MSD differ by 0.002 Å², from
reference/au55.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from feff_cases import heading, row

from xanesml.campaign import Campaign, EngineSection, FeffSection, StructureSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import raise_stack_limit
from xanesml.feff.request import Request
from xanesml.files.arrays import Floats, Integers
from xanesml.store.plan import expand
from xanesml.store.rows import open_store_file, read_spectrum
from xanesml.structures import Cluster, build_cluster
from xanesml.structures.potentials import MOST_CLASSES, Classes, Representatives, grouped, numbered

RULES = {
    "nearest": FeffSection(potentials="element", representative="nearest", stoichiometry="feff"),
    "element": FeffSection(potentials="element"),
    "coordination": FeffSection(potentials="coordination"),
    "site": FeffSection(),
}

REFERENCE = Path(__file__).parents[1] / "reference" / "au55" / "store.h5"

_ENGINE = make_engine(EngineSection())


@dataclass(frozen=True)
class Run:
    """A finished run: energies from FEFF's edge and μ in edge steps, and the levels, eV."""

    energy: Floats
    mu: Floats
    fermi: float
    interstitial: float


def run(place: Path, positions: Floats, cluster: Cluster, absorber: int, rule: str) -> Run:
    """Run FEFF with a rule of potentials, or read what an earlier call ran."""
    if not place.exists():
        feff = RULES[rule]
        classes = _classes(cluster, rule)
        chooser = Representatives(cluster, classes, reach=4.6)
        choose = chooser.nearest if feff.representative == "nearest" else chooser.typical
        potentials = numbered(classes, absorber, choose(positions, np.array([absorber]))[0])
        text = feff_input(
            numbers=cluster.numbers, positions=positions, absorber=absorber, feff=feff, potentials=potentials
        )
        with tempfile.TemporaryDirectory() as folder:
            result = run_feff(_ENGINE, Path(folder), text, Request.of(feff, absorber_number=79))
            if result.outcome is not Outcome.DONE or result.spectrum is None:
                raise SystemExit(f"{place.name}: {result.outcome.label}: {result.message}\n{result.log}")
            header = (Path(folder) / "xmu.dat").read_text(encoding="utf-8")
        spectrum = result.spectrum
        fermi, interstitial = (float(re.findall(rf"{name}=\s*(\S+?)eV", header)[0]) for name in ("Mu", "Vint"))
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f"{place.stem}.partial.npz")
        np.savez(
            partial,
            energy=spectrum.energy - spectrum.edge,
            mu=spectrum.mu / spectrum.mu0[-1],
            fermi=fermi,
            interstitial=interstitial,
            seconds=result.seconds,
        )
        partial.rename(place)
    kept = np.load(place)
    return Run(kept["energy"], kept["mu"], float(kept["fermi"]), float(kept["interstitial"]))


def _classes(cluster: Cluster, rule: str) -> Classes:
    if rule == "site":
        return grouped(cluster.numbers, _sites(cluster))
    level = np.zeros_like(cluster.numbers) if RULES[rule].potentials == "element" else cluster.coordination
    return grouped(cluster.numbers, level)


def _sites(cluster: Cluster) -> Integers:
    """Number the sites of a cuboctahedron: its atoms of equal distance, up to sign and order of the coordinates."""
    kinds = np.sort(np.abs(np.round(cluster.positions - cluster.positions[cluster.absorber], 3)), axis=1)
    return np.asarray(np.unique(kinds, axis=0, return_inverse=True)[1]).ravel()


def _site(cluster: Cluster, name: str) -> int:
    distance = np.round(np.linalg.norm(cluster.positions - cluster.positions[cluster.absorber], axis=1), 4)
    if name == "center":
        return cluster.absorber
    wanted = {"neighbor": distance < 1.2 * cluster.first_shell, "face": cluster.coordination == 8}
    wanted |= {"edge": cluster.coordination == 7, "vertex": cluster.coordination == 5}
    candidates = np.flatnonzero(wanted[name] & (distance > 0))
    return int(candidates[np.argmin(distance[candidates])])


def mean(runs: list[Run]) -> Run:
    """Return the mean of runs on the energies that all have."""
    low, high = max(one.energy[0] for one in runs), min(one.energy[-1] for one in runs)
    mesh = np.arange(low, high, 0.25)
    spectra = np.array([np.interp(mesh, one.energy, one.mu) for one in runs])
    return Run(mesh, spectra.mean(axis=0), *(np.mean([[r.fermi, r.interstitial] for r in runs], axis=0).tolist()))


def distance(one: Run, other: Run) -> float:
    """Return the RMS distance of two spectra over the energies that both have, FEFF's energies as they are."""
    mesh = np.arange(max(one.energy[0], other.energy[0]), min(one.energy[-1], other.energy[-1]), 0.25)
    difference = np.interp(mesh, one.energy, one.mu) - np.interp(mesh, other.energy, other.mu)
    return float(np.sqrt(np.mean(difference**2)))


def unit() -> float:
    """Return the RMS distance of two averages over reference/au55 whose MSD are 0.008 and 0.010 Å²."""
    with open_store_file(REFERENCE) as file:
        delta = file["structures/delta"][file["tasks/structure"][:]]
        spectra = [read_spectrum(file, task) for task in range(len(delta))]
    mesh = np.arange(max(s.energy[0] for s in spectra), min(s.energy[-1] for s in spectra), 0.25)
    mu = np.array([np.interp(mesh, s.energy, s.mu / s.mu0[-1]) for s in spectra])
    weights = np.exp(-(delta**2) / 2 / np.array([[0.008], [0.010]]))
    averages = weights / weights.sum(axis=1, keepdims=True) @ mu
    return float(np.sqrt(np.mean((averages[1] - averages[0]) ** 2)))


def sites(folder: Path, atoms: int, scale: float) -> None:
    """Compare the rules on the sites of an undistorted cluster."""
    cluster = build_cluster(StructureSection(atoms=atoms))
    rules = [rule for rule in RULES if rule != "site" or len(np.unique(_sites(cluster))) <= MOST_CLASSES]
    for site in ("center", "neighbor", "face", "edge", "vertex"):
        absorber = _site(cluster, site)
        runs = {
            rule: run(folder / f"{atoms}-{site}-{rule}.npz", cluster.positions, cluster, absorber, rule)
            for rule in rules
        }
        for rule, one in runs.items():
            away = distance(one, runs["coordination"])
            row(atoms, site, rule, f"{one.fermi:.3f}", f"{one.interstitial:.3f}", f"{away:.1e}", f"{away / scale:.1f}")


def disordered(folder: Path, atoms: int, sigma: float, part: str, count: int, scale: float) -> None:
    """Compare the rules on disordered structures: all absorbers of one, or one neighbor in several."""
    campaign = Campaign.model_validate(
        {
            "name": "disordered",
            "structure": {"atoms": atoms},
            "disorder": {"structures": count, "sigma_minimum": sigma, "sigma_maximum": sigma},
        }
    )
    table = expand(campaign)
    several = table.absorber[table.structure == 0].tolist()
    wanted = (
        [(0, absorber) for absorber in several]
        if part == "absorbers"
        else [(number, several[1]) for number in range(count)]
    )
    runs: dict[str, list[Run]] = {rule: [] for rule in RULES if rule != "site"}
    for number, absorber in wanted:
        positions = np.asarray(table.positions[number])
        for rule, made in runs.items():
            place = folder / f"{atoms}-{sigma}-{number}-{absorber}-{rule}.npz"
            made.append(run(place, positions, table.cluster, absorber, rule))
    best = mean(runs["coordination"])
    for rule, made in runs.items():
        levels = np.array([[one.fermi, one.interstitial] for one in made])
        each = np.array([distance(one, other) for one, other in zip(made, runs["coordination"], strict=True)])
        whole = distance(mean(made), best)
        row(
            atoms,
            f"σ {sigma} {part}",
            rule,
            *(f"{level:.3f} ± {spread:.3f}" for level, spread in zip(levels.mean(0), levels.std(0), strict=True)),
            f"{np.sqrt(np.mean(each**2)):.1e}, mean {whole:.1e}",
            f"{whole / scale:.1f}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", action="append", choices=["sites", "absorbers", "structures"])
    parser.add_argument("--atoms", type=int, action="append", choices=[55, 147, 561])
    parser.add_argument("--sigma", type=float, action="append")
    parser.add_argument("--structures", type=int, default=20, help="disordered structures")
    options = parser.parse_args()
    raise_stack_limit()
    scale = unit()
    print(f"0.002 Å² of disorder move μ by {scale:.2e} edge steps (RMS)\n")
    heading("atoms", "absorber", "rule", "Fermi, eV", "interstitial, eV", "from coordination", "over 0.002 Å²")
    for part in options.part or ["sites", "absorbers", "structures"]:
        for atoms in options.atoms or [55, 147, 561]:
            if part == "sites":
                sites(options.folder, atoms, scale)
                continue
            for sigma in options.sigma or [0.05, 0.12]:
                disordered(options.folder, atoms, sigma, part, options.structures, scale)


if __name__ == "__main__":
    main()
