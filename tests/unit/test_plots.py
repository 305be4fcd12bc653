from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from xanesml import plots

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


def check_files(paths: tuple[Path, Path]) -> None:
    png, pdf = paths
    assert (png.suffix, pdf.suffix) == (".png", ".pdf")
    pixels = imread(png)
    height, width = pixels.shape[:2]
    assert width == 1020  # 3.4 inches at 300 dots per inch
    assert 600 < height < 1400
    assert 0.5 < pixels[..., :3].mean() < 0.99  # something is drawn, mostly on white
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 5000


def spectra(count: int) -> np.ndarray:
    relative = ENERGY - EDGE
    shifts = np.linspace(-0.45, 0.45, count)
    return np.array([(1 / (1 + np.exp(-relative / 2))) * (1 + 0.1 * np.cos(relative / (4 + d))) for d in shifts])


def test_learning_curve_from_rows(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [
        {"epoch": i, "loss": 1 / i, "val_loss": 2 / i, "val_mae": 0.004 / i, "learning_rate": 0.1} for i in range(1, 9)
    ]
    check_files(plots.learning_curve(rows, tmp_path / "new" / "learning.png"))
    losses, errors = drawn[0].axes
    training, validation = losses.lines
    np.testing.assert_allclose(training.get_ydata(), [1 / i for i in range(1, 9)])
    np.testing.assert_allclose(validation.get_ydata(), [2 / i for i in range(1, 9)])
    assert [line.get_label() for line in losses.lines] == ["training", "validation"]
    np.testing.assert_allclose(errors.lines[0].get_ydata(), [4 / i for i in range(1, 9)])
    assert "10⁻³ Å²" in errors.get_ylabel()
    assert errors.get_xlabel() == "Epoch"


def test_learning_curve_from_csv(tmp_path: Path, drawn: list[Figure]) -> None:
    history = tmp_path / "history.csv"
    history.write_text("epoch,loss\n1,0.5\n2,0.25\n")
    check_files(plots.learning_curve(history, tmp_path / "learning.png"))
    (axes,) = drawn[0].axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 0.5], [2, 0.25]])


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "mae": 2}], [{"loss": 1}]])
def test_learning_curve_without_a_loss_is_refused(tmp_path: Path, rows: list[dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="columns epoch and loss"):
        plots.learning_curve(rows, tmp_path / "learning.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [40, plots.MOST_POINTS + 40])
def test_parity_states_its_errors(tmp_path: Path, drawn: list[Figure], count: int) -> None:
    label = np.linspace(0.001, 0.02, count)
    prediction = label + np.where(np.arange(count) % 4 == 0, 0.002, 0.0)
    check_files(plots.parity(label, prediction, tmp_path / "parity.png", baseline="ridge MAE 0.7"))
    axes = drawn[0].axes[0]
    # A quarter is wrong by 2e-3 Å²: the mean is 0.5e-3, the root mean square 1e-3.
    assert axes.texts[0].get_text() == f"N = {count}\nMAE 0.5\nRMSE 1\nridge MAE 0.7"
    assert axes.get_xlabel() == "True MSD (10⁻³ Å²)"
    assert axes.get_xlim() == axes.get_ylim()
    scales = [inset.get_ylabel() for inset in axes.child_axes]
    assert scales == (["Spectra per cell"] if count > plots.MOST_POINTS else [])


def test_measured_is_drawn_over_the_simulated(tmp_path: Path, drawn: list[Figure]) -> None:
    simulated = spectra(101)
    measured = simulated.mean(axis=0) + 0.03
    paths = plots.measured_against_simulated(
        ENERGY,
        measured,
        simulated.mean(axis=0),
        np.percentile(simulated, (5, 95), axis=0),
        tmp_path / "foil.png",
        edge=EDGE,
        label="Au foil",
    )
    check_files(paths)
    upper, lower = drawn[0].axes
    assert [text.get_text() for text in upper.get_legend().get_texts()] == [
        "simulated, 5–95 %",
        "simulated, mean",
        "Au foil",
    ]
    np.testing.assert_allclose(lower.lines[-1].get_ydata(), 0.03)
    np.testing.assert_allclose(lower.lines[-1].get_xdata(), ENERGY - EDGE)
    band = upper.collections[0].get_paths()[0].vertices
    ranked = np.sort(simulated, axis=0)
    # With 101 spectra, the 5th and 95th percentiles are the 6th from either end.
    assert band[:, 1].min() == pytest.approx(ranked[5].min())
    assert band[:, 1].max() == pytest.approx(ranked[95].max())
    assert lower.get_xlabel() == "Energy relative to the edge (eV)"


def test_series_is_colored_by_the_distortion(tmp_path: Path, drawn: list[Figure]) -> None:
    delta = np.linspace(-0.45, 0.45, 31)
    check_files(plots.series(ENERGY, spectra(31), delta, tmp_path / "series.png", edge=EDGE))
    axes, scale = drawn[0].axes
    lines = axes.collections[0]
    np.testing.assert_array_equal(lines.get_array(), delta)
    assert len({tuple(color) for color in lines.get_colors()}) == 31
    assert scale.get_ylabel() == "Shift of the first shell δ (Å)"
    assert axes.get_ylim()[1] > spectra(31).max()


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    first = plots.series(ENERGY, spectra(3), np.arange(3.0), tmp_path / "a.png", edge=EDGE)
    second = plots.series(ENERGY, spectra(3), np.arange(3.0), tmp_path / "b.png", edge=EDGE)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
