"""Writes a file whole or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xanesml.errors import EnvironmentProblem


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; the file gets its own name when the block ends without an error.

    By then its content is on disk, and so is its name: a crash of the machine leaves the old file
    or the new one. An error in the block leaves the old file, and nothing else.

    Parameters
    ----------
    path : Path
        The file. Its folder is made where it is missing.

    Yields
    ------
    Path
        A name beside it, of this process alone, with the same suffix.

    Raises
    ------
    EnvironmentProblem
        If the folder or the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.{socket.gethostname()}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _to_disk(partial)
            partial.replace(path)
            _to_disk(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {path}: {error.strerror or error}; check the folder and the space left"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8.

    Raises
    ------
    EnvironmentProblem
        If the folder or the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
