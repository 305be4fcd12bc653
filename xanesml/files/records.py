"""Records as JSON files: pydantic checks what is read, and an array is a list of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BeforeValidator, ConfigDict, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from xanesml.errors import StoreError
from xanesml.files.arrays import Floats
from xanesml.files.whole import write_text

T = TypeVar("T")

#: Configuration of every record: unknown keys are refused.
RECORD = ConfigDict(extra="forbid")


def _array(values: Any) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except TypeError as error:
        raise ValueError(f"not an array of numbers: {error}") from error


#: An array of float64, in JSON a list of numbers, nested for more than one dimension.
FloatArray = Annotated[Floats, PlainValidator(_array), PlainSerializer(lambda values: values.tolist())]
#: A number that may be NaN, in JSON null.
Number = Annotated[float, BeforeValidator(lambda value: np.nan if value is None else value)]


def plain(record: Any) -> dict[str, Any]:
    """Return a record as dictionaries, lists, texts and numbers, ready for JSON; NaN stays NaN."""
    content: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    return content


def write_record(path: Path, record: Any) -> None:
    """Write a record as JSON, whole or not at all; NaN becomes null.

    Raises
    ------
    EnvironmentProblem
        If the folder or the file cannot be written.
    """
    write_text(path, TypeAdapter(type(record)).dump_json(record, indent=1).decode() + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Parameters
    ----------
    path : Path
        The file.
    remedy : str
        What to do if it is missing or holds something else, for the message.

    Raises
    ------
    StoreError
        If the file is missing, cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"there is no {path}; {remedy}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; make it readable and try again") from error
    except ValueError as error:
        raise StoreError(f"{path} is not valid JSON: {error}; {remedy}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} holds no JSON object; {remedy}")
    return content


def record_of(kind: type[T], content: dict[str, Any], path: Path, remedy: str) -> T:
    """Make a record from the content of a JSON file.

    Parameters
    ----------
    kind : type
        A dataclass or model of pydantic.
    content : dict
        The content.
    path : Path
        The file, for messages.
    remedy : str
        What to do if the content is no such record, for the message.

    Raises
    ------
    StoreError
        If a key is missing or unknown, or a value is not of its type.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        match problem["type"]:
            case "missing":
                found = f"lacks {key!r}"
            case "extra_forbidden" | "unexpected_keyword_argument":
                found = f"has the unknown key {key!r}"
            case _:
                found = f"misstates {key!r}: {problem['msg'].removeprefix('Value error, ')}"
        raise StoreError(f"{path} {found}; {remedy}") from error
