"""Fits of the first shell on the command line: of spectra, of a reference, and beside readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from xanesml.campaign import Campaign
from xanesml.errors import SpectrumError
from xanesml.exafs import ExafsFit, FitChoices, default_campaign, fit_first_shell, oscillations, paths_of
from xanesml.feff.paths import FeffPath
from xanesml.files.table import write_csv
from xanesml.files.whole import write_text
from xanesml.measured import MeasuredSpectrum, Treatment, read_spectra, read_spectrum
from xanesml.prediction.batch import Predictions
from xanesml.prediction.files import spectra_of

#: The word in place of an MSD that lets a fit find it.
EXAFS = "exafs"
#: What is written of a fit in one row.
_COLUMNS = (
    *("source", "sigma2", "sigma2_error", "length", "length_error", "amplitude", "amplitude_error", "e0", "e0_error"),
    *("third", "third_error", "r_factor", "neighbors"),
)

Echo = Callable[[object], None]
#: An MSD and its standard uncertainty, Å²; None where the latter is not stated.
Disorder = tuple[float, float | None]


class Shell:
    """Fits spectra with the paths of one campaign, or of the crystal of each spectrum's element.

    Parameters
    ----------
    campaign : Campaign or None
        Whose undistorted structure gives the paths; None for the fcc crystal of the element.
    choices : FitChoices
        Ranges and powers of k.
    treatment : Treatment
        How spectra are normalized.
    """

    def __init__(self, campaign: Campaign | None, choices: FitChoices, treatment: Treatment) -> None:
        self._campaign, self._choices, self._treatment = campaign, choices, treatment
        # FEFF runs once for the spectra of an edge.
        self._paths = cache(self._calculated)

    def _calculated(self, element: str, edge: str) -> list[FeffPath]:
        return paths_of(self._campaign or default_campaign(element, edge))

    def fit(self, measured: MeasuredSpectrum) -> ExafsFit:
        """Fit a spectrum.

        Raises
        ------
        SpectrumError
            If it is of another element or edge than the campaign, ends too early, or cannot be fitted.
        EngineError
            If FEFF is not installed or its run fails.
        """
        if self._campaign is not None:
            wanted = (self._campaign.structure.element, self._campaign.feff.edge)
            if (measured.element, measured.edge) != wanted:
                raise SpectrumError(
                    f"{measured.source} is of {measured.element} {measured.edge}, but the campaign "
                    f"{self._campaign.name} is of {' '.join(wanted)}; name a campaign of that edge"
                )
        treatment = self._treatment
        if measured.ranges is None:
            # Samples of a project may have a reference that is in none.
            treatment = replace(treatment, project_ranges=False)
        # Before FEFF runs: most spectra that cannot be fitted end too early.
        found = oscillations(measured, treatment)
        return fit_first_shell(found, self._paths(measured.element, measured.edge), self._choices)


def fit_files(
    shell: Shell,
    files: Sequence[Path],
    *,
    element: str | None,
    edge: str | None,
    signal: str | None,
    refuse: Callable[[str], object],
) -> list[tuple[str, ExafsFit]]:
    """Fit the spectra of files, each with a name of its own; those that cannot be fitted are told and left out."""
    found: list[tuple[str, ExafsFit]] = []
    for file in files:
        try:
            spectra = read_spectra(file, element=element, edge=edge, signal=signal, refuse=refuse)
        except SpectrumError as error:
            refuse(str(error))
            continue
        for spectrum in spectra:
            try:
                fit = shell.fit(spectrum)
            except SpectrumError as error:
                refuse(str(error))
                continue
            names = {name for name, _ in found}
            numbered = (f"{spectrum.stem}-{number}" for number in range(2, len(names) + 3))
            found.append((next(name for name in (spectrum.stem, *numbered) if name not in names), fit))
    return found


def write_fits(folder: Path, found: Sequence[tuple[str, ExafsFit]], *, echo: Echo) -> None:
    """Print fits, write `exafs.csv` and `exafs.json`, and draw each."""
    from xanesml.plots import exafs_figure  # noqa: PLC0415 (matplotlib is slow)

    fits = [fit for _, fit in found]
    rows = [[getattr(fit, name) for name in _COLUMNS] + ["; ".join(fit.doubts)] for fit in fits]
    write_csv(folder / "exafs.csv", [*_COLUMNS, "doubts"], rows)
    write_text(folder / "exafs.json", TypeAdapter(list[ExafsFit]).dump_json(fits, indent=1).decode() + "\n")
    for name, fit in found:
        exafs_figure(fit, folder / "figures" / f"exafs-{name}.png", label=name)
        for line in fit.lines():
            echo(line)


def references_of(
    paths: Sequence[Path], disorder: Sequence[str], errors: Sequence[float]
) -> list[tuple[Path, Disorder | None]]:
    """Return references with MSD and uncertainty, Å², as options state them; None where a fit is to find them.

    Raises
    ------
    SpectrumError
        If there is not one MSD for each reference, or there are uncertainties, but not one for each.
    """
    if len(paths) != len(disorder):
        raise SpectrumError(
            f"there are {len(paths)} --reference and {len(disorder)} --reference-msd; give one MSD for each reference"
        )
    if errors and len(errors) != len(paths):
        raise SpectrumError(
            f"there are {len(paths)} --reference and {len(errors)} --reference-error; give one for each, or none"
        )
    given: Sequence[float | None] = list(errors) or [None] * len(paths)
    return [(path, reference_disorder(text, error)) for path, text, error in zip(paths, disorder, given, strict=True)]


def reference_disorder(text: str, error: float | None) -> Disorder | None:
    """Return MSD and uncertainty of a reference, Å², as options state them; None where a fit is to find them.

    Raises
    ------
    SpectrumError
        If the MSD is neither a number nor `exafs`, or an uncertainty is stated beside a fit.
    """
    if text == EXAFS:
        if error is not None:
            raise SpectrumError(f"--reference-msd {EXAFS} finds the uncertainty too; leave out --reference-error")
        return None
    try:
        return float(text), error
    except ValueError as problem:
        raise SpectrumError(
            f"--reference-msd is {text!r}; give a number in Å², such as 0.0081, or {EXAFS}"
        ) from problem


def fit_reference(
    shell: Shell, reference: Path, *, element: str | None, edge: str | None, folder: Path, echo: Echo
) -> tuple[float, float]:
    """Fit a reference, write the fit as `write_fits` does, and return its σ² with the uncertainty, Å².

    Raises
    ------
    SpectrumError
        If it cannot be read or fitted, or σ² is not positive.
    """
    measured = read_spectrum(reference, element=element, edge=edge)
    fit = shell.fit(measured)
    write_fits(folder, [(measured.stem, fit)], echo=echo)
    if not fit.sigma2 > 0:
        raise SpectrumError(
            f"EXAFS gives {fit.source} σ² = {fit.sigma2:.4f} ± {fit.sigma2_error:.4f} Å², which is no MSD; "
            "give --reference-msd as a number"
        )
    return fit.sigma2, fit.sigma2_error


def weights_of(text: str) -> tuple[int, ...]:
    """Return the powers of k that a text such as 1,2,3 names.

    Raises
    ------
    SpectrumError
        If they are no whole numbers from 0 to 3.
    """
    parts = text.split(",")
    if not all(part.strip() in ("0", "1", "2", "3") for part in parts):
        raise SpectrumError(f"--k-weights is {text!r}; give whole numbers from 0 to 3, such as 1,2,3")
    return tuple(dict.fromkeys(int(part) for part in parts))


def fit_beside(
    shell: Shell,
    spectra: Sequence[Path],
    read: Predictions,
    *,
    element: str | None,
    edge: str | None,
    signal: str | None,
    folder: Path,
    echo: Echo,
) -> None:
    """Fit spectra that were predicted, and print each MSD beside σ²; those that cannot be fitted are told."""
    readings = {one.source: one for one in read}
    refused: list[str] = []
    files = spectra_of(spectra)
    found = fit_files(shell, files, element=element, edge=edge, signal=signal, refuse=refused.append)
    if found:
        write_fits(folder, found, echo=echo)
    for reason in refused:
        echo(f"no EXAFS: {reason}")
    for _, fit in found:
        if (one := readings.get(fit.source)) is not None:
            low, high = one.interval
            echo(
                f"{fit.source}: MSD {one.msd:.4f} ({low:.4f} … {high:.4f}) Å² read, "
                f"σ² {fit.sigma2:.4f} ± {fit.sigma2_error:.4f} Å² by EXAFS"
            )
