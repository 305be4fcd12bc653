import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import small_tensors as small
from made_report import mode_report, report, write_report
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from small_tensors import write_small

from xanesml import plots
from xanesml.assessment.sensitivity import ERRORS, Sensitivity, write_sensitivity
from xanesml.averages.comparison import ParticleComparison, compare
from xanesml.averages.distributions import skew_normal_weights
from xanesml.averages.tensor_file import statistical_weights
from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.exafs import ExafsFit
from xanesml.plots import averages, distorted, teaching, training
from xanesml.plots.style import MOST_CURVES, evenly_spread
from xanesml.store.plan import expand

EDGE = 11919.0
ENERGY = np.arange(EDGE - 4, EDGE + 52, 0.5)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Figures in the order in which they were saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def record(self: Figure, *arguments: object, **options: object) -> None:
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    yield figures


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures in the order in which they would be saved, which takes time."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path, **_: object) -> None:
        path.touch()
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def check_files(png: Path, *, columns: int = 1) -> None:
    pdf = png.with_suffix(".pdf")
    pixels = imread(png)
    height, width = pixels.shape[:2]
    assert width == {1: 1020, 2: 2100}[columns]  # 3.4 and 7 inches at 300 dots per inch
    assert 600 < height < 1400
    assert 0.5 < pixels[..., :3].mean() < 0.99  # something is drawn, mostly on white
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 5000


def labels(axes: Axes) -> tuple[str, str]:
    return axes.get_xlabel(), axes.get_ylabel()


def spectra(count: int) -> np.ndarray:
    relative = ENERGY - EDGE
    shifts = np.linspace(-0.45, 0.45, count)
    return np.array([(1 / (1 + np.exp(-relative / 2))) * (1 + 0.1 * np.cos(relative / (4 + d))) for d in shifts])


def write_history(path: Path, *errors: float) -> Path:
    lines = [f"{epoch},{error},{1 / epoch},{2 / epoch}" for epoch, error in enumerate(errors, start=1)]
    path.write_text("\n".join(["epoch,validation_mae,loss_training,loss_validation", *lines]) + "\n")
    return path


def test_learning_curves_of_all_networks_share_a_color_by_mode(tmp_path: Path, drawn: list[Figure]) -> None:
    histories = {
        "direct": [write_history(tmp_path / "a.csv", 0.004, 0.002, 0.003), write_history(tmp_path / "b.csv", 0.005)],
        "reference": [write_history(tmp_path / "c.csv", 0.009, 0.008)],
    }
    training.learning_curves(histories, tmp_path / "new" / "learning.png")
    check_files(tmp_path / "new" / "learning.png")
    losses, errors = drawn[0].axes
    seen, held_out = losses.lines[:6:2], losses.lines[1:6:2]
    assert [list(line.get_ydata()) for line in seen] == [[1, 1 / 2, 1 / 3], [1], [1, 1 / 2]]
    assert [list(line.get_ydata()) for line in held_out] == [[2, 1, 2 / 3], [2], [2, 1]]
    colors = [line.get_color() for line in seen]
    assert colors[0] == colors[1] != colors[2]
    assert [line.get_color() for line in held_out] == colors
    assert {line.is_dashed() for line in held_out} == {True}
    curves, dots = errors.lines[::2], errors.lines[1::2]
    np.testing.assert_allclose(curves[0].get_xydata(), [[1, 4], [2, 2], [3, 3]])
    assert [line.get_xydata()[0].tolist() for line in dots] == [[2, 2], [1, 5], [2, 8]]
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["direct, 2 networks", "reference, 1 network", "epoch kept", "training", "validation"]
    assert labels(losses) == ("", "Loss")
    assert labels(errors) == ("Epoch", "Validation MAE (10⁻³ Å²)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epoch,loss_training,loss_validation,validation_mae\n", "has no rows"),
        ("epoch,loss_training,loss_validation\n1,0.5,0.5\n", "cannot be read: 'validation_mae'"),
        ("epoch,loss_training,loss_validation,validation_mae\n1,0.5,0.5\n", "cannot be read: float"),
        (None, "does not exist"),
    ],
)
def test_a_history_that_is_none_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    history = tmp_path / "history.csv"
    if text is not None:
        history.write_text(text)
    with pytest.raises(StoreError, match=reason):
        training.learning_curves({"direct": [history]}, tmp_path / "learning.png")
    assert not (tmp_path / "learning.png").exists()


def test_exafs_shows_data_and_fit_in_k_and_in_r(tmp_path: Path, drawn: list[Figure]) -> None:
    k, r = np.linspace(0, 13, 50), np.linspace(0, 6, 40)
    numbers = dict.fromkeys(
        ("shift", "e0", "e0_error", "third", "third_error", "fit_error", "choice_error", "amplitude_correlation"), 0.0
    )
    fit = ExafsFit(
        **numbers,
        **dict.fromkeys(("source", "element", "edge", "neighbors"), ""),
        **{"sigma2": 0.008, "sigma2_error": 0.0004, "length": 2.86, "length_error": 0.002},
        **{"amplitude": 0.92, "amplitude_error": 0.04, "r_factor": 0.002, "independent": 9.9},
        **{"k_range": (3.0, 12.0), "r_range": (1.8, 3.3), "k_weights": (2,), "doubts": ()},
        **{"k": k, "data_k": np.sin(k), "fit_k": np.cos(k), "r": r, "data_r": r, "fit_r": r / 2},
    )
    plots.exafs_figure(fit, tmp_path / "exafs.png", label="foil")
    check_files(tmp_path / "exafs.png", columns=2)
    left, right = drawn[0].axes
    for axes, curves in ((left, (np.sin(k), np.cos(k))), (right, (r, r / 2))):
        for line, curve in zip(axes.lines, curves, strict=True):
            np.testing.assert_allclose(line.get_ydata(), curve)
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        *("range of the fit", "foil", "first shell, fitted")
    ]
    assert "σ² 8.0 ± 0.4 × 10⁻³ Å²" in right.get_legend().get_title().get_text()


@pytest.mark.parametrize("count", [40, training.MOST_POINTS + 40])
def test_parity_states_its_errors_and_the_coverage_of_its_intervals(
    tmp_path: Path, drawn: list[Figure], count: int
) -> None:
    label = np.linspace(0.001, 0.02, count)
    prediction = label + np.where(np.arange(count) % 4 == 0, 0.002, 0.0)
    half_width = np.full(count, 0.0012)
    training.parity(label, prediction, half_width, tmp_path / "parity.png", confidence=0.9, title="direct")
    check_files(tmp_path / "parity.png", columns=2)
    left, right, *scale = drawn[0].axes
    # A quarter is wrong by 2e-3 Å²: the mean is 0.5e-3, the root mean square 1e-3, and three quarters lie inside.
    assert left.texts[0].get_text() == f"direct\nN = {count:,}\nMAE 0.5\nRMSE 1\nbias +0.5"
    assert right.texts[0].get_text() == "75.0 % of the labels in\nintervals of 90 %"
    assert labels(left) == ("True MSD (10⁻³ Å²)", "Predicted MSD (10⁻³ Å²)")
    assert labels(right) == ("True MSD (10⁻³ Å²)", "Predicted − true MSD (10⁻³ Å²)")
    assert left.get_xlim() == left.get_ylim() == right.get_xlim()
    assert [axes.get_ylabel() for axes in scale] == (["Spectra per cell"] if count > training.MOST_POINTS else [])
    upper, lower, residual = (patch.get_data() for patch in right.patches)
    np.testing.assert_allclose([upper.values, lower.values], np.outer([1.2, -1.2], np.ones(12)))
    # In bins of as many spectra each, of which a quarter is off by 2e-3.
    assert residual.values.mean() == pytest.approx(0.5, abs=0.03)
    assert residual.edges[[0, -1]] == pytest.approx([1.0, 20.0])


SIMULATED = spectra(101)
MEASURED = SIMULATED.mean(axis=0) + 0.03
BAND = np.percentile(SIMULATED, (5, 95), axis=0)


def test_measured_is_drawn_over_the_simulated(tmp_path: Path, drawn: list[Figure]) -> None:
    out = tmp_path / "foil.png"
    figure = plots.measured_against_simulated(
        ENERGY,
        MEASURED,
        SIMULATED.mean(axis=0),
        BAND,
        out,
        edge=EDGE,
        label="Au foil",
        simulated_label="simulated, mean",
        msd=0.0081,
        interval=(0.0062, 0.0103),
        confidence=0.9,
        first_shell=2.92,
    )
    check_files(out)
    assert drawn == [figure, figure]
    upper, lower = figure.axes
    assert [text.get_text() for text in upper.get_legend().get_texts()] == [
        "training spectra, 5–95 %",
        "simulated, mean",
        "Au foil",
    ]
    assert upper.get_legend().get_title().get_text() == "MSD 8.1 × 10⁻³ Å²\n90 %: 6.2 … 10.3 × 10⁻³ Å²"
    np.testing.assert_allclose(lower.lines[-1].get_ydata(), 0.03)
    np.testing.assert_allclose(lower.lines[-1].get_xdata(), ENERGY - EDGE)
    assert lower.texts[0].get_text() == "rms 0.030"
    band = upper.collections[0].get_paths()[0].vertices
    ranked = np.sort(SIMULATED, axis=0)
    # With 101 spectra, the 5th and 95th percentiles are the 6th from either end.
    assert band[:, 1].min() == pytest.approx(ranked[5].min())
    assert band[:, 1].max() == pytest.approx(ranked[95].max())
    assert lower.get_xlabel() == "Energy relative to the edge (eV)"


def test_the_predicted_distribution_stands_beside_the_spectrum(tmp_path: Path) -> None:
    r = 2.4 + 0.1 * np.arange(10)
    shares = np.array([0, 0, 0, 0, 1, 2, 1, 0, 0, 0]) / 4
    out = tmp_path / "foil.png"
    figure = plots.measured_against_simulated(
        ENERGY,
        MEASURED,
        SIMULATED[3],
        BAND,
        out,
        edge=EDGE,
        label="measured",
        simulated_label="nearest simulated",
        msd=0.005,
        interval=(0.004, 0.006),
        confidence=0.9,
        distribution=(r, shares),
        first_shell=2.92,
        mean_shift=-0.02,
    )
    check_files(out, columns=2)
    upper, lower, side = figure.axes
    assert upper.get_legend().get_texts()[1].get_text() == "nearest simulated"
    np.testing.assert_allclose(lower.lines[-1].get_ydata(), MEASURED - SIMULATED[3])
    density = side.patches[0].get_data()
    np.testing.assert_allclose(density.values, 10 * shares)
    np.testing.assert_allclose(density.edges, 2.35 + 0.1 * np.arange(11))
    assert labels(side) == ("Bond length r (Å)", "Predicted distribution g(r) (Å⁻¹)")
    low, high = side.get_xlim()
    assert 2.7 < low < 2.8
    assert 3.0 < high < 3.2
    reference, mean = (lines.get_segments()[0][0, 0] for lines in side.collections)
    assert (reference, mean) == pytest.approx((2.92, 2.90))
    assert [text.get_text() for text in side.get_legend().get_texts()] == ["undistorted", "mean"]
    assert side.texts[0].get_text() == "MSD 5.0 × 10⁻³ Å²\n90 %: 4.0 … 6.0 × 10⁻³ Å²\nmean 2.900 Å (−0.020 Å)"


def table(*errors: str, off: str = "") -> list[Sensitivity]:
    return [
        Sensitivity(error, factor, 0.1 * factor, 0.0 if error == off else 0.1, predictor, mae * (1 + factor))
        for error in errors
        for factor in (0.0, 1.0, 2.0)
        for predictor, mae in (("network", 0.001), ("ridge", 0.003))
    ]


@pytest.mark.parametrize(("errors", "columns"), [(list(ERRORS)[:5], 3), (list(ERRORS), 4)])
def test_each_error_of_measurement_has_a_panel(
    tmp_path: Path, drawn: list[Figure], errors: list[str], columns: int
) -> None:
    training.sensitivity_curves(table(*errors, off="slope"), tmp_path / "sensitivity.png")
    check_files(tmp_path / "sensitivity.png", columns=2)
    panels, last = drawn[0].axes[: len(errors)], drawn[0].axes[-1]
    assert len(drawn[0].axes) == 2 * columns
    assert [axes.get_title() for axes in panels] == [ERRORS[error][0] for error in errors]
    assert panels[1].get_xlabel() == "eV"
    assert panels[0].get_ylabel() == "MAE (10⁻³ Å²)"
    assert len({axes.get_ylim() for axes in panels}) == 1
    network, ridge, trained = panels[1].lines[:3]
    np.testing.assert_allclose(network.get_xydata(), [[0, 1], [0.1, 2], [0.2, 3]])
    np.testing.assert_allclose(ridge.get_xydata(), [[0, 3], [0.1, 6], [0.2, 9]])
    assert trained.get_xdata() == [0.1, 0.1]
    # What the campaign has off has no line.
    assert len(panels[errors.index("slope")].lines) == 2
    assert [text.get_text() for text in last.get_legend().get_texts()] == ["network", "ridge", "trained with"]


def test_a_training_has_figures_of_every_mode(tmp_path: Path, unsaved: list[Figure]) -> None:
    model = tmp_path / "model"
    content = report(direct=mode_report(best_epochs=[1, 2]), reference=mode_report(best_epochs=[1]))
    write_report(model, content)
    # The last one is left from an ensemble of three.
    for name in ("direct-0", "direct-1", "reference-0", "direct-2"):
        write_history(model / f"history-{name}.csv", 0.004, 0.003)
    for mode in ("direct", "reference"):
        (model / f"parity-{mode}.csv").write_text("label,prediction,spread,half_width\n0.01,0.012,0.1,0.003\n")
    write_sensitivity(model / "sensitivity-reference.csv", table("noise", "drift"))
    plots.training_figures(write_small(tmp_path / "tensors.h5"), model, tmp_path / "figures")
    series, learning, direct, reference, sensitivity = unsaved[::2]
    assert series.axes[-1].get_ylabel() == DELTA_LABEL
    assert [text.get_text() for text in learning.legends[0].get_texts()][:2] == [
        "direct, 2 networks",
        "reference, 1 network",
    ]
    assert direct.axes[0].texts[0].get_text() == "direct\nN = 1\nMAE 2\nRMSE 2\nbias +2"
    assert reference.axes[0].texts[0].get_text().startswith("reference\n")
    assert direct.axes[1].texts[0].get_text() == "100.0 % of the labels in\nintervals of 90 %"
    assert sensitivity.axes[1].get_title() == ERRORS["drift"][0]


def test_series_is_colored_by_the_distortion(tmp_path: Path, drawn: list[Figure]) -> None:
    delta = np.linspace(-0.45, 0.45, 31)
    distorted.series(ENERGY - EDGE, spectra(31), delta, tmp_path / "series.png")
    check_files(tmp_path / "series.png")
    axes, scale = drawn[0].axes
    lines = axes.collections[0]
    np.testing.assert_array_equal(lines.get_array(), delta)
    assert len({tuple(color) for color in lines.get_colors()}) == 31
    assert scale.get_ylabel() == "Shift of the first shell δ (Å)"
    assert axes.get_ylim()[1] > spectra(31).max()


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        distorted.series(ENERGY - EDGE, spectra(3), np.arange(3.0), tmp_path / name)
    for suffix in (".png", ".pdf"):
        first, second = ((tmp_path / name).with_suffix(suffix) for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def ordinates(axes: Axes) -> list[np.ndarray]:
    """Ordinates of the curves that are colored by a value."""
    return [segment[:, 1] for segment in axes.collections[0].get_segments()]


ENERGY_LABEL = "Energy relative to the edge (eV)"
MSD_LABEL = "MSD (10⁻³ Å²)"
DELTA_LABEL = "Shift of the first shell δ (Å)"
ALL = (
    "series",
    "roughness",
    "weightings",
    "disordered",
    "differences",
    "distribution",
    "weights_as_bars",
    "neighbors_in_sigma",
    "comparison",
    "comparison_rms",
)


def test_roughness_names_its_outliers(tmp_path: Path, drawn: list[Figure]) -> None:
    rough = np.array([np.nan, 0.001, 0.002, 0.0065, 0.003, 0.002, np.nan])
    distorted.roughness(rough, np.linspace(-0.3, 0.3, 7), tmp_path / "roughness.png")
    check_files(tmp_path / "roughness.png")
    (axes,) = drawn[0].axes
    assert labels(axes) == (DELTA_LABEL, "Roughness (10⁻³ edge steps)")
    # The median of 1, 2, 6.5, 3, 2 is 2; only 6.5 lies above 6.
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["median, 2.00 × 10⁻³", "3 × median", "outliers at δ = +0.00 Å"]
    curve, median, limit, outlying = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), 1e3 * rough)
    assert [line.get_ydata()[0] for line in (median, limit)] == pytest.approx([2.0, 6.0])
    np.testing.assert_allclose(outlying.get_xydata(), [[0.0, 6.5]], atol=1e-15)


def test_many_outliers_are_counted(tmp_path: Path, unsaved: list[Figure]) -> None:
    rough = np.where(np.arange(91) % 5 == 2, 0.01, 0.001)
    rough[[0, -1]] = np.nan
    distorted.roughness(rough, np.linspace(-0.45, 0.45, 91), tmp_path / "roughness.png")
    assert unsaved[0].legends[0].get_texts()[-1].get_text() == "18 outliers"


def test_weightings_are_colored_by_msd_and_dashed_by_skewness(tmp_path: Path, drawn: list[Figure]) -> None:
    delta = np.linspace(-0.45, 0.45, 91)
    alpha, msd = np.array([-5.0, 0.04, 4.0, 5.0]), np.array([0.001, 0.002, 0.003, 0.004])
    weights = skew_normal_weights(delta, np.zeros(4), np.full(4, 0.05), alpha)
    distorted.weightings(delta, weights, msd, alpha, tmp_path / "weightings.png")
    check_files(tmp_path / "weightings.png")
    axes, scale = drawn[0].axes
    assert labels(axes) == (DELTA_LABEL, "Weight of the distortion")
    assert scale.get_ylabel() == MSD_LABEL
    np.testing.assert_allclose(ordinates(axes), weights)
    np.testing.assert_allclose(axes.collections[0].get_array(), [1, 2, 3, 4])
    dashes = [tuple(pattern or ()) for _, pattern in axes.collections[0].get_linestyle()]
    assert dashes[1] == ()
    assert dashes[2] == dashes[3] != dashes[0]
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["α = −5.0", "α = 0.0", "α = 4.0 … 5.0"]


def test_the_weightings_chosen_span_msd_and_alpha_about_zero() -> None:
    msd, alpha, shift = (
        values.ravel()
        for values in np.meshgrid(np.linspace(0.001, 0.02, 21), np.linspace(-4, 4, 5), [-0.1, 0.0, 0.1], indexing="ij")
    )
    rows = distorted.choose_weightings(msd, alpha, shift)
    assert len(rows) == 9
    assert set(shift[rows]) == {0.0}
    assert set(alpha[rows]) == {-4.0, 0.0, 4.0}
    # The quantiles at 5, 50 and 95 % of 21 even steps are the second, the middle and the last but one.
    np.testing.assert_allclose(np.unique(msd[rows]), np.linspace(0.001, 0.02, 21)[[1, 10, 19]])
    assert len(distorted.choose_weightings(np.ones(4), np.zeros(4), np.zeros(4))) == 1


def test_disordered_spectra_are_colored_by_msd_and_magnified_where_they_differ(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    msd = np.array([0.004, 0.001, 0.002])
    spread = 1 + np.outer(msd, np.exp(-(((ENERGY - EDGE - 30) / 3) ** 2)))
    averages.disordered(ENERGY - EDGE, spread, msd, tmp_path / "disordered.png")
    check_files(tmp_path / "disordered.png")
    axes, scale = drawn[0].axes
    assert labels(axes) == (ENERGY_LABEL, "Normalized absorption")
    assert scale.get_ylabel() == MSD_LABEL
    np.testing.assert_allclose(ordinates(axes), spread[[1, 2, 0]])
    np.testing.assert_allclose(axes.collections[0].get_array(), [1, 2, 4])
    assert axes.texts[0].get_text() == "3 structures"
    (inset,) = axes.child_axes
    assert inset.get_xlim() == pytest.approx((25, 35))


def test_many_structures_are_a_selection_that_says_so(tmp_path: Path, unsaved: list[Figure]) -> None:
    msd = np.linspace(0.001, 0.01, 1201)
    spread = np.ones((1201, len(ENERGY))) + msd[:, np.newaxis]
    averages.disordered(ENERGY - EDGE, spread, msd, tmp_path / "disordered.png")
    axes = unsaved[0].axes[0]
    assert len(ordinates(axes)) == MOST_CURVES
    assert axes.texts[0].get_text() == "60 of 1,201 structures"


def test_the_evenly_spread_are_nearest_to_even_targets() -> None:
    values = np.array([9.0, 0.0, 1.0, 2.0, 2.1, 10.0, 5.2])
    # Targets 0, 5, 10; then all, by rising value.
    assert values[evenly_spread(values, 3)].tolist() == [0.0, 5.2, 10.0]
    assert values[evenly_spread(values, 7)].tolist() == sorted(values)
    # Targets 0, 3.3, 6.7 and 10, of which two have the same neighbor.
    assert evenly_spread(np.array([0.0, 5.0, 9.9, 10.0, 10.0]), 4).tolist() == [0, 1, 3]


def test_differences_share_axes_and_colors(tmp_path: Path, drawn: list[Figure]) -> None:
    particle, statistical = np.array([0.002, 0.008]), np.array([0.003, 0.005, 0.007])
    flat = np.ones(len(ENERGY))
    averages.differences(
        ENERGY - EDGE,
        (np.outer(1 + particle, flat), particle),
        (np.outer(1 - statistical, flat), statistical),
        flat,
        tmp_path / "differences.png",
    )
    check_files(tmp_path / "differences.png", columns=2)
    left, right, scale = drawn[0].axes
    assert labels(left) == (ENERGY_LABEL, "Difference from δ = 0 (edge steps)")
    assert right.get_xlabel() == ENERGY_LABEL
    assert scale.get_ylabel() == MSD_LABEL
    np.testing.assert_allclose([curve[0] for curve in ordinates(left)], particle)
    np.testing.assert_allclose([curve[0] for curve in ordinates(right)], -statistical)
    assert left.collections[0].get_clim() == right.collections[0].get_clim() == pytest.approx((2, 8))
    assert [axes.get_title() for axes in (left, right)] == ["particle averages, 2", "statistical averages, 3"]


def test_statistical_averages_beside_particles_have_their_range_and_shift() -> None:
    particle_msd, particle_shift = np.array([0.010, 0.002]), np.array([0.04, 0.0])
    msd = np.array([0.001, 0.003, 0.0031, 0.009, 0.0091, 0.010, 0.011])
    shift = np.array([0.0, 0.005, 0.1, 0.0, 0.036, 0.1, 0.04])
    # Intervals 2 to 6 and 6 to 10 × 10⁻³ Å², wanted shifts 0.005 and 0.035 there: rows 1 and 4.
    assert averages.choose_like_particles(msd, shift, particle_msd, particle_shift, 2).tolist() == [1, 4]
    assert averages.choose_like_particles(msd, shift, particle_msd[:1], particle_shift[:1], 2).tolist() == [5]
    assert averages.choose_like_particles(msd[:1], shift[:1], particle_msd, particle_shift, 2).tolist() == []


def test_the_distribution_is_a_density_at_low_middle_and_high_msd(tmp_path: Path, drawn: list[Figure]) -> None:
    shares = np.eye(8)[:5]
    msd = np.array([0.003, 0.001, 0.005, 0.004, 0.002])
    averages.distribution(2.5 + 0.05 * np.arange(8), shares, msd, 2.6, tmp_path / "distribution.png")
    check_files(tmp_path / "distribution.png")
    (axes,) = drawn[0].axes
    assert labels(axes) == ("Bond length r (Å)", "Distribution g(r) (Å⁻¹)")
    steps = [patch.get_data() for patch in axes.patches]
    for (values, edges, _), row in zip(steps, (1, 0, 2), strict=True):
        assert (values * np.diff(edges)).sum() == pytest.approx(1.0)
        np.testing.assert_allclose(values, 20 * shares[row])
        np.testing.assert_allclose(edges, 2.475 + 0.05 * np.arange(9))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1.00", "3.00", "5.00", "undistorted"]
    assert axes.get_legend().get_title().get_text() == MSD_LABEL


@pytest.fixture
def compared(tmp_path: Path) -> ParticleComparison:
    return compare(write_small(tmp_path / "tensors.h5"))


def test_the_comparison_shows_the_ends_of_what_counts(
    tmp_path: Path, drawn: list[Figure], compared: ParticleComparison
) -> None:
    averages.comparison(compared, tmp_path / "comparison.png")
    check_files(tmp_path / "comparison.png", columns=2)
    upper, _, lower, right = drawn[0].axes
    assert [axes.get_title() for axes in drawn[0].axes[:2]] == [
        "structure 5, MSD 5.00 × 10⁻³ Å²",
        "structure 6, MSD 20.00 × 10⁻³ Å²",
    ]
    assert upper.get_ylabel() == "Normalized absorption"
    assert labels(lower) == (ENERGY_LABEL, "Difference\n(edge steps)")
    assert right.get_xlabel() == ENERGY_LABEL
    curves = {line.get_label(): line.get_ydata() for line in (*upper.lines, *lower.lines)}
    np.testing.assert_array_equal(curves["statistical average"], compared.statistical[0])
    np.testing.assert_array_equal(curves["particle average"], compared.particle[0])
    np.testing.assert_array_equal(curves["particle − statistical"], compared.particle[0] - compared.statistical[0])
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert names == [
        "undistorted",
        "particle average",
        "statistical average",
        "skew-normal average",
        "particle − undistorted",
        "particle − statistical",
        "particle − skew-normal",
    ]


def test_the_comparison_of_one_structure_is_one_column(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    one = compare(write_small(tmp_path / "one" / "tensors.h5", particles=1))
    averages.comparison(one, tmp_path / "comparison.png")
    check_files(tmp_path / "comparison.png")


def test_the_rms_of_what_does_not_count_is_hollow(
    tmp_path: Path, drawn: list[Figure], compared: ParticleComparison
) -> None:
    averages.comparison_rms(compared, tmp_path / "comparison_rms.png")
    check_files(tmp_path / "comparison_rms.png")
    (axes,) = drawn[0].axes
    assert labels(axes) == (MSD_LABEL, "RMS difference (edge steps)")
    undistorted, skewed, statistical, marked = axes.collections
    np.testing.assert_allclose(skewed.get_offsets()[:, 1], compared.rms_skew_normal[:2])
    np.testing.assert_allclose(undistorted.get_offsets()[:, 1], compared.rms_undistorted[:2])
    np.testing.assert_allclose(statistical.get_offsets(), np.column_stack([[5, 20], compared.rms[:2]]))
    assert marked.get_offsets()[0, 0] == pytest.approx(40.0)
    assert marked.get_facecolors().size == 0
    assert marked.get_label() == "the same, over 1 % of bonds outside the series"


def test_a_full_tensor_file_gives_all_figures_twice_and_the_same_again(tmp_path: Path) -> None:
    tensors = write_small(tmp_path / "tensors.h5")
    for folder in ("a", "b"):
        done = plots.averaging_figures(tensors, tmp_path / folder)
        assert sorted(done.figures) == sorted(ALL)
        assert done.reasons() == ""
    files = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in files] == sorted(f"{name}.{suffix}" for name in ALL for suffix in ("pdf", "png"))
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("without", "figures", "reasons"),
    [
        (
            {"particles": 0},
            ("series", "roughness", "weightings", "weights_as_bars"),
            "disordered, differences, distribution, neighbors_in_sigma, comparison, comparison_rms: "
            "the file has no particle averages",
        ),
        (
            {"distortions": 0, "averages": 0},
            ("disordered", "distribution", "neighbors_in_sigma"),
            "series, roughness, weightings, weights_as_bars, comparison, comparison_rms: the file has no distorted "
            "series; differences: the file has no statistical averages",
        ),
        (
            {"distortions": 2, "averages": 0},
            ("series", "disordered", "distribution", "neighbors_in_sigma"),
            "roughness: the series has no roughness, which takes three spectra; "
            "weightings, differences, weights_as_bars: the file has no statistical averages; "
            "comparison, comparison_rms: the series has no spectrum at δ = 0",
        ),
    ],
)
def test_figures_without_data_are_left_out_and_named(
    tmp_path: Path, unsaved: list[Figure], without: dict[str, int], figures: tuple[str, ...], reasons: str
) -> None:
    done = plots.averaging_figures(write_small(tmp_path / "tensors.h5", **without), tmp_path / "figures")
    assert done.figures == figures
    assert done.reasons() == reasons
    assert len(unsaved) == 2 * len(figures)


@pytest.mark.usefixtures("unsaved")
def test_without_a_structure_that_counts_only_the_rms_is_drawn(tmp_path: Path, compared: ParticleComparison) -> None:
    done = plots.comparison_figures(replace(compared, usable=np.zeros(4, dtype=bool)), tmp_path / "figures")
    assert done.figures == ("comparison_rms",)
    assert done.left_out == {"comparison": "every structure has more than 0.01 of its bonds outside the series"}


@pytest.mark.parametrize("kept", [True, False])
def test_weights_that_the_file_lacks_are_computed(tmp_path: Path, unsaved: list[Figure], kept: bool) -> None:
    plots.averaging_figures(write_small(tmp_path / "tensors.h5", particles=0, kept=kept), tmp_path)
    figure = next(one for one in unsaved if one.axes[0].get_ylabel() == "Weight of the distortion")
    curves = np.array(ordinates(figure.axes[0]))
    if kept:
        np.testing.assert_array_equal(curves, np.tile([0.0, 0, 0, 0, 1], (len(curves), 1)))
    else:
        computed = skew_normal_weights(small.DELTA, small.LOCATION, small.SCALE, small.ALPHA)
        rows = distorted.choose_weightings(small.MSD, small.ALPHA, small.LOCATION)
        np.testing.assert_allclose(curves, computed[rows])


@pytest.mark.parametrize("kept", [True, False])
def test_weights_are_those_of_the_rows_in_any_order(tmp_path: Path, kept: bool) -> None:
    rows = np.array([4, 0, 4, 2])
    with h5py.File(write_small(tmp_path / "tensors.h5", kept=kept)) as file:
        found, all_of_them = statistical_weights(file, rows), statistical_weights(file, np.arange(6))
    np.testing.assert_array_equal(found, all_of_them[rows])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match=r"cannot write .*file/roughness\.png"):
        distorted.roughness(np.array([np.nan, 1.0, np.nan]), np.arange(3.0), tmp_path / "file" / "roughness.png")


def test_without_matplotlib_the_way_to_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentProblem, match=r"figures need matplotlib .* run `pip install 'xanesml\[train\]'`"):
        distorted.weightings(np.arange(3.0), np.ones((1, 3)), np.ones(1), np.ones(1), tmp_path / "weightings.png")


@pytest.mark.usefixtures("unsaved")
def test_one_structure_is_enough(tmp_path: Path) -> None:
    # Its MSD lies below that of all statistical averages.
    done = plots.averaging_figures(write_small(tmp_path / "tensors.h5", particles=1), tmp_path / "figures")
    assert set(done.figures) == {*ALL} - {"neighbors_in_sigma"}
    assert done.reasons() == "neighbors_in_sigma: the file has fewer than two particle averages"


def test_the_distorted_shell_lies_on_a_plane(tmp_path: Path, drawn: list[Figure]) -> None:
    campaign = Campaign.model_validate({"name": "x", "distortion": {"step": 0.45}, "disorder": {"structures": 1}})
    assert plots.shell_figure(expand(campaign), tmp_path / "shell.png")
    dots = {str(one.get_label()): np.asarray(one.get_offsets()) for one in drawn[0].axes[0].collections}
    # fcc's neighbors of x, y = ±a/2 or 0, a = 4.0782 Å; the bond of a/√2 grows by 0.45 Å.
    before, after = dots["first shell, undistorted"], dots["δ = +0.45 Å"]
    assert len(before) == 12
    assert sorted(np.unique(np.abs(before).round(4))) == [0, 2.0391]
    half = 4.0782 / np.sqrt(2)
    np.testing.assert_allclose(after, before * (half + 0.45) / half, atol=1e-9)
    assert len(dots["other atoms"]) == 18 - 12 + 24
    check_files(tmp_path / "shell.png")
    none = campaign.model_copy(update={"distortion": None})
    assert not plots.shell_figure(expand(none), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_weights_are_bars_of_the_series_width(tmp_path: Path, unsaved: list[Figure]) -> None:
    weights = np.array([[0.0, 0.25, 0.5, 0.25, 0.0], [0.1, 0.2, 0.4, 0.2, 0.1]])
    teaching.bars(0.1 * np.arange(-2, 3), weights, np.array([0.005, 0.012]), tmp_path / "bars.png")
    panels = unsaved[0].axes
    for axes, row in zip(panels, weights, strict=True):
        values, edges, _ = axes.patches[0].get_data()
        np.testing.assert_allclose(values, row)
        np.testing.assert_allclose(edges, [-0.25, -0.15, -0.05, 0.05, 0.15, 0.25])


@pytest.mark.parametrize("place", [None, np.array([7.0, 3.0, 9.0, 8.0, 1.0])])
def test_one_structure_stands_over_those_of_its_neighbors(
    tmp_path: Path, unsaved: list[Figure], place: np.ndarray | None
) -> None:
    r, msd = np.array([2.7, 2.8, 2.9]), np.array([0.004, 0.010, 0.006, 0.005, 0.030])
    shares = np.array([[0.2, 0.6, 0.2], [0.0, 0.0, 1.0], [0.4, 0.2, 0.4], [0.1, 0.8, 0.1], [1.0, 0.0, 0.0]])
    msd = msd if place is None else msd[::-1]
    teaching.neighbors_in_sigma(r, shares, msd, 3, 2.8, tmp_path / "neighbors.png", place=place, most=2)
    band, mean, own = unsaved[0].axes[0].patches
    np.testing.assert_allclose(mean.get_data()[0], [3, 4, 3])
    np.testing.assert_allclose(band.get_data()[0], [4, 6, 4])
    np.testing.assert_allclose(band.get_data()[2], [2, 2, 2])
    np.testing.assert_allclose(own.get_data()[0], [1, 8, 1])


def test_the_figure_of_the_first_shell(tmp_path: Path, drawn: list[Figure]) -> None:
    campaign = Campaign.model_validate({"name": "x", "distortion": {"step": 0.45}, "disorder": {"structures": 1}})
    plots.first_shell_figure(expand(campaign), tmp_path / "shell.png")
    axes = drawn[0].axes[0]
    curves = {str(line.get_label()): line for line in axes.lines}
    distances, counts = curves["the central absorber"].get_data()
    # 12 neighbors at 2.884 Å, 6 more at 4.078 Å.
    assert np.interp([2.8, 3.4, 4.2], distances, counts).tolist() == [0, 12, 18]
    assert curves["cutoff, 3.429 Å"].get_xdata()[0] == pytest.approx(3.4293, abs=1e-4)
    assert len(axes.lines) == 14
    check_files(tmp_path / "shell.png")
