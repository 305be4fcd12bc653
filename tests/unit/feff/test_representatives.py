"""Which atom stands for a potential, in a run by modules: the first of feff.inp, for atomic and pot alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from xanesml.campaign import Campaign, EngineSection
from xanesml.feff import representatives
from xanesml.feff.engine import make_engine
from xanesml.feff.request import Request
from xanesml.feff.run import FeffRun

INPUT = """TITLE x
POTENTIALS
0 79 Au -1 -1 1
1 79 Au -1 -1 2
2 29 Cu -1 -1 2
ATOMS
0.100000 0.000000 0.000000 0
0.100000 5.500000 0.000000 1
0.100000 0.000000 2.750000 2
0.100000 2.750000 0.000000 1
-6.000000 0.000000 0.000000 2
END
"""

HEAD = "nat, nph =     5    2\n    1    3    2\n iat     x       y        z       iph\n ------------------\n"
ROWS = [
    "   1      0.00000      0.00000      0.00000   0   1\n",
    "   2      0.00000      2.75000      0.00000   1   1\n",
    "   3      0.00000      0.00000      2.75000   2   1\n",
    "   4      0.00000      5.50000      0.00000   1   1\n",
    "   5     -6.10000      0.00000      0.00000   2   1\n",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "feff.inp").write_text(INPUT)
    (tmp_path / "geom.dat").write_text(HEAD + "".join(ROWS))
    return tmp_path


def test_the_first_atoms_of_the_input_go_to_the_head_and_back(folder: Path) -> None:
    assert representatives.main(str(folder), "first") == 0
    order = [0, 3, 2, 1, 4]
    assert (folder / "geom.dat").read_text() == HEAD + "".join(ROWS[row] for row in order)
    assert representatives.main(str(folder), "back") == 0
    assert (folder / "geom.dat").read_text() == HEAD + "".join(ROWS)
    assert sorted(path.name for path in folder.iterdir()) == ["feff.inp", "geom.dat"]


def test_an_input_in_order_of_distance_changes_nothing(folder: Path) -> None:
    lines = INPUT.splitlines(keepends=True)
    lines[7], lines[9] = lines[9], lines[7]
    (folder / "feff.inp").write_text("".join(lines))
    assert representatives.main(str(folder), "first") == 0
    assert (folder / "geom.dat").read_text() == HEAD + "".join(ROWS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "geom.dat").unlink(), "No such file"),
        (lambda folder: (folder / "geom.dat").write_text(HEAD), "has no absorber"),
        (lambda folder: (folder / "geom.dat").write_text(HEAD + "".join(ROWS[:3])), "of potential 1"),
        (lambda folder: (folder / "feff.inp").write_text("END\n"), "has no absorber"),
    ],
)
def test_what_is_missing_is_one_line_and_leaves_geom_dat(folder: Path, spoil, message: str, capfd) -> None:
    spoil(folder)
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    assert representatives.main(str(folder), "first") == 1
    line = capfd.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_modules_of_a_site_see_the_order_that_they_need(tmp_path: Path) -> None:
    """Each module is a program that writes down which atoms it was given."""
    (tmp_path / "bin").mkdir()
    modules = ("rdinp", "atomic", "pot", "screen", "xsph")
    for name in modules:
        program = tmp_path / "bin" / name
        if name == "rdinp":
            program.write_text(f"#!/bin/sh\ncat > geom.dat <<'END'\n{HEAD}{''.join(ROWS)}END\n")
        else:
            program.write_text(f"#!/bin/sh\ntail -5 geom.dat | cut -c1-5 | tr -d ' \\n' > {name}.saw\n")
        program.chmod(0o755)
    section = EngineSection(kind="command", commands=[[str(tmp_path / "bin" / name)] for name in modules], version="9")
    engine = make_engine(section)
    assert "representatives" not in engine.identity
    request = Request(absorber_number=79, edge="L3", scf=False, fms_radius=7, k_max=1, k_step=1, max_points=9)
    run = engine.start(tmp_path / "run", INPUT, request)
    assert isinstance(run, FeffRun)
    while run.poll() is None:
        pass
    saw = {name: (tmp_path / "run" / f"{name}.saw").read_text() for name in modules[1:]}
    assert saw == {"atomic": "14325", "pot": "14325", "screen": "12345", "xsph": "12345"}


@pytest.mark.parametrize(
    ("commands", "place"),
    [
        ([["feff"]], None),
        ([["rdinp"], ["atomic"], ["pot"], ["xsph"]], (1, 2)),
        ([["/opt/feff9/rdinp"], ["mpirun", "-n", "2", "/opt/feff9/pot"], ["xsph"]], (1, 1)),
        ([["pot"], ["rdinp"]], None),
        ([["rdinp"], ["xsph"]], None),
        ([["rdinp.exe"], ["pot.exe"]], (1, 1)),
    ],
)
def test_a_feff_in_one_program_cannot_be_told_who_stands_for_a_potential(commands, place) -> None:
    engine = {"kind": "command", "commands": commands, "version": "9"}
    assert EngineSection.model_validate(engine).potentials_commands() == place
    content = {"name": "x", "distortion": {}, "engine": engine}
    if place is not None:
        assert Campaign.model_validate(content).feff.representative == "typical"
        return
    with pytest.raises(ValidationError, match=r"set feff\.representative = 'nearest'"):
        Campaign.model_validate(content)
    assert Campaign.model_validate(content | {"feff": {"representative": "nearest"}})
