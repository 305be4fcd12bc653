"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xanesml.errors import EnvironmentProblem

#: The system's answers to an fsync of a folder where a file system, or the folder's permissions, do not allow it.
_NO_FOLDER_SYNC = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP)


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name to write to; the file gets its own name when the block ends without an error.

    Whatever happens, the file is the old one or the new one. After an error in the block nothing else
    is left; after a kill, the temporary file. A file that is replaced keeps its permissions.

    Parameters
    ----------
    path : Path
        The file. Its folder is made where it is missing. Where it is a link, the file that it leads to
        is written, and the link stays.
    durable : bool
        Whether the file and its name are on disk when the block has ended, so that a crash of the
        machine cannot lose them either. That takes some 10 ms; scratch files do without.

    Yields
    ------
    Path
        A name beside the file, of this call alone, with the same suffix.

    Raises
    ------
    EnvironmentProblem
        If the folder or the file cannot be written.
    """
    try:
        target = path.resolve()
        # By chance: hosts of containers may share a name, and processes on them a number.
        partial = target.with_name(f".{target.name}~{secrets.token_hex(8)}.partial{target.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if target.exists():
                shutil.copymode(target, partial)
            if durable:
                _to_disk(partial)
            partial.replace(target)
            if durable:
                _folder_to_disk(target.parent)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {path}: {reason(error)}; check the folder and the space left"
        ) from error


def remove_partials(path: Path) -> None:
    """Remove the temporary files that killed calls of `whole_file` have left; nobody else may be writing the file."""
    target = path.resolve()
    # The temporary name of a file that is itself written under a temporary name begins with two dots.
    for dots in (".", ".."):
        for partial in target.parent.glob(f"{dots}{glob.escape(target.name)}~*.partial{glob.escape(target.suffix)}"):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a text file in UTF-8, whole or not at all; see `whole_file`.

    Raises
    ------
    EnvironmentProblem
        If the folder or the file cannot be written.
    """
    with whole_file(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8")


def reason(error: OSError, path: Path | None = None) -> str:
    """Return in a few words why a file could not be read or written.

    Parameters
    ----------
    error : OSError
        Error of the system, of MPI-IO or of HDF5.
    path : Path, optional
        The file, for MPI-IO, which does not report a full disk as such.
    """
    if path is not None and error.errno in (None, errno.EIO) and not os.statvfs(path).f_bavail:
        return os.strerror(errno.ENOSPC)
    # HDF5 puts its own message of many lines where the system's words belong.
    text = " ".join(str(error.strerror or error).split())
    if error.errno is not None and error.errno != errno.EIO:
        return os.strerror(error.errno)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOLCK):
        if os.strerror(number) in text:
            return os.strerror(number)
    return text[:200]


def system_words(error: OSError) -> str | None:
    """Return the system's words for an error of its own, in h5py's errors too; None for one about a file's content."""
    number = error.errno
    if number is None and (told := re.search(r"\berrno = (\d+)", str(error))):
        number = int(told[1])
    return os.strerror(number) if number else None


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folder_to_disk(folder: Path) -> None:
    try:
        _to_disk(folder)
    except OSError as error:
        # The file is whole and has its name; only its safety in a crash is as the file system has it.
        if error.errno not in _NO_FOLDER_SYNC:
            raise
