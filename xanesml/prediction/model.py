"""A trained model as a notebook and the command line use it: measured spectra in, predictions out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from xanesml.assessment.report import LABELS, NETWORK, REPORT_FILE, read_report
from xanesml.errors import SpectrumError, StoreError
from xanesml.files.notebook import Card, Entry
from xanesml.learning import model as learning
from xanesml.measured import MeasuredSpectrum, Treatment
from xanesml.models import Shipped, shipped_model
from xanesml.prediction.batch import Predictions
from xanesml.prediction.many import Preparation, prepared_many
from xanesml.prediction.predict import Prediction, predict_prepared
from xanesml.prediction.prepare import Align, Prepared, Theory
from xanesml.prediction.reference import Reference, Spectrum, Wanted, make_reference

if TYPE_CHECKING:
    from typing_extensions import TypeIs

#: Spectra that the networks are called for at once, each with its variations.
_AT_ONCE = 64
#: A spectrum of known disorder: with its MSD, Å²; with the standard uncertainty of this too; or calibrated already.
Known = tuple[Spectrum, float] | tuple[Spectrum, float, float] | Reference


def load_model(folder: str | os.PathLike[str]) -> Model:
    """Load a trained model.

    Parameters
    ----------
    folder : str or PathLike
        Folder that `xanesml train` wrote; or, where there is no such folder, the name of a model that ships,
        such as `au-l3`.

    Returns
    -------
    Model
        The model, ready to predict.

    Raises
    ------
    StoreError
        If the folder holds no model, one of another version, or an incomplete one; or if none of that name ships.
    EnvironmentProblem
        If the folder holds networks for Keras alone, and Keras is not installed.
    """
    path = Path(folder)
    shipped = shipped_model(str(folder)) if path.name == str(path) and not path.exists() else None
    if shipped is not None:
        if shipped.manifest.kind != "network":
            raise StoreError(f"{shipped.name} is a {shipped.manifest.kind}, not networks; give the name of networks")
        path = shipped.folder
    return Model(path, learning.load_model(path), shipped)


@dataclass(frozen=True, repr=False)
class Model(Card):
    """A trained model.

    Attributes
    ----------
    path : Path
        Folder of the model.
    trained : TrainedModel
        The networks, baselines and metadata.
    shipped : Shipped or None
        What is known of it if it ships with xanesml.
    """

    path: Path
    trained: learning.TrainedModel
    shipped: Shipped | None = None

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        spectra: Spectrum,
        *,
        reference: Known | None = None,
        predictor: str = NETWORK,
        element: str | None = None,
        edge: str | None = None,
        signal: str | None = None,
        treatment: Treatment | None = None,
        align: Align | str = Align.foil,
        processes: int = 1,
        advance: Callable[[], object] | None = None,
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
        signal: str | None = None,
        treatment: Treatment | None = None,
        align: Align | str = Align.foil,
        processes: int = 1,
        advance: Callable[[], object] | None = None,
    ) -> Predictions: ...
    def predict(
        self,
        spectra: Spectrum | Sequence[Spectrum],
        *,
        reference: Known | None = None,
        predictor: str = NETWORK,
        element: str | None = None,
        edge: str | None = None,
        signal: str | None = None,
        treatment: Treatment | None = None,
        align: Align | str = Align.foil,
        processes: int = 1,
        advance: Callable[[], object] | None = None,
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
        signal : str, optional
            The absorption of the spectra, not of the reference: transmission, fluorescence, reference, a column, or
            an expression of columns such as "(If1+If2)/I0". Default: what shows the edge.
        treatment : Treatment, optional
            Ranges of the fits before and after the edge, and what is done about glitches.
        align : {"foil", "edge", "none"}
            What puts energies on those of the reference: a foil measured with both, if there is one; the edge itself;
            or nothing.
        processes : int
            Processes that read and normalize a list. More than one needs a program that can be imported
            (`if __name__ == "__main__":`).
        advance : callable, optional
            Called after each of a list.

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
            If, for the predictor `gradient_boosting`, scikit-learn is not installed, or one that fits other trees.
        """
        known = reference
        if known is not None and not isinstance(known, Reference):
            if not isinstance(known, tuple) or not 2 <= len(known) <= 3:
                raise SpectrumError("a reference is (spectrum, msd), (spectrum, msd, msd_error) or a Reference")
            known = self.reference(*known, element=element, edge=edge, treatment=treatment)
        preparation = Preparation(
            theory=Theory.of(self.trained),
            wanted=Wanted.of(self.trained),
            reference=known,
            element=element,
            edge=edge,
            signal=signal,
            treatment=treatment,
            align_by=Align(align),
        )
        if _is_one(spectra):
            (only,) = predict_prepared(self.trained, [preparation.only(spectra)], predictor=predictor)
            if isinstance(only, SpectrumError):
                raise only
            return only
        return self._predict_many(preparation, list(spectra), predictor, processes, advance)

    def _predict_many(
        self,
        preparation: Preparation,
        spectra: list[Spectrum],
        predictor: str,
        processes: int,
        advance: Callable[[], object] | None,
    ) -> Predictions:
        found = Predictions([], [])
        waiting: list[Prepared] = []

        def predict() -> None:
            for one, answer in zip(waiting, predict_prepared(self.trained, waiting, predictor=predictor), strict=True):
                if isinstance(answer, SpectrumError):
                    found.refused.append((one.normalized.source, str(answer)))
                else:
                    found.predictions.append(answer)
            waiting.clear()

        for prepared, refused in prepared_many(preparation, spectra, processes):
            waiting += prepared
            found.refused.extend(refused)
            if len(waiting) >= _AT_ONCE:
                predict()
            if advance is not None:
                advance()
        predict()
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
        signal: str | None = None,
        treatment: Treatment | None = None,
    ) -> Reference:
        """Calibrate with a spectrum of known disorder, once for several calls of `predict`.

        Parameters
        ----------
        spectrum : str, PathLike, (energy, mu) or MeasuredSpectrum
            The spectrum, as in `predict`.
        msd, msd_error : float, Å²
            Mean squared displacement of the sample, and its standard uncertainty.
        element, edge, signal, treatment
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
        wanted = Wanted.of(self.trained)
        measured = wanted.read(spectrum, element, edge, signal)[0]
        if treatment is not None and measured.ranges is None:
            # Samples of a project may have a reference that is in none.
            treatment = replace(treatment, project_ranges=False)
        return make_reference(self.trained, wanted.normalized(measured, treatment), msd, msd_error=msd_error)

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


def _is_one(spectra: Spectrum | Sequence[Spectrum]) -> TypeIs[Spectrum]:
    """Whether this is one spectrum; a tuple may be that, as energies and absorption, or a sequence of spectra."""
    if isinstance(spectra, tuple):
        return len(spectra) == 2 and not any(
            isinstance(one, str | os.PathLike | tuple | MeasuredSpectrum) for one in spectra
        )
    return isinstance(spectra, str | os.PathLike | MeasuredSpectrum)
