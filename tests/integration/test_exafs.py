"""The first shell of a gold foil by the path that real FEFF calculates for a campaign's structure."""

from __future__ import annotations

from pathlib import Path

import pytest
from exafs_data import PUBLISHED, unpacked

from xanesml.campaign import EngineSection, FeffSection, StructureSection
from xanesml.exafs import fit_first_shell, oscillations
from xanesml.feff.paths import first_shell_paths
from xanesml.measured import read_spectrum
from xanesml.structures import build_cluster

pytestmark = [pytest.mark.feff, pytest.mark.requires("larch")]


def test_feff_gives_the_path_of_a_campaign(tmp_path: Path) -> None:
    cluster = build_cluster(StructureSection(atoms=13))
    paths = first_shell_paths(cluster, FeffSection(), EngineSection(pot="native"))
    assert [(path.number, path.degeneracy, path.first_shell) for path in paths] == [(79, 12.0, True)]
    assert paths[0].length == pytest.approx(cluster.first_shell, abs=1e-4)
    fit = fit_first_shell(oscillations(read_spectrum(unpacked("au_foil.xdi", tmp_path))), paths)
    sigma2, length = PUBLISHED["au_foil"]
    assert fit.sigma2 == pytest.approx(sigma2, abs=0.0008)
    assert fit.length == pytest.approx(length, abs=0.015)


def test_atoms_just_beyond_the_shell_have_paths_too() -> None:
    cell = Path(__file__).parents[1] / "data" / "structures" / "Fe_bcc.cif"
    cluster = build_cluster(StructureSection(element="Fe", file=cell, radius=4.5))
    paths = first_shell_paths(cluster, FeffSection(edge="K", scf=None, corval=None), EngineSection())
    assert [(path.degeneracy, path.first_shell) for path in paths] == [(8.0, True), (6.0, False)]
