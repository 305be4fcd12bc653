"""Where a row of a tensor file comes from."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.stats import kurtosis, skew, skewnorm
from synthetic import write_tensors

from xanesml.averages.trace import trace_lines
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.hdf5 import create, text_attribute
from xanesml.files.layout import TENSORS
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file, torn_tasks

SERIES, STRUCTURES, ABSORBERS = 13, 2, 13
SHAPE = (0.01, 0.03, 1.5)
MESH = 11910.0 + np.arange(60.0)
#: Of the second structure, the fourth absorber.
MISSING = SERIES + ABSORBERS + 3


def campaign(**averaging: Any) -> Campaign:
    return Campaign.model_validate(
        {
            "name": "traced",
            "seed": 11,
            "structure": {"atoms": 13},
            "distortion": {"minimum": -0.12, "maximum": 0.12, "step": 0.02},
            "disorder": {"structures": STRUCTURES, "sigma_minimum": 0.03, "sigma_maximum": 0.05},
            "feff": {"max_points": 80, "scf": False},
            "averaging": averaging,
        }
    )


def spectrum(task: int) -> StoredSpectrum:
    energy = 11905.3 + np.arange(70.0) + 0.01 * task
    return StoredSpectrum(energy, 0.02 + 0.01 * np.sin(0.1 * task + 0.2 * energy), 0.02 + 1e-4 * task + 0 * energy, 0.0)


def on_mesh(task: int) -> tuple[np.ndarray, float]:
    """The spectrum on the mesh and its edge step, 50 eV above the edge: the mesh's second last point."""
    one = spectrum(task)
    return np.interp(MESH, one.energy, one.mu), float(np.interp(MESH[-2], one.energy, one.mu0))


def write_store(path: Path, made_for: Campaign) -> np.ndarray:
    """Lay a store out and fill it; return the positions."""
    table = expand(made_for)
    lay_out(path, made_for, table, engine="fake 1")
    with open_store_file(path, mode="r+") as file:
        writer = RowWriter(file)
        for task in range(len(table)):
            writer.write(
                Row(
                    task=task,
                    outcome=Outcome.TIMED_OUT if task == MISSING else Outcome.DONE,
                    finished=1.7e9 + 3600 * task,
                    host="node2" if task == 3 else "node1",
                    tries=2 if task == 5 else 1,
                    changes="scf.mixing=0.2" if task == 5 else "",
                    solver="feff",
                    spectrum=None if task == MISSING else spectrum(task),
                )
            )
        positions: np.ndarray = file["structures/positions"][:]
        return positions


def bond_lengths(positions: np.ndarray) -> np.ndarray:
    """All 36 bonds of a 13-atom cuboctahedron: the pairs of neighbors, of which the next are √2 times further apart."""
    pairs = combinations(range(len(positions)), 2)
    lengths = np.array([np.linalg.norm(positions[i] - positions[j]) for i, j in pairs])
    return np.sort(lengths)[:36]


def write_file(path: Path, made_for: Campaign, positions: np.ndarray, **attributes: Any) -> None:
    """Average naively: one statistical average and both particle averages."""
    with open_store_file(path.with_name("store.h5")) as store:
        digest, first_shell = text_attribute(store, "tasks_digest"), float(store.attrs["first_shell"])
    delta = np.round(np.arange(-0.12, 0.121, 0.02), 10)
    location, scale, alpha = SHAPE
    weights = skewnorm.pdf(delta, alpha, location, scale)
    weights /= weights.sum()
    series = [on_mesh(task) for task in range(SERIES)]
    moments = [sum(w * (d - weights @ delta) ** n for w, d in zip(weights, delta, strict=True)) for n in (2, 3, 4)]
    rows = SERIES + np.arange(STRUCTURES * ABSORBERS).reshape(STRUCTURES, ABSORBERS)
    rows[rows == MISSING] = -1
    counts = np.array(made_for.averaging.multiplicity or np.ones(ABSORBERS))
    particle = []
    for tasks in rows:
        found = [(count, *on_mesh(task)) for count, task in zip(counts, tasks, strict=True) if task >= 0]
        particle.append(sum(m * mu for m, mu, _ in found) / sum(m * step for m, _, step in found))
    lengths = [bond_lengths(positions[SERIES + index]) for index in range(STRUCTURES)]
    create(
        path,
        TENSORS,
        sizes={
            "energy": len(MESH),
            "r": 12,
            "delta": SERIES,
            "site": 1,
            "average": 1,
            "weighted": 1,
            "structure": STRUCTURES,
            "absorber": ABSORBERS,
        },
        attributes={
            "campaign": made_for.resolved(),
            "campaign_digest": made_for.digest(),
            "store": str(path.with_name("store.h5")),
            "tasks_digest": digest,
            "edge": MESH[-2] - 50,
            "interpolation": "linear",
            "smoothing": 0,
            "normalization": "absolute",
            "normalization_energy": MESH[-2],
            "first_shell": first_shell,
            "refused": "{}",
            "complete": 1,
        }
        | attributes,
        initial={
            "mesh/energy": MESH,
            "mesh/r": first_shell + delta[:-1] + 0.01,
            "series/delta": delta,
            "series/mu": np.array([mu for mu, _ in series]),
            "series/edge_step": np.array([step for _, step in series]),
            "series/task": np.arange(SERIES)[:, np.newaxis],
            "statistical/spectra": weights @ [mu for mu, _ in series] / (weights @ [step for _, step in series]),
            "statistical/location": np.array([location]),
            "statistical/scale": np.array([scale]),
            "statistical/alpha": np.array([alpha]),
            "statistical/truncated": np.array([1.25e-4]),
            "statistical/weights": weights,
            "statistical/msd": np.array(moments[:1]),
            "statistical/mean_shift": np.array([weights @ delta]),
            "statistical/skewness": np.array([moments[1] / moments[0] ** 1.5]),
            "statistical/coordination": np.array([12.0]),
            "statistical/kurtosis": np.array([moments[2] / moments[0] ** 2 - 3]),
            "particle/spectra": np.array(particle),
            "particle/structure": SERIES + np.arange(STRUCTURES),
            "particle/absorbers": (rows >= 0).sum(axis=1),
            "particle/task": rows,
            "particle/msd": np.var(lengths, axis=1),
            "particle/mean_shift": np.mean(lengths, axis=1) - first_shell,
            "particle/skewness": skew(lengths, axis=1),
            "particle/kurtosis": kurtosis(lengths, axis=1),
            "particle/coordination": np.full(STRUCTURES, 72 / 13),
            "particle/outside": np.full(STRUCTURES, 0.0125),
        },
    )


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    positions = write_store(tmp_path / "store.h5", campaign())
    write_file(tmp_path / "tensors.h5", campaign(), positions)
    return tmp_path / "tensors.h5"


def entries(lines: list[str]) -> dict[str, list[str]]:
    """Values by name, with their continuation lines; all must start in one column."""
    found: dict[str, list[str]] = {}
    name = ""
    column = min(re.match(r"(?:[a-zA-Z ]+: +| +)", line).end() for line in lines)  # type: ignore[union-attr]
    for line in lines:
        head, value = line[:column], line[column:]
        assert value[0] != " "
        name = head.strip().removesuffix(":") or name
        found.setdefault(name, []).append(value)
    return found


def agreement(text: str) -> dict[str, float]:
    """Deviations by name out of ``spectrum to 3e-08, MSD exactly``."""
    number = r"(?P<name>[A-Za-z ]+?) (?:to (?P<to>[0-9.e+-]+|nan)|exactly)"
    return {one["name"].strip(): float(one["to"] or 0) for one in re.finditer(number, text)}


def test_a_statistical_average_is_described_and_recomputed(tensors: Path) -> None:
    lines = trace_lines(tensors, 0, "statistical")
    found = entries(lines)
    assert len(lines) <= 30
    assert found["tensor file"] == [f"{tensors}, statistical average 0 of 1"]
    assert found["campaign"] == [f"traced, digest {campaign().digest()}, seed 11"]
    assert found["store"] == [str(tensors.with_name("store.h5"))]
    assert found["distribution"] == ["skew-normal, μ = +0.010000 Å, σ = 0.030000 Å, α = +1.5000"]
    assert found["truncated"] == ["1.25e-04 of its mass lies outside the series"]
    assert found["normalization"] == ["absolute: averaged, then normalized once, by μ0 at 11968.00 eV"]
    assert found["interpolation"] == ["linear; series not smoothed"]
    moments, coordination = found["labels"]
    assert coordination == "mean coordination 12"
    labels = re.fullmatch(r"MSD (.+) Å², mean shift (.+) Å, skewness (.+), excess kurtosis (.+)", moments)
    assert labels is not None
    mean, variance, lean, tail = skewnorm.stats(SHAPE[2], SHAPE[0], SHAPE[1], moments="mvsk")
    assert [float(one) for one in labels.groups()] == pytest.approx([variance, mean, lean, tail], rel=0.15)
    assert max(agreement(", ".join(found["recomputed"])).values()) < 1e-6
    assert set(agreement(", ".join(found["recomputed"]))) == {
        "spectrum",
        "weights",
        "MSD",
        "mean shift",
        "skewness",
        "excess kurtosis",
    }


def test_weights_above_a_hundredth_are_listed_and_the_others_counted(tensors: Path) -> None:
    delta = np.round(np.arange(-0.12, 0.121, 0.02), 10)
    weights = skewnorm.pdf(delta, SHAPE[2], SHAPE[0], SHAPE[1])
    weights /= weights.sum()
    expected = [f"{d:+.3f} Å {w:.4f} ({i})" for i, (d, w) in enumerate(zip(delta, weights, strict=True)) if w > 0.01]
    header, *listed = entries(trace_lines(tensors, 0, "statistical"))["weights"]
    assert "   ".join(listed).split("   ") == expected
    rest = weights[weights <= 0.01]
    assert header == f"shift, weight (row of the store); {len(rest)} of 13 below 0.01 share {rest.sum():.4f}"


def test_the_runs_of_a_statistical_average_are_described(tensors: Path) -> None:
    found = entries(trace_lines(tensors, 0, "statistical"))
    assert found["FEFF runs"] == [
        "13 on node1 (12), node2 (1), ended 2023-11-14 22:13 to 2023-11-15 10:13 UTC",
        "tries 1 (12), 2 (1); changes none (12), scf.mixing=0.2 (1); solver feff",
        "engine fake 1",
    ]
    assert max(agreement(found["series"][0].partition(": ")[2]).values()) < 1e-15


def test_a_particle_average_is_described_and_recomputed(tensors: Path) -> None:
    lines = trace_lines(tensors, 1, "particle")
    found = entries(lines)
    assert len(lines) <= 30
    assert found["structure"] == ["14 of the store, the disordered structure 1"]
    assert found["displacement"] == ["σ = 0.050000 Å, drawn from SeedSequence(11, spawn_key=(1,))"]
    assert found["absorbers"] == ["12 of 13, rows of the store 26–28, missing, 30–38"]
    assert found["labels"][1] == "mean coordination 5.53846; 1.25 % of the bonds outside the series"
    assert found["positions"] == ["drawn again from the seed: all exactly"]
    bonds, labels = found["bonds"]
    assert bonds.startswith("36 at atoms ")
    assert set(agreement(labels)) == {"MSD", "mean shift", "skewness", "excess kurtosis"}
    assert max(agreement(labels).values()) < 1e-12
    assert found["FEFF runs"][0].startswith("12 on node1, ended ")
    assert agreement(found["recomputed"][0].partition(": ")[2])["mean"] < 1e-6


def test_absorbers_count_by_their_multiplicity(tmp_path: Path) -> None:
    weighted = campaign(multiplicity=[1.0] * 12 + [6.0])
    write_file(tmp_path / "tensors.h5", weighted, write_store(tmp_path / "store.h5", weighted))
    found = entries(trace_lines(tmp_path / "tensors.h5", 0, "particle"))
    assert found["multiplicity"] == ["1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6"]
    assert agreement(found["recomputed"][0].partition(": ")[2])["mean"] < 1e-6
    with h5py.File(tmp_path / "tensors.h5", "r+") as file:
        file.attrs["campaign"] = campaign().resolved()
    found = entries(trace_lines(tmp_path / "tensors.h5", 0, "particle"))
    assert agreement(found["recomputed"][0].partition(": ")[2])["mean"] > 1e-3


@pytest.mark.parametrize(
    ("path", "value", "name", "deviation"),
    [
        ("statistical/spectra", 2.5, "spectrum", None),
        ("statistical/weights", 0.5, "weights", 0.5),
        ("statistical/msd", 0.5, "MSD", 0.5),
        ("statistical/kurtosis", 9.0, "excess kurtosis", 9.0),
        ("statistical/msd", np.nan, "MSD", np.nan),
    ],
)
def test_deviations_from_the_formulas_show(
    tensors: Path, path: str, value: float, name: str, deviation: float | None
) -> None:
    with h5py.File(tensors, "r+") as file:
        file[path][0] = value
    found = agreement(", ".join(entries(trace_lines(tensors, 0, "statistical"))["recomputed"]))
    assert found.pop(name) == pytest.approx(deviation, rel=0.5, nan_ok=True) if deviation else found.pop(name) > 1
    assert max(found.values()) < 1e-6


def test_positions_not_drawn_from_the_seed_show(tensors: Path) -> None:
    with h5py.File(tensors.with_name("store.h5"), "r+") as store:
        store["structures/positions"][SERIES, 4, 0] += 0.03
    found = entries(trace_lines(tensors, 0, "particle"))
    assert found["positions"] == ["drawn again from the seed: all to 3e-02 Å"]
    assert agreement(found["bonds"][1])["MSD"] > 1e-6


def test_a_smoothed_series_is_smoothed_again(tensors: Path) -> None:
    from scipy.signal import savgol_filter

    with h5py.File(tensors, "r+") as file:
        file.attrs["smoothing"] = 5
        file["series/mu"][:] = savgol_filter(file["series/mu"][:], 5, 3, axis=0)
        file["series/edge_step"][:] = savgol_filter(file["series/edge_step"][:], 5, 3, axis=0)
    found = entries(trace_lines(tensors, 0, "statistical"))
    assert found["interpolation"] == ["linear; series smoothed along δ over 5 points"]
    assert max(agreement(found["series"][0].partition(": ")[2]).values()) < 1e-15


def test_a_store_elsewhere_is_found_beside_the_tensor_file(tensors: Path) -> None:
    with h5py.File(tensors, "r+") as file:
        file.attrs["store"] = "/nowhere/store.h5"
    found = entries(trace_lines(tensors, 0, "statistical"))
    assert found["store"] == [str(tensors.with_name("store.h5"))]
    assert "FEFF runs" in found


@pytest.mark.parametrize("kind", ["statistical", "particle"])
def test_without_its_store_a_row_is_described_from_the_tensor_file(tensors: Path, kind: Any) -> None:
    store = tensors.with_name("store.h5")
    store.unlink()
    found = entries(trace_lines(tensors, 0, kind))
    assert found["store"] == [f"{store} does not exist; its FEFF runs are not listed"]
    assert "labels" in found
    assert not {"FEFF runs", "series", "positions", "bonds"} & found.keys()


def test_a_store_of_other_tasks_is_not_used(tensors: Path) -> None:
    with h5py.File(tensors, "r+") as file:
        own = file.attrs["tasks_digest"]
        file.attrs["tasks_digest"] = "0" * 32
    found = entries(trace_lines(tensors, 0, "particle"))
    assert found["store"] == [f"{tensors.with_name('store.h5')} has other tasks ({own}); its FEFF runs are not listed"]
    assert "FEFF runs" not in found


def test_a_file_that_is_no_store_is_reported(tensors: Path) -> None:
    tensors.with_name("store.h5").write_text("no HDF5")
    (said,) = entries(trace_lines(tensors, 0, "particle"))["store"]
    assert "is not a readable HDF5 file" in said
    assert said.endswith("; its FEFF runs are not listed")


def test_rows_of_the_store_that_are_pending_or_damaged_are_named(tensors: Path) -> None:
    with h5py.File(tensors.with_name("store.h5"), "r+") as store:
        store["runs/outcome"][4] = Outcome.PENDING
        store["spectra/mu"][[6, 7], 2] = 0.5
    found = entries(trace_lines(tensors, 0, "statistical"))
    assert found["FEFF runs"] == ["incomplete: rows 4, 6–7 are not done or damaged"]
    assert "series" not in found


def test_checksums_are_computed_once_for_all_tasks(tensors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[list[int]] = []

    def search(store: h5py.File, tasks: np.ndarray) -> np.ndarray:
        searches.append(tasks.tolist())
        return torn_tasks(store, tasks)

    monkeypatch.setattr("xanesml.averages.source_store.torn_tasks", search)
    trace_lines(tensors, 0, "statistical")
    assert searches == [list(range(SERIES))]


@pytest.mark.parametrize(("kind", "row", "count"), [("statistical", 320, 320), ("particle", -1, 5), ("particle", 5, 5)])
def test_a_row_out_of_range_is_refused(tmp_path: Path, kind: Any, row: int, count: int) -> None:
    write_tensors(tmp_path / "t.h5", campaign())
    with pytest.raises(StoreError) as caught:
        trace_lines(tmp_path / "t.h5", row, kind)
    assert str(caught.value) == f"row {row} is not among the {count} {kind} averages; give 0 … {count - 1}"


def test_missing_averages_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.h5", campaign(), particles=0)
    with pytest.raises(StoreError, match=r"holds no particle averages; give the campaign a \[disorder\] section"):
        trace_lines(tmp_path / "t.h5", 0, "particle")


def test_a_campaign_of_another_version_is_refused_naming_that(tensors: Path) -> None:
    with h5py.File(tensors, "r+") as file:
        file.attrs["campaign"] = json.dumps({"name": "x", "novelty": 1})
        file.attrs["versions"] = json.dumps({"xanesml": "9.1"})
    with pytest.raises(StoreError, match=r"use the xanesml that wrote it: 9\.1"):
        trace_lines(tensors, 0, "statistical")


def test_tracing_leaves_both_files_as_they_are(tensors: Path) -> None:
    files = [tensors, tensors.with_name("store.h5")]
    before = [path.read_bytes() for path in files]
    trace_lines(tensors, 0, "particle")
    assert [path.read_bytes() for path in files] == before
