"""NaN and infinity at any stage of the solver lead to a fallback, never to a wrong Green's function."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fms_run import write_run

from xanesml.errors import NotApplicable
from xanesml.fms import reduced, solve, stage
from xanesml.fms.phases import Phases
from xanesml.fms.solve import Returned, worst_of
from xanesml.fms.stage import solve_stage

POISONS = [np.nan, np.inf, -np.inf]
OCTAHEDRON = np.array([[0.0, 0, 0], [2, 0, 0], [-2, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 2], [0, 0, -2]])

#: Functions whose results are poisoned, with the modules that call them.
STAGES = {
    "orbital_scattering": ("dense", "reduced"),
    "inverse_scattering": ("dense", "reduced"),
    "angular_factors": ("propagator", "reduced"),
    "radial_factors": ("propagator", "reduced"),
    "damping": ("dense", "reduced"),
    "_reduced_propagators": ("reduced",),
    "solve_ldl": ("solve",),
    "solve_lu": ("dense", "solve"),
    "solve_symmetric": ("reduced",),
    "solve_dense": ("stage",),
    "absorber_block": ("dense", "reduced"),
    "feff_convention": ("stage",),
}


def run(folder: Path, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    arguments: dict[str, Any] = {
        "positions": OCTAHEDRON,
        "potentials": [0, 1, 1, 1, 1, 1, 1],
        "lmax": [2, 1],
        "momentum": np.array([0.9 + 0.1j, 1.3 + 0.05j, 1.7 + 0.2j]),
        "shifts": [rng.normal(size=(3, 4)) * np.ones(4, complex) for _ in range(2)],
    }
    write_run(folder, **(arguments | changes))
    return folder


def poisoned(value: Any, poison: float, where: int) -> Any:
    """Put a number that is not finite at one place of each array of a result, or in place of its residual."""
    if isinstance(value, np.ndarray):
        value = value.copy()
        flat = value.reshape(-1)
        flat[where % max(1, flat.size)] = poison
        return value
    if isinstance(value, Returned):
        return (
            Returned(poisoned(value.sigma, poison, where), value.residual) if where else value._replace(residual=poison)
        )
    if isinstance(value, solve.Solution):
        blocks = poisoned(value.blocks, poison, where) if where else value.blocks
        return solve.Solution(blocks, value.method, 1, 0, value.residual if where else poison)
    return value


@pytest.mark.parametrize("method", ["auto", "symmetric", "ldl", "lu"])
@pytest.mark.parametrize("name", STAGES)
def test_a_poisoned_stage_leads_to_a_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: Any
) -> None:
    right = solve_stage(run(tmp_path / "right")).blocks
    folder = run(tmp_path / "poisoned")
    before = {path.name for path in folder.iterdir()}
    fell_back = 0
    for poison in POISONS:
        for where in (0, 1, 7, 100):
            # The block solver of large clusters too.
            for large in (96, 1):
                with monkeypatch.context() as patch:
                    patch.setattr(reduced, "_LARGE", large)
                    for module in STAGES[name]:
                        holder = import_module(f"xanesml.fms.{module}")
                        function = getattr(holder, name)
                        patch.setattr(
                            holder,
                            name,
                            lambda *given, f=function, p=poison, w=where, **named: poisoned(f(*given, **named), p, w),
                        )
                    try:
                        report = solve_stage(folder, method=method)
                    except NotApplicable:
                        fell_back += 1
                        assert {path.name for path in folder.iterdir()} == before
                        continue
                # Another method has taken over, or the stage is not part of this one.
                np.testing.assert_allclose(report.blocks, right, rtol=2e-4, atol=2e-5)
                assert not re.search("nan|inf", (folder / "gg.bin").read_text(), re.IGNORECASE)
                for left in ("gg.bin", "log3.dat"):
                    (folder / left).unlink()
    assert fell_back or method != "lu" or name in ("_reduced_propagators", "solve_ldl", "solve_symmetric")


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("what", ["position", "sigma2", "radius"])
def test_poisoned_input_is_left_to_feff(tmp_path: Path, what: str, poison: float) -> None:
    changes: dict[str, Any] = {"sigma2": {"sigma2": poison}, "radius": {"radius": poison}}.get(what, {})
    if what == "position":
        positions = OCTAHEDRON.copy()
        positions[3, 1] = poison
        changes = {"positions": positions}
    folder = run(tmp_path, **changes)
    with pytest.raises(NotApplicable):
        solve_stage(folder)
    assert not (folder / "gg.bin").exists()


@pytest.mark.parametrize("poison", [*POISONS, complex(0, np.nan), complex(0, -1e4)])
@pytest.mark.parametrize("what", ["momentum", "absorber", "neighbor"])
def test_poisoned_phases_are_left_to_feff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, poison: complex
) -> None:
    folder, read = run(tmp_path), stage.read_phases

    def bad(path: Path) -> Phases:
        phases = read(path)
        momentum, shifts = phases.momentum.copy(), [shift.copy() for shift in phases.shifts]
        if what == "momentum":
            momentum[1] = poison
        else:
            shifts[what == "neighbor"][1, 0] = poison
        return Phases(momentum, tuple(shifts))

    monkeypatch.setattr(stage, "read_phases", bad)
    with pytest.raises(NotApplicable):
        solve_stage(folder)
    assert not (folder / "gg.bin").exists()


def test_the_worst_residual_is_nan_wherever_a_nan_stands() -> None:
    assert worst_of([]) == 0.0
    assert worst_of([0.1, 0.3, 0.2]) == 0.3
    for place in range(3):
        residuals = [0.1, 0.3, 0.2]
        residuals[place] = np.nan
        assert np.isnan(worst_of(residuals))
