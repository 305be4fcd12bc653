"""The step that puts a muffin-tin radius at the same place between two points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xanesml.errors import NotApplicable
from xanesml.pot import phase_grid
from xanesml.pot.phase_grid import placed_step, solve_stage
from xanesml.pot.radial import ORIGIN


@pytest.mark.parametrize(("asked", "points"), [(0.03, 329), (0.05, 197), (0.01, 986)])
@given(radius=st.floats(1.1, 4.0))
def test_every_radius_lies_at_the_same_place(asked, points, radius):
    step = placed_step(radius, asked)
    assert (np.log(radius) + ORIGIN) / step == pytest.approx(points + 0.95, abs=1e-9)
    assert abs(step / asked - 1) < 0.12


@pytest.mark.parametrize(("radius", "step"), [(0.0, 0.03), (np.nan, 0.03), (np.inf, 0.03), (-1.0, 0.03), (2.9, 0.0)])
def test_what_makes_no_sense_gives_no_grid(radius, step):
    with pytest.raises(ValueError, match="no grid"):
        placed_step(radius, step)


GOOD = "mphase,ipr2\n   1   0\nrgrd, rfms2, gamach\n   0.03000   6.97573   5.28418\nspinph(0:nph)\n   0.0\n"


class Potentials:
    muffin_tin_radii = np.array([2.9, 3.0])


def test_only_the_step_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(phase_grid, "read_potentials", lambda _: Potentials)
    (tmp_path / "xsph.inp").write_text(GOOD)
    step = solve_stage(tmp_path).step
    assert (tmp_path / "xsph.inp").read_text().split() == GOOD.replace("0.03000", f"{step:.9f}").split()
    assert [path.name for path in tmp_path.iterdir()] == ["xsph.inp"]


@pytest.mark.parametrize(
    "text", ["", "rgrd, rfms2\n", "rgrd, rfms2\n x y\n", "a, b\n 1 2\n", "rgrd\n 0\n", "xrgrd, b\n 1 2\n"]
)
def test_a_file_of_another_kind_is_left_alone(tmp_path, monkeypatch, text):
    monkeypatch.setattr(phase_grid, "read_potentials", lambda _: Potentials)
    (tmp_path / "xsph.inp").write_text(text)
    with pytest.raises(NotApplicable, match="does not tell the step"):
        solve_stage(tmp_path)
    assert (tmp_path / "xsph.inp").read_text() == text


def test_without_potentials_there_is_no_grid(tmp_path):
    with pytest.raises(NotApplicable):
        solve_stage(tmp_path)
