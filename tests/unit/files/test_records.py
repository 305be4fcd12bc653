"""Records as JSON files: what is read is what was written, and anything else is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic.dataclasses import dataclass

from xanesml.errors import StoreError
from xanesml.files.records import RECORD, FloatArray, Number, plain, read_json, record_of, write_record


@dataclass(frozen=True, config=RECORD)
class Inner:
    size: Number


@dataclass(frozen=True, config=RECORD)
class Outer:
    name: str
    values: FloatArray
    inner: dict[str, Inner]


WHOLE = Outer("Å", np.array([[0.1, 1 / 3], [1e-30, 2.0]]), {"a": Inner(0.5), "b": Inner(float("nan"))})


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, WHOLE)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "name": "Å",
        "values": [[0.1, 1 / 3], [1e-30, 2.0]],
        "inner": {"a": {"size": 0.5}, "b": {"size": None}},
    }
    again = record_of(Outer, read_json(path, "make it"), path, "make it")
    np.testing.assert_array_equal(again.values, WHOLE.values)
    assert again.values.dtype == np.float64
    assert (again.name, again.inner["a"]) == ("Å", Inner(0.5))
    assert np.isnan(again.inner["b"].size)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"name": None}, "lacks 'name'"),
        ({"more": 1}, "has the unknown key 'more'"),
        ({"inner": {"a": {}}}, "lacks 'inner.a.size'"),
        ({"inner": {"a": {"size": 1, "unit": "m"}}}, "has the unknown key 'inner.a.unit'"),
        ({"inner": {"a": {"size": "large"}}}, "misstates 'inner.a.size': Input should be a valid number"),
        ({"values": ["x"]}, "misstates 'values': could not convert string to float: 'x'"),
        ({"values": {}}, "misstates 'values': not an array of numbers"),
    ],
)
def test_what_is_no_such_record_is_refused_in_one_line(change: dict[str, Any], found: str) -> None:
    content = {name: value for name, value in (plain(WHOLE) | change).items() if value is not None}
    with pytest.raises(StoreError) as caught:
        record_of(Outer, content, Path("record.json"), "make it again")
    assert str(caught.value).startswith(f"record.json {found}")
    assert str(caught.value).endswith("; make it again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "found"), [("{", "is not valid JSON"), ("[1]", "holds no JSON object")])
def test_a_file_that_holds_no_object_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "record.json"
    with pytest.raises(StoreError, match=r"there is no .*record\.json; make it"):
        read_json(path, "make it")
    path.write_text(text)
    with pytest.raises(StoreError, match=rf"record\.json {found}.*; make it"):
        read_json(path, "make it")
    with pytest.raises(StoreError, match=r"cannot be read: Is a directory; make it"):
        read_json(tmp_path, "make it")
