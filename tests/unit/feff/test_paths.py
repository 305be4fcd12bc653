"""The input for FEFF's paths to a first shell, and what is read of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from exafs_data import path_of

from xanesml.campaign import FeffSection, StructureSection
from xanesml.errors import SpectrumError
from xanesml.feff.paths import exafs_input, read_path
from xanesml.structures import build_cluster


def test_the_input_asks_for_single_scattering_by_the_first_shell() -> None:
    cluster = build_cluster(StructureSection(atoms=13))
    text, request = exafs_input(cluster, FeffSection(extra_cards=["RGRID 0.03", "print 1 1 1 1 1 1"]))
    lines = text.splitlines()
    assert lines[:17] == [
        "TITLE Au13, Au L3 edge",
        "EDGE L3",
        "SCF 4.600000 0 30 0.5 1",
        "CORVAL -120.0",
        "EXCHANGE 0 0.0 0.0",
        "S02 1.0",
        "EXAFS 20.0",
        f"RPATH {2.0391 * 2**0.5 + 0.7:.6f}",
        "NLEG 2",
        "CRITERIA 0 0",
        "PRINT 0 0 0 0 0 3",
        "RGRID 0.03",
        "POTENTIALS",
        "0 79 Au -1 -1 1",
        "1 79 Au -1 -1 12",
        "ATOMS",
        "0.000000 0.000000 0.000000 0",
    ]
    assert lines[-1] == "END"
    assert len(lines) == 16 + 13 + 1
    assert (request.edge, request.scf, request.fms_radius, request.k_max) == ("L3", True, None, 20.0)


def test_a_path_tells_its_atoms(tmp_path: Path) -> None:
    path = path_of("Pt", tmp_path)
    assert (path.number, path.length, path.degeneracy) == (78, 2.7719, 12.0)


@pytest.mark.parametrize("text", ["", "# a table\n1 2 3\n"])
def test_another_file_is_no_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "feff0001.dat").write_text(text)
    with pytest.raises(SpectrumError, match="is no path of FEFF with two legs"):
        read_path(tmp_path / "feff0001.dat")
    with pytest.raises(SpectrumError, match="cannot read"):
        read_path(tmp_path / "missing.dat")
