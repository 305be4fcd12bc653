"""The first shell by EXAFS: published values, made-up oscillations, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exafs_data import PUBLISHED, path_of, unpacked
from requirements import require

from xanesml.errors import CampaignError, SpectrumError
from xanesml.exafs import FitChoices, Oscillations, default_campaign, first_shell, fit_first_shell, oscillations
from xanesml.feff.paths import FeffPath
from xanesml.measured import MeasuredSpectrum, Treatment, read_spectrum

require("larch")

K = 0.05 * np.arange(301)


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> FeffPath:
    return path_of("Au", tmp_path_factory.mktemp("path"))


@pytest.fixture(scope="module")
def foil(tmp_path_factory: pytest.TempPathFactory) -> MeasuredSpectrum:
    return read_spectrum(unpacked("au_foil.xdi", tmp_path_factory.mktemp("foil")))


def made_of(path: FeffPath, folder: Path, **values: float) -> Oscillations:
    """Oscillations of a path with known values, as FEFF's equation gives them."""
    import larch

    file = folder / "feff0001.dat"
    file.write_text(path.text, encoding="utf-8")
    group = larch.xafs.feffpath(str(file), **values)
    larch.xafs.path2chi(group, k=K)
    energy = np.concatenate([np.arange(-100, 0, 5.0), 3.809982 * K**2])
    e0 = 11919.0
    mu = (energy >= 0) * 1.0
    return Oscillations("made", "Au", "L3", energy + e0, mu, e0, 1.0, K, np.asarray(group.chi))


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit once, not by other choices too, where these are not the matter."""
    monkeypatch.setattr(first_shell, "_other_choices", lambda *_: iter(()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values_are_found(name: str, tmp_path: Path) -> None:
    spectrum = read_spectrum(unpacked(f"{name}.xdi", tmp_path))
    fit = fit_first_shell(oscillations(spectrum), [path_of(spectrum.element, tmp_path)])
    sigma2, length = PUBLISHED[name]
    assert fit.sigma2 == pytest.approx(sigma2, abs=0.0008)
    assert fit.length == pytest.approx(length, abs=0.015)
    assert fit.doubts == ()
    assert 0.0002 < fit.sigma2_error < 0.0008
    assert fit.sigma2_error == pytest.approx(np.hypot(fit.fit_error, fit.choice_error))
    if spectrum.element != "Pt":
        # These stand beside their error in the table; platinum's amplitude is a share of a foil's.
        assert fit.amplitude == pytest.approx(0.82, abs=0.15)


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("third", [None, 2e-4])
def test_made_up_disorder_is_found(gold: FeffPath, tmp_path: Path, third: float | None) -> None:
    more = {} if third is None else {"third": third}
    made = made_of(gold, tmp_path, s02=0.85, e0=3.0, deltar=-0.02, sigma2=0.009, **more)
    fit = fit_first_shell(made, [gold], FitChoices(third_cumulant=third is not None))
    assert fit.sigma2 == pytest.approx(0.009, rel=1e-3)
    assert fit.shift == pytest.approx(-0.02, abs=1e-4)
    assert fit.length == pytest.approx(2.8837 - 0.02, abs=2e-4)
    assert (fit.amplitude, fit.e0) == (pytest.approx(0.85, rel=1e-3), pytest.approx(3.0, abs=0.01))
    if third is None:
        assert np.isnan(fit.third)
    else:
        assert fit.third == pytest.approx(third, rel=0.01)
    assert fit.r_factor < 1e-6


@pytest.mark.usefixtures("single")
def test_a_third_cumulant_that_is_left_out_shortens_the_bond(gold: FeffPath, tmp_path: Path) -> None:
    made = made_of(gold, tmp_path, s02=0.85, e0=0.0, deltar=0.0, sigma2=0.009, third=3e-4)
    assert fit_first_shell(made, [gold]).shift < -0.01
    assert fit_first_shell(made, [gold], FitChoices(third_cumulant=True)).shift == pytest.approx(0.0, abs=1e-3)


@pytest.mark.usefixtures("single")
def test_a_shell_in_two_paths_is_the_same_shell(gold: FeffPath, foil: MeasuredSpectrum) -> None:
    line = next(line for line in gold.text.splitlines() if "nleg, deg" in line)
    parts = [
        replace(gold, text=gold.text.replace(line, line.replace(" 12.000", f" {count:6.3f}")), degeneracy=count)
        for count in (5.0, 7.0)
    ]
    found = oscillations(foil)
    whole, split = fit_first_shell(found, [gold]), fit_first_shell(found, parts)
    assert split.sigma2 == pytest.approx(whole.sigma2, rel=1e-4)
    assert (split.amplitude, split.length) == (pytest.approx(whole.amplitude, rel=1e-4), pytest.approx(whole.length))
    assert split.neighbors == "5 Au at 2.884 Å, 7 Au at 2.884 Å"


@pytest.mark.usefixtures("single")
def test_atoms_near_the_shell_are_told(gold: FeffPath, foil: MeasuredSpectrum) -> None:
    near = replace(gold, length=3.2, degeneracy=6.0, first_shell=False)
    fit = fit_first_shell(oscillations(foil), [gold, near])
    assert fit.doubts == ("6 Au at 3.200 Å are near the first shell and count as part of it in the range of the fit",)
    assert fit.neighbors == "12 Au at 2.884 Å"


@pytest.mark.usefixtures("single")
def test_the_path_of_another_structure_is_doubted(tmp_path: Path, foil: MeasuredSpectrum) -> None:
    copper = path_of("Cu", tmp_path)
    (doubt,) = fit_first_shell(oscillations(foil), [copper], FitChoices(r_range=(1.8, 3.3))).doubts
    assert doubt.startswith("the fit leaves 5")
    assert doubt.endswith("% of the data, more than 5%")


@pytest.mark.parametrize("above", [150.0, 415.0])
def test_a_scan_that_ends_early_is_refused_with_the_range_that_is_needed(foil: MeasuredSpectrum, above: float) -> None:
    kept = foil.energy < 11919 + above
    short = replace(foil, energy=foil.energy[kept], mu=foil.mu[kept], foil=None)
    with pytest.raises(SpectrumError, match="too early for EXAFS: measure to 420 eV above the edge") as refused:
        oscillations(short)
    assert "better to 595 eV" in str(refused.value)


def test_a_further_edge_ends_the_scan(foil: MeasuredSpectrum) -> None:
    with pytest.raises(SpectrumError, match="above its edge, before the Hg L3 edge at 12284 eV, at k = "):
        oscillations(foil, Treatment(others=("Hg",)))


def test_theory_is_refused(foil: MeasuredSpectrum) -> None:
    with pytest.raises(SpectrumError, match="is calculated"):
        oscillations(replace(foil, background=np.ones_like(foil.mu), edge_energy=11919.0))


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        (FitChoices(k_range=(3, 30)), "does not hold a fit from 3 to 30 1/Å"),
        (FitChoices(k_range=(12, 3)), "give ranges from small to large"),
        (FitChoices(k_range=(3, 5)), "independent points for 4 unknowns; give wider ranges"),
        (FitChoices(k_weights=()), "give whole numbers"),
    ],
)
def test_ranges_that_cannot_be_fitted_are_refused(
    gold: FeffPath, foil: MeasuredSpectrum, choices: FitChoices, says: str
) -> None:
    with pytest.raises(SpectrumError, match=says):
        fit_first_shell(oscillations(foil), [gold], choices)


def test_coarse_energies_are_refused(gold: FeffPath, foil: MeasuredSpectrum) -> None:
    far = foil.energy > 12100
    kept = ~far | (np.arange(foil.energy.size) % 6 == 0)
    coarse = replace(foil, energy=foil.energy[kept], mu=foil.mu[kept], foil=None)
    with pytest.raises(SpectrumError, match=r"too coarse for EXAFS: measure in steps of 0\.2 1/Å or less"):
        fit_first_shell(oscillations(coarse), [gold])


def test_the_default_structure_is_the_crystal() -> None:
    assert default_campaign("Pd", "K").structure.lattice_constant == 3.89
    with pytest.raises(CampaignError, match="the crystals that are known are fcc"):
        default_campaign("Fe", "K")
