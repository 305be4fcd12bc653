"""The drawing of the method's figures: each function draws one, and returns the numbers of its caption.

`tools/figures.py` has the table of them, and the captions.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import experiment
import numpy as np

from xanesml.averages.series import Series
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.model import TrainedModel, load_model
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, align, normalize, on_mesh
from xanesml.plots import averaging_figures, training_figures
from xanesml.plots.style import (
    ABSORPTION,
    BLACK,
    BLUE,
    DELTA,
    ENERGY,
    GRAY,
    ORANGE,
    TWO_COLUMNS,
    VERMILION,
    colored_curves,
    new_figure,
)
from xanesml.pools.model import Pool
from xanesml.pools.reading import KnownSample, Reader, Reading
from xanesml.prediction.model import Model
from xanesml.prediction.model import load_model as load_predicting

ROOT = Path(__file__).resolve().parent.parent
FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
POOL = ROOT / "xanesml" / "models" / "au-l3-pool"

#: Of the measured samples: the reference, and the particle shown beside it.
REFERENCE, PARTICLE = "au_foil.xdi", "au_colloid_A1.xdi"

#: Numbers of a caption as text, by their name in it.
Numbers = dict[str, str]


class NotThere(Exception):
    """Data of a figure that this machine does not have."""


@dataclass(frozen=True)
class Sources:
    """What the figures are drawn from.

    Attributes
    ----------
    large, small : Path
        Output folders of the campaigns.
    measured : Path
        Folder of measured spectra with `exafs.csv`.
    drawn : Path
        Folder for the figures that a stage draws together.
    """

    large: Path
    small: Path
    measured: Path
    drawn: Path

    @cached_property
    def tensors(self) -> Tensors:
        return load_tensors(self.large / "tensors.h5")

    @cached_property
    def small_tensors(self) -> Tensors:
        return load_tensors(self.small / "tensors.h5")

    @cached_property
    def series(self) -> Series:
        with open_file(self.large / "tensors.h5", TENSORS) as file:
            return Series.read(file)

    @cached_property
    def model(self) -> TrainedModel:
        return load_model(self.large / "model")

    @cached_property
    def predicting(self) -> Model:
        return load_predicting(self.large / "model")

    @cached_property
    def exafs(self) -> dict[str, dict[str, str]]:
        """What EXAFS says of each measured sample, by its file."""
        path = self.measured / "exafs.csv"
        if not path.exists():
            raise NotThere(f"no {path}")
        with path.open(encoding="utf-8", newline="") as file:
            return {row["file"]: row for row in csv.DictReader(file)}

    def normalized(self, path: Path) -> NormalizedSpectrum:
        metadata = self.model.metadata
        offset = metadata.normalization_energy - metadata.edge_energy
        return normalize(read_spectrum(path), step_offset=offset)

    def msd(self, name: str) -> float:
        """Return the MSD of a sample by EXAFS, Å²."""
        return float(self.exafs[name]["msd"])

    def beside_another_foil(self) -> Reading:
        """Return what the pool that ships reads off the foil beside that of another beamline."""
        reference, foil = (
            normalize(read_spectrum(path, element="Au", edge="L3")) for path in (self.measured / REFERENCE, FOIL)
        )
        known = KnownSample(reference, self.msd(REFERENCE), float(self.exafs[REFERENCE]["msd_error"]))
        return Reader(Pool.load(POOL), [known]).read([foil])[0]

    @cached_property
    def stages(self) -> Path:
        """The folder with all figures of the stages `average` and `train`."""
        averaging_figures(self.large / "tensors.h5", self.drawn)
        if (self.large / "model" / "report.json").exists():
            training_figures(self.large / "tensors.h5", self.large / "model", self.drawn)
        return self.drawn


def overview(sources: Sources, out: Path) -> Numbers:
    """Draw the whole way in three panels: series, weights, and the foil beside the average of its MSD."""
    series, model = sources.series, sources.model
    relative = series.energy - model.metadata.edge_energy
    levels = (0.002, 0.008, 0.016)
    foil, mesh = sources.normalized(FOIL), model.mesh
    near = experiment.gaussian(sources.tensors, experiment.FOIL_MSD, mesh)
    shifted = on_mesh(foil, mesh, align(foil, mesh, near).shift)
    with new_figure(out, height=2.3, width=TWO_COLUMNS) as figure:
        first, second, third = figure.subplots(1, 3)
        lines = colored_curves(first, relative, series.normalized, series.delta)
        figure.colorbar(lines, ax=first, label=DELTA)
        first.set(xlabel=ENERGY, ylabel=ABSORPTION, title="1. FEFF: distorted clusters", xlim=relative[[0, -1]])
        for msd, color in zip(levels, (BLUE, ORANGE, VERMILION), strict=True):
            weights = np.exp(-(series.delta**2) / (2 * msd))
            second.plot(series.delta, weights / weights.max(), color=color, label=f"{1e3 * msd:.0f}")
        second.legend(title="10⁻³ Å²", title_fontsize=7, loc="upper left", handlelength=1.2)
        second.set(xlabel=DELTA, ylabel="Weight", title="2. Averages of known disorder", xlim=(-0.45, 0.45))
        third.plot(mesh - model.metadata.edge_energy, near, color=BLUE, linestyle="--", label="average of that MSD")
        third.plot(mesh - model.metadata.edge_energy, shifted, color=BLACK, label="measured foil")
        third.legend(loc="lower right")
        third.set(xlabel=ENERGY, ylabel=ABSORPTION, title="3. A measured spectrum")
        readings = {"by itself": sources.predicting.predict(FOIL), "beside a foil": sources.beside_another_foil()}
        lines = [f"{how}: {_thousandths(one.msd)} ({_thousandths(*one.interval)})" for how, one in readings.items()]
        text = "\n".join([*lines, "EXAFS: 8.1(5) · 10⁻³ Å²"])
        third.text(0.97, 0.25, text, transform=third.transAxes, ha="right", size=6.5)
    return {"apart": f"{1e3 * experiment.rms(shifted - near):.0f}"}


def _thousandths(*values: float) -> str:
    """Return MSDs, Å², in 10⁻³ Å²."""
    return " … ".join(f"{1e3 * value:.1f}" for value in values)


def pair(sources: Sources, out: Path) -> Numbers:
    """Draw a simulated pair of bulk and particle and a measured one, with their differences below."""
    model = sources.model
    mesh, relative = model.mesh, model.mesh - model.metadata.edge_energy
    bulk, particle = (experiment.gaussian(sources.tensors, sources.msd(name), mesh) for name in (REFERENCE, PARTICLE))
    foil, sample = (sources.normalized(sources.measured / name) for name in (REFERENCE, PARTICLE))
    # The sample is put on the foil's energies, not on theory's.
    on_theory = align(foil, mesh, bulk).shift
    measured_foil = on_mesh(foil, mesh, on_theory)
    measured_sample = on_mesh(sample, mesh, align(sample, mesh, measured_foil).shift)
    with new_figure(out, height=3.4, width=TWO_COLUMNS) as figure:
        grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(2, 1.2))
        for column, title, one, other in (
            (0, "simulated", bulk, particle),
            (1, "measured, aligned", measured_foil, measured_sample),
        ):
            grid[0, column].plot(
                relative, one, color=BLACK, label=f"foil, {1e3 * sources.msd(REFERENCE):.1f} · 10⁻³ Å²"
            )
            label = f"particles, {1e3 * sources.msd(PARTICLE):.1f} · 10⁻³ Å²"
            grid[0, column].plot(relative, other, color=VERMILION, linestyle="--", label=label)
            grid[0, column].set_title(title)
            grid[1, column].axhline(0, color=GRAY, linewidth=0.6)
            grid[1, column].plot(relative, 1e3 * (other - one), color=BLUE)
            grid[1, column].set(xlabel=ENERGY)
        grid[0, 0].legend(loc="lower right")
        grid[0, 0].set_ylabel(ABSORPTION)
        grid[1, 0].set_ylabel("Difference\n(10⁻³ edge steps)")
    theirs, ours = experiment.rms(measured_sample - measured_foil), experiment.rms(particle - bulk)
    alike = float(np.corrcoef(measured_sample - measured_foil, particle - bulk)[0, 1])
    return {"measured": f"{1e3 * theirs:.1f}", "simulated": f"{1e3 * ours:.1f}", "correlated": f"{alike:.2f}"}


def limits(sources: Sources, out: Path) -> Numbers:
    """Draw two sizes of the cluster and the foil, as docs/explanation/experiment.md does."""
    with redirect_stdout(StringIO()):
        experiment.differences(sources.model, sources.tensors, sources.small_tensors, sources.normalized(FOIL), out)
    return {}


def readings(sources: Sources, out: Path) -> Numbers:
    """Draw the readings of measured gold samples against EXAFS, directly and beside the foil."""
    names = [name for name, row in sources.exafs.items() if name.startswith("au_") and name != REFERENCE]
    paths = [sources.measured / name for name in names]
    truth = np.array([sources.msd(name) for name in names])
    errors = np.array([float(sources.exafs[name]["msd_error"] or "nan") for name in names])
    foil = sources.measured / REFERENCE
    known = sources.predicting.reference(foil, sources.msd(REFERENCE), 0.0005)
    found: dict[str, Any] = {
        "direct": [sources.predicting.predict(path) for path in paths],
        "beside the foil": [sources.predicting.predict(path, reference=known) for path in paths],
    }
    told: Numbers = {"samples": str(len(names))}
    with new_figure(out, height=3.0, width=TWO_COLUMNS) as figure:
        panels = figure.subplots(1, 2, sharex=True)
        for axes, (mode, predictions), color in zip(panels, found.items(), (ORANGE, BLUE), strict=True):
            values = np.array([one.msd for one in predictions])
            low, high = np.transpose([one.interval for one in predictions])
            bars: dict[str, Any] = {"fmt": "none", "ecolor": color, "elinewidth": 0.8}
            axes.errorbar(1e3 * truth, 1e3 * values, yerr=1e3 * np.abs([values - low, high - values]), **bars)
            axes.errorbar(1e3 * truth, 1e3 * values, xerr=1e3 * errors, **bars)
            axes.plot(1e3 * truth, 1e3 * values, "o", color=color, markersize=4)
            axes.axline((10, 10), slope=1, color=BLACK, linewidth=0.8)
            axes.set(xlabel="MSD by EXAFS (10⁻³ Å²)", title=mode)
            inside = int(np.sum((low <= truth) & (truth <= high)))
            told[mode] = (
                f"bias {1e3 * np.mean(values - truth):+.1f}, RMS {1e3 * experiment.rms(values - truth):.1f} · 10⁻³ Å², "
                f"{inside} of {len(truth)} intervals hold the value of EXAFS"
            ).replace("-", "−")
        panels[0].set_ylabel("MSD by xanesml (10⁻³ Å²)")
    return {name.partition(" ")[0]: text for name, text in told.items()}


def of_a_stage(name: str) -> Callable[[Sources, Path], Numbers]:
    """Return the function that takes a figure which `average` or `train` draws."""

    def take(sources: Sources, out: Path) -> Numbers:
        path = sources.stages / f"{name}.png"
        if not path.exists():
            raise NotThere(f"neither average nor train drew {path.name}")
        shutil.copy(path, out)
        return {}

    return take
