"""Sections on spectra: the series by δ, averages by MSD, particle against statistical averages."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from xanesml.averages.comparison import compare
from xanesml.averages.series import Series
from xanesml.averages.tensor_file import statistical_weights
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Indices
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.page.chart import Axis, Chart, Mark, Pick, thinned
from xanesml.page.content import Section
from xanesml.store.kinds import Kind
from xanesml.store.rows import open_store_file
from xanesml.store.variants import card_set_rows

#: Curves of a series, and of averages, that are drawn.
MOST_SPECTRA, MOST_AVERAGES = 61, 9

_ENERGY = "energy above the edge (eV)"
_ABSORPTION = "absorption (edge steps)"


def stored_series_section(store: Path) -> Section:
    """Return the section on the series of a store that has not been averaged: spectra as FEFF printed them."""
    section = Section("series", "Spectra by δ")
    with open_store_file(store) as file:
        own = card_set_rows(file)
        structure = file["tasks/structure"][own]
        distorted = file["structures/kind"][:][structure] == Kind.DISTORTED
        done = file["runs/outcome"][own] == Outcome.DONE
        # Of several sites of a structure the first.
        first = np.r_[True, structure[1:] != structure[:-1]]
        tasks = np.flatnonzero(distorted & done & first)
        delta = file["structures/delta"][:][structure[tasks]]
        chosen = _evenly(delta, MOST_SPECTRA)
        curves = []
        for row in chosen:
            points = int(file["spectra/points"][tasks[row]])
            energy = file["spectra/energy"][tasks[row], :points] - file["spectra/edge"][tasks[row]]
            curves.append((float(delta[row]), energy, file["spectra/mu"][tasks[row], :points]))
    if not curves:
        section.missing = "No spectrum of the series is there yet; run `xanesml simulate`."
        return section
    section.paragraphs.append(
        f"{len(tasks)} of {int((distorted & first).sum())} distorted structures have a spectrum. They are not averaged "
        "yet; run `xanesml average`."
    )
    section.charts.append(
        _series_chart(curves, "absorption as FEFF printed it", "each on its own energies, from its own edge")
    )
    return section


def series_section(tensors: Path) -> Section:
    """Return the section on the series of a tensor file, with the weights of some averages over it."""
    section = Section("series", "Spectra by δ")
    with open_file(tensors, TENSORS) as file:
        series, edge = Series.read(file), float(file.attrs["edge"])
        if not len(series.delta):
            section.missing = "The tensor file has no distorted series."
            return section
        normalized = series.normalized
        chosen = _evenly(series.delta, MOST_SPECTRA)
        curves = [(float(series.delta[row]), series.energy - edge, normalized[row]) for row in chosen]
        section.charts.append(_series_chart(curves, _ABSORPTION, "normalized, on the common mesh"))
        rows = _by_msd(file["statistical/msd"][:], file["statistical/mean_shift"][:], 5)
        if len(rows):
            weights, msd = statistical_weights(file, rows), file["statistical/msd"][:][rows]
            order = np.argsort(msd, kind="stable")
            section.charts.append(_weights_chart(series.delta, weights[order], msd[order]))
    return section


def _series_chart(curves: list[tuple[float, Floats, Floats]], label: str, how: str) -> Chart:
    low, high = curves[0][0], curves[-1][0]
    marks = []
    for key, (delta, energy, spectrum) in enumerate(curves):
        x, y = thinned(energy, spectrum)
        at = (delta - low) / (high - low) if high > low else 0.5
        marks.append(Mark(f"δ = {_signed(delta)} Å", x, y, color=float(at), key=str(key), legend=False))
    return Chart(
        "spectra-by-delta",
        "Distorted series",
        f"{len(curves)} spectra, {how}. Averages over a distribution of bond lengths are weighted sums of these.",
        Axis(_ENERGY),
        Axis(label),
        marks,
        ramp=(f"δ = {_signed(low)} Å", f"{_signed(high)} Å"),
        pick=Pick("δ (Å)", tuple(delta for delta, _, _ in curves)),
    )


def _weights_chart(delta: Floats, weights: Floats, msd: Floats) -> Chart:
    marks = [
        Mark(f"MSD {label:.4f} Å²", delta, row, color=index)
        for index, (row, label) in enumerate(zip(weights, msd, strict=True))
    ]
    return Chart(
        "weights",
        "Weights of statistical averages over the series",
        "Each average weights the spectra of the series by a distribution of bond lengths. The δ picked above is the "
        "upright line, and its weights are written below.",
        Axis("δ (Å)"),
        Axis("weight", limits=(0.0, 1.08 * float(weights.max()))),
        marks,
        follows="spectra-by-delta",
    )


def averages_section(tensors: Path) -> Section:
    """Return the section on averages by MSD."""
    section = Section("averages", "Averages by MSD")
    with open_file(tensors, TENSORS) as file:
        edge = float(file.attrs["edge"])
        energy = file["mesh/energy"][:] - edge
        counts = []
        for group, title, caption in (
            (
                "statistical",
                "Statistical averages",
                "The series weighted by skew-normal distributions of bond lengths, chosen evenly over the MSD and "
                "with little mean shift.",
            ),
            (
                "particle",
                "Particle averages",
                "Means over the absorbers of a disordered structure, chosen evenly over the MSD.",
            ),
        ):
            msd = file[f"{group}/msd"][:]
            counts.append(f"{len(msd):,} {group}")
            rows = _by_msd(msd, file[f"{group}/mean_shift"][:], MOST_AVERAGES)
            if len(rows):
                section.charts.append(_averages_chart(file, group, title, caption, energy, rows))
        section.paragraphs.append(f"{' and '.join(counts)} averages.")
    return section


def _averages_chart(file: h5py.File, group: str, title: str, caption: str, energy: Floats, rows: Indices) -> Chart:
    msd, spectra = file[f"{group}/msd"][:][rows], file[f"{group}/spectra"][rows]
    order = np.argsort(msd, kind="stable")
    msd, spectra = msd[order], spectra[order]
    low, high = float(msd[0]), float(msd[-1])
    marks = []
    for value, spectrum in zip(msd.tolist(), spectra, strict=True):
        x, y = thinned(energy, spectrum)
        at = (value - low) / (high - low) if high > low else 0.5
        marks.append(Mark(f"MSD {value:.4f} Å²", x, y, color=float(at), legend=False))
    return Chart(
        f"{group}-averages",
        title,
        caption,
        Axis(_ENERGY),
        Axis(_ABSORPTION),
        marks,
        ramp=(f"MSD {low:.4f} Å²", f"{high:.4f} Å²"),
    )


def comparison_section(tensors: Path) -> Section:
    """Return the section on particle averages against the statistical ones of the same bonds."""
    section = Section("comparison", "Particle against statistical averages")
    with open_file(tensors, TENSORS) as file:
        if not (len(file["particle/msd"]) and len(file["series/delta"]) and Series.read(file).has_undistorted):
            section.missing = "It takes particle averages and a series with a spectrum at δ = 0."
            return section
    compared = compare(tensors)
    section.paragraphs += [f"{line[0].upper()}{line[1:]}." for line in compared.lines()]
    rows = np.flatnonzero(compared.usable)
    if not len(rows):
        return section
    rows = rows[np.argsort(compared.msd[rows], kind="stable")]
    msd, rms, scale = thinned(compared.msd[rows], compared.rms[rows], compared.rms_undistorted[rows], most=1500)
    section.charts.append(
        Chart(
            "differences",
            "Difference between both kinds of averages",
            "Root mean square over the spectrum, for each disordered structure. What the statistical average leaves "
            "out, such as angles and farther shells, is the first; the whole effect of disorder the second.",
            Axis("MSD (10⁻³ Å²)"),
            Axis("RMS difference (edge steps)", log=bool((rms > 0).all() and (scale > 0).all())),
            [
                Mark("particle − statistical", 1e3 * msd, rms, "dots", 0),
                Mark("particle − undistorted", 1e3 * msd, scale, "dots", 1),
            ],
        )
    )
    energy = compared.energy - compared.edge
    for name, title, row in (("low", "low", rows[0]), ("high", "high", rows[-1])):
        marks = []
        for color, (label, spectrum) in enumerate(
            (
                ("particle", compared.particle[row]),
                ("statistical, same bonds", compared.statistical[row]),
                ("undistorted", compared.undistorted),
            )
        ):
            x, y = thinned(energy, spectrum)
            marks.append(Mark(label, x, y, color=color, dashed=label == "undistorted"))
        section.charts.append(
            Chart(
                f"pair-{name}",
                f"Both averages at {title} disorder",
                f"Structure {int(compared.structure[row])} with an MSD of {compared.msd[row]:.4f} Å².",
                Axis(_ENERGY),
                Axis(_ABSORPTION),
                marks,
            )
        )
        if len(rows) == 1:
            break
    return section


def _evenly(delta: Floats, most: int) -> Indices:
    """Return places of a rising δ, evenly taken, with that nearest to 0 among them."""
    if len(delta) <= most:
        return np.arange(len(delta))
    taken = set(np.linspace(0, len(delta) - 1, most).round().astype(int).tolist())
    return np.fromiter(sorted(taken | {int(np.argmin(np.abs(delta)))}), np.intp)


def _by_msd(msd: Floats, mean_shift: Floats, most: int) -> Indices:
    """Return rows of evenly spaced MSD and of little mean shift, each once, ascending as HDF5 wants them."""
    if not len(msd):
        return np.empty(0, np.intp)
    wanted = np.linspace(np.min(msd), np.max(msd), most)
    span, reach = float(np.ptp(msd)) or 1.0, float(np.abs(mean_shift).max()) or 1.0
    off = np.abs(mean_shift) / reach / most
    rows = {int(np.argmin(np.abs(msd - value) / span + off)) for value in wanted}
    return np.fromiter(sorted(rows), np.intp)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
