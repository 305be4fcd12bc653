"""A trained model as a notebook and the command line use it: measured spectra in, predictions out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from numpy.typing import ArrayLike

from xanesml.assessment.report import LABELS, NETWORK, REPORT_FILE, read_report
from xanesml.errors import SpectrumError
from xanesml.files.notebook import Card, Entry
from xanesml.learning import model as learning
from xanesml.measured import MeasuredSpectrum, read_spectra, read_spectrum, spectrum_from_arrays
from xanesml.prediction.batch import Predictions
from xanesml.prediction.predict import Prediction, predict_spectrum
from xanesml.prediction.reference import Reference, make_reference, normalized_for

if TYPE_CHECKING:
    from typing_extensions import TypeIs

#: A file, with `:NAME` after it for one spectrum of several; energies (eV) and absorption; or a spectrum.
Spectrum = str | os.PathLike[str] | tuple[ArrayLike, ArrayLike] | MeasuredSpectrum
#: A spectrum of known disorder: with its MSD, Å²; with the standard uncertainty of this too; or calibrated already.
Known = tuple[Spectrum, float] | tuple[Spectrum, float, float] | Reference


def load_model(folder: str | os.PathLike[str]) -> Model:
    """Load a trained model.

    Parameters
    ----------
    folder : str or PathLike
        Folder that `xanesml train` wrote.

    Returns
    -------
    Model
        The model, ready to predict.

    Raises
    ------
    StoreError
        If the folder holds no model, one of another version, or an incomplete one.
    EnvironmentProblem
        If Keras is not installed.
    """
    return Model(Path(folder), learning.load_model(Path(folder)))


@dataclass(frozen=True, repr=False)
class Model(Card):
    """A trained model.

    Attributes
    ----------
    path : Path
        Folder of the model.
    trained : TrainedModel
        The networks, baselines and metadata.
    """

    path: Path
    trained: learning.TrainedModel

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        spectra: Spectrum,
        *,
        reference: Known | None = None,
        predictor: str = NETWORK,
        element: str | None = None,
        edge: str | None = None,
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        spectra: Sequence[Spectrum],
        *,
        reference: Known | None = None,
        predictor: str = NETWORK,
        element: str | None = None,
        edge: str | None = None,
    ) -> Predictions: ...
    def predict(
        self,
        spectra: Spectrum | Sequence[Spectrum],
        *,
        reference: Known | None = None,
        predictor: str = NETWORK,
        element: str | None = None,
        edge: str | None = None,
    ) -> Prediction | Predictions:
        """Predict the mean squared displacement from measured spectra.

        Parameters
        ----------
        spectra : str, PathLike, (energy, mu), MeasuredSpectrum, or a list of these
            A file in any format that `xanesml.measured.read_spectra` knows, with `:NAME` after it for one
            spectrum of several; or photon energies, shape (E,), eV, and absorption, shape (E,). A file in a list
            may hold several spectra.
        reference : (spectrum, msd), (spectrum, msd, msd_error) or Reference, optional
            A spectrum of known disorder from the same session, its MSD and the standard uncertainty, Å².
        predictor : str, optional
            `network`, or the name of a baseline in place of the networks; see `predictors`.
        element, edge : str, optional
            Absorber and edge of files that do not name them. Default: those of the model.

        Returns
        -------
        Prediction or Predictions
            `Predictions` for a list; it names the spectra that cannot be used, and why.

        Raises
        ------
        SpectrumError
            If the spectrum, every spectrum of a list, or the reference cannot be used.
        StoreError
            If the model has no networks for spectra with or without a reference, or no such baseline.
        EnvironmentProblem
            If xraylarch is not installed, or, for the predictor `gradient_boosting`, scikit-learn is not, or
            one that fits other trees.
        """
        known = reference
        if known is not None and not isinstance(known, Reference):
            if not isinstance(known, tuple) or not 2 <= len(known) <= 3:
                raise SpectrumError("a reference is (spectrum, msd), (spectrum, msd, msd_error) or a Reference")
            known = self.reference(*known, element=element, edge=edge)
        if _is_one(spectra):
            return self._predict(self._read(spectra, element, edge)[0], known, predictor)
        found = Predictions([], [])
        for one in spectra:
            source = _source(one)

            def refuse(reason: str, source: str = source) -> None:
                found.refused.append((source, reason))

            try:
                measured = self._read(one, element, edge, refuse)
            except SpectrumError as error:
                refuse(str(error))
                continue
            for spectrum in measured:
                try:
                    found.predictions.append(self._predict(spectrum, known, predictor))
                except SpectrumError as error:
                    refuse(str(error), spectrum.source)
        if not found.predictions:
            raise SpectrumError("; ".join(reason for _, reason in found.refused) or "the list of spectra is empty")
        return found

    def reference(
        self,
        spectrum: Spectrum,
        msd: float,
        msd_error: float = 0.0,
        *,
        element: str | None = None,
        edge: str | None = None,
    ) -> Reference:
        """Calibrate with a spectrum of known disorder, once for several calls of `predict`.

        Parameters
        ----------
        spectrum : str, PathLike, (energy, mu) or MeasuredSpectrum
            The spectrum, as in `predict`.
        msd, msd_error : float, Å²
            Mean squared displacement of the sample, and its standard uncertainty.
        element, edge : str, optional
            As in `predict`.

        Returns
        -------
        Reference
            The reference; doubts about it are in `calibration.doubts`.

        Raises
        ------
        SpectrumError
            If the displacement is outside the training labels, its uncertainty is negative or not finite, or the
            spectrum cannot be used.
        """
        measured = normalized_for(self.trained, self._read(spectrum, element, edge)[0])
        return make_reference(self.trained, measured, msd, msd_error=msd_error)

    @property
    def predictors(self) -> list[str]:
        """Names that `predict` takes as `predictor`: `network` and the baselines."""
        baselines = {name for some in self.trained.baselines.values() for name in some}
        return [NETWORK, *sorted(baselines)]

    def card(self) -> tuple[str, list[Entry]]:
        """Return the title and the lines that are printed."""
        metadata, mesh = self.trained.metadata, self.trained.mesh
        low, high = self.trained.scaling.ranges["msd"]
        campaign = f"{metadata.campaign.name}, digest {metadata.campaign_digest}"
        entries = [
            ("for", f"{metadata.element} {metadata.edge}, edge at {metadata.edge_energy:.1f} eV"),
            ("mesh", f"{mesh.size} energies, {mesh[0]:.1f} … {mesh[-1]:.1f} eV"),
            ("trained on", f"MSD {low:.4f} … {high:.4f} Å²; campaign {campaign}"),
            ("predictors", ", ".join(self.predictors)),
        ]
        report = read_report(self.path / REPORT_FILE) if (self.path / REPORT_FILE).exists() else None
        for mode, networks in self.trained.ensembles.items():
            errors = ""
            if report is not None:
                test = report.modes[mode].test
                each = (f"{LABELS[name]} {1e3 * test.errors[name].mae:.2f}" for name in test.by_error()[:2])
                errors = f"; least MAE on {test.n:,} held-out averages: {', '.join(each)} × 10⁻³ Å²"
            entries.append((mode, f"{len(networks)} network{'s' * (len(networks) > 1)}{errors}"))
        return f"Model {self.path}", entries

    def _predict(self, measured: MeasuredSpectrum, reference: Reference | None, predictor: str) -> Prediction:
        normalized = normalized_for(self.trained, measured)
        return predict_spectrum(self.trained, normalized, name=measured.stem, reference=reference, predictor=predictor)

    def _read(
        self,
        spectrum: Spectrum,
        element: str | None,
        edge: str | None,
        refuse: Callable[[str], None] | None = None,
    ) -> list[MeasuredSpectrum]:
        """Read the one spectrum, or, if some may be refused, all spectra of a file."""
        if isinstance(spectrum, MeasuredSpectrum):
            return [spectrum]
        metadata = self.trained.metadata
        expected = {"element": element or metadata.element, "edge": edge or metadata.edge}
        if isinstance(spectrum, tuple):
            return [spectrum_from_arrays(*spectrum, **expected)]
        if refuse is None:
            return [read_spectrum(Path(spectrum), **expected)]
        return read_spectra(Path(spectrum), **expected, refuse=refuse)


def _is_one(spectra: Spectrum | Sequence[Spectrum]) -> TypeIs[Spectrum]:
    """Whether this is one spectrum; a tuple may be that, as energies and absorption, or a sequence of spectra."""
    if isinstance(spectra, tuple):
        return len(spectra) == 2 and not any(
            isinstance(one, str | os.PathLike | tuple | MeasuredSpectrum) for one in spectra
        )
    return isinstance(spectra, str | os.PathLike | MeasuredSpectrum)


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
