"""Real FEFF on all atoms of a 13-atom icosahedron, with its cheapest cards: about a second a run.

The center is every vertex's only nearest neighbor: all vertices have the same atom first in their input.
"""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.cluster import Icosahedron

from xanesml.campaign import Campaign
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.store.kinds import Kind
from xanesml.store.plan import expand

pytestmark = pytest.mark.feff

#: What the digits that FEFF prints, of potentials and of its input, leave of equal runs.
PRINTED = 1e-5


def test_the_mean_over_the_sites_is_the_mean_over_all_atoms(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "icosahedron.xyz", Icosahedron("Au", 2), format="extxyz")
    campaign = Campaign.model_validate(
        {
            "name": "icosahedron",
            "structure": {"file": str(tmp_path / "icosahedron.xyz")},
            "distortion": {"minimum": -0.1, "maximum": 0.1, "step": 0.1, "absorbers": "sites"},
            # Displaced by less than the input shows.
            "disorder": {"structures": 1, "sigma_minimum": 1e-12, "sigma_maximum": 1e-12, "absorbers": "all"},
            "feff": {
                "scf": False,
                "corval": False,
                "exchange": [0, 0.2, 0.5],
                "xanes": [2.0, 0.2, 1.0],
                "fms_radius": 3.2,
                "lmax": 2,
            },
            "engine": {"timeout": 120},
        }
    )
    table = expand(campaign)
    assert table.site_multiplicity.tolist() == [1, 12]
    undistorted, everything = (
        np.flatnonzero(chosen[table.structure])
        for chosen in (table.delta == 0, np.asarray(table.kind) == Kind.DISORDERED)
    )
    assert (len(undistorted), len(everything)) == (2, 13)
    engine = make_engine(campaign.engine)
    spectra = {}
    for task in everything.tolist():
        text, request = table.inputs(task)
        folder = tmp_path / str(task)
        folder.mkdir()
        result = run_feff(engine, folder, text, request)
        assert result.outcome is Outcome.DONE, result.message
        assert result.spectrum is not None
        spectra[text] = result.spectrum.mu
    # The runs of the sites are those of two of the atoms.
    of_sites = np.array([spectra[table.inputs(task)[0]] for task in undistorted.tolist()])
    of_all = np.array(list(spectra.values()))
    assert of_all.shape[0] == 13
    assert np.abs(of_sites[1] - of_sites[0]).max() > 0.01 * of_all.max(), "the sites differ"
    by_sites = table.site_multiplicity @ of_sites / 13
    np.testing.assert_allclose(by_sites, of_all.mean(axis=0), rtol=PRINTED)
