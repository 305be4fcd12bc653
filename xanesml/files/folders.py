"""Put a folder that is complete in the place of an earlier one, which is there until that moment."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from xanesml.errors import EnvironmentProblem
from xanesml.files.whole import reason

#: Flag of renameat2 that exchanges two names, and the number that stands for the working folder.
_EXCHANGE, _HERE = 2, -100

#: The system's answers where a file system cannot exchange names.
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def replace_folder(made: Path, folder: Path, *, ours: Callable[[str], bool]) -> None:
    """Give a folder that is complete its name; what else lay in the folder of that name moves along.

    On Linux the two folders exchange their names in one step where the file system can do that.
    Elsewhere there is a moment without a folder of the name; `resume_replacement` ends what a kill
    then leaves.

    Parameters
    ----------
    made : Path
        The complete folder, on the same file system.
    folder : Path
        The name. Where it is a link, the folder that it leads to is replaced, and the link stays.
    ours : callable
        Whether a name in the earlier folder is of what is replaced, and goes; the others stay.

    Raises
    ------
    EnvironmentProblem
        If a folder cannot be renamed.
    """
    target = folder.resolve()
    try:
        if not target.exists():
            made.rename(target)
            return
        if _exchanged(made, target):
            old = made
        else:
            old = _aside(target)
            target.rename(old)
            made.rename(target)
        _move_along(old, target, ours)
    except OSError as error:
        raise EnvironmentProblem(f"cannot replace {folder}: {reason(error)}; check the folder") from error


def resume_replacement(folder: Path, *, ours: Callable[[str], bool]) -> None:
    """End what a kill has left of `replace_folder`; nobody else may be replacing the folder.

    Raises
    ------
    EnvironmentProblem
        If a folder cannot be renamed.
    """
    target = folder.resolve()
    old = _aside(target)
    try:
        if not old.is_dir():
            return
        if target.exists():
            _move_along(old, target, ours)
        else:
            old.rename(target)
    except OSError as error:
        raise EnvironmentProblem(f"cannot replace {folder}: {reason(error)}; check the folder") from error


def _move_along(old: Path, target: Path, ours: Callable[[str], bool]) -> None:
    """Remove an earlier folder, but for what is not ours, which moves into the later one."""
    for path in old.iterdir():
        if not ours(path.name) and not (target / path.name).exists():
            path.rename(target / path.name)
    shutil.rmtree(old)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}~replaced")


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where that is not possible."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number))
