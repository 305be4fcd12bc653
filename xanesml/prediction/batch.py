"""Predictions from several spectra: usable ones are predicted, the others are refused with a reason."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xanesml.files.arrays import Floats
from xanesml.files.lock import WriteLock
from xanesml.files.notebook import html_table, notebook_library
from xanesml.files.table import write_csv
from xanesml.files.whole import remove_partials, write_text
from xanesml.prediction.predict import Prediction

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Attributes of a prediction that are columns: those before the ends of its interval, and those behind them.
_BEFORE, _BEHIND = ("source", "mode", "predictor", "msd"), ("spread", "mean_shift", "shift", "distance")
_UNCERTAIN = ("normalization", "energy", "reference")
_COLUMNS = (*_BEFORE, "low", "high", *_BEHIND, *(f"{name}_uncertainty" for name in _UNCERTAIN), "time", "warnings")

#: Units of the columns that have one.
_UNITS = dict.fromkeys(("msd", "low", "high", "spread", *(f"{name}_uncertainty" for name in _UNCERTAIN)), "Å²")
_UNITS |= {"mean_shift": "Å", "shift": "eV"}
#: Series longer than this are drawn in hours, minutes.
_HOURS = 300.0


@dataclass(frozen=True)
class Predictions:
    """Predictions from several spectra, in their order; iterate over them, or take one by its index.

    Attributes
    ----------
    predictions : list of Prediction
        One for each usable spectrum.
    refused : list of (str, str)
        Source of each spectrum that cannot be used, and the reason.
    """

    predictions: list[Prediction]
    refused: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __getitem__(self, index: int) -> Prediction:
        return self.predictions[index]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.predictions), *self.refusals])

    __repr__ = __str__

    @property
    def refusals(self) -> list[str]:
        """A line for each refused spectrum."""
        return [
            f"refused: {reason}" if source in reason else f"refused: {source}: {reason}"
            for source, reason in self.refused
        ]

    @property
    def names(self) -> list[str]:
        """A name for each prediction; a name that an earlier one has gets a number."""
        names: dict[str, int] = {}
        for prediction in self.predictions:
            name, number = prediction.name, names.get(prediction.name, 1)
            while name in names:
                number += 1
                name = f"{prediction.name}-{number}"
            names[prediction.name] = number
            names.setdefault(name, 1)
        return list(names)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table that `write` puts into `predictions.csv`, a row a prediction; units in `attrs["units"]`.

        Raises
        ------
        EnvironmentProblem
            If pandas is not installed.
        """
        table: pd.DataFrame = notebook_library("pandas").DataFrame(self._rows(), columns=list(_COLUMNS))
        table.attrs["units"] = _UNITS
        return table

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the MSDs with their intervals, over the range that the model was trained on.

        Parameters, result and errors are as in `Prediction.plot`, which draws the spectrum of one.
        """
        from xanesml.plots import msd_overview  # noqa: PLC0415 (prediction itself draws nothing)

        msd = np.array([one.msd for one in self])
        low, high = np.array([one.interval for one in self]).T
        trained = self[0].label_range
        return msd_overview(self.names, msd, low, high, None if path is None else Path(path), trained=trained)

    def plot_series(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the MSDs with their intervals against time, where the files say when each was measured, or their order.

        Parameters, result and errors are as in `Prediction.plot`.
        """
        from xanesml.plots import msd_series  # noqa: PLC0415 (prediction itself draws nothing)

        places, what = self._places()
        msd = np.array([one.msd for one in self])
        low, high = np.array([one.interval for one in self]).T
        out = None if path is None else Path(path)
        return msd_series(places, msd, low, high, out, what=what, trained=self[0].label_range)

    def _places(self) -> tuple[Floats, str]:
        """Return where each belongs in a series, and what that is."""
        times = [one.time for one in self]
        if len(set(times)) > 1 and all(times):
            # Times without a zone cannot be compared with others.
            seconds = np.array([datetime.fromisoformat(time).replace(tzinfo=None).timestamp() for time in times])
            minutes = (seconds - seconds.min()) / 60
            return (minutes / 60, "Time (h)") if minutes.max() > _HOURS else (minutes, "Time (min)")
        return np.arange(1.0, len(times) + 1), "Spectrum"

    def write_project(self, path: str | os.PathLike[str]) -> None:
        """Write an Athena project of the aligned, normalized spectra, with the readings in its journal.

        Raises
        ------
        EnvironmentProblem
            If xraylarch is not installed or the file cannot be written.
        """
        from xanesml.measured.project import ProjectGroup, write_project  # noqa: PLC0415 (larch is slow)

        groups = [
            ProjectGroup(name, one.measured, one.shift, (str(one), f"columns: {one.normalization['columns']}"))
            for name, one in zip(self.names, self, strict=True)
        ]
        write_project(Path(path), groups, [*map(str, self), *self.refusals])

    def write(self, folder: str | os.PathLike[str], *, figures: bool = False) -> None:
        """Write `predictions.csv` and, last, `predictions.json` into a folder, each whole or not at all.

        Parameters
        ----------
        folder : str or PathLike
            The folder.
        figures : bool, optional
            Whether to draw every prediction in its folder `figures` too.

        Raises
        ------
        StoreError
            If another process writes predictions there.
        EnvironmentProblem
            If the folder cannot be made or written to.
        """
        folder = Path(folder)
        target = folder / "predictions.json"
        with WriteLock(target):
            remove_partials(folder / "predictions.csv")
            self._write(target)
            if figures:
                for name, prediction in zip(self.names, self, strict=True):
                    prediction.plot(folder / "figures" / f"{name}.png")

    def _write(self, target: Path) -> None:
        content = {
            "predictions": [prediction.as_dict() for prediction in self],
            "refused": [{"source": source, "reason": reason} for source, reason in self.refused],
        }
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_csv(target.with_suffix(".csv"), _COLUMNS, self._rows())
        write_text(target, text)

    def _rows(self) -> list[tuple[str | float | None, ...]]:
        before, behind = attrgetter(*_BEFORE), attrgetter(*_BEHIND)
        return [
            (
                *before(one),
                *one.interval,
                *behind(one),
                *(one.uncertainties.get(name, 0.0) for name in _UNCERTAIN),
                one.time,
                "; ".join(one.warnings),
            )
            for one in self
        ]

    def _repr_html_(self) -> str:
        head = ("spectrum", "MSD (Å²)", "interval (Å²)", "predictor", "warnings")
        rows = [
            (
                one.source,
                f"{one.msd:.4f}",
                f"{one.interval[0]:.4f} … {one.interval[1]:.4f}",
                one.predictor,
                "; ".join(one.warnings),
            )
            for one in self
        ]
        refused = [(source, "refused", "", "", reason) for source, reason in self.refused]
        return html_table(head, [*rows, *refused])
