"""Averages of one's own choice: from the tensor file and a measured spectrum to files and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from xanesml.averages.mixing import Choice, Mixtures, mix
from xanesml.averages.mixture_files import Beside, from_undistorted, write_mixtures
from xanesml.averages.series import Series
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS

#: Smallest mass outside the series that is told.
LEAST_TOLD = 5e-5


def numbers(option: str, texts: list[str] | None) -> tuple[float, ...]:
    """Return the numbers of an option that may be repeated and may have several separated by commas.

    Raises
    ------
    StoreError
        If a part is no number.
    """
    values = []
    for part in (part for text in texts or [] for part in text.split(",")):
        try:
            # Adding 0 turns −0 into 0.
            values.append(float(part) + 0.0)
        except ValueError as error:
            raise StoreError(f"{option} has {part.strip()!r}; give numbers, such as 0.08,0.145") from error
    return tuple(dict.fromkeys(values))


def mix_averages(
    campaign: Campaign,
    tensors: Path,
    folder: Path,
    choice: Choice,
    *,
    truncated: bool = False,
    measured: Path | None = None,
    echo: Callable[[str], None],
) -> Mixtures:
    """Average the series of a tensor file, which is only read, under distributions of one's own choice.

    Parameters
    ----------
    campaign : Campaign
        Its element, edge, and the mass that a distribution may have outside the series.
    tensors : Path
        The tensor file.
    folder : Path
        Folder of the files and the figure; see `xanesml.averages.mixture_files.write_mixtures`.
    choice : Choice
        The distributions.
    truncated : bool
        Whether those with more mass outside are made all the same.
    measured : Path, optional
        A measured spectrum that goes beside them, shifted in energy onto each.
    echo : callable
        Prints a line: the labels of each average, and those left out with the mass that the series does not hold.

    Returns
    -------
    Mixtures
        The averages.

    Raises
    ------
    StoreError
        If the tensor file cannot be read, or as `xanesml.averages.mixing.mix`.
    SpectrumError
        If the measured spectrum cannot be read or normalized, or does not cover the mesh.
    EnvironmentProblem
        If the folder cannot be written, or matplotlib is not installed.
    """
    from xanesml.plots import mixtures_figure  # noqa: PLC0415 (slow)

    with open_file(tensors, TENSORS) as file:
        series, edge = Series.read(file), float(file.attrs["edge"])
        offset = float(file.attrs["normalization_energy"]) - edge
        facts = {f"Xanesml.{name}": str(file.attrs[name]) for name in ("campaign_digest", "tasks_digest")}
    facts = {"Element.symbol": campaign.structure.element, "Element.edge": campaign.feff.edge} | facts
    mixtures = mix(series, choice, limit=campaign.averaging.truncation_limit, truncated=truncated)
    beside = None if measured is None else _beside(measured, campaign, mixtures, offset)
    write_mixtures(folder, mixtures, facts, beside)
    mixtures_figure(mixtures, edge, folder / "mix.png", beside)
    _tell(mixtures, beside, echo)
    return mixtures


def _beside(path: Path, campaign: Campaign, mixtures: Mixtures, offset: float) -> Beside:
    from xanesml.measured import read_spectrum  # noqa: PLC0415 (slow)
    from xanesml.measured.normalization import align, normalize, on_mesh  # noqa: PLC0415

    spectrum = read_spectrum(path, element=campaign.structure.element, edge=campaign.feff.edge)
    # The step is taken where the averages have theirs.
    normalized = normalize(spectrum, step_offset=offset)
    mesh = mixtures.series.energy
    found = [align(normalized, mesh, average) for average in mixtures.spectra]
    shift, rms = (np.array([getattr(one, name) for one in found]) for name in ("shift", "rms"))
    seen: Floats = on_mesh(normalized, mesh, float(shift[int(np.argmin(rms))]))
    return Beside(label=path.name, spectrum=seen, shift=shift, rms=rms)


def _tell(mixtures: Mixtures, beside: Beside | None, echo: Callable[[str], None]) -> None:
    moments, apart = mixtures.moments, from_undistorted(mixtures)
    for place, one in enumerate(mixtures.made):
        line = (
            f"{one.name}: MSD {1e3 * moments.msd[place]:.3f} × 10⁻³ Å², mean shift {moments.mean_shift[place]:+.4f} Å"
        )
        if np.isfinite(apart[place]):
            line += f", {apart[place]:.5f} edge steps from the undistorted spectrum"
        if beside is not None:
            line += f", {beside.rms[place]:.5f} from {beside.label} (shifted {beside.shift[place]:+.2f} eV)"
        if one.truncated >= LEAST_TOLD:
            line += f"; {one.truncated:.2%} of its mass lies outside the series"
        echo(line)
    for one in mixtures.left_out:
        echo(f"left out: {one.name}: the series truncates it by {one.truncated:.2%} of its mass; --truncated makes it")
