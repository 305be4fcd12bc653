"""Spectra that appear in a folder while it is watched, as in-situ series do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xanesml.errors import SpectrumError
from xanesml.prediction.files import is_candidate

#: Size and time of the last change, of a file as it was found.
State = tuple[int, int]


class Watched:
    """A folder whose files are given out once they no longer change.

    Listing works on network file systems, which do not report what other machines write.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    SpectrumError
        If there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SpectrumError(f"there is no folder {folder} to watch; give the folder that the beamline writes to")
        self._folder = folder
        self._before: dict[Path, State] = {}
        self._given: dict[Path, State] = {}

    def complete(self) -> list[Path]:
        """Return the files, oldest first, that are as they were at the last call and were not given out like this.

        A file that grows after it was given out is given out again.
        """
        now = self._listed()
        found = [path for path, state in now.items() if self._before.get(path) == state != self._given.get(path)]
        self._before = now
        self._given.update((path, now[path]) for path in found)
        return sorted(found, key=lambda path: (now[path][1], path))

    def _listed(self) -> dict[Path, State]:
        found = {}
        for path in self._folder.iterdir():
            try:
                if is_candidate(path) and path.is_file():
                    status = path.stat()
                    found[path] = status.st_size, status.st_mtime_ns
            except OSError:
                # It was there a moment ago: the beamline renames files when they are whole.
                continue
        return found


def watch(
    watched: Watched, handle: Callable[[list[Path]], object], *, stop: Callable[[], bool], wait: Callable[[], object]
) -> None:
    """Hand over files as they come, until told to stop.

    Parameters
    ----------
    watched : Watched
        The folder.
    handle : callable
        Called with the files that are complete, at least one.
    stop : callable
        Whether to end; asked after each listing.
    wait : callable
        Waits until the next listing.
    """
    while True:
        if files := watched.complete():
            handle(files)
        if stop():
            return
        wait()
