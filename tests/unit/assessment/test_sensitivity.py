from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import campaign, write_tensors

from xanesml.assessment import sensitivity as module
from xanesml.assessment.sensitivity import (
    ERRORS,
    FACTORS,
    Sensitivity,
    most_harmful,
    read_sensitivity,
    sensitivity,
    write_sensitivity,
)
from xanesml.campaign import Mode
from xanesml.errors import StoreError
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import Split, split_by_family

pytestmark = pytest.mark.requires("keras")

POINTS = 32
#: What leaves spectra as they are.
PLAIN = Scaling(np.zeros(POINTS), np.ones(POINTS), {"msd": (0.001, 0.02)})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tensors, Split]:
    path = tmp_path_factory.mktemp("tensors") / "tensors.h5"
    write_tensors(path, campaign(), points=POINTS)
    tensors = load_tensors(path)
    return tensors, split_by_family(tensors.family, validation=0.1, calibration=0.1, test=0.2, seed=7)


class Recorder:
    """A predictor that answers 0.01 Å² to everything and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, features: np.ndarray) -> np.ndarray:
        self.seen.append(features.astype(np.float64))
        return np.full(len(features), 0.01)


def recorded(data: tuple[Tensors, Split], mode: Mode, **training: Any) -> dict[tuple[str, float], np.ndarray]:
    """Return the spectra of each error and factor, less those without any error."""
    recorder = Recorder()
    rows = sensitivity({"network": recorder}, mode, *data, PLAIN, campaign(**training))
    clean, *others = recorder.seen
    sizes = [(row.error, row.factor) for row in rows if row.factor]
    return {size: spectra - clean for size, spectra in zip(sizes, others, strict=True)}


@pytest.mark.parametrize("mode", ["direct", "reference"])
def test_without_errors_predictors_see_the_test_split_as_it_is(data: tuple[Tensors, Split], mode: Mode) -> None:
    tensors, split = data
    recorder = Recorder()
    rows = sensitivity({"network": recorder}, mode, tensors, split, PLAIN, campaign())
    np.testing.assert_allclose(recorder.seen[0], tensors.spectra[split.test], atol=1e-6)
    expected = np.abs(0.01 - tensors.msd[split.test]).mean()
    np.testing.assert_allclose([row.mae for row in rows], expected)


def test_each_error_is_alone_and_grows_with_its_factor(data: tuple[Tensors, Split]) -> None:
    tensors, split = data
    found = recorded(data, "direct", slope=0.01, noise=0.002, step_error=0.02)
    assert {error for error, _ in found} == set(ERRORS) - {"drift", "amplitude"}
    line = (tensors.mesh - tensors.edge) / 50.0
    slopes = found["slope", 1.0] @ line / (line @ line)
    np.testing.assert_allclose(found["slope", 1.0], np.outer(slopes, line), atol=1e-6)
    assert slopes.std() == pytest.approx(0.01, rel=0.3)
    gains = found["step_error", 1.0] / tensors.spectra[split.test]
    np.testing.assert_allclose(gains, np.tile(gains[:, :1], POINTS), atol=1e-5)
    assert found["noise", 1.0].std() == pytest.approx(0.002, rel=0.1)
    # The same draws at every size.
    for error in ("slope", "step_error", "noise"):
        np.testing.assert_allclose(found[error, 4.0], 4 * found[error, 1.0], atol=2e-6)


def test_beside_a_reference_there_are_drift_and_amplitude_too(data: tuple[Tensors, Split]) -> None:
    found = recorded(data, "reference", noise=0.002)
    assert {error for error, _ in found} == set(ERRORS)
    assert found["noise", 1.0].std() == pytest.approx(np.sqrt(2) * 0.002, rel=0.1)
    for error in ("drift", "amplitude"):
        assert np.abs(found[error, 1.0]).max() > 1e-4


def test_what_the_campaign_has_off_is_tried_at_the_default(data: tuple[Tensors, Split]) -> None:
    rows = sensitivity({"network": Recorder()}, "direct", *data, PLAIN, campaign(broadening=0.0, slope=0.01))
    sizes = {name: [(row.size, row.trained) for row in rows if row.error == name] for name in ("broadening", "slope")}
    assert sizes["broadening"] == [(0.5 * factor, 0.0) for factor in FACTORS]
    assert sizes["slope"] == [(0.01 * factor, 0.01) for factor in FACTORS]


def test_every_predictor_has_a_row_and_many_spectra_are_thinned_out(
    data: tuple[Tensors, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, split = data
    monkeypatch.setattr(module, "SENSITIVITY_SPECTRA", 3)
    first, second = Recorder(), Recorder()
    rows = sensitivity({"network": first, "ridge": second}, "direct", tensors, split, PLAIN, campaign())
    assert len(rows) == 5 * len(FACTORS) * 2
    assert [row.predictor for row in rows[:4]] == ["network", "ridge", "network", "ridge"]
    chosen = split.test[[0, (len(split.test) - 1) // 2, -1]]
    np.testing.assert_allclose(second.seen[0], tensors.spectra[chosen], atol=1e-6)


def row(error: str, factor: float, mae: float, *, trained: float = 0.25, predictor: str = "network") -> Sensitivity:
    return Sensitivity(error, factor, factor * 0.25, trained, predictor, mae)


NONE = [row(error, 0.0, 0.0002) for error in ("noise", "energy_shift")]


def test_the_error_that_hurts_most_is_named_at_the_size_of_the_campaign() -> None:
    rows = [*NONE, row("noise", 1.0, 0.0003), row("noise", 4.0, 0.09), row("energy_shift", 1.0, 0.0011)]
    rows.append(row("noise", 1.0, 0.5, predictor="ridge"))
    assert most_harmful(rows) == (
        "of the errors of measurement alone, energy shift (0.25 eV) hurts the network most: MAE 0.0011 Å², "
        "without any 0.0002 Å²"
    )
    assert "energy shift (0.25 eV, off in the campaign)" in most_harmful(
        [*NONE, row("energy_shift", 1.0, 0.0011, trained=0.0)]
    )


def test_errors_that_do_no_harm_are_not_blamed() -> None:
    assert most_harmful([*NONE, row("noise", 1.0, 0.0002)]) == (
        "no error of measurement alone hurts the network, which has 0.0002 Å² without any"
    )


def test_the_table_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = [*NONE, row("noise", 0.5, 1 / 3000, predictor="moments")]
    write_sensitivity(tmp_path / "table.csv", rows)
    assert read_sensitivity(tmp_path / "table.csv") == rows
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_text().startswith("error,factor,size,trained,predictor,mae\nnoise,0.0,")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no rows"),
        ("error,mae\nnoise,1\n", "cannot be read: 'predictor'"),
        (
            "error,factor,size,trained,predictor,mae\nnoise,1,1,1,oracle,1\n",
            "unknown error or predictor: 'noise', 'oracle'",
        ),
        ("error,factor,size,trained,predictor,mae\nnoise,1,1,1,ridge,low\n", "could not convert string to float"),
        (None, "does not exist"),
    ],
    ids=["empty", "a column lacks", "unknown predictor", "no number", "no file"],
)
def test_another_table_is_refused_in_one_line(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "table.csv").write_text(text)
    with pytest.raises(StoreError, match=reason) as caught:
        read_sensitivity(tmp_path / "table.csv")
    assert "\n" not in str(caught.value)
