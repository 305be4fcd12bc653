"""Many spectra: read, normalized and aligned one by one, in this process or spread over several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from xanesml.errors import SpectrumError
from xanesml.measured import MeasuredSpectrum, Treatment
from xanesml.prediction.prepare import Align, Prepared, Theory, prepare
from xanesml.prediction.reference import Reference, Spectrum, Wanted

#: The spectra of one file that can be used, and source and reason of each that cannot.
Result = tuple[list[Prepared], list[tuple[str, str]]]

#: Spectra that a process takes at once: few enough that all are busy to the end.
_CHUNK = 4


@dataclass(frozen=True)
class Preparation:
    """What is done with each of many spectra before it is predicted; small, so that processes can have it.

    Attributes
    ----------
    theory, wanted : Theory, Wanted
        Of the model.
    reference : Reference or None
        The calibrated reference.
    element, edge, signal, treatment
        As in `xanesml.prediction.model.Model.predict`.
    align_by : Align
        What puts energies on those of the reference.
    """

    theory: Theory
    wanted: Wanted
    reference: Reference | None = None
    element: str | None = None
    edge: str | None = None
    signal: str | None = None
    treatment: Treatment | None = None
    align_by: Align = Align.foil

    def only(self, spectrum: Spectrum) -> Prepared:
        """Read and prepare one spectrum.

        Raises
        ------
        SpectrumError
            If it cannot be used, or its file has several.
        """
        return self._prepared(self.wanted.read(spectrum, self.element, self.edge, self.signal)[0])

    def all(self, spectrum: Spectrum) -> Result:
        """Read and prepare all spectra of a file; those that cannot be used are named."""
        source = _source(spectrum)
        prepared: list[Prepared] = []
        refused: list[tuple[str, str]] = []
        try:
            measured = self.wanted.read(
                spectrum, self.element, self.edge, self.signal, lambda reason: refused.append((source, reason))
            )
        except SpectrumError as error:
            return [], [*refused, (source, str(error))]
        for one in measured:
            try:
                prepared.append(self._prepared(one))
            except SpectrumError as error:
                refused.append((one.source, str(error)))
        return prepared, refused

    def _prepared(self, measured: MeasuredSpectrum) -> Prepared:
        return prepare(
            self.theory,
            self.wanted.normalized(measured, self.treatment),
            name=measured.stem,
            reference=self.reference,
            align_by=self.align_by,
        )


def prepared_many(preparation: Preparation, spectra: Sequence[Spectrum], processes: int = 1) -> Iterator[Result]:
    """Yield the result for each of many files, in their order.

    Parameters
    ----------
    preparation : Preparation
        What to do with each.
    spectra : sequence
        Files or spectra.
    processes : int
        Number of processes. They start afresh, as a process with networks in it must not be forked.
    """
    if processes <= 1 or len(spectra) <= 1:
        yield from map(preparation.all, spectra)
        return
    # Threads of the linear algebra in each would only compete.
    with ProcessPoolExecutor(
        min(processes, len(spectra)), mp_context=get_context("spawn"), initializer=_begin, initargs=(preparation,)
    ) as pool:
        yield from pool.map(_prepare, spectra, chunksize=_CHUNK)


_given: list[Preparation] = []


def _begin(preparation: Preparation) -> None:
    _given[:] = [preparation]


def _prepare(spectrum: Spectrum) -> Result:
    return _given[0].all(spectrum)


def _source(spectrum: Spectrum) -> str:
    if isinstance(spectrum, MeasuredSpectrum):
        return spectrum.source
    if isinstance(spectrum, tuple):
        return "arrays"
    try:
        return os.fspath(spectrum)
    except TypeError as error:
        raise SpectrumError(
            f"a list of spectra holds {type(spectrum).__name__}; give files, pairs (energy, mu) or MeasuredSpectrum"
        ) from error
