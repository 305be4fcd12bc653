import json
from pathlib import Path
from typing import Any

import pytest
from made_report import mode_report, report, scores, write_report

from xanesml.assessment.report import read_report
from xanesml.assessment.summary import reduced_cards, write_summary
from xanesml.campaign import Campaign, DistortionSection, FeffSection
from xanesml.errors import StoreError
from xanesml.files.lock import WriteLock

FULL = Campaign(name="full", distortion=DistortionSection())
CHEAP = Campaign(
    name="cheap",
    distortion=DistortionSection(step=0.03),
    feff=FeffSection(scf=None, exchange=(0, 0.2, 0.5), xanes=(3.7, 0.07, 0.1), fms_radius=4.5),
)


def prediction(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"source": "foil.xdi", "element": "Au", "edge": "L3", "mode": "direct"}
    content |= {"predictor": "network", "msd": 0.0095, "interval": [0.0078, 0.0112], "confidence": 0.9}
    content |= {"spread": 0.00041, "mean_shift": -0.0123, "skewness": 0.31}
    content |= {
        "reference": None,
        "nearest": {"msd": 0.0091, "rms": 0.0316},
        "shift": 4.128,
        "rms": 0.0432,
        "warnings": [],
    }
    return content | changes


def fill(output: Path, training: Any, *predictions: Any, refused: Any = ()) -> Path:
    write_report(output / "model", training)
    (output / "predictions.json").write_text(json.dumps({"predictions": predictions, "refused": refused}))
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
        "### Mode direct",
        "Errors in 10⁻³ Å² on 2048 some averages:",
        "| predictor | MAE | RMSE | R² | bias |",
        "| network | 0.123 | 0.246 | 0.5000 | -0.062 |",
        "| mean of the training labels | 3.46 | 6.91 | 0.5000 | -1.7 |",
        "The network's 90% interval, calibrated on 125 families held out, holds 89.7% of the test labels and is "
        "0.0021 Å² wide on average. Over 200 other divisions of these families into calibration and test it holds "
        "90.3% ± 1.2%. 1.4% of the test spectra are flagged as unlike the training spectra.",
        "2 networks of 76,543 parameters, each trained for 13 epochs on 14,336 spectra: 2 ranks in 1 group, 61 s, "
        "3905 spectra per second.",
        "| `foil.xdi` (Au L3) | direct | network | 0.0095 | 0.0078 … 0.0112 (90%) | 0.0004 | -0.012 | +0.31 | 0.0091 "
        "| 0.032 | +4.13 |",
        "learning.png, parity.png",
        FULL.digest(),
    ):
        assert expected in text
    assert "particle" not in text
    assert "Fine-tuning" not in text
    assert "Not for publication" not in text
    assert "parity.pdf" not in text


def test_tables_have_as_many_cells_in_every_line(tmp_path: Path) -> None:
    training = report(direct=mode_report(particles=12), reference=mode_report())
    text = write_summary(fill(tmp_path, training, prediction(), prediction()), FULL, outcomes={})
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert [len(table) for table in tables] == [10, 4, 9, 4, 4]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize(
    ("interval", "verdict"), [([0.0078, 0.0112], "holds that value"), ([0.0083, 0.0107], "does not hold that value")]
)
def test_foil_stands_beside_the_exafs_value(tmp_path: Path, interval: list[float], verdict: str) -> None:
    text = write_summary(fill(tmp_path, report(), prediction(interval=interval)), FULL, outcomes={})
    # 0.0095 − 0.0081 = 0.0014
    expected = f"0.0081(5) Å² by EXAFS; this MSD differs by +0.0014 Å², and the interval {verdict}."
    assert expected in text


@pytest.mark.parametrize("changes", [{"element": "Pt"}, {"edge": "L2"}])
def test_exafs_value_is_for_gold_l3_only(tmp_path: Path, changes: dict[str, str]) -> None:
    assert "EXAFS" not in write_summary(fill(tmp_path, report(), prediction(**changes)), FULL, outcomes={})


def test_what_a_baseline_cannot_say_is_left_open(tmp_path: Path) -> None:
    silent = {"spread": 0.0, "mean_shift": None, "skewness": None}
    text = write_summary(fill(tmp_path, report(), prediction(predictor="moments", **silent)), FULL, outcomes={})
    assert "| direct | moments | 0.0095 | 0.0078 … 0.0112 (90%) | 0.0000 | – | – | 0.0091 |" in text


def test_a_reference_is_named_with_its_msd(tmp_path: Path) -> None:
    beside = prediction(mode="reference", reference={"source": "foil.xdi", "msd": 0.0081, "msd_error": None})
    text = write_summary(fill(tmp_path, report(), beside), FULL, outcomes={})
    assert "| `foil.xdi` (Au L3) | reference to `foil.xdi` of 0.0081 Å² | network |" in text


def test_warnings_and_refusals_are_passed_on(tmp_path: Path) -> None:
    output = fill(
        tmp_path,
        report(),
        prediction(warnings=["the spectrum is unlike the training spectra"]),
        refused=[{"source": "short.dat", "reason": "it ends at 11950 eV"}],
    )
    text = write_summary(output, FULL, outcomes={})
    assert "- `foil.xdi`: warning: the spectrum is unlike the training spectra.\n" in text
    assert "- `short.dat` was refused: it ends at 11950 eV.\n" in text


def test_refusals_alone_need_no_table(tmp_path: Path) -> None:
    output = fill(tmp_path, report(), refused=[{"source": "short.dat", "reason": "it ends at 11950 eV"}])
    text = write_summary(output, FULL, outcomes={})
    assert "## Measured spectra\n\n- `short.dat` was refused: it ends at 11950 eV.\n" in text
    assert "| spectrum |" not in text


def test_every_mode_has_its_errors_on_both_kinds_of_averages(tmp_path: Path) -> None:
    training = report(
        direct=mode_report(particles=12),
        reference=mode_report(particles=9, test=scores(2048, network=0.000321), particle=scores(9, network=0.00078)),
    )
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    direct, reference = text.split("### Mode ")[1:]
    assert "on 2048 some averages, and on 12 particle averages:" in direct
    assert "on 2048 some averages, and on 9 differences between pairs of particle averages:" in reference
    assert "| ridge | 0.345 | 0.69 | 0.5000 | -0.17 | 0.345 | 0.69 | 0.5000 | -0.17 |" in direct
    assert "| network | 0.321 | 0.642 | 0.5000 | -0.16 | 0.78 | 1.56 | 0.5000 | -0.39 |" in reference


def test_particle_averages_before_and_after_fine_tuning(tmp_path: Path) -> None:
    text = write_summary(fill(tmp_path, report(direct=mode_report(particles=12))), FULL, outcomes={})
    assert (
        "Fine-tuning changed the network's mean absolute error on the particle averages from 0.0048 Å² (bias -0.0024) "
        "to 0.000123 Å² (bias -6.2e-05)."
    ) in text
    assert "| network, not fine-tuned | – | – | – | – | 4.8 | 9.6 | 0.5000 | -2.4 |" in text
    assert "then fine-tuned on 20 disordered structures: 2 ranks" in text


@pytest.mark.parametrize(
    ("particle", "expected"),
    [
        (
            12,
            "For measured spectra it is made 2 times as wide, by 12 other structures, and holds 85.0%",
        ),
        (5, "5 other structures are too few to widen it by."),
    ],
)
def test_the_interval_says_what_it_is_worth_on_particle_averages(tmp_path: Path, particle: int, expected: str) -> None:
    text = write_summary(fill(tmp_path, report(direct=mode_report(particles=particle))), FULL, outcomes={})
    assert "The same interval holds 40.0% of the particle averages' labels.\n" + expected in text


def predictors(text: str) -> list[str]:
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    return rows[2:]


def test_predictors_stand_in_the_order_of_their_errors_on_the_test_split(tmp_path: Path) -> None:
    training = report(direct=mode_report(particles=3, particle=scores(3, network=0.009, mean=0.001)))
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert predictors(text) == [
        "network",
        "ridge",
        "PCA + ridge",
        "moments",
        "gradient boosting",
        "edge slope",
        "mean of the training labels",
        "network, not fine-tuned",
        # The second table sets the fit beside it.
        "predictor",
        "---",
        "network",
        "nearest simulated spectrum",
    ]


def test_a_network_that_wins_is_said_to_win(tmp_path: Path) -> None:
    text = write_summary(fill(tmp_path, report()), FULL, outcomes={})
    expected = "the network wins with a mean absolute error of 0.000123 Å², ahead of ridge with 0.000345 Å²"
    assert f"\n\nOn the test split {expected}.\n" in text
    assert "beats" not in text


def test_baselines_that_beat_the_network_are_said_to_beat_it(tmp_path: Path) -> None:
    worse = scores(2048, network=0.0005)
    on_particles = scores(3, network=0.009, mean=0.0001)
    training = report(direct=mode_report(particles=3, test=worse, particle=on_particles))
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert (
        "\n\nOn the test split ridge wins with a mean absolute error of 0.000345 Å² and beats the network, which has "
        "0.0005 Å², as do PCA + ridge and moments; on the particle averages the mean of the training labels wins with "
        "a mean absolute error of 0.0001 Å² and beats the network, which has 0.009 Å², as do ridge, PCA + ridge, "
        "moments, gradient boosting and edge slope.\n"
    ) in text


def test_what_has_no_number_is_left_open(tmp_path: Path) -> None:
    training = report(direct=mode_report(particles=1))
    for content in training["modes"]["direct"]["particle"]["errors"].values():
        content["r2"] = None
    text = write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert "| ridge | 0.345 | 0.69 | 0.5000 | -0.17 | 0.345 | 0.69 | – | -0.17 |" in text


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
    assert "A single number from cheap cards has no known uncertainty" in text


def test_empty_folder_is_summarized_too(tmp_path: Path) -> None:
    text = write_summary(tmp_path, FULL, outcomes={})
    assert text.count("not made yet") == 5
    assert "No network has been trained yet" in text
    assert "No measured spectrum has been predicted yet" in text


OLD_REPORT = {"test": scores(2048), "particle": scores(0), "ranks": 2, "seconds": 61.4, "epochs": 12}


@pytest.mark.parametrize(
    "training",
    [
        [],
        {},
        OLD_REPORT,
        report() | {"modes": [mode_report()]},
        report(direct=mode_report(test=None)),
        report(direct=mode_report(test={"spectra": "some", "n": 3})),
        report(direct=mode_report(interval={})),
        report(direct=mode_report(test=scores(3, oracle=0.1))),
        report() | {"more": 1},
        report(indirect=mode_report(particles=3)),
        report() | {"seconds": "long"},
    ],
    ids=[
        "list",
        "empty",
        "old",
        "list of modes",
        "null",
        "no predictors",
        "no interval",
        "unknown predictor",
        "unknown key",
        "unknown mode",
        "text",
    ],
)
def test_foreign_report_is_refused_in_one_line(tmp_path: Path, training: Any) -> None:
    with pytest.raises(StoreError, match=r"report\.json") as caught:
        write_summary(fill(tmp_path, training), FULL, outcomes={})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "summary.md").exists()


OLD_PREDICTION = {"source": "foil.xdi", "element": "Au", "edge": "L3", "msd": 0.0095, "shift": 4.1, "warnings": []}


@pytest.mark.parametrize(
    "one",
    [OLD_PREDICTION, prediction(nearest=None), prediction(interval=[]), prediction(predictor="oracle")],
    ids=["old", "no nearest", "empty interval", "unknown predictor"],
)
def test_foreign_predictions_are_refused_in_one_line(tmp_path: Path, one: Any) -> None:
    with pytest.raises(StoreError, match=r"predictions\.json lacks or misstates") as caught:
        write_summary(fill(tmp_path, report(), one), FULL, outcomes={})
    assert "\n" not in str(caught.value)


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no .*model\.json; train again with `xanesml train`"):
        read_report(tmp_path / "report.json")


def test_a_report_of_another_training_than_the_model_is_refused(tmp_path: Path) -> None:
    output = fill(tmp_path, report())
    path = output / "model" / "report.json"
    path.write_text(json.dumps(report() | {"seconds": 1.0}))
    with pytest.raises(StoreError, match=r"report\.json is not the file that model\.json describes"):
        write_summary(output, FULL, outcomes={})
    path.unlink()
    with pytest.raises(StoreError, match=r"there is no .*report\.json, which model\.json lists"):
        read_report(path)
    (output / "model" / "model.json").write_text("{}")
    with pytest.raises(StoreError, match=r"model\.json does not list report\.json"):
        read_report(path)


def test_a_second_summary_is_refused_while_one_is_written(tmp_path: Path) -> None:
    output = fill(tmp_path, report())
    with WriteLock(output / "summary.md"), pytest.raises(StoreError, match=r"summary\.md is being written"):
        write_summary(output, FULL, outcomes={})
    assert not (output / "summary.md").exists()


def test_broken_predictions_are_refused(tmp_path: Path) -> None:
    output = fill(tmp_path, report())
    (output / "predictions.json").write_text("{")
    with pytest.raises(StoreError, match=r"predictions\.json is not valid JSON"):
        write_summary(output, FULL, outcomes={})
