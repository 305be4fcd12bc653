from __future__ import annotations

from pathlib import Path

import pytest

from xanesml.errors import StoreError
from xanesml.files.table import read_csv, write_csv


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    write_csv(path, ["name", "value"], [("a, b", 0.1), ("c\nd", 2)])
    assert path.read_bytes() == b'name,value\n"a, b",0.1\n"c\nd",2\n'
    assert read_csv(path, lambda row: (row["name"], float(row["value"])), made_by="make") == [
        ("a, b", 0.1),
        ("c\nd", 2.0),
    ]


def test_rows_that_fail_leave_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(path, ["value"], [[1]])
    with pytest.raises(ZeroDivisionError):
        write_csv(path, ["value"], ([1 / one] for one in (1, 0)))
    assert [found.read_text() for found in tmp_path.iterdir()] == ["value\n1\n"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "does not exist"),
        ("other\n1\n", "cannot be read: 'value'"),
        ("value\nx\n", "cannot be read: could not convert string to float: 'x'"),
        ("value\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "table.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StoreError, match=rf"^{path} {problem}.*; make it again with `xanesml train`$"):
        read_csv(path, lambda row: float(row["value"]), made_by="xanesml train")
