"""Readings beside references: MSD, bond length and coordination number of several samples with their errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xanesml.plots.style import BLUE, MSD, ORANGE, TWO_COLUMNS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xanesml.pools.reading import KnownSample, Reading


def draw_readings(readings: Sequence[Reading], references: Sequence[KnownSample], out: Path | None = None) -> Figure:
    """Draw what was read off samples.

    Parameters
    ----------
    readings : sequence of Reading
        The samples.
    references : sequence of KnownSample
        Spectra of known MSD that they were read beside.
    out : Path, optional
        PNG file to write; a PDF is written beside it.

    Returns
    -------
    Figure
        Three panels: MSD with 90 % intervals and the references' own; bond length minus that of the first reference,
        and coordination number, with standard uncertainties.
    """
    with new_figure(out, height=0.9 + 0.28 * (len(readings) + len(references)), width=TWO_COLUMNS) as figure:
        left, middle, right = figure.subplots(1, 3, sharey=True)
        place = np.arange(len(readings))
        names = [Path(one.source).stem for one in readings]
        msd = np.array([one.msd for one in readings])
        low, high = np.array([one.interval for one in readings]).T
        left.errorbar(1e3 * msd, place, xerr=1e3 * np.array([msd - low, high - msd]), fmt="o", color=BLUE)
        for row, known in enumerate(references, start=len(readings)):
            left.errorbar([1e3 * known.msd], [row], xerr=[1e3 * known.error], fmt="s", color=ORANGE)
            names.append(f"{Path(known.spectrum.source).stem} (known)")
        left.set_xlabel(MSD)
        bond, bond_error = np.array([(one.bond, one.bond_error) for one in readings]).T
        middle.errorbar(bond, place, xerr=bond_error, fmt="o", color=BLUE)
        middle.set_xlabel("bond length − reference's (Å)")
        number, number_error = np.array([(one.coordination, one.coordination_error) for one in readings]).T
        right.errorbar(number, place, xerr=number_error, fmt="o", color=BLUE)
        right.set_xlabel("first neighbors")
        left.set_yticks(range(len(names)), names)
        left.invert_yaxis()
    return figure
