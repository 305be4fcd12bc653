"""A tensor file opened to be read: the series, its averages, and how one was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_tensors as small
from made_store import made_store
from synthetic import campaign, write_tensors

from xanesml.averages.reader import TensorFile, open_tensors
from xanesml.errors import StoreError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write_small(tmp_path_factory.mktemp("tensors") / "<tensors>.h5", kept=True)


@pytest.fixture
def tensors(path: Path) -> Iterator[TensorFile]:
    with open_tensors(str(path)) as opened:
        yield opened


def test_it_prints_itself(tensors: TensorFile, path: Path) -> None:
    assert repr(tensors).splitlines() == [
        f"TensorFile {path}",
        f"  store:    store.h5, campaign digest {'0' * 32}",
        "  mesh:     12 energies, 11910.0 … 11921.0 eV; edge 11914.0 eV",
        "  series:   5 distorted spectra, δ = -0.20 … +0.20 Å",
        "  averages: 6 statistical, 4 particle",
    ]
    assert "&lt;tensors&gt;.h5" in tensors._repr_html_()
    assert repr(tensors.statistical(slice(1, 3))).splitlines()[1:3] == [
        "  rows:    1 … 2",
        "  MSD:     0.0080 … 0.0100 Å²",
    ]


def test_the_series_averages_by_any_weights(tensors: TensorFile) -> None:
    series = tensors.series
    np.testing.assert_array_equal(series.energy, small.ENERGY)
    expected = (small.MU[1] + 3 * small.MU[2]) / (small.STEPS[1] + 3 * small.STEPS[2])
    np.testing.assert_allclose(series.average([0, 1, 3, 0, 0]), expected, rtol=1e-14)
    assert series.average(msd=0.004).shape == small.ENERGY.shape


def test_columns_are_read_by_their_rows(tensors: TensorFile) -> None:
    some = tensors.statistical(slice(1, None, 2))
    assert list(some.rows) == [1, 3, 5]
    assert some["msd"].tolist() == small.MSD[[1, 3, 5]].tolist()
    assert some["spectra"].shape == (3, 12)
    assert some["weights"][:, -1].tolist() == [1.0, 1.0, 1.0]
    assert tensors.particle()["task"].shape == (4, 13)
    for third in (3, np.argmax(np.arange(4))):
        assert tensors.statistical(third)["msd"].tolist() == [small.MSD[3]]
    with pytest.raises(StoreError, match="has no particle average 4; give 0 … 3"):
        tensors.particle(4)
    with pytest.raises(StoreError, match="statistical averages have no column 'mass'; they have spectra, family"):
        some["mass"]
    with pytest.raises(StoreError, match="run backwards"):
        tensors.particle(slice(None, None, -1))


@pytest.mark.requires("xarray")
def test_weights_that_the_file_does_not_keep_are_no_column(tmp_path: Path) -> None:
    with open_tensors(small.write_small(tmp_path / "tensors.h5")) as tensors:
        assert "weights" not in tensors.statistical().names
        assert "weights" in tensors.particle().names
        assert "weights" not in tensors.statistical().to_xarray()


@pytest.mark.requires("xarray")
def test_xarray_has_dimensions_and_units(tensors: TensorFile) -> None:
    dataset = tensors.statistical().to_xarray()
    assert dict(dataset.sizes) == {"average": 6, "energy": 12, "delta": 5, "r": 6}
    assert dataset.spectra.dims == ("average", "energy")
    assert dataset.weights.dims == ("average", "delta")
    assert (dataset.energy.units, dataset.msd.units, dataset.r.units) == ("eV", "Å²", "Å")
    assert dataset.attrs["first_shell"] == 2.8
    assert tensors.statistical(slice(1, None, 2)).to_xarray().average.values.tolist() == [1, 3, 5]
    particles = tensors.particle(slice(2, None)).to_xarray()
    assert particles.structure.values.tolist() == [7, 8]
    assert particles.task.dims == ("structure", "absorber")


@pytest.mark.requires("pandas")
def test_pandas_has_the_labels(tensors: TensorFile) -> None:
    table = tensors.statistical(slice(2, 4)).to_pandas()
    assert table.index.tolist() == [2, 3]
    assert table["scale"].tolist() == [0.07, 0.07]
    assert "spectra" not in table
    assert table.attrs["units"]["msd"] == "Å²"
    assert "skewness" not in table.attrs["units"]


def test_a_row_is_traced_while_the_file_is_open(tmp_path: Path) -> None:
    write_tensors(tmp_path / "tensors.h5", campaign())
    with open_tensors(tmp_path / "tensors.h5") as tensors:
        lines = tensors.trace(3).splitlines()
        assert lines[0].split()[-4:] == ["average", "3", "of", "320"]
        assert tensors.statistical(slice(3, 4))["msd"].shape == (1,)
        with pytest.raises(StoreError, match="row 320 is not among"):
            tensors.trace(320)


def test_after_closing_the_series_stays(path: Path) -> None:
    with open_tensors(path) as tensors:
        series, some = tensors.series, tensors.statistical()
    assert tensors.series is series
    assert repr(series).startswith(
        "Series of 5 distorted spectra, δ = -0.20 … +0.20 Å\n  mesh:        12 energies, 11910.0"
    )
    assert repr(tensors) == f"TensorFile {path} (closed)"
    assert repr(some) == f"6 statistical averages of {path} (closed)"
    with pytest.raises(StoreError, match="is closed; open it again"):
        some["msd"]
    with pytest.raises(StoreError, match="is closed; open it again"):
        tensors.trace(0)


def test_a_store_is_no_tensor_file(tmp_path: Path) -> None:
    made_store(tmp_path / "store.h5", campaign())
    with pytest.raises(StoreError, match="xanesml-tensors"):
        open_tensors(tmp_path / "store.h5")
