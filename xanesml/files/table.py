"""Tables as comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xanesml.errors import StoreError
from xanesml.files.whole import whole_file

T = TypeVar("T")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a line of column names, whole or not at all.

    Raises
    ------
    EnvironmentProblem
        If the folder or the file cannot be written.
    """
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path, convert: Callable[[dict[str, str]], T], *, made_by: str) -> list[T]:
    """Read a table that `write_csv` wrote.

    Parameters
    ----------
    path : Path
        The file.
    convert : callable
        Makes what is returned of a row, a text by column name; KeyError, TypeError and ValueError
        mean that the table holds something else.
    made_by : str
        The command that makes the table, for the message.

    Raises
    ------
    StoreError
        If the file cannot be read, holds something else, or has no rows.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [convert(row) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise StoreError(f"{path} does not exist; make it again with `{made_by}`") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; make it readable and try again") from error
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; make it again with `{made_by}`") from error
    if not rows:
        raise StoreError(f"{path} has no rows; make it again with `{made_by}`")
    return rows
