"""A FEFF installed at your site: one program, or one per module."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from xanesml.campaign import EngineSection
from xanesml.errors import EngineError
from xanesml.feff.request import Request
from xanesml.feff.run import FeffRun

_DIGEST_BYTES = 8


class CommandEngine:
    """A FEFF installed at your site: one program, or one per module.

    Parameters
    ----------
    section : EngineSection
        The engine: its commands run in order in the run's folder. Where one of them is FEFF's module
        pot, the first atom of each potential in feff.inp stands for it; see `xanesml.feff.representatives`.

    Raises
    ------
    EngineError
        If a program cannot be found, executed or read.
    """

    def __init__(self, section: EngineSection) -> None:
        self.timeout = section.timeout
        commands = section.commands
        self._commands = [[_program(command[0]), *command[1:]] for command in commands]
        self._potentials = section.potentials_commands()
        hashes: dict[str, str] = {}
        for words, command in zip(commands, self._commands, strict=True):
            # Programs run in another folder, where a relative argument means another file.
            files = ((word, Path(path)) for word, path in zip(words, command, strict=True) if Path(path).is_absolute())
            hashes |= {word: _digest(path) for word, path in files if path.is_file()}
        contents = ", ".join(f"{word} {digest}" for word, digest in hashes.items())
        self.identity = f"command {section.version}: {json.dumps([list(command) for command in commands])} ({contents})"

    def start(self, folder: Path, text: str, request: Request) -> FeffRun:
        """Start a run; see `Engine.start`."""
        commands = list(self._commands)
        if self._potentials is not None:
            first, last = self._potentials
            order = [sys.executable, "-IS", str(Path(__file__).with_name("representatives.py")), str(folder.absolute())]
            commands[first : last + 1] = [[*order, "first"], *commands[first : last + 1], [*order, "back"]]
        return FeffRun(commands, folder=folder, text=text, request=request, timeout=self.timeout)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise EngineError(
            f"engine.commands names '{name}', which is not an executable here; give a program on PATH or its full path"
        )
    # Programs run in another folder, where a relative path would point elsewhere.
    return str(Path(found).absolute())


def _digest(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=_DIGEST_BYTES).hexdigest()
    except OSError as error:
        raise EngineError(
            f"cannot read {path} of engine.commands, whose content identifies the engine: {error.strerror}; "
            "make it readable"
        ) from error
