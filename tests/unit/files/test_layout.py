from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import ROOT

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.hdf5 import create, open_file
from xanesml.files.layout import SIZES, STORE, TENSORS, Layout

SCHEMAS = ROOT / "data_schema"
PAIRS = [(STORE, "store.json"), (TENSORS, "tensors.json")]

#: Rows that the plots of a store show.
ROWS = {"undistorted": 2, "series": slice(0, 4, 2), "distorted": slice(0, 2)}


def definition(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return content


@pytest.mark.requires("jsonschema")
@pytest.mark.parametrize(("layout", "name"), PAIRS)
def test_code_and_data_schema_agree(layout: Layout, name: str) -> None:
    import jsonschema

    formal = definition(name)
    jsonschema.validate(formal, json.loads((SCHEMAS / "definition.schema.json").read_text()))
    assert (formal["schema"], formal["version"]) == (layout.schema, layout.version)
    assert formal["dimensions"] == layout.dimensions
    assert (formal["scales"], formal["links"]) == (layout.scales, layout.links)
    assert formal["attributes"] == layout.attributes
    ours = [
        {
            "path": array.path,
            "shape": list(array.shape),
            "dtype": array.dtype,
            "units": array.units,
            "fill": "NaN" if np.isnan(array.fill) else array.fill,
            "description": array.description,
        }
        | ({"coordinates": array.coordinates} if array.coordinates else {})
        for array in layout.arrays
    ]
    assert formal["datasets"] == ours
    assert formal["plots"] == json.loads(json.dumps([asdict(plot) for plot in layout.plots]))


def test_outcome_codes_are_those_of_data_schema() -> None:
    assert definition("store.json")["outcomes"] == {outcome.label: int(outcome) for outcome in Outcome}


@pytest.mark.parametrize(("layout", "name"), PAIRS)
def test_a_file_is_laid_out_as_data_schema_says(layout: Layout, name: str, tmp_path: Path) -> None:
    sizes = {name: 4 + i for i, name in enumerate(layout.dimensions)} | SIZES
    path = tmp_path / "file.h5"
    create(path, layout, sizes=sizes, attributes={}, initial={}, rows=ROWS)
    formal = definition(name)
    with h5py.File(path) as file:
        found: list[str] = []
        file.visititems_links(lambda p, _: found.append(p) if isinstance(file[p], h5py.Dataset) else None)
        datasets = {entry["path"] for entry in formal["datasets"]}
        plots = {f"entry/{plot['name']}/{member['name']}" for plot in formal["plots"] for member in plot["members"]}
        assert sorted(found) == sorted(datasets | set(formal["scales"].values()) | formal["links"].keys() | plots)
        for entry in formal["datasets"]:
            dataset = file[entry["path"]]
            assert dataset.shape == tuple(sizes[name] for name in entry["shape"])
            assert dataset.dtype.str == entry["dtype"]
            assert dataset.attrs["units"] == entry["units"]
            assert dataset.chunks is None
            assert dataset.id.get_offset() is not None, "allocated when laid out"
            if not entry["dtype"].startswith("|S"):
                np.testing.assert_array_equal(dataset[...], np.full(dataset.shape, float(entry["fill"])))


@pytest.mark.requires("xarray", "h5netcdf")
@pytest.mark.parametrize("layout", [STORE, TENSORS])
def test_xarray_shows_dimensions_coordinates_and_units(layout: Layout, tmp_path: Path) -> None:
    import xarray

    sizes = {name: 4 + i for i, name in enumerate(layout.dimensions)} | SIZES
    path = tmp_path / "file.h5"
    values = {name: np.arange(sizes[name]) + 7 for name in layout.dimensions}
    initial = {scale: values[name] for name, scale in layout.scales.items() if "/" in scale}
    create(path, layout, sizes=sizes, attributes={}, initial=initial)
    for group in {array.path.split("/")[0] for array in layout.arrays}:
        arrays = {array.path.split("/")[1]: array for array in layout.arrays if array.path.startswith(f"{group}/")}
        with xarray.open_dataset(path, group=group, engine="h5netcdf") as dataset:
            assert dataset.variables.keys() == arrays.keys() | {
                link.split("/")[1] for link in layout.links if link.startswith(f"{group}/")
            }
            for name, array in arrays.items():
                variable = dataset[name]
                assert variable.dims == array.shape
                assert variable.attrs["units"] == array.units
                assert variable.dtype == array.dtype
                assert set(array.coordinates.split()) <= variable.coords.keys()
                if np.isnan(array.fill):
                    assert np.isnan(variable).all()
            for name in dataset.sizes.keys() & {name for name, scale in layout.scales.items() if "/" in scale}:
                np.testing.assert_array_equal(dataset.indexes[name], values[name])


@pytest.mark.requires("xarray", "h5netcdf")
def test_averages_of_no_structure_and_no_kept_weights_show_empty_dimensions(tmp_path: Path) -> None:
    import xarray

    path = tmp_path / "file.h5"
    sizes = dict.fromkeys(TENSORS.dimensions, 3) | {"structure": 0, "weighted": 0}
    create(path, TENSORS, sizes=sizes, attributes={}, initial={"mesh/energy": [1, 2, 3], "mesh/r": [1, 2, 3]})
    with xarray.open_dataset(path, group="particle", engine="h5netcdf") as dataset:
        assert dataset.spectra.sizes == {"structure": 0, "energy": 3}
    with xarray.open_dataset(path, group="statistical", engine="h5netcdf") as dataset:
        assert dataset.weights.sizes == {"weighted": 0, "delta": 3}


def test_names_of_dimensions_take_no_room_in_the_file(tmp_path: Path) -> None:
    sizes = {"structure": 2, "atom": 3, "task": 1, "energy_point": 2, "potential": 3, "variant": 0}
    ends = []
    for tasks in (1, 100_000):
        create(tmp_path / "file.h5", STORE, sizes=sizes | {"task": tasks}, attributes={}, initial={})
        with h5py.File(tmp_path / "file.h5") as file:
            assert all(file[name].id.get_offset() is None for name in STORE.dimensions)
            first, last = file["structures/numbers"], file["runs/outcome"]
            ends.append((first.id.get_offset(), last.id.get_offset() + last.nbytes))
    assert ends[0][0] == ends[1][0]
    assert ends[1][1] == (tmp_path / "file.h5").stat().st_size


@pytest.mark.parametrize("locking", [True, False])
def test_a_file_that_is_open_otherwise_is_not_called_damaged(tmp_path: Path, locking: bool) -> None:
    path = tmp_path / "store.h5"
    create(path, STORE, sizes=dict.fromkeys(STORE.dimensions, 2), attributes={}, initial={})
    with (
        h5py.File(path, locking=locking),
        pytest.raises(StoreError, match=r"is open in this process in another way than xanesml's; close it there"),
    ):
        open_file(path, STORE)
