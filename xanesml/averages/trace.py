"""How a row of a tensor file was made: its distribution or structure and its FEFF runs, and a recomputation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml import structures
from xanesml.averages.distributions import skew_normal_weights, weighted_moments
from xanesml.averages.particles import absorber_weights
from xanesml.averages.series import Series, smoothed
from xanesml.averages.sites import SeriesSites
from xanesml.averages.source_store import describe_runs, open_source, spectra_on_mesh, unusable
from xanesml.averages.statistical import particle_averages
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Integers, Wholes
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.files.notebook import Entry
from xanesml.files.rows_text import stretches
from xanesml.store.stored import stored_campaign, stored_cluster
from xanesml.store.variants import card_set_rows
from xanesml.structures import bonds, describe_sites

#: Weights above this are listed one by one.
LISTED = 0.01

#: Weights on a line.
PER_LINE = 5

#: Printed names and units of the labels that both groups of averages have.
LABELS = {
    "msd": ("MSD", " Å²"),
    "mean_shift": ("mean shift", " Å"),
    "skewness": ("skewness", ""),
    "kurtosis": ("excess kurtosis", ""),
}

Group = Literal["statistical", "particle"]


def trace_lines(path: Path, row: int, group: Group) -> list[str]:
    """Describe how a row of a tensor file was made, and recompute it.

    The FEFF runs are described where the store is at hand; see `xanesml.averages.source_store.open_source`.

    Parameters
    ----------
    path : Path
        The tensor file.
    row : int
        The row, from 0.
    group : {"statistical", "particle"}
        Group of averages that the row belongs to.

    Returns
    -------
    list of str
        Lines ``name: value``, aligned; the name is blank where a line continues the one before.

    Raises
    ------
    StoreError
        If the file cannot be read or does not hold the row.
    """
    with open_file(path, TENSORS) as file:
        count = len(file[f"{group}/spectra"])
        if not count:
            section = {"statistical": "[distortion]", "particle": "[disorder]"}[group]
            raise StoreError(
                f"{path} holds no {group} averages; give the campaign a {section} section, "
                "then `xanesml simulate` and `xanesml average`"
            )
        if not 0 <= row < count:
            raise StoreError(f"row {row} is not among the {count:,} {group} averages; give 0 … {count - 1}")
        campaign, versions = stored_campaign(file), json.loads(str(file.attrs["versions"]))
        with open_source(file) as (store, note):
            entries = [
                ("tensor file", f"{path}, {group} average {row} of {count:,}"),
                ("campaign", f"{campaign.name}, digest {file.attrs['campaign_digest']}, seed {campaign.seed}"),
                ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
                ("store", note),
                ("tasks digest", str(file.attrs["tasks_digest"])),
                *_mesh(file),
                *(_statistical(file, row) if group == "statistical" else _particle(file, row, campaign)),
            ]
            if store is not None:
                tasks = file["series/task"][:].ravel() if group == "statistical" else file["particle/task"][row]
                tasks = tasks[tasks >= 0]
                if group == "particle":
                    entries += _structure_again(file, row, campaign, store)
                if lost := unusable(store, tasks):
                    entries.append(("FEFF runs", f"incomplete: rows {_ranges(np.array(lost))} are not done or damaged"))
                else:
                    entries += zip(("FEFF runs", "", ""), describe_runs(store, tasks), strict=True)
                    entries.append(_spectra_again(file, row, group, campaign, store))
    width = 2 + max(len(name) for name, _ in entries)
    return [f"{name + ':' if name else '':{width}}{value}" for name, value in entries]


def _mesh(file: h5py.File) -> Iterator[Entry]:
    mesh, r = file["mesh/energy"][:], file["mesh/r"][:]
    edge, normalized_at = float(file.attrs["edge"]), float(file.attrs["normalization_energy"])
    window = int(file.attrs["smoothing"])
    yield "mesh", f"{len(mesh)} energies, {mesh[0]:.2f} to {mesh[-1]:.2f} eV; edge {edge:.2f} eV"
    yield "", f"{len(r)} bins of bond length, centers {r[0]:.4f} to {r[-1]:.4f} Å"
    how = f"smoothed along δ over {window} points" if window else "not smoothed"
    yield "interpolation", f"{file.attrs['interpolation']}; series {how}"
    yield (
        "normalization",
        {
            "absolute": f"absolute: averaged, then normalized once, by μ0 at {normalized_at:.2f} eV",
            "feff": "feff: each run by FEFF to its own edge step",
        }.get(str(file.attrs["normalization"]), "unknown"),
    )


def _statistical(file: h5py.File, row: int) -> Iterator[Entry]:
    """Describe the distribution of a statistical average, and average the series under it again."""
    location, scale, alpha, truncated = (
        float(file[f"statistical/{name}"][row]) for name in ("location", "scale", "alpha", "truncated")
    )
    yield "family", f"{file['statistical/family'][row]}"
    yield "distribution", f"skew-normal, μ = {location:+.6f} Å, σ = {scale:.6f} Å, α = {alpha:+.4f}"
    yield "truncated", f"{truncated:.2e} of its mass lies outside the series"
    yield "labels", _labels(file, "statistical", row)
    yield "", f"mean coordination {file['statistical/coordination'][row]:g}"
    multiplicity = file["series/multiplicity"][:]
    if len(multiplicity) > 1:
        yield "sites", f"{describe_sites(multiplicity)}; each spectrum of the series is the mean over them"
    series = Series.read(file)
    weights = skew_normal_weights(series.delta, *(np.array([value]) for value in (location, scale, alpha)))[0]
    yield from _weights(weights, series.delta, file["series/task"][:])
    again = [_deviation("spectrum", series.average(weights) - file["statistical/spectra"][row])]
    if len(file["statistical/weights"]):
        again.append(_deviation("weights", weights - file["statistical/weights"][row]))
    yield "recomputed", ", ".join(again)
    yield "", _label_deviations(file, "statistical", row, weights, series.delta)


def _weights(weights: Floats, delta: Floats, tasks: NDArray[np.int32]) -> Iterator[Entry]:
    """List the weights of the distortions above `LISTED`, with their tasks, (D, S)."""
    listed = np.flatnonzero(weights > LISTED)
    parts = [f"{delta[i]:+.3f} Å {weights[i]:.4f} ({_ranges(tasks[i])})" for i in listed]
    row = "row" if tasks.shape[1] == 1 else "rows"
    rest = f"{len(weights) - len(listed)} of {len(weights)} below {LISTED:g} share {1 - weights[listed].sum():.4f}"
    yield "weights", f"shift, weight ({row} of the store); {rest}"
    for start in range(0, len(parts), PER_LINE):
        yield "", "   ".join(parts[start : start + PER_LINE])


def _particle(file: h5py.File, row: int, campaign: Campaign) -> Iterator[Entry]:
    """Describe the structure of a particle average and its labels."""
    structure, tasks = int(file["particle/structure"][row]), file["particle/task"][row]
    outside, coordination = (float(file[f"particle/{name}"][row]) for name in ("outside", "coordination"))
    index = _index(file, row)
    drawn = campaign.disorder is not None and campaign.structure.images is None
    kind = f"the disordered structure {index}" if drawn else f"place {index} of the images {campaign.structure.images}"
    yield "structure", f"{structure} of the store, {kind}"
    sigmas = structures.sigmas(campaign.disorder) if drawn and campaign.disorder is not None else np.empty(0)
    if index < len(sigmas):
        seed = f"SeedSequence({campaign.seed}, spawn_key=({index},))"
        yield "displacement", f"σ = {sigmas[index]:.6f} Å, drawn from {seed}"
    yield "absorbers", f"{np.count_nonzero(tasks >= 0)} of {len(tasks)}, rows of the store {_ranges(tasks)}"
    if campaign.averaging.multiplicity is not None:
        yield "multiplicity", ", ".join(f"{value:g}" for value in campaign.averaging.multiplicity)
    yield "labels", _labels(file, "particle", row)
    yield "", f"mean coordination {coordination:g}; {100 * outside:.2f} % of the bonds outside the series"


def _index(file: h5py.File, row: int) -> int:
    """Return the index of a structure among the disordered ones, which follow the series in the store."""
    return int(file["particle/structure"][row]) - len(file["series/delta"])


def _structure_again(file: h5py.File, row: int, campaign: Campaign, store: h5py.File) -> Iterator[Entry]:
    """Draw the displacements of a structure again, and compute its labels from the coordinates in the store.

    An image of a trajectory is named instead, and its bonds are found in its own coordinates.
    """
    structure = int(file["particle/structure"][row])
    cluster, positions = stored_cluster(store), store["structures/positions"][structure]
    image = int(store["structures/image"][structure])
    if image >= 0:
        yield "positions", f"of image {image} of {campaign.structure.file}"
    elif campaign.disorder is not None:
        drawn = structures.disorder(
            cluster,
            store["structures/sigma"][structure : structure + 1],
            seed=campaign.seed,
            first=_index(file, row),
            directions=campaign.disorder.directions,
        )
        yield "positions", f"drawn again from the seed: {_deviation('all', drawn[0] - positions, ' Å')}"
    tasks = _tasks_of(store, structure)
    atoms = store["tasks/absorber"][:][tasks]
    pairs = bonds.bonds(cluster, atoms, positions=positions if image >= 0 else None)
    counts = bonds.bond_weights(pairs, atoms, absorber_weights(store, tasks, campaign))
    shifts = bonds.bond_lengths(positions, pairs) - float(file.attrs["first_shell"])
    yield "bonds", f"{len(pairs)} at atoms {_ranges(atoms)}; from their lengths:"
    yield "", _label_deviations(file, "particle", row, counts, shifts)


def _tasks_of(store: h5py.File, structure: int) -> Integers:
    """Return a structure's tasks in the campaign's own cards."""
    return np.flatnonzero(store["tasks/structure"][card_set_rows(store)] == structure)


def _spectra_again(file: h5py.File, row: int, group: Group, campaign: Campaign, store: h5py.File) -> Entry:
    """Compute the series, or the mean over the absorbers, from the spectra of the store again."""
    mesh, edge = file["mesh/energy"][:], float(file.attrs["edge"])
    if group == "statistical":
        mu, steps, _ = SeriesSites.of(store).spectra(store, mesh, edge, campaign)
        window = int(file.attrs["smoothing"])
        differences = {
            "spectra": smoothed(mu, window) - file["series/mu"][:],
            "edge steps": smoothed(steps, window) - file["series/edge_step"][:],
        }
        again = ", ".join(_deviation(name, difference) for name, difference in differences.items())
        return "series", f"from the store's spectra again: {again}"
    tasks = file["particle/task"][row]
    present = tasks >= 0
    mu, steps, _ = spectra_on_mesh(store, tasks[present], mesh, edge, campaign)
    structure = int(file["particle/structure"][row])
    counts = absorber_weights(store, _tasks_of(store, structure), campaign)[present]
    mean = particle_averages(mu[np.newaxis], steps[np.newaxis], counts, np.ones((1, len(counts)), np.bool_))[0]
    return "recomputed", f"from the store's spectra: {_deviation('mean', mean - file['particle/spectra'][row])}"


def _labels(file: h5py.File, group: Group, row: int) -> str:
    return ", ".join(f"{name} {file[f'{group}/{key}'][row]:.6g}{unit}" for key, (name, unit) in LABELS.items())


def _label_deviations(file: h5py.File, group: Group, row: int, weights: Floats, values: Floats) -> str:
    """Compare the stored labels with the moments of weighted values."""
    moments = weighted_moments(weights[np.newaxis], values[np.newaxis])
    known = {key: label for key, label in LABELS.items() if np.isfinite(getattr(moments, key)[0])}
    return ", ".join(
        _deviation(name, getattr(moments, key) - file[f"{group}/{key}"][row], unit)
        for key, (name, unit) in known.items()
    )


def _deviation(name: str, difference: Floats, unit: str = "") -> str:
    largest = float(np.max(np.abs(difference)))
    # NaN has to show, and it compares unequal to 0.
    return f"{name} exactly" if largest == 0 else f"{name} to {largest:.0e}{unit}"


def _ranges(values: Wholes) -> str:
    """Return integers, in order, as text such as ``91–95, missing, 97–103``; −1 is missing."""
    found = stretches(values.astype(np.int64))
    return ", ".join("missing" if low < 0 else str(low) if low == high else f"{low}–{high}" for low, high in found)
