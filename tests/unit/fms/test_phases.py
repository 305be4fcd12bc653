from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fms_run import phase_text
from hypothesis import given, settings
from hypothesis import strategies as st

from xanesml.errors import NotApplicable
from xanesml.fms.phases import Phases, read_phases


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_a_written_file_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, energies: int, lmax: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    momentum = rng.uniform(0.5, 3, energies) + 1j * rng.uniform(0.01, 1, energies)
    shifts = [rng.normal(size=(energies, limit + 1)) + 1j * rng.normal(size=(energies, limit + 1)) for limit in lmax]
    path = tmp_path_factory.mktemp("phases") / "phase.bin"
    path.write_text(phase_text(momentum, shifts))
    phases = read_phases(path)
    np.testing.assert_allclose(phases.momentum, momentum, rtol=1e-10)
    assert len(phases.shifts) == len(shifts)
    for got, expected in zip(phases.shifts, shifts, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_amplitudes_are_unitary_for_real_phase_shifts_and_zero_where_there_is_none() -> None:
    phases = Phases(momentum=np.ones(1, complex), shifts=(np.array([[0.3 + 0j, 1e-9]]),))
    amplitudes = phases.scattering(0, 2)
    np.testing.assert_allclose(amplitudes, [[np.sin(0.3) * np.exp(0.3j), 1e-9, 0]], rtol=1e-8)


def test_two_spins_are_left_to_feff(tmp_path: Path) -> None:
    path = tmp_path / "phase.bin"
    path.write_text(phase_text(np.ones(2, complex), [np.zeros((2, 2), complex)], spins=2))
    with pytest.raises(NotApplicable, match="2 spins"):
        read_phases(path)


def test_a_missing_file_is_left_to_feff(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match=r"cannot read phase\.bin"):
        read_phases(tmp_path / "phase.bin")


@pytest.mark.parametrize("lines", [0, 1, 3, 5, 8])
def test_a_cut_file_is_left_to_feff(tmp_path: Path, lines: int) -> None:
    text = phase_text(np.ones(9, complex), [np.ones((9, 3), complex)])
    path = tmp_path / "phase.bin"
    path.write_text("\n".join(text.splitlines()[:lines]))
    with pytest.raises(NotApplicable, match="not a complete phase"):
        read_phases(path)
