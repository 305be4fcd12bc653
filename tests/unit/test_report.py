import json
from pathlib import Path
from typing import Any

import pytest

from xanesml.campaign import Campaign, DistortionSection, FeffSection
from xanesml.errors import StoreError
from xanesml.report import reduced_cards, write_summary

FULL = Campaign(name="full", distortion=DistortionSection())
CHEAP = Campaign(
    name="cheap",
    distortion=DistortionSection(step=0.03),
    feff=FeffSection(scf=None, exchange=(0, 0.2, 0.5), xanes=(3.7, 0.07, 0.1), fms_radius=4.5),
)


def scores(n: int, **maes: float) -> dict[str, Any]:
    """Return a comparison as it stands in a report, in an order that is not that of the errors."""
    if n == 0:
        return {"spectra": "some", "n": 0}
    known = {
        "mean": 0.003456,
        "moments": 0.000456,
        "network": 0.000123,
        "pca_ridge": 0.0004,
        "ridge": 0.000345,
        "gradient_boosting": 0.00051,
        "edge_slope": 0.0033,
    }
    errors = {name: {"mae": mae, "rmse": 2 * mae, "r2": 0.5, "bias": -mae / 2} for name, mae in (known | maes).items()}
    return {"spectra": "some", "n": n, "verdict": "not read"} | errors


def report(particle: int = 0) -> dict[str, Any]:
    return {
        "test": scores(2048),
        "particle": scores(particle),
        "ranks": 2,
        "seconds": 61.4,
        "samples_per_second": 3905.2,
        "epochs": 12,
    }


def prediction(**changes: Any) -> dict[str, Any]:
    content = {"source": "foil.xdi", "element": "Au", "edge": "L3", "msd": 0.0095, "shift": 4.128, "rms": 0.0316}
    return content | {"warnings": []} | changes


def fill(output: Path, training: Any, *predictions: Any) -> Path:
    (output / "model").mkdir(parents=True)
    (output / "model" / "report.json").write_text(json.dumps(training))
    (output / "predictions.json").write_text(json.dumps({"predictions": predictions}))
    (output / "figures").mkdir()
    for name in ("parity.png", "learning.png", "parity.pdf"):
        (output / "figures" / name).touch()
    for name in ("store.h5", "tensors.h5"):
        (output / name).touch()
    return output


def test_summary_holds_the_numbers_given(tmp_path: Path) -> None:
    output = fill(tmp_path, report(), prediction())
    text = write_summary(
        output, FULL, outcomes={"done": 112, "crashed": 5}, tensors={"statistical averages": 20480, "energies": 112}
    )
    assert (output / "summary.md").read_text() == text
    for expected in (
        "117 FEFF runs: 112 done, 5 crashed",
        "20480 statistical averages, 112 energies",
        "| 2048 statistical averages | network | 0.000123 | 0.000246 | 0.5000 | -6.15e-05 |",
        "| 2048 statistical averages | mean of the training labels | 0.00346 | 0.00691 | 0.5000 | -0.00173 |",
        "12 epochs on 2 ranks in 61 s, 3905 spectra per second",
        "`foil.xdi` (Au L3): MSD 0.0095 Å², after a shift of +4.13 eV; rms 0.032",
        "learning.png, parity.png",
        FULL.digest(),
    ):
        assert expected in text
    assert "particle averages" not in text
    assert "Not for publication" not in text
    assert "parity.pdf" not in text


def test_foil_stands_beside_the_exafs_value(tmp_path: Path) -> None:
    text = write_summary(fill(tmp_path, report(), prediction()), FULL, outcomes={})
    # 0.0095 − 0.0081 = 0.0014
    assert "0.0081(5) Å²; the network differs from it by +0.0014 Å²" in text


@pytest.mark.parametrize("changes", [{"element": "Pt"}, {"edge": "L2"}])
def test_exafs_value_is_for_gold_l3_only(tmp_path: Path, changes: dict[str, str]) -> None:
    assert "EXAFS" not in write_summary(fill(tmp_path, report(), prediction(**changes)), FULL, outcomes={})


def test_particle_errors_and_warnings_are_passed_on(tmp_path: Path) -> None:
    output = fill(tmp_path, report(particle=3), prediction(warnings=["the spectrum is unlike the training spectra"]))
    text = write_summary(output, FULL, outcomes={})
    assert "| 3 particle averages | ridge | 0.000345 | 0.00069 | 0.5000 | -0.000172 |" in text
    assert "Warning: the spectrum is unlike the training spectra." in text


def table(text: str) -> list[tuple[str, str]]:
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| ")]
    return [(row[1], row[2]) for row in rows[2:]]


def test_predictors_stand_in_the_order_of_their_errors_on_the_test_split(tmp_path: Path) -> None:
    training = report() | {"particle": scores(3, network=0.009, mean=0.001)}
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    order = [
        "network",
        "ridge",
        "PCA + ridge",
        "moments",
        "gradient boosting",
        "edge slope",
        "mean of the training labels",
    ]
    assert table(text) == [
        *(("2048 statistical averages", name) for name in order),
        *(("3 particle averages", name) for name in order),
    ]


def test_a_network_that_wins_is_said_to_win(tmp_path: Path) -> None:
    text = write_summary(fill(tmp_path, report()), FULL, outcomes={})
    expected = "the network wins with a mean absolute error of 0.000123 Å², ahead of ridge with 0.000345 Å²"
    assert f"\n\nOn the test split {expected}.\n" in text
    assert "beats" not in text


def test_baselines_that_beat_the_network_are_said_to_beat_it(tmp_path: Path) -> None:
    training = report() | {"test": scores(2048, network=0.0005), "particle": scores(3, network=0.009, mean=0.0001)}
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert (
        "\n\nOn the test split ridge wins with a mean absolute error of 0.000345 Å² and beats the network, which has "
        "0.0005 Å², as do PCA + ridge and moments; on the particle averages the mean of the training labels wins with "
        "a mean absolute error of 0.0001 Å² and beats the network, which has 0.009 Å², as do ridge, PCA + ridge, "
        "moments, gradient boosting and edge slope.\n"
    ) in text


def test_what_has_no_number_is_left_open(tmp_path: Path) -> None:
    training = report(particle=1)
    for content in training["particle"].values():
        if isinstance(content, dict):
            content["r2"] = None
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert "| 1 particle averages | ridge | 0.000345 | 0.00069 | – | -0.000172 |" in text


def test_reduced_cards_are_named(tmp_path: Path) -> None:
    assert reduced_cards(FULL) == []
    assert reduced_cards(CHEAP) == [
        "no self-consistent potentials (no SCF card)",
        "an FMS radius of 4.5 Å instead of 7 Å",
        "exchange model 0 instead of 5",
        "a k step of 0.07 Å⁻¹ instead of 0.05 Å⁻¹",
        "31 distortions instead of 91",
    ]
    text = write_summary(fill(tmp_path, report(), prediction()), CHEAP, outcomes={})
    assert "## Not for publication" in text
    assert "31 distortions instead of 91" in text
    assert "An isolated number from cheap cards carries no uncertainty" in text


def test_empty_folder_is_summarized_too(tmp_path: Path) -> None:
    text = write_summary(tmp_path, FULL, outcomes={})
    assert text.count("not made yet") == 5
    assert "No network has been trained yet" in text
    assert "No measured spectrum" in text


@pytest.mark.parametrize(
    "training",
    [
        [],
        {},
        report() | {"test": None},
        report() | {"test": {"spectra": "some", "n": 3}},
        report() | {"seconds": "long"},
    ],
    ids=["list", "empty", "null", "no predictors", "text"],
)
def test_foreign_report_is_refused_in_one_line(tmp_path: Path, training: Any) -> None:
    with pytest.raises(StoreError, match=r"report\.json") as caught:
        write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "summary.md").exists()


def test_broken_predictions_are_refused(tmp_path: Path) -> None:
    output = fill(tmp_path, report())
    (output / "predictions.json").write_text("{")
    with pytest.raises(StoreError, match=r"predictions\.json cannot be read"):
        write_summary(output, FULL, outcomes={})
