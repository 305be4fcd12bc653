from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import numpy as np
import pytest
from conftest import ROOT

from xanesml.feff.outcomes import Outcome
from xanesml.files.hdf5 import create
from xanesml.files.layout import STORE, TENSORS, Layout

SCHEMAS = ROOT / "data_schema"
PAIRS = [(STORE, "store.json"), (TENSORS, "tensors.json")]


def definition(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize(("layout", "name"), PAIRS)
def test_code_and_data_schema_agree(layout: Layout, name: str) -> None:
    formal = definition(name)
    jsonschema.validate(formal, json.loads((SCHEMAS / "definition.schema.json").read_text()))
    assert (formal["schema"], formal["version"]) == (layout.schema, layout.version)
    assert formal["dimensions"] == layout.dimensions
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
        for array in layout.arrays
    ]
    assert formal["datasets"] == ours


def test_outcome_codes_are_those_of_data_schema() -> None:
    assert definition("store.json")["outcomes"] == {outcome.label: int(outcome) for outcome in Outcome}


@pytest.mark.parametrize(("layout", "name"), PAIRS)
def test_a_file_is_laid_out_as_data_schema_says(layout: Layout, name: str, tmp_path: Path) -> None:
    sizes = {letter: 3 + i for i, letter in enumerate(layout.dimensions)}
    path = tmp_path / "file.h5"
    create(path, layout, sizes=sizes, attributes={}, initial={})
    formal = definition(name)
    with h5py.File(path) as file:
        found: list[str] = []
        file.visititems(lambda p, o: found.append(p) if isinstance(o, h5py.Dataset) else None)
        assert sorted(found) == sorted(entry["path"] for entry in formal["datasets"])
        for entry in formal["datasets"]:
            dataset = file[entry["path"]]
            assert dataset.shape == tuple(sizes.get(d) or int(d) for d in entry["shape"])
            assert dataset.dtype.str == entry["dtype"]
            assert dataset.attrs["units"] == entry["units"]
            assert dataset.chunks is None
            assert dataset.id.get_offset() is not None, "allocated when laid out"
            if not entry["dtype"].startswith("|S"):
                np.testing.assert_array_equal(dataset[...], np.full(dataset.shape, float(entry["fill"])))
