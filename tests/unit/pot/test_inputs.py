from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pot_run import BOHR, make_run

from xanesml.errors import NotApplicable
from xanesml.pot.inputs import HARTREE, read_input


def test_cards_and_atoms_are_read(tmp_path: Path) -> None:
    run = read_input(make_run(tmp_path))
    assert (run.title, run.exchange, run.step, run.iterations, run.mixing) == ("Au55", 5, 0.03, 30, 0.5)
    assert run.plain_iterations == 0
    assert run.separation * HARTREE == pytest.approx(-40)
    assert run.search_from * HARTREE == pytest.approx(-120)
    assert run.radius * BOHR == pytest.approx(4.6)
    assert run.tolerances.tolist() == [0.001, 0.001, 0.0002]
    assert run.multiplicities.tolist() == [1, 100]
    assert run.representatives.tolist() == [0, 1]
    assert len(run.positions) == 55
    assert np.linalg.norm(run.positions[1]) * BOHR == pytest.approx(4.0782 / np.sqrt(2), abs=1e-4)


def test_the_first_row_stands_for_its_potential(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    lines = (folder / "geom.dat").read_text().splitlines()
    # The absorber last, another atom of potential 1 first.
    (folder / "geom.dat").write_text("\n".join([*lines[:4], *reversed(lines[4:])]) + "\n")
    run = read_input(folder)
    assert run.representatives.tolist() == [54, 0]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("   1   1   1   4   0   0   5   1  11", "   0   1   1   4   0   0   5   1  11", "mpot"),
        ("   1   1   1   4   0   0   5   1  11", "   1   1   1   4   0   0   2   1  11", "exchange model 2"),
        ("   1   1   1   4   0   0   5   1  11", "   1   1   1   4   0   0   5   1  12", "iscfxc"),
        ("   1   1   1   4   0   0   5   1  11", "   1   1   1   4   0  -1   5   1  11", "iafolp"),
        ("   1  -1   0   0  30   0   0   0", "   1   0   0   0  30   0   0   0", "nohole"),
        ("   1  -1   0   0  30   0   0   0", "   1  -1   1   0  30   0   0   0", "jumprm"),
        ("   1  -1   0   0  30   0   0   0", "   1  -1   0   1  30   0   0   0", "inters"),
        ("   1  -1   0   0  30   0   0   0", "   1  -1   0   0  30   1   0   0", "icoul"),
        ("   1  -1   0   0  30   0   0   0", "   1  -1   0   0  30   0   1   0", "lfms1"),
        ("   1  -1   0   0  30   0   0   0", "   1  -1   0   0  30   0   0   1", "UNFREEZEF"),
        ("100.0000000000        0.0", "100.0000000000        0.5", "ION"),
        ("OVERLAP option: novr(iph)\n   0   0", "OVERLAP option: novr(iph)\n   0   2", "OVERLAP"),
        ("0.000000000000000E+000           1", "0.500000000000000E+000           1", "temperature"),
        ("switch\n F F", "switch\n F T", "StartFromFile"),
        ("FiniteNucleus, WarnIon\n F F", "FiniteNucleus, WarnIon\n T F", "FiniteNucleus"),
        (" F  0.0000000E+00", " T  0.0000000E+00", "ramp_scf"),
        ("ChSh_Type:\n   0", "ChSh_Type:\n   1", "ChSh_Type"),
        ("   79    2      100", "    1    2      100", "hydrogen"),
        ("   79    2      100", "   47    2      100", "several elements"),
        ("      0.00100      0.00100      0.00020\n", "", "cannot parse"),
    ],
)
def test_other_methods_are_refused_with_the_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason):
        read_input(make_run(tmp_path, old=old, new=new))


def test_spin_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path)
    text = (tmp_path / "global.inp").read_text()
    (tmp_path / "global.inp").write_text(text.replace("    0    0    0      0.0000", "    0    1    0      0.0000"))
    with pytest.raises(NotApplicable, match="ispin is 1"):
        read_input(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "geom.dat").unlink()
    with pytest.raises(NotApplicable, match=r"cannot read geom\.dat"):
        read_input(tmp_path)
