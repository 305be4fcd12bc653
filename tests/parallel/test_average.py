"""The averaging driver over made-up stores: what it writes, on any number of ranks, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from conftest import MpiRun
from made_store import made_store, spectrum
from scipy import stats

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.store.rows import Row, RowWriter, open_store_file
from xanesml.validation import validate

pytestmark = pytest.mark.requires("mpi")

CAMPAIGN = """
name = "made"
[structure]
atoms = 55
[distortion]
step = 0.05
[disorder]
structures = 70
sigma_minimum = 0.03
sigma_maximum = 0.1
[averaging]
sigma = [0.05, 0.1]
families = 300
"""
#: Rows of the series, then 70 structures of 13.
SERIES = 19


class Case:
    """A campaign in a folder, its made-up store, and `xanesml average` on it."""

    def __init__(self, folder: Path, mpirun: MpiRun, xanesml: str) -> None:
        self.file, self.output = folder / "made.toml", folder / "out"
        self._mpirun, self._xanesml = mpirun, xanesml

    def write(self, text: str = CAMPAIGN, missing: tuple[int, ...] = ()) -> None:
        self.settings(text)
        made_store(self.output / "store.h5", Campaign.load(self.file), missing=missing)

    def settings(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def average(self, ranks: int = 2, writer: str = "auto") -> subprocess.CompletedProcess[str]:
        return self._mpirun(
            ranks, self._xanesml, "average", str(self.file), "-o", str(self.output), "--writer", writer, timeout=60
        )

    @property
    def tensors(self) -> Path:
        return self.output / "tensors.h5"

    def assert_refused(self, words: str) -> None:
        done = self.average()
        assert done.returncode == 2, done.stdout + done.stderr
        assert words in done.stderr
        assert done.stderr.count("xanesml: ") == 1
        assert sorted(path.name for path in self.output.iterdir()) == ["store.h5"]


@pytest.fixture
def case(tmp_path: Path, mpirun: MpiRun, xanesml: str) -> Case:
    return Case(tmp_path, mpirun, xanesml)


def test_the_file_is_the_same_for_any_ranks_and_writer_and_sound(case: Case) -> None:
    case.write(missing=(SERIES + 13 * 4 + 2, SERIES + 13 * 66))
    files = []
    for ranks, writer in [(1, "auto"), (2, "mpio"), (3, "root"), (5, "mpio")]:
        done = case.average(ranks, writer)
        assert done.returncode == 0, done.stderr
        files.append(case.tensors.read_bytes())
        last = done.stdout.splitlines()[-1]
        assert last.startswith(f"made {case.tensors} in ")
        assert "; next: mpirun xanesml train " in last
        assert done.stdout.count("has no particle average: 12 of 13 absorbers are done, 0 may be missing") == 2
    assert files[1:] == files[:-1]
    assert validate(case.tensors).ok
    with h5py.File(case.tensors) as file:
        assert file["statistical/spectra"].shape[0] == file["statistical/weights"].shape[0] == 4800
        assert np.setdiff1d(np.arange(SERIES, SERIES + 70), file["particle/structure"][:]).tolist() == [23, 85]
        assert '"23"' in file.attrs["refused"]


def test_averages_and_labels_against_naive_loops_over_the_store(case: Case) -> None:
    case.write(missing=(SERIES + 13 * 4 + 2,))
    multiplicity = [6.0, *[1.0] * 12]
    case.settings(CAMPAIGN + f"missing_absorbers = 1\nmultiplicity = {multiplicity}\n")
    assert case.average().returncode == 0
    with h5py.File(case.tensors) as file, h5py.File(case.output / "store.h5") as store:
        mesh, normalized_at = file["mesh/energy"][:], file.attrs["normalization_energy"]
        assert normalized_at == file.attrs["edge"] + 50

        def on_mesh(task: int, name: str) -> np.ndarray:
            return np.interp(mesh, store["spectra/energy"][task, :101], store[f"spectra/{name}"][task, :101])

        def step(task: int) -> float:
            return float(np.interp(normalized_at, mesh, on_mesh(task, "mu0")))

        series = [on_mesh(task, "mu") for task in range(SERIES)]
        steps = [step(task) for task in range(SERIES)]
        np.testing.assert_allclose(file["series/mu"][:], series, rtol=1e-12)
        np.testing.assert_allclose(file["series/edge_step"][:], steps, rtol=1e-12)
        delta = file["series/delta"][:]
        for row in (0, 777, 4799):
            location, scale, alpha = (file[f"statistical/{name}"][row] for name in ("location", "scale", "alpha"))
            weights = stats.skewnorm.pdf(delta, alpha, location, scale)
            naive = sum(w * mu for w, mu in zip(weights, series, strict=True)) / (weights @ steps)
            np.testing.assert_allclose(file["statistical/spectra"][row], naive, rtol=2e-7)
            np.testing.assert_allclose(file["statistical/weights"][row], weights / weights.sum(), atol=1e-7)
        for row in (0, 4, 69):
            tasks = file["particle/task"][row]
            assert tasks.tolist() == [
                -1 if t == SERIES + 54 else t for t in range(SERIES + 13 * row, SERIES + 13 * row + 13)
            ]
            counts = {task: m for task, m in zip(tasks.tolist(), multiplicity, strict=True) if task >= 0}
            naive = sum(m * on_mesh(t, "mu") for t, m in counts.items()) / sum(m * step(t) for t, m in counts.items())
            np.testing.assert_allclose(file["particle/spectra"][row], naive, rtol=2e-7)
            positions = store["structures/positions"][SERIES + row]
            reference = store["structures/undistorted"][:]
            first_shell = 4.0782 / np.sqrt(2)
            # A bond counts by the mean multiplicity of its absorbing ends: 6, 3.5 or 1.
            absorbers = dict(zip(store["tasks/absorber"][SERIES : SERIES + 13].tolist(), multiplicity, strict=True))
            lengths, weights = [], []
            for i in range(55):
                for j in range(i):
                    near = np.linalg.norm(reference[i] - reference[j]) < 1.1 * first_shell
                    ends = [absorbers[atom] for atom in (i, j) if atom in absorbers]
                    if near and ends:
                        lengths.append(np.linalg.norm(positions[i] - positions[j]))
                        weights.append(np.mean(ends))
            assert len(lengths) == 120
            mean = np.average(lengths, weights=weights)
            msd = np.average((lengths - mean) ** 2, weights=weights)
            assert file["particle/mean_shift"][row] == pytest.approx(mean - first_shell, abs=1e-12)
            assert file["particle/msd"][row] == pytest.approx(msd, rel=1e-12)
            third = np.average((lengths - mean) ** 3, weights=weights) / msd**1.5
            assert file["particle/skewness"][row] == pytest.approx(third, abs=1e-10)
            assert file["particle/weights"][row] @ delta == pytest.approx(mean - first_shell, abs=1e-12)
            r, width = file["mesh/r"][:], np.diff(file["mesh/r"][:2])[0]
            edges = np.append(r - width / 2, r[-1] + width / 2)
            histogram = np.histogram(lengths, edges, weights=np.array(weights) / sum(weights))[0]
            np.testing.assert_allclose(file["particle/distribution"][row], histogram, atol=1e-6)
            assert file["particle/coordination"][row] == 12
        assert file["particle/absorbers"][:].tolist() == [13] * 4 + [12] + [13] * 65


def test_options_of_the_mesh_and_the_series(case: Case) -> None:
    case.write()
    assert case.average().returncode == 0
    with h5py.File(case.tensors) as file:
        plain = file["series/mu"][:]
    case.settings(CAMPAIGN + 'interpolation = "pchip"\nsmoothing = 5\nkeep_weights = false\nr_step = 0.1\n')
    assert case.average().returncode == 0
    assert validate(case.tensors).ok
    with h5py.File(case.tensors) as file:
        assert file["statistical/weights"].shape == (0, SERIES)
        assert file.attrs["interpolation"] == "pchip"
        assert np.diff(file["mesh/r"][:2]) == pytest.approx(0.1)
        assert 1e-6 < np.abs(file["series/mu"][:] - plain).max() < 0.05
    case.settings(CAMPAIGN.replace("families = 300", 'sampler = "grid"\ngrid = [3, 4]') + "smoothing = 9\n")
    done = case.average()
    assert done.returncode == 0, done.stderr
    with h5py.File(case.tensors) as file:
        assert len(np.unique(file["statistical/scale"][:])) == 3
    case.settings(CAMPAIGN + "smoothing = 21\n")
    case.tensors.unlink()
    case.assert_refused("averaging.smoothing is a window of 21 points, but the series has 19")


def test_what_cannot_be_averaged_is_refused_in_one_line_and_nothing_is_left(case: Case) -> None:
    case.write()
    case.settings(CAMPAIGN.replace("sigma_maximum = 0.1", "sigma_maximum = 0.2"))
    case.assert_refused("disorder.sigma_maximum is 0.1 there and 0.2 here")
    case.settings(CAMPAIGN + "multiplicity = [1, 2]\n")
    case.assert_refused("averaging.multiplicity has 2 weights, but a structure has 13 absorbers")
    case.settings(CAMPAIGN)
    with h5py.File(case.output / "store.h5", "r+") as file:
        file["spectra/mu"][SERIES + 5, 3] += 1e-9
    case.assert_refused(f"1 rows with an outcome do not match their checksum (the first is task {SERIES + 5})")


def test_an_unfinished_series_names_what_is_missing(case: Case) -> None:
    case.write(missing=(3, 5))
    case.assert_refused("2 of the 19 distorted spectra are not done (the first is task 3, δ = -0.30 Å: timed-out)")


def test_a_rank_that_meets_a_bad_spectrum_while_all_write_ends_all_without_leaving_anything(case: Case) -> None:
    case.write()
    # A sound row, but for a photon energy that stands still: block 1 of the structures, so rank 1's.
    task = SERIES + 13 * 65
    rewrite_energy(case.output / "store.h5", task)
    done = case.average(2, "mpio")
    assert done.returncode == 2
    assert f"the spectrum of task {task} has energies that do not increase" in done.stderr
    assert sorted(path.name for path in case.output.iterdir()) == ["store.h5"]


def rewrite_energy(store: Path, task: int) -> None:
    made = spectrum(task, 0.0)
    made.energy[50] = made.energy[49]
    with open_store_file(store, mode="r+") as file:
        RowWriter(file).write(Row(task=task, outcome=Outcome.DONE, finished=1.7e9, host="node1", spectrum=made))


def test_two_elements_and_absorbers_of_ones_own(case: Case, tmp_path: Path) -> None:
    oxide = ase.build.bulk("NiO", "rocksalt", a=4.17, cubic=True).repeat(3)
    sphere = np.linalg.norm(oxide.positions - oxide.positions[oxide.numbers == 28].mean(axis=0), axis=1) < 5.5
    cluster = oxide[sphere]
    cluster.pbc = False
    ase.io.write(tmp_path / "nio.xyz", cluster, format="extxyz")
    center = cluster.positions.mean(axis=0)
    nickel = np.flatnonzero(cluster.numbers == 28)
    several = nickel[np.argsort(np.linalg.norm(cluster.positions[nickel] - center, axis=1))][:2].tolist()
    text = CAMPAIGN.replace("atoms = 55", 'element = "Ni"\nfile = "nio.xyz"\nfirst_shell_cutoff = 2.4').replace(
        "structures = 70", f"structures = 3\nabsorbers = {several}"
    )
    case.write(text + '[feff]\nedge = "K"\n')
    done = case.average()
    assert done.returncode == 0, done.stdout + done.stderr
    assert validate(case.tensors).ok
    distances = np.linalg.norm(cluster.positions[several][:, np.newaxis] - cluster.positions, axis=2)
    with h5py.File(case.tensors) as file:
        assert file["particle/task"].shape == (3, 2)
        # Six oxygen atoms at half the lattice constant around each nickel that is well inside.
        assert (np.count_nonzero(distances < 2.4, axis=1) - 1).tolist() == [6, 6]
        assert file["particle/coordination"][:].tolist() == [6, 6, 6]
        assert file.attrs["first_shell"] == pytest.approx(4.17 / 2, abs=1e-6)
