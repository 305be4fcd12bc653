"""Series and particle averages over all atoms of a particle, against loops over its atoms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import h5py
import numpy as np
import pytest
from fake_comm import run_ranks
from made_store import EDGE, made_store, of_surroundings

from hpc.average import average
from hpc.comm import Writer
from xanesml.averages import tensor_file
from xanesml.averages.comparison import compare
from xanesml.averages.mixing import Choice, mix
from xanesml.averages.particles import absorber_weights
from xanesml.averages.reader import open_tensors
from xanesml.averages.series import Series
from xanesml.averages.sites import SeriesSites
from xanesml.averages.trace import trace_lines
from xanesml.campaign import Campaign, StructureSection
from xanesml.errors import StoreError
from xanesml.learning.dataset import load_tensors
from xanesml.store.rows import open_store_file
from xanesml.structures import build_cluster
from xanesml.validation import validate

#: Atoms of each site of the 55-atom cluster, and their neighbors: center, first shell, square, edge, vertex.
MULTIPLICITY, NEIGHBORS = [1, 12, 6, 24, 12], [12, 12, 8, 7, 5]
DISTORTIONS = 5
ALL = 55


def campaign(**sections: Any) -> Campaign:
    """Five distortions by site, and one structure of which all atoms absorb, displaced by nothing."""
    content: dict[str, Any] = {
        "name": "whole",
        "distortion": {"minimum": -0.1, "maximum": 0.1, "step": 0.05, "absorbers": "sites"},
        "disorder": {"structures": 1, "sigma_minimum": 1e-12, "sigma_maximum": 1e-12, "absorbers": "all"},
        "averaging": {
            "families": 3,
            "means_per_family": 1,
            "sigma": [0.03, 0.035],
            "location": [-0.01, 0.01],
            "truncation_limit": 0.02,
        },
        "feff": {"max_points": 101},
    }
    return Campaign.model_validate(content | sections)


def averaged(folder: Path, made_for: Campaign, ranks: int = 1, echo: Callable[[str], None] = str, **made: Any) -> Path:
    """Make a store whose spectra depend on their atoms' surroundings, and average it."""
    if not (folder / "store.h5").exists():
        made_store(folder / "store.h5", made_for, **({"made": of_surroundings} | made))
    store, tensors = folder / "store.h5", folder / "tensors.h5"
    raised = run_ranks(ranks, lambda comm: average(comm, made_for, store, tensors, writer=Writer.root, echo=echo))
    for error in raised:
        if error is not None:
            raise error
    return tensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return averaged(tmp_path_factory.mktemp("whole"), campaign())


def test_an_average_of_ones_own_choice_is_one_over_all_atoms(whole: Path) -> None:
    positions = build_cluster(StructureSection(atoms=ALL)).positions
    first_shell = 4.0782 / np.sqrt(2)
    with h5py.File(whole) as file:
        series, energy = Series.read(file), file.attrs["normalization_energy"]
    mixed = mix(series, Choice(sigma=(0.05,)), limit=1.0, truncated=True)
    total, step = 0.0, 0.0
    for delta in series.delta.tolist():
        for atom in range(ALL):
            one = of_surroundings(positions * (first_shell + delta) / first_shell, atom)
            weight = np.exp(-((delta / 0.05) ** 2) / 2)
            total = total + weight * np.interp(series.energy, one.energy, one.mu)
            mu0 = np.interp(series.energy, one.energy, one.mu0)
            step += weight * np.interp(energy, series.energy, mu0)
    np.testing.assert_allclose(mixed.spectra[0], total / step, rtol=1e-12)


def test_the_mean_over_the_sites_is_the_mean_over_all_atoms(whole: Path) -> None:
    positions = build_cluster(StructureSection(atoms=ALL)).positions
    first_shell = 4.0782 / np.sqrt(2)
    with h5py.File(whole) as file:
        mesh, found, steps = (file[name][:] for name in ("mesh/energy", "series/mu", "series/edge_step"))
        assert file["series/task"][:].tolist() == np.arange(DISTORTIONS * 5).reshape(DISTORTIONS, 5).tolist()
        assert file["series/multiplicity"][:].tolist() == MULTIPLICITY
        for row, delta in enumerate(file["series/delta"][:]):
            scaled = positions * (first_shell + delta) / first_shell
            atoms = [of_surroundings(scaled, atom) for atom in range(ALL)]
            mu = [np.interp(mesh, one.energy, one.mu) for one in atoms]
            assert np.ptp(mu, axis=0).max() > 0.05, "sites differ"
            np.testing.assert_allclose(found[row], np.mean(mu, axis=0), rtol=1e-12)
            mu0 = [np.interp(mesh, one.energy, one.mu0) for one in atoms]
            at_step = np.interp(file.attrs["normalization_energy"], mesh, np.mean(mu0, axis=0))
            assert steps[row] == pytest.approx(at_step, rel=1e-12)
        undistorted = file["series/delta"][:].tolist().index(0.0)
        spectrum = found[undistorted] / steps[undistorted]
        np.testing.assert_allclose(file["particle/spectra"][0], spectrum, rtol=1e-6)


def test_averages_are_over_sites_and_weights(whole: Path) -> None:
    with h5py.File(whole) as file, h5py.File(whole.with_name("store.h5")) as store:
        mesh, at = file["mesh/energy"][:], file.attrs["normalization_energy"]
        for weights, spectrum in zip(file["statistical/weights"][:], file["statistical/spectra"][:], strict=True):
            total, step = np.zeros(len(mesh)), 0.0
            for weight, tasks in zip(weights, file["series/task"][:], strict=True):
                for count, task in zip(MULTIPLICITY, tasks, strict=True):
                    energy, mu, mu0 = (store[f"spectra/{name}"][task] for name in ("energy", "mu", "mu0"))
                    total += weight * count * np.interp(mesh, energy, mu)
                    step += weight * count * np.interp(at, mesh, np.interp(mesh, energy, mu0))
            np.testing.assert_allclose(spectrum, total / step, rtol=1e-6)


def test_both_kinds_of_averages_have_the_coordination_of_their_atoms(whole: Path, tmp_path: Path) -> None:
    mean = np.dot(MULTIPLICITY, NEIGHBORS) / ALL
    with h5py.File(whole) as file:
        np.testing.assert_allclose(file["statistical/coordination"][:], mean, rtol=1e-12)
        np.testing.assert_allclose(file["particle/coordination"][:], mean, rtol=1e-12)
        assert file["particle/absorbers"][:].tolist() == [ALL]
        # All bonds are undistorted.
        assert file["particle/msd"][0] < 1e-20
        # The edge is the mean over the atoms, of which each has a hundredth of an eV for a neighbor.
        assert file.attrs["edge"] == pytest.approx(EDGE + 0.01 * mean, abs=1e-9)
    reference = campaign(distortion={"minimum": -0.1, "maximum": 0.1, "step": 0.05}, disorder={"structures": 1})
    with h5py.File(averaged(tmp_path, reference)) as file:
        assert set(file["statistical/coordination"][:]) == {12.0}
        assert set(file["particle/coordination"][:]) == {12.0}
        assert file["series/task"][:].tolist() == [[task] for task in range(DISTORTIONS)]
        assert file.attrs["edge"] == pytest.approx(EDGE + 0.12, abs=1e-9)


def test_the_file_is_sound_and_says_what_its_series_is_of(whole: Path) -> None:
    for path in (whole, whole.with_name("store.h5")):
        assert validate(path).problems == ()
    with open_tensors(whole) as tensors:
        assert "5 distorted spectra, δ = -0.10 … +0.10 Å, each the mean over 5 sites" in str(tensors)
        assert "coordination" in tensors.statistical().names
        assert "coordination" in tensors.particle().names
    loaded = load_tensors(whole)
    assert loaded.series.mu.shape == (DISTORTIONS, len(loaded.mesh))
    assert len(loaded.msd) == 3


@pytest.mark.parametrize(("block", "ranks"), [(1, 1), (60, 3), (832, 2)])
def test_the_file_is_the_same_for_any_number_of_spectra_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, ranks: int
) -> None:
    several = campaign(disorder={"structures": 5, "sigma_minimum": 0.03, "sigma_maximum": 0.05, "absorbers": "all"})
    made_store(tmp_path / "store.h5", several, made=of_surroundings)
    with h5py.File(averaged(tmp_path, several)) as file:
        expected = file["particle/spectra"][:]
    monkeypatch.setattr(tensor_file, "PARTICLE_BLOCK", block)
    with h5py.File(averaged(tmp_path, several, ranks)) as file:
        np.testing.assert_array_equal(file["particle/spectra"][:], expected)
        assert file["particle/task"].shape == (5, ALL)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_particle_in_another_order_and_orientation_has_the_same_averages(
    whole: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    positions = build_cluster(StructureSection(atoms=ALL)).positions[rng.permutation(ALL)] @ frame.T + [3.0, -2.0, 9.0]
    ase.io.write(tmp_path / "turned.xyz", ase.Atoms(f"Au{ALL}", positions), format="extxyz")
    turned = averaged(tmp_path, campaign(structure={"file": str(tmp_path / "turned.xyz")}))
    with h5py.File(whole) as file, h5py.File(turned) as other:
        for name in ("series/multiplicity", "series/task", "particle/task"):
            np.testing.assert_array_equal(other[name][:], file[name][:])
        for name in ("mesh/energy", "series/mu", "series/edge_step"):
            # A structure file has eight decimals.
            np.testing.assert_allclose(other[name][:], file[name][:], rtol=1e-6)
        for name in ("spectra", "msd", "coordination"):
            np.testing.assert_allclose(other[f"statistical/{name}"][:], file[f"statistical/{name}"][:], rtol=1e-6)
            np.testing.assert_allclose(other[f"particle/{name}"][:], file[f"particle/{name}"][:], rtol=1e-6, atol=1e-12)


def test_a_missing_site_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        averaged(tmp_path, campaign(), missing=(7, 8))
    with h5py.File(tmp_path / "store.h5") as store:
        atom = store["tasks/absorber"][7]
    assert str(caught.value).startswith(
        f"{tmp_path / 'store.h5'}: 2 of the 25 distorted spectra are not done "
        f"(the first is task 7, δ = -0.05 Å, atom {atom}: timed-out); run"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store.h5"]


@pytest.mark.parametrize("name", ["absorber", "multiplicity"])
def test_distortions_with_other_sites_are_refused(whole: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "store.h5"
    copy.write_bytes(whole.with_name("store.h5").read_bytes())
    with h5py.File(copy, "r+") as file:
        file[f"tasks/{name}"][6] += 1
    with h5py.File(copy) as file, pytest.raises(StoreError, match="have different absorbers; run `xanesml validate`"):
        SeriesSites.of(file)


def test_absorbers_count_by_the_atoms_they_stand_for_times_their_own_weight(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store.h5"
    copy.write_bytes(whole.with_name("store.h5").read_bytes())
    weighted = campaign(averaging={"multiplicity": [2.0] * 54 + [0.5]})
    with open_store_file(copy, mode="r+") as file:
        tasks = DISTORTIONS * 5 + np.arange(ALL)
        file["tasks/multiplicity"][tasks[:2]] = [3, 4]
        assert absorber_weights(file, tasks, weighted).tolist() == [6.0, 8.0] + [2.0] * 52 + [0.5]
        assert absorber_weights(file, tasks, campaign()).tolist() == [3.0, 4.0] + [1.0] * 53


def described(lines: list[str], name: str) -> str:
    return next(line.partition(": ")[2].strip() for line in lines if line.startswith(f"{name}:"))


def test_a_row_is_traced_to_the_runs_of_all_sites(whole: Path) -> None:
    lines = trace_lines(whole, 1, "statistical")
    assert described(lines, "sites") == (
        "5, multiplicities 1 12 6 24 12; each spectrum of the series is the mean over them"
    )
    assert described(lines, "weights").startswith("shift, weight (rows of the store); ")
    assert any("+0.000 Å" in line and "(10–14)" in line for line in lines)
    assert described(lines, "FEFF runs").startswith("25 on node1")
    assert described(lines, "series") == "from the store's spectra again: spectra exactly, edge steps exactly"
    assert any(line.strip() == "mean coordination 7.85455" for line in lines)


def test_a_row_of_all_absorbers_is_traced(whole: Path) -> None:
    lines = trace_lines(whole, 0, "particle")
    assert described(lines, "absorbers") == "55 of 55, rows of the store 25–79"
    assert described(lines, "bonds").startswith("216 at atoms 0–54; ")
    assert described(lines, "FEFF runs").startswith("55 on node1")
    deviation = described(lines, "recomputed").removeprefix("from the store's spectra: mean to ")
    assert float(deviation) < 1e-6


def test_sites_that_the_store_does_not_have_show_in_the_trace(whole: Path, tmp_path: Path) -> None:
    for name in ("store.h5", "tensors.h5"):
        (tmp_path / name).write_bytes(whole.with_name(name).read_bytes())
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        multiplicity = file["tasks/multiplicity"][:]
        multiplicity[: DISTORTIONS * 5] = np.tile([12, 1, 6, 24, 12], DISTORTIONS)
        file["tasks/multiplicity"][:] = multiplicity
    with h5py.File(tmp_path / "tensors.h5", "r+") as file:
        file.attrs["store"] = str(tmp_path / "store.h5")
    series = described(trace_lines(tmp_path / "tensors.h5", 0, "statistical"), "series")
    deviation = series.removeprefix("from the store's spectra again: spectra to ").partition(",")[0]
    assert float(deviation) > 1e-3


def test_the_comparison_says_where_absorbers_have_other_surroundings(whole: Path, tmp_path: Path) -> None:
    alike = compare(whole)
    assert (alike.coordination, alike.series_coordination) == (pytest.approx(7.8545, abs=1e-4),) * 2
    assert not any("first neighbors" in line for line in alike.lines())
    # Not displaced at all, the particle has the spectrum of the undistorted series.
    assert alike.rms[0] < 1e-6
    center = campaign(distortion={"minimum": -0.1, "maximum": 0.1, "step": 0.05})
    unlike = compare(averaged(tmp_path, center))
    assert unlike.rms[0] > 1e-3
    (line,) = [line for line in unlike.lines() if "first neighbors" in line]
    assert line.startswith("absorbers: 7.85 first neighbors on average in the particle averages, 12 in the series")


def test_averages_over_sites_are_printed_as_such(tmp_path: Path) -> None:
    said: list[str] = []
    averaged(tmp_path, campaign(), echo=said.append)
    assert any("series: 5 spectra, each the mean over 5 sites; particle averages: 1" in line for line in said)
