"""Predictions on the command line: many spectra with their progress, folders that are watched, and what is written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from hpc.drain import Drain
from hpc.progress import ProgressLine
from xanesml.errors import SpectrumError, printable
from xanesml.prediction.batch import Predictions
from xanesml.prediction.files import spectra_of
from xanesml.prediction.model import Model
from xanesml.prediction.watch import Watched, watch

#: Most spectra that get a figure and a line each.
_EACH = 20
#: Spectra that a process reads while another one starts.
_WORTH_A_PROCESS = 60
#: How often a watch looks whether it is to end, s.
_STEP = 0.1


class Results:
    """What predictions are written to: tables, figures and, if asked for, an Athena project.

    Parameters
    ----------
    folder : Path
        Folder of `predictions.json`, `predictions.csv` and `figures`.
    project : Path, optional
        The Athena project.
    figures : bool, optional
        Whether each spectrum gets a figure. Default: if there are at most 20.
    echo : callable
        Prints a line.
    """

    def __init__(
        self, folder: Path, *, project: Path | None, figures: bool | None, echo: Callable[[str], object]
    ) -> None:
        self._folder, self._project, self._figures, self._echo = folder, project, figures, echo
        self._all = Predictions([], [])
        self._drawn: set[str] = set()

    @property
    def refused(self) -> bool:
        """Whether a spectrum was refused."""
        return bool(self._all.refused)

    def add(self, found: Predictions) -> None:
        """Print predictions, and write them with those before; a source that comes again replaces what it gave."""
        again = {one.source for one in found} | {source for source, _ in found.refused}
        self._all.predictions[:] = [one for one in self._all if one.source not in again] + found.predictions
        self._all.refused[:] = [one for one in self._all.refused if one[0] not in again] + found.refused
        for line in found.refusals:
            typer.echo(printable(line), err=True)
        if self._all.predictions:
            self._write(found)

    def _write(self, found: Predictions) -> None:
        everything = self._all
        everything.write(self._folder)
        if self._project is not None:
            everything.write_project(self._project)
        figures = self._folder / "figures"
        if self._figures or (self._figures is None and len(everything) <= _EACH):
            now = {id(one) for one in found}
            for name, prediction in zip(everything.names, everything, strict=True):
                if id(prediction) in now:
                    prediction.plot(figures / f"{name}.png")
        if len(everything) > 1:
            everything.plot_series(figures / "readings.png")
        if len(found) <= _EACH:
            for prediction in found:
                self._echo(str(prediction))
        else:
            msd = [one.msd for one in found]
            doubtful = sum(bool(one.warnings) for one in found)
            self._echo(
                f"{len(found)} spectra: MSD {min(msd):.4f} … {max(msd):.4f} Å², {doubtful} with warnings, "
                f"{len(found.refused)} refused; table: {self._folder / 'predictions.csv'}"
            )


def read_spectra(
    model: Model, spectra: Sequence[Path], options: dict[str, Any], jobs: int | None, echo: Callable[[str], None]
) -> Predictions:
    """Predict from files, folders and patterns, with a progress bar for several.

    Raises
    ------
    SpectrumError
        If none can be used.
    """
    files = spectra_of(spectra)
    processes = jobs or max(1, min(len(os.sched_getaffinity(0)), len(files) // _WORTH_A_PROCESS))
    progress = ProgressLine("spectra", len(files), echo) if len(files) > _EACH else None
    try:
        advance = None if progress is None else progress.advance
        return model.predict(files, processes=processes, advance=advance, **options)
    finally:
        if progress is not None:
            progress.close()


def watch_folder(model: Model, folder: Path, options: dict[str, Any], results: Results, every: float) -> None:
    """Predict the spectra of a folder as they come, until Ctrl-C or a signal to end.

    Raises
    ------
    SpectrumError
        If there is no such folder.
    """
    drain = Drain(None)
    drain.listen()

    def handle(files: list[Path]) -> None:
        try:
            results.add(model.predict(files, **options))
        except SpectrumError:
            # None of these can be used: each is told, and the watch goes on.
            results.add(Predictions([], [refusal for file in files for refusal in _refusals(model, file, options)]))

    def wait() -> None:
        until = time.monotonic() + every
        while not drain.requested and time.monotonic() < until:
            time.sleep(_STEP)

    typer.echo(f"watching {folder}: Ctrl-C ends it")
    watch(Watched(folder), handle, stop=lambda: drain.requested, wait=wait)


def _refusals(model: Model, file: Path, options: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        model.predict([file], **options)
    except SpectrumError as error:
        return [(str(file), str(error))]
    return []


def energy_range(
    option: str, text: str | None, accepted: str = "two energies from the edge in eV, such as -150,-30"
) -> tuple[float, float] | None:
    """Return the range that an option states as FROM,TO.

    Raises
    ------
    SpectrumError
        If it is not two numbers.
    """
    if text is None:
        return None
    try:
        first, last = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SpectrumError(f"{option} is {text!r}; give {accepted}") from error
    return first, last


def expected_elements(text: str | None) -> tuple[str, ...]:
    """Return the elements that a text such as Se,Hg names.

    Raises
    ------
    SpectrumError
        If one of them is none.
    """
    from ase.data import atomic_numbers  # noqa: PLC0415 (slow)

    symbols = tuple(part.strip().capitalize() for part in (text or "").split(",") if part.strip())
    for symbol in symbols:
        if symbol not in atomic_numbers or symbol == "X":
            raise SpectrumError(f"--others names {symbol!r}, which is no element; give symbols, such as Se,Hg")
    return symbols
