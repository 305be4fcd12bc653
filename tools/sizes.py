#!/usr/bin/env python3
"""What the size of a particle does to its spectrum, and to a reading: cuboctahedra and the bulk beside a measured foil.

    python tools/sizes.py FOLDER FOIL [--atoms 13,55,147,309,561] [--whole] [--tensors FILE]

Makes a campaign for each size and for the bulk in FOLDER, runs FEFF for the undistorted center of each (with --whole
for every atom, averaged), one run after the other, and writes sizes.csv, sizes.png and sizes.pdf. Runs that are done
are not run again. FILE is the tensor file of a campaign with a distorted series of one of the sizes: the difference of
each other size from this one is added to its Gaussian average of the foil's MSD, and the skew-normal average nearest to
the sum is what is read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.build
import ase.io
import numpy as np

from xanesml.averages.nearest import nearest
from xanesml.averages.reader import open_tensors
from xanesml.campaign import Campaign
from xanesml.files.arrays import Floats
from xanesml.files.table import write_csv
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import STEP_OFFSET, align, normalize, on_mesh
from xanesml.plots.style import ABSORPTION, BLACK, ENERGY, TWO_COLUMNS, VERMILION, new_figure
from xanesml.store.rows import open_store_file
from xanesml.store.rows import read_spectrum as read_spectrum_of_task
from xanesml.structures import build_cluster

BULK = "bulk"
#: Mean squared displacement of bulk gold at room temperature by EXAFS, Å².
FOIL_MSD = 0.0081
#: Displacement of the undistorted structures, Å; it does not change the sixth decimal of feff.inp.
NOTHING = 1e-12
#: Radius of the sphere that is cut from the bulk, Å: that of 561 atoms, twice the FMS radius.
RADIUS = 14.4
#: Step of the common mesh, eV.
STEP = 0.2
#: Largest shift between the energies of two sizes, eV.
LARGEST_SHIFT = 3.0


@dataclass(frozen=True)
class Size:
    """A size: its name, and its spectrum at photon energies, normalized at the edge plus 50 eV."""

    name: str
    energy: Floats
    mu: Floats
    edge: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("foil", type=Path)
    parser.add_argument("--atoms", default="13,55,147,309,561", help="sizes of fcc cuboctahedra")
    parser.add_argument("--element", default="Au")
    parser.add_argument("--edge", default="L3")
    parser.add_argument("--lattice-constant", type=float, default=4.0782, help="Å")
    parser.add_argument("--whole", action="store_true", help="average over all atoms of a particle, not its center")
    parser.add_argument("--tensors", type=Path, help="a tensor file with the series that disorder is read with")
    parser.add_argument("--msd", type=float, default=FOIL_MSD, help="MSD that every size is given, Å²")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"{int(one)}" for one in options.atoms.split(",")), BULK]
    sizes = [simulated(name, options) for name in names]
    report(sizes, options)


def simulated(name: str, options: argparse.Namespace) -> Size:
    """Simulate one size, unless that is done, and return its spectrum."""
    path, output = options.folder / f"{name}.toml", options.folder / name
    lattice = f"lattice_constant = {options.lattice_constant}"
    structure = f"atoms = {name}\n{lattice}"
    if name == BULK:
        file = options.folder / "bulk.xyz"
        ase.io.write(file, ase.build.bulk(options.element, "fcc", a=options.lattice_constant, cubic=True))
        structure = f'file = "{file.name}"\nradius = {RADIUS}'
    head = f'name = "size-{name}"\n[structure]\nelement = "{options.element}"\n{structure}\n'
    head += f'[feff]\nedge = "{options.edge}"\n[disorder]\nstructures = 1\n'
    head += f"sigma_minimum = {NOTHING}\nsigma_maximum = {NOTHING}\n"
    path.write_text(head)
    center = build_cluster(Campaign.load(path).structure).absorber
    absorbers = '"all"' if options.whole and name != BULK else f"[{center}]"
    path.write_text(f"{head}absorbers = {absorbers}\n")
    subprocess.run([sys.executable, "-m", "hpc.cli", "simulate", path, "--output", output], check=True)
    with open_store_file(output / "store.h5") as file:
        spectra = [read_spectrum_of_task(file, task) for task in range(len(file["runs/outcome"]))]
    edge = float(np.mean([one.edge for one in spectra]))
    mesh = np.arange(max(one.energy[0] for one in spectra), min(one.energy[-1] for one in spectra), STEP)
    mu, mu0 = (
        np.mean([np.interp(mesh, one.energy, getattr(one, kind)) for one in spectra], axis=0) for kind in ("mu", "mu0")
    )
    return Size(name, mesh, np.asarray(mu / np.interp(edge + STEP_OFFSET, mesh, mu0)), edge)


def report(sizes: list[Size], options: argparse.Namespace) -> None:
    """Print and write the table, and draw the figure."""
    bulk = sizes[-1]
    mesh = np.arange(max(one.energy[0] for one in sizes), min(one.energy[-1] for one in sizes), STEP)
    spectra = np.array([np.interp(mesh, one.energy, one.mu) for one in sizes])
    step = float(min(STEP_OFFSET, bulk.energy[-1] - bulk.edge))
    foil = normalize(read_spectrum(options.foil, element=options.element, edge=options.edge), step_offset=step)
    found = [align(foil, mesh, one) for one in spectra]
    readings = [("", "")] * len(sizes) if options.tensors is None else read(sizes, options.tensors, options.msd)
    columns = ["atoms", "edge", "rms_bulk", "rms_foil", "foil_shift", "msd_read", "msd_read_shifted"]
    rows = [
        [one.name, round(one.edge, 3), rms(mu - spectra[-1]), fit.rms, round(fit.shift, 3), *reading]
        for one, mu, fit, reading in zip(sizes, spectra, found, readings, strict=True)
    ]
    write_csv(options.folder / "sizes.csv", columns, rows)
    print("| atoms | edge, eV | from the bulk | from the foil | MSD read, 10⁻³ Å² | energies shifted |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, edge, apart, beside, _, *reading in rows:
        cells = " | ".join(f"{1e3 * one:.2f}" if one != "" else "–" for one in reading)
        print(f"| {name} | {edge:.2f} | {apart:.4f} | {beside:.4f} | {cells} |")
    print(f"RMS in edge steps; every size was given an MSD of {1e3 * options.msd:.1f} · 10⁻³ Å²")
    draw(sizes, mesh, spectra, on_mesh(foil, mesh, found[-1].shift), options.folder / "sizes.png")


def read(sizes: list[Size], tensors: Path, msd: float) -> list[tuple[float, float]]:
    """Return the MSD that each size is read as, Å², with energies as they are and with energies shifted."""
    with open_tensors(tensors) as file:
        series, edge = file.series, float(file.file.attrs["edge"])
        campaign = Campaign.restored(str(file.file.attrs["campaign"]))
    own = next((one for one in sizes if one.name == str(campaign.structure.atoms)), None)
    if own is None:
        sys.exit(f"{tensors} is of {campaign.structure.atoms} atoms; give its size among --atoms")
    average = series.average(msd=msd)
    found = []
    for size in sizes:
        inside = np.logical_and.reduce(
            [(series.energy >= one.energy[0]) & (series.energy <= one.energy[-1]) for one in (size, own)]
        )
        there, here = (np.interp(series.energy, one.energy, one.mu) for one in (size, own))
        spectrum = average + np.where(inside, there - here, 0.0)
        fits = [
            nearest(spectrum, series, campaign.averaging, largest_shift=shift, edge=edge)
            for shift in (0.0, LARGEST_SHIFT)
        ]
        found.append((fits[0].msd, fits[1].msd))
    return found


def draw(sizes: list[Size], mesh: Floats, spectra: Floats, foil: Floats, path: Path) -> None:
    """Draw the spectra with the foil, and their differences from the bulk."""
    relative = mesh - sizes[-1].edge
    with new_figure(path, height=3.2, width=TWO_COLUMNS) as figure:
        from matplotlib import colormaps  # noqa: PLC0415 (slow)

        left, right = figure.subplots(1, 2, sharex=True)
        colors = [*colormaps["viridis"](np.linspace(0, 0.9, len(sizes) - 1)), VERMILION]
        for one, mu, color in zip(sizes, spectra, colors, strict=True):
            label = one.name if one.name == BULK else f"{one.name} atoms"
            left.plot(relative, mu, color=color, linewidth=0.9, label=label)
            right.plot(relative, mu - spectra[-1], color=color, linewidth=0.9)
        left.plot(relative, foil, color=BLACK, label="measured foil, shifted")
        right.plot(relative, foil - spectra[-1], color=BLACK)
        left.set(xlabel=ENERGY, ylabel=ABSORPTION, xlim=(relative[0], relative[-1]))
        right.set(xlabel=ENERGY, ylabel="Difference from the bulk (edge steps)")
        left.legend(loc="lower right")


def rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
