#!/usr/bin/env python3
"""The limits of reading disorder off a measured spectrum: the tables and figures of docs/explanation/experiment.md.

    python tools/experiment.py LARGE SMALL FOIL [--figures FOLDER]

LARGE is the output folder of a campaign with a trained model, SMALL that of one with another cluster,
averaged only; FOIL is a measured spectrum of known disorder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from synthetic_gap import Gap, measure

from xanesml.files.arrays import Floats
from xanesml.learning.augmentation import gaussian_averages
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.model import TrainedModel, load_model
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, align, normalize, on_mesh
from xanesml.plots.style import ABSORPTION, BLACK, BLUE, ENERGY, ORANGE, TWO_COLUMNS, VERMILION, new_figure
from xanesml.prediction.predict import predict_spectrum
from xanesml.prediction.reference import make_reference

#: Mean squared displacement of bulk gold at room temperature by EXAFS, Å².
FOIL_MSD = 0.0081
#: The MSD to distinguish from it, Å².
OTHER_MSD = 0.0102
SAMPLES = np.arange(0.004, 0.0165, 0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("large", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("foil", type=Path)
    parser.add_argument("--figures", type=Path, default=Path())
    parser.add_argument("--sessions", type=int, default=40, help="experiments with a gap of their own")
    options = parser.parse_args()
    options.figures.mkdir(parents=True, exist_ok=True)
    model = load_model(options.large / "model")
    large, small = (load_tensors(folder / "tensors.h5") for folder in (options.large, options.small))
    metadata = model.metadata
    foil = normalize(read_spectrum(options.foil), step_offset=metadata.normalization_energy - metadata.edge_energy)
    differences(model, large, small, foil, options.figures / "limits.png")
    print()
    gaps(model, options.sessions, options.figures / "gaps.png")
    print()
    particles(large)


def gaussian(data: Tensors, msd: float, mesh: Floats) -> Floats:
    """Return a Gaussian average on the energies of a mesh that its own covers, or as far as that goes."""
    average = gaussian_averages(data.series, np.array([msd]))[0]
    return np.interp(mesh, data.mesh, average)


def differences(model: TrainedModel, large: Tensors, small: Tensors, foil: NormalizedSpectrum, path: Path) -> None:
    """Print and draw the change of a spectrum by disorder, and larger differences."""
    mesh, edge = model.mesh, model.metadata.edge_energy
    simulated, other = (gaussian(large, msd, mesh) for msd in (FOIL_MSD, OTHER_MSD))
    # Edges of different clusters lie at different energies.
    cluster = gaussian(small, FOIL_MSD, mesh + small.edge - large.edge)
    shifted = on_mesh(foil, mesh, align(foil, mesh, simulated).shift)
    calibrated = make_reference(model, foil, FOIL_MSD)
    rows = {
        f"disorder: MSD {OTHER_MSD} for {FOIL_MSD} Å²": other - simulated,
        "cluster: the smaller for the larger": cluster - simulated,
        "measured foil, shifted": shifted - simulated,
        "measured foil, calibrated by four numbers": calibrated.measured - simulated,
    }
    print("| difference | RMS, 10⁻³ edge steps | in units of the first |")
    print("| --- | ---: | ---: |")
    first = rms(next(iter(rows.values())))
    for name, values in rows.items():
        print(f"| {name} | {1e3 * rms(values):.2f} | {rms(values) / first:.0f} |")
    calibration = calibrated.calibration
    print(
        f"\ncalibration on the foil: shift {calibration.shift:+.2f} eV, stretch {calibration.stretch:+.2%}, "
        f"broadening {calibration.broadening:.2f} eV, amplitude {calibration.amplitude:.3f}"
    )
    relative = mesh - edge
    with new_figure(path, height=3.0, width=TWO_COLUMNS) as figure:
        left, right = figure.subplots(1, 2, sharex=True)
        left.plot(relative, simulated, color=BLUE, label="larger cluster")
        left.plot(relative, cluster, color=ORANGE, linestyle="--", label="smaller cluster")
        left.plot(relative, shifted, color=BLACK, label="foil, shifted")
        left.set(xlabel=ENERGY, ylabel=ABSORPTION, xlim=(relative[0], relative[-1]))
        left.legend(loc="lower right")
        right.plot(relative, shifted - simulated, color=BLACK, label="foil − larger cluster")
        right.plot(relative, cluster - simulated, color=ORANGE, linestyle="--", label="smaller − larger cluster")
        right.plot(relative, 10 * (other - simulated), color=VERMILION, label="10 × disorder")
        right.set(xlabel=ENERGY, ylabel="Difference")
        right.legend(loc="upper right")


def gaps(model: TrainedModel, sessions: int, path: Path) -> None:
    """Print and draw how both modes fare where theory and experiment differ as much as they do."""
    mesh, edge = model.mesh, model.metadata.edge_energy
    spectra = gaussian_averages(model.series, np.append(FOIL_MSD, SAMPLES))
    found: dict[str, list[Floats]] = {"direct": [], "reference": []}
    for session in range(sessions):
        foil, *samples = measure(spectra, mesh, edge=edge, gap=Gap(noise=0.0005), seed=session)
        reference = make_reference(model, foil, FOIL_MSD)
        direct = [predict_spectrum(model, one).msd for one in (foil, *samples)]
        beside = [predict_spectrum(model, one, reference=reference).msd for one in samples]
        # The direct mode may also subtract its prediction for the foil.
        found["direct"].append(np.array(direct[1:]) - direct[0])
        found["reference"].append(np.array(beside) - FOIL_MSD)
    true = SAMPLES - FOIL_MSD
    print("| true ΔMSD, 10⁻³ Å² | direct: bias | scatter | with a reference: bias | scatter |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for sample, value in enumerate(true):
        cells = []
        for mode in ("direct", "reference"):
            errors = 1e3 * (np.array(found[mode])[:, sample] - value)
            cells += [f"{errors.mean():+.2f}", f"{errors.std():.2f}"]
        print(f"| {1e3 * value:+.1f} | {' | '.join(cells)} |")
    for mode in ("direct", "reference"):
        print(f"\n{mode}: root mean square error {1e3 * rms(np.array(found[mode]) - true):.2f} · 10⁻³ Å²")
    with new_figure(path, height=3.0) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, mode, color in zip(panels, ("direct", "reference"), (VERMILION, BLUE), strict=True):
            spread = np.random.default_rng(0).uniform(-0.3, 0.3, (sessions, 1))
            axes.plot(1e3 * true + spread, 1e3 * np.array(found[mode]), ".", color=color, markersize=2.5)
            axes.axline((0, 0), slope=1, color=BLACK, linewidth=0.8)
            axes.set(xlabel="True ΔMSD (10⁻³ Å²)", title="direct" if mode == "direct" else "beside a reference")
        panels[0].set(ylabel="Predicted ΔMSD (10⁻³ Å²)")


def particles(data: Tensors) -> None:
    """Print the difference between statistical and particle averages of the same moments."""
    print("| particle averages: MSD, 10⁻³ Å² | number | RMS difference from the Gaussian average, 10⁻³ edge steps |")
    print("| --- | ---: | ---: |")
    order = np.argsort(data.particle_msd)
    for some in np.array_split(order, min(4, len(order))):
        msd = data.particle_msd[some]
        averages = gaussian_averages(data.series, msd)
        values = [rms(one) for one in data.particle_spectra[some] - averages]
        print(f"| {1e3 * msd.min():.1f} to {1e3 * msd.max():.1f} | {len(some)} | {1e3 * np.mean(values):.1f} |")


def rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
