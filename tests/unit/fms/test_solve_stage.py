from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fms_run import write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from xanesml.errors import NotApplicable
from xanesml.files.layout import text_width
from xanesml.fms.dense import solve_dense
from xanesml.fms.green import feff_convention, green_text
from xanesml.fms.inputs import read_input
from xanesml.fms.phases import read_phases
from xanesml.fms.stage import StageReport, solve_stage

OCTAHEDRON = np.array([[0.0, 0, 0], [2, 0, 0], [-2, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 2], [0, 0, -2]])


def run(folder: Path, *, moved: float = 0.0, size: float = 1.0, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    positions = OCTAHEDRON + moved * rng.normal(size=OCTAHEDRON.shape)
    arguments: dict[str, Any] = {
        "positions": positions,
        "potentials": [0, 1, 1, 1, 1, 1, 1],
        "lmax": [2, 1],
        "momentum": np.array([0.9 + 0.1j, 1.3 + 0.05j, 1.7 + 0.2j]),
        "shifts": [size * rng.normal(size=(3, 4)) * np.ones(4, complex) for _ in range(2)],
    }
    write_run(folder, **(arguments | changes))
    return folder


def read_green(path: Path) -> np.ndarray:
    """Read a gg.bin as mkgtr does: numbers row by row between lines that begin with #."""
    sections: list[list[list[float]]] = []
    for line in path.read_text().splitlines():
        if line.startswith("#SN#"):
            sections.append([])
        elif not line.startswith("#"):
            sections[-1].append([float(word) for word in line.split()])
    numbers = np.array(sections)
    return np.asarray(numbers[..., 0::2] + 1j * numbers[..., 1::2])


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("method", ["auto", "lu", "ldl", "symmetric"])
def test_gg_bin_holds_the_greens_function_at_every_energy(tmp_path: Path, method: Any) -> None:
    before = written(run(tmp_path))
    report = solve_stage(tmp_path, method=method)
    assert written(tmp_path) == before | {"gg.bin", "log3.dat"}
    solution = solve_dense(read_input(tmp_path), read_phases(tmp_path / "phase.bin"), dtype=np.complex128)
    expected = feff_convention(solution.blocks)
    green = read_green(tmp_path / "gg.bin")
    assert green.shape == (3, 9, 9)
    assert np.abs(green - expected).max() < 3e-6 * np.abs(expected).max()
    assert report.method == ("symmetric" if method == "auto" else method)
    assert (report.size, len(report.blocks), report.by_lu) == (9 + 6 * 4, 3, 0)
    assert report.residual < 1e-5


def test_without_symmetry_auto_takes_ldl(tmp_path: Path) -> None:
    report = solve_stage(run(tmp_path, moved=0.05))
    assert (report.method, report.largest) == ("ldl", 24)


def test_symmetry_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="no symmetry"):
        solve_stage(run(tmp_path, moved=0.05), method="symmetric")


def test_double_precision_halves_the_digits_lost(tmp_path: Path) -> None:
    assert solve_stage(run(tmp_path), precision="double").residual < 1e-12


def test_the_log_says_that_the_module_is_done_and_who_did_it(tmp_path: Path) -> None:
    report = solve_stage(run(tmp_path))
    log = (tmp_path / "log3.dat").read_text()
    assert "\nDone with module: FMS." in log
    assert f"\n{report.solver}\n" in log
    assert report.solver == f"xanesml fms: symmetric, 33 in blocks up to {report.largest}"


def test_the_longest_line_about_the_solver_fits_the_store() -> None:
    report = StageReport(
        np.empty((9999, 1, 1), complex), "symmetric", 50_000, by_lu=99_999, residual=1.0, size=100_000, seconds=1.0
    )
    assert len(report.solver.encode()) <= text_width("runs/solver")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"switches": {"ispin": 1}}, "ispin"),
        ({"radius": 1.0}, "no neighbor"),
        ({"potentials": [0, 1, 1, 1, 1, 1, 2], "lmax": [2, 1, 1]}, "potentials"),
        ({"size": np.nan}, "not"),
    ],
)
def test_where_the_stage_does_not_apply_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    if "size" in changes:
        # Shifts with an imaginary part so negative that their amplitudes overflow.
        changes = {"shifts": [np.full((3, 3), -400j), np.full((3, 3), -400j)]}
    before = written(run(tmp_path, **changes))
    with pytest.raises(NotApplicable, match=reason):
        solve_stage(tmp_path)
    assert written(tmp_path) == before


def test_an_earlier_result_is_replaced_whole(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "gg.bin").write_text("x" * 10**6)
    solve_stage(tmp_path)
    assert read_green(tmp_path / "gg.bin").shape == (3, 9, 9)


def test_the_stage_loads_little(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from xanesml.fms.stage import solve_stage;"
        "solve_stage(Path(sys.argv[1]));"
        "heavy = {'scipy', 'ase', 'pydantic', 'h5py', 'mpi4py'} & set(sys.modules);"
        "sys.exit(' '.join(heavy) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run(tmp_path, moved=0.05))],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_numbers_too_small_for_single_precision_are_written_as_zero() -> None:
    text = green_text(np.array([[[1e-60 + 0.25j]]]))
    assert text.splitlines()[-1].split() == ["0", "0.25"]
    assert "2D complex array with sizes    1   1" in text


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=8))
def test_no_digit_of_single_precision_is_lost(numbers: list[float]) -> None:
    blocks = np.array(numbers).view(complex).reshape(1, 2, 2)
    words = green_text(blocks).splitlines()[-2:]
    assert [len(line.split()) for line in words] == [4, 4]
    assert np.array([word for line in words for word in line.split()], dtype=np.float32).tolist() == numbers


def test_what_is_only_rounding_is_zero() -> None:
    # Alike along y, z and x: in any harmonics diagonal.
    block = np.diag([0.3, 0.2 - 0.1j, 0.2 - 0.1j, 0.2 - 0.1j])[None].astype(complex)
    noisy = block + 1e-16 * np.random.default_rng(0).normal(size=block.shape)
    green = feff_convention(noisy)
    np.testing.assert_allclose(green, block, rtol=1e-14)
    assert np.count_nonzero(green[0].imag) == 3
    assert np.abs(feff_convention(block + 1e-9) - block).max() > 1e-10
