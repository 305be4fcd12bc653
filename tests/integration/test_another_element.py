"""A spectrum of another element, put where the edge of gold is, lies far from all training spectra."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from xanesml.assessment.assess import TYPICAL
from xanesml.averages.mesh import edge_step
from xanesml.campaign import Campaign, DistortionSection, EngineSection, FeffSection, StructureSection
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import raise_stack_limit
from xanesml.learning.augmentation import augmenter
from xanesml.learning.dataset import load_tensors
from xanesml.learning.scaling import FeatureSums, Scaling, distances
from xanesml.store.plan import expand

pytestmark = [pytest.mark.feff, pytest.mark.requires("keras")]


def test_copper_is_unlike_gold(tmp_path: Path, xanesml: str) -> None:
    copper = Campaign(
        name="copper",
        structure=StructureSection(element="Cu", lattice_constant=3.61, atoms=55),
        distortion=DistortionSection(minimum=-0.1, maximum=0.1, step=0.1),
        feff=FeffSection(edge="K", scf=None, corval=None, exchange=(0, 0.2, 0.5), fms_radius=4.0),
    )
    raise_stack_limit()
    result = run_feff(make_engine(EngineSection()), tmp_path / "run", *expand(copper).inputs(1))
    assert result.outcome is Outcome.DONE, result.message
    assert result.spectrum is not None

    gold = ROOT / "reference" / "au55.toml"
    shutil.copy(ROOT / "reference" / "au55" / "store.h5", tmp_path)
    subprocess.run([xanesml, "average", str(gold), "-o", str(tmp_path)], check=True, capture_output=True)
    data, section = load_tensors(tmp_path / "tensors.h5"), Campaign.load(gold).training
    sums = FeatureSums.of(data.spectra, data.spectra[0].astype(np.float64))
    scaling = Scaling.fit(sums, {"msd": data.msd}, noise=section.noise)
    errors = augmenter(section, "direct", data, scaling.ranges["msd"])
    measured = errors.on_arrays(data.spectra[::50], np.random.SeedSequence(1))
    typical = np.quantile(distances(scaling.scale_features(measured)), TYPICAL)

    energies = data.mesh - data.edge + result.spectrum.edge
    mu, mu0 = (
        np.interp(energies, result.spectrum.energy, values) for values in (result.spectrum.mu, result.spectrum.mu0)
    )
    step, _ = edge_step(mu0, energies, result.spectrum.edge)
    found = distances(scaling.scale_features((mu / step)[np.newaxis]))[0]
    assert found > 2 * typical, (found, typical)
