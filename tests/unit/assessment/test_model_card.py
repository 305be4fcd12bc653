import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_report import mode_report, report
from pydantic import TypeAdapter

from xanesml.assessment.model_card import write_card
from xanesml.assessment.report import TrainingReport
from xanesml.assessment.sensitivity import Sensitivity, write_sensitivity
from xanesml.campaign import Campaign
from xanesml.learning.model import ModelMetadata
from xanesml.learning.scaling import Scaling

FULL: dict[str, Any] = {
    "name": "full",
    "seed": 4711,
    "structure": {"element": "Au", "atoms": 147, "lattice_constant": 4.0782},
    "distortion": {},
    "disorder": {"structures": 41, "sigma_minimum": 0.03, "sigma_maximum": 0.11},
    "training": {"filters": [8, 24], "members": 2, "confidence": 0.95, "drift": 0.07, "broadening": 0.0},
}
CHEAP: dict[str, Any] = {
    "name": "cheap",
    "structure": {"file": '/data/a "quoted" σ.xyz'},
    "distortion": {"step": 0.03},
    "disorder": {"absorbers": [0, 3]},
    "feff": {"scf": False, "corval": False, "extra_cards": ["NOHOLE"]},
    "engine": {"retry": {"repeats": 0}},
    "averaging": {"sampler": "grid", "grid": [5, 7], "multiplicity": [1.0, 2.5]},
    "training": {"modes": ["direct"], "learning_rate": 1e-5, "batch_normalization": False},
}


def metadata(campaign: dict[str, Any]) -> ModelMetadata:
    made_for = Campaign.model_validate(campaign)
    ranges = {"msd": (0.000412, 0.018765), "mean_shift": (-0.1, 0.1)}
    return ModelMetadata(
        element="Au",
        edge="L3",
        mesh=np.array([11910.5, 11911.0, 11963.5]),
        band=np.zeros((2, 3)),
        scaling=Scaling(np.zeros(3), np.ones(3), ranges),
        intervals={},
        baseline_intervals={},
        distances={mode: 1.61 + 0.2 * place for place, mode in enumerate(made_for.training.modes)},
        edge_energy=11919.0,
        first_shell=2.88,
        normalization_energy=11969.0,
        campaign=made_for,
        campaign_digest=made_for.digest(),
        versions={"python": "3.11.7", "keras": "3.15.0"},
    )


def card(folder: Path, content: ModelMetadata, training: dict[str, Any]) -> str:
    checked = TypeAdapter(TrainingReport).validate_python(training)
    return write_card(folder, content, checked).read_text(encoding="utf-8")


BOTH = report(direct=mode_report(particles=12), reference=mode_report(particles=110, best_epochs=[7, 9]))


def test_the_card_says_what_the_model_rests_on(tmp_path: Path) -> None:
    text = card(tmp_path, metadata(FULL), BOTH)
    for expected in (
        "# full: bond-length disorder from Au L3 XANES\n",
        "with an interval of 95%",
        "- `reference`: for differences from a reference of known MSD",
        "| campaign | full, digest `0123456789abcdef`, seed 4711 |",
        "| structure | Au, fcc cuboctahedron, 147 atoms, a = 4.0782 Å |",
        "| distorted series | 91 structures, one FEFF run each, first shell shifted by -0.45 … +0.45 Å in steps",
        "| disordered structures | 41, displaced by N(0, σ), σ 0.03 … 0.11 Å; absorbers: the center and its first",
        "edge L3, SCF radius 4.6 Å, FMS radius 7 Å (scaled), exchange 5, 0.2, 0.5, XANES 3.7, 0.05, 0.1, normalization",
        # 14336 + 2056 + 1024 + 2048
        "| statistical averages | 19,464 in 1,250 families of skew-normal distributions: σ 0.02 … 0.14 Å, μ",
        "14,336 training, 2,056 validation (chooses the epoch), 1,024 calibration (of the interval), 2,048 test |",
        "| particle averages | 20 to fine-tune on, 12 in the test of `direct`, 110 in the test of `reference` |",
        "| convolutions | 8, 24 filters, 7 points wide, each with batch normalization, ReLU and pooling by two |",
        "| answers | MSD, mean shift, skewness, distribution |",
        "| epochs kept | `direct`: 11, 12; `reference`: 7, 9 |",
        "4 networks of 76,543 parameters, each trained for 13 epochs",
        "on 11910.5 … 11963.5 eV",
        "MSD between 0.0004 and 0.0188 Å²",
        "a distance of 1.61 (`direct`), 1.81 (`reference`)",
        "| drift against the reference | 0.07 eV |",
        "| broadening | off |",
        "    mpirun -n 2 xanesml train full.toml --ranks-per-network 2\n",
        "Made with python 3.11.7, keras 3.15.0.\n",
    ):
        assert expected in text
    assert "Not for publication" not in text
    assert list(tmp_path.iterdir()) == [tmp_path / "README.md"]


def test_the_card_holds_the_errors_of_every_mode_and_who_wins(tmp_path: Path) -> None:
    text = card(tmp_path, metadata(FULL), BOTH)
    direct, reference = re.split(r"### Mode \w+", text)[1:]
    for part in (direct, reference):
        assert "| network | 0.123 | 0.246 | 0.5000 | -0.062 | 0.123 | 0.246 | 0.5000 | -0.062 |" in part
        assert "On the test split the network wins with a mean absolute error of 0.000123 Å²" in part
        assert "on the particle averages from 0.0048 Å² (bias -0.0024) to 0.000123 Å²" in part
        assert "holds 89.7% of the test labels" in part
        assert "sensitivity" not in part


def leaves(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where the numbers and texts of a report are."""
    if isinstance(content, dict):
        return [found for name, value in content.items() for found in leaves(value, (*path, name))]
    if isinstance(content, list):
        return [found for place, value in enumerate(content) for found in leaves(value, (*path, place))]
    return [path]


#: What is told in other words: the verdict from the errors, the interval's parts by its width.
RETOLD = {"units", "campaign", "verdict", "floor", "count"}


def test_every_number_of_the_report_makes_a_difference_to_the_card(tmp_path: Path) -> None:
    before, silent = card(tmp_path, metadata(FULL), BOTH), []
    for path in leaves(BOTH):
        changed = deepcopy(BOTH)
        *parents, last = path
        holder = changed
        for name in parents:
            holder = holder[name]
        holder[last] = "changed" if isinstance(holder[last], str) else holder[last] * 3
        if not RETOLD & set(path) and card(tmp_path, metadata(FULL), changed) == before:
            silent.append(path)
    kinds = ("fitted", "particle")
    assert silent == [("modes", mode, kind, "spectra") for mode in ("direct", "reference") for kind in kinds]


@pytest.mark.parametrize("campaign", [FULL, CHEAP], ids=["full", "cheap"])
def test_the_campaign_in_the_card_is_the_campaign(tmp_path: Path, campaign: dict[str, Any]) -> None:
    training = report(**{mode: mode_report() for mode in Campaign.model_validate(campaign).training.modes})
    text = card(tmp_path, metadata(campaign), training)
    toml = tmp_path / "campaign.toml"
    toml.write_text(text.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    assert Campaign.load(toml) == Campaign.model_validate(campaign)
    assert "batch_size" not in toml.read_text()


def test_a_reduced_campaign_says_so(tmp_path: Path) -> None:
    text = card(tmp_path, metadata(CHEAP), report())
    assert (
        "- Not for publication; the campaign is reduced: no self-consistent potentials (no SCF card); 31 distortions "
        "instead of 91.\n"
    ) in text
    assert "There was no particle average to test on" in text
    assert "SCF radius none" in text
    assert "absorbers: 2, one FEFF run each" in text
    assert "drift" not in text.partition("```toml")[0]


def test_the_card_says_that_averages_are_over_whole_particles(tmp_path: Path) -> None:
    whole = FULL | {"distortion": {"absorbers": "sites"}, "disorder": {"structures": 41, "absorbers": "all"}}
    text = card(tmp_path, metadata(whole), BOTH)
    assert "| distorted series | 91 structures, one FEFF run for each class of equivalent atoms, first shell" in text
    assert "absorbers: all atoms of the element, one FEFF run each" in text


def test_the_card_of_a_series_alone_and_of_particles_alone(tmp_path: Path) -> None:
    alone = {"name": "series", "distortion": {}, "training": {"modes": ["direct"]}}
    assert "| disordered structures | none |" in card(tmp_path, metadata(alone), report())
    alone = {"name": "particles", "disorder": {}, "training": {"modes": ["direct"]}}
    assert "| distorted series | none |" in card(tmp_path, metadata(alone), report())


def test_the_card_names_the_error_that_hurts_most(tmp_path: Path) -> None:
    rows = [Sensitivity("noise", factor, 0.003, 0.003, "network", mae) for factor, mae in ((0, 1e-4), (1, 4e-4))]
    write_sensitivity(tmp_path / "sensitivity-direct.csv", rows)
    text = card(tmp_path, metadata(FULL), BOTH)
    assert (
        "\n\nOf the errors of measurement alone, counting noise (0.003 edge steps) hurts the network most: "
        "MAE 0.0004 Å², without any 0.0001 Å² (`sensitivity-direct.csv`).\n"
    ) in text
