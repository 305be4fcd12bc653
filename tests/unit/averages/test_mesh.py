"""The common mesh: inside every spectrum, and what is done on it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xanesml.averages.mesh import common_mesh, edge_step, onto_mesh
from xanesml.errors import StoreError


def test_mesh_lies_inside_every_spectrum() -> None:
    mesh = common_mesh(100.2, 107.6, 103.0, 0.5)
    assert mesh.tolist() == [100.5 + 0.5 * i for i in range(15)]


@given(st.floats(5000, 20000), st.floats(8, 80), st.sampled_from([0.1, 0.25, 0.3, 0.5]))
def test_mesh_never_reaches_outside(start: float, width: float, step: float) -> None:
    energies = np.array([[start, start + width / 2, start + width]])
    mesh = common_mesh(start, start + width, start + width / 2, step)
    assert start <= mesh[0] < start + step * (1 + 1e-9)
    assert start + width - step * (1 + 1e-9) < mesh[-1] <= start + width
    np.testing.assert_allclose(np.diff(mesh), step, rtol=0, atol=1e-9)
    np.testing.assert_allclose(mesh / step, np.round(mesh / step), rtol=0, atol=1e-6)
    values = onto_mesh(energies, 3 * energies, np.array([3]), mesh)
    np.testing.assert_allclose(values[0], 3 * mesh, rtol=1e-14)


def test_meshes_that_cannot_be_made() -> None:
    with pytest.raises(StoreError, match=r"share 103\.00 to 104\.00 eV, which holds 3 mesh points of 0\.5 eV"):
        common_mesh(103.0, 104.0, 103.2, 0.5)
    with pytest.raises(StoreError, match="holds 0 mesh points"):
        common_mesh(113.0, 104.0, 103.2, 0.5)
    with pytest.raises(StoreError, match=r"but the edge lies at 104\.20 eV"):
        common_mesh(103.0, 104.0, 104.2, 0.05)


def test_interpolation_uses_a_rows_own_points_only() -> None:
    energy = np.array([[0.0, 1.0, 3.0, np.nan], [-1.0, 0.0, 2.0, 4.0]])
    values = np.array([[0.0, 2.0, 6.0, np.nan], [1.0, 5.0, 1.0, 9.0]])
    found = onto_mesh(energy, values, np.array([3, 4]), np.array([0.5, 1.0, 3.0]))
    np.testing.assert_allclose(found, [[1.0, 2.0, 6.0], [4.0, 3.0, 5.0]], rtol=1e-15)


def test_monotone_cubics_meet_the_points_and_do_not_overshoot() -> None:
    energy, mu = np.arange(7.0)[np.newaxis], np.array([[0.0, 0.0, 0.1, 0.9, 1.0, 1.0, 0.8]])
    fine = np.linspace(0, 6, 61)
    found = onto_mesh(energy, mu, np.array([7]), fine, "pchip")
    np.testing.assert_allclose(found[0, ::10], mu[0], rtol=0, atol=1e-15)
    assert (found >= 0).all()
    assert found[0, :50].max() <= 1
    assert np.abs(found - onto_mesh(energy, mu, np.array([7]), fine)).max() > 0.01
    parabola = onto_mesh(energy, energy**2, np.array([7]), np.array([2.5]), "pchip")
    assert parabola[0, 0] == pytest.approx(6.25, abs=0.05)


def test_rows_that_do_not_serve_are_refused() -> None:
    energy = np.array([[0.0, 1.0, 2.0], [0.5, 1.0, 2.0]])
    two, mesh = np.array([3, 3]), np.array([0.25, 1.5])
    with pytest.raises(
        StoreError, match=r"spectrum of task 1 covers 0\.50 to 2\.00 eV, not the mesh of 0\.25 to 1\.50"
    ):
        onto_mesh(energy, energy, two, mesh)
    with pytest.raises(StoreError, match="spectrum of task 7 covers"):
        onto_mesh(energy, energy, np.array([2, 3]), mesh + 0.6, tasks=np.array([7, 9]))
    for spoiled in (np.array([[0.0, 0.0, 2.0]]), np.array([[0.0, np.nan, 2.0]])):
        with pytest.raises(StoreError, match="spectrum of task 0 has energies that do not increase"):
            onto_mesh(spoiled, np.ones((1, 3)), np.array([3]), mesh)
    with pytest.raises(StoreError, match="values that are not finite"):
        onto_mesh(energy[:1], np.array([[1.0, np.inf, 1.0]]), np.array([3]), mesh)


def test_edge_step_is_mu0_fifty_ev_above_the_edge() -> None:
    mesh = 90.0 + 0.5 * np.arange(161)
    mu0 = np.stack([mesh, 2 * mesh])
    steps, energy = edge_step(mu0, mesh, 100.2)
    assert energy == pytest.approx(150.2)
    np.testing.assert_allclose(steps, [150.2, 300.4], rtol=1e-14)
    assert float(edge_step(mesh, mesh, 100.2)[0]) == pytest.approx(150.2)
    steps, energy = edge_step(mu0, mesh, 130.0)
    assert (energy, steps.tolist()) == (170.0, [170.0, 340.0])


def test_edge_steps_that_do_not_exist() -> None:
    mesh = 90.0 + 0.5 * np.arange(161)
    for edge in (89.0, 170.0):
        with pytest.raises(StoreError, match=r"lies outside the mesh of 90\.00 to 170\.00 eV"):
            edge_step(mesh, mesh, edge)
    for value in (0.0, np.nan):
        with pytest.raises(StoreError, match=r"μ0 at 150\.00 eV is not positive"):
            edge_step(np.full((2, 161), value), mesh, 100.0)
