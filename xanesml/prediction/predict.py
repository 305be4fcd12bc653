"""From a measured spectrum to its mean squared displacement, by a trained model.

Without a reference, the spectrum is shifted onto the theory's energies and goes into the networks.
With a reference, a spectrum of known disorder from the same session, theory and measurement need to
agree only in differences. The networks then take

    x = theory(reference) + T(sample) − T(reference)

where T is the calibration that puts the measured reference on the theory's mesh.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xanesml.assessment.report import LABELS, NETWORK
from xanesml.campaign import Mode
from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.files.notebook import Card, Entry
from xanesml.files.records import plain
from xanesml.learning.intervals import Interval, ends
from xanesml.learning.model import Answers, TrainedModel
from xanesml.learning.scaling import distances
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.prediction import doubts
from xanesml.prediction.prepare import Align, Prepared, Theory, prepare
from xanesml.prediction.reference import Reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fields of a prediction that are not written to files.
_DRAWN = ("mesh", "spectrum", "nearest_spectrum", "band", "edge_energy", "first_shell", "measured")


@dataclass(frozen=True, repr=False)
class Prediction(Card):
    """The prediction from one measured spectrum, and the evidence for it.

    Attributes
    ----------
    source : str
        File of the spectrum.
    name : str
        Name of the spectrum in the names of files.
    element, edge : str
        Absorber and edge.
    mode : {"direct", "reference"}
        Without or with a reference.
    predictor : str
        `network`, or the name of a baseline.
    msd : float, Å²
        Predicted mean squared displacement.
    interval : tuple of float, Å²
        Interval that holds the MSD with `confidence`, for spectra like those that calibrated it.
    confidence : float
        Share of such spectra, from 0 to 1.
    uncertainties : dict of str to float, Å²
        Standard uncertainties in the interval besides the model's own: of `normalization`, of the
        `energy` scale beside a reference, and of the `reference`'s MSD.
    spread : float, Å²
        Standard deviation over the networks; 0 for a baseline.
    mean_shift : float or None, Å
        Mean first-shell shift.
    skewness : float or None
        Skewness of the bond lengths.
    distribution : dict or None
        `r`, centers of bins of the bond length, Å, and `share` of the first shell in each.
    nearest : dict
        The nearest simulated spectrum: `msd`, Å², `location`, `scale`, Å, `alpha`, `gain`, `shift`, eV,
        `rms`, edge steps, and `at_bounds`, see `xanesml.averages.nearest.Nearest`.
    shift : float, eV
        Shift added to the measured energies.
    rms : float, edge steps
        Root mean square difference from the mean training spectrum.
    distance : float
        Distance from the training spectra, in their standard deviations.
    typical_distance : float
        Distance that 99 % of held-out spectra stay below.
    noise : float, edge steps
        Noise of the measurement above the edge.
    energy_range, mesh_range : tuple of float, eV
        First and last energy of the shifted spectrum, and of the model's mesh.
    label_range : tuple of float, Å²
        Smallest and largest MSD of the training spectra.
    e0 : float, eV
        Energy of the largest slope, not shifted.
    edge_step : float
        Edge step that the spectrum was divided by.
    normalization : dict
        Parameters of the normalization; see `xanesml.measured.normalization.NormalizedSpectrum`.
    reference : dict or None
        `source`, `msd` and `msd_error`, Å², and the `calibration` of the reference.
    warnings : tuple of str
        Reasons to doubt the MSD, one sentence each.
    mesh : ndarray, shape (M,), float64, eV
        Photon energies of the model.
    spectrum : ndarray, shape (M,), float64, edge steps
        Input of the model, no NaN.
    nearest_spectrum : ndarray, shape (M,), float64, edge steps
        The nearest simulated spectrum.
    band : ndarray, shape (2, M), float64, edge steps
        5th and 95th percentile of the training spectra.
    edge_energy : float, eV
        Energy of the edge that the mesh refers to.
    first_shell : float, Å
        Bond length of the first shell in the undistorted cluster.
    measured : NormalizedSpectrum
        The measured spectrum as it was normalized and aligned.
    """

    source: str
    name: str
    element: str
    edge: str
    mode: Mode
    predictor: str
    msd: float
    interval: tuple[float, float]
    confidence: float
    uncertainties: dict[str, float]
    spread: float
    mean_shift: float | None
    skewness: float | None
    distribution: dict[str, list[float]] | None
    nearest: dict[str, Any]
    shift: float
    rms: float
    distance: float
    typical_distance: float
    noise: float
    energy_range: tuple[float, float]
    mesh_range: tuple[float, float]
    label_range: tuple[float, float]
    e0: float
    edge_step: float
    normalization: dict[str, Any]
    reference: dict[str, Any] | None
    warnings: tuple[str, ...]
    mesh: Floats = field(compare=False)
    spectrum: Floats = field(compare=False)
    nearest_spectrum: Floats = field(compare=False)
    band: Floats = field(compare=False)
    edge_energy: float
    first_shell: float
    measured: NormalizedSpectrum = field(compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return what is written to files, ready for JSON: all but the attributes from `mesh` on."""
        return {name: value for name, value in asdict(self).items() if name not in _DRAWN}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the measured and the nearest simulated spectrum, their difference, and the bond lengths.

        Parameters
        ----------
        path : str or PathLike, optional
            The PNG file to write; the PDF gets the same name. By default none is written.

        Returns
        -------
        Figure
            The figure; a notebook shows it.

        Raises
        ------
        EnvironmentProblem
            If matplotlib is not installed, or the file cannot be written.
        """
        from xanesml.plots import measured_against_simulated  # noqa: PLC0415 (prediction itself draws nothing)

        shares = self.distribution
        shifted = f"measured, shifted by {self.shift:+.2f} eV"
        return measured_against_simulated(
            self.mesh,
            self.spectrum,
            self.nearest_spectrum,
            self.band,
            None if path is None else Path(path),
            edge=self.edge_energy,
            label=shifted if self.reference is None else "simulated reference + measured difference",
            simulated_label=f"nearest simulated, MSD {self.nearest['msd']:.4f} Å²",
            msd=self.msd,
            interval=self.interval,
            confidence=self.confidence,
            distribution=None if shares is None else (np.asarray(shares["r"]), np.asarray(shares["share"])),
            first_shell=self.first_shell,
            mean_shift=self.mean_shift,
        )

    @property
    def time(self) -> str:
        """When it was measured, ISO 8601, as its file says; else empty."""
        return str(self.normalization.get("time", ""))

    def __str__(self) -> str:
        return "; ".join(
            [
                f"{self.source}: {self.element} {self.edge}: MSD {self.msd:.4f} Å², {self._interval()} "
                f"({LABELS[self.predictor]}, {self._how()}{self._of()})",
                *(f"warning: {warning}" for warning in self.warnings),
            ]
        )

    def card(self) -> tuple[str, list[Entry]]:
        """Return the title and the lines that are printed."""
        entries = [("MSD", f"{self.msd:.4f} Å²"), ("interval", self._interval())]
        if counted := doubts.told(self.uncertainties):
            entries.append(("of this", counted))
        if self.mean_shift is not None:
            length = self.first_shell + self.mean_shift
            entries.append(("mean bond", f"{length:.3f} Å ({self.mean_shift:+.3f} Å)"))
        entries += [
            ("predicted by", f"{LABELS[self.predictor]}, {self._how()}"),
            ("nearest simulated", f"MSD {self.nearest['msd']:.4f} Å², rms difference {self.nearest['rms']:.3f}"),
            *(("warning", warning) for warning in self.warnings),
        ]
        return f"{self.source}: {self.element} {self.edge}", entries

    def _interval(self) -> str:
        low, high = self.interval
        return f"{self.confidence:.0%} in {low:.4f} … {high:.4f} Å²"

    def _of(self) -> str:
        counted = doubts.told(self.uncertainties)
        return f"; uncertain by {counted}" if counted else ""

    def _how(self) -> str:
        if self.reference is not None:
            return f"with the reference {self.reference['source']}"
        return f"shifted by {self.shift:+.2f} eV, rms {self.rms:.3f} from the mean training spectrum"


def predict_spectrum(
    model: TrainedModel,
    normalized: NormalizedSpectrum,
    *,
    name: str = "",
    reference: Reference | None = None,
    predictor: str = NETWORK,
    align_by: Align = Align.foil,
) -> Prediction:
    """Put a normalized spectrum on the theory's energies, and predict its MSD.

    Parameters
    ----------
    model : TrainedModel
        From `xanesml.learning.model.load_model`.
    normalized : NormalizedSpectrum
        From `xanesml.prediction.reference.normalized_for`.
    name : str, optional
        Name of the spectrum in the names of files.
    reference : Reference, optional
        From `xanesml.prediction.reference.make_reference`; by default there is none.
    predictor : str, optional
        A baseline of the model, in place of its networks.
    align_by : Align, optional
        What puts the energies on those of the reference.

    Returns
    -------
    Prediction
        The MSD, with `warnings` where it is doubtful.

    Raises
    ------
    SpectrumError
        If the spectrum does not cover the model's energies or cannot be aligned, or if the
        prediction is not finite.
    StoreError
        If the model has no networks for the mode, or no such baseline.
    EnvironmentProblem
        If boosted trees are asked and scikit-learn is not installed, or fits other trees.
    """
    prepared = prepare(Theory.of(model), normalized, name=name, reference=reference, align_by=align_by)
    (found,) = predict_prepared(model, [prepared], predictor=predictor)
    if isinstance(found, SpectrumError):
        raise found
    return found


def predict_prepared(
    model: TrainedModel, prepared: Sequence[Prepared], *, predictor: str = NETWORK
) -> list[Prediction | SpectrumError]:
    """Predict the MSDs of prepared spectra, all with a reference or all without, by one call of the networks.

    Returns
    -------
    list of Prediction or SpectrumError
        In their order; the error of one whose prediction is not finite.

    Raises
    ------
    StoreError, EnvironmentProblem
        As `predict_spectrum`.
    """
    if not prepared:
        return []
    mode: Mode = "direct" if prepared[0].reference is None else "reference"
    answers, interval = _answered(model, np.concatenate([one.spectra for one in prepared]), mode, predictor)
    found: list[Prediction | SpectrumError] = []
    first = 0
    for one in prepared:
        rows = slice(first, first + len(one.spectra))
        first = rows.stop
        try:
            found.append(_prediction(model, one, _rows(answers, rows), interval, predictor))
        except SpectrumError as error:
            found.append(error)
    return found


def _rows(answers: Answers, rows: slice) -> Answers:
    parts: dict[str, Any] = {name: None if part is None else part[rows] for name, part in vars(answers).items()}
    return Answers(**parts)


def _prediction(
    model: TrainedModel, prepared: Prepared, answers: Answers, interval: Interval, predictor: str
) -> Prediction:
    metadata, mesh, normalized = model.metadata, model.mesh, prepared.normalized
    reference, spectrum, shift = prepared.reference, prepared.spectra[0], prepared.shift
    mode: Mode = "direct" if reference is None else "reference"
    msd, shares = float(answers.msd[0]), answers.distribution
    if not np.isfinite(answers.msd).all():
        raise SpectrumError(
            f"{normalized.source}: the {LABELS[predictor]} answers {msd}; check that its training converged and "
            "train it again"
        )
    half = interval.half_width(answers.spread)
    low, high = (float(end[0]) for end in ends(answers.msd, half))
    sources = doubts.uncertainties(answers.msd, prepared.varied, 0.0 if reference is None else reference.msd_error)
    found = prepared.nearest
    distance = float(distances(model.scaling.scale_features(spectrum[np.newaxis]))[0])
    typical = metadata.distances[mode]
    return Prediction(
        source=normalized.source,
        name=prepared.name,
        element=normalized.element,
        edge=normalized.edge,
        mode=mode,
        predictor=predictor,
        msd=msd,
        interval=doubts.widened((low, high), msd, sources, interval.confidence),
        confidence=interval.confidence,
        uncertainties=sources,
        spread=float(answers.spread[0]),
        mean_shift=None if answers.mean_shift is None else float(answers.mean_shift[0]),
        skewness=None if answers.skewness is None else float(answers.skewness[0]),
        distribution=None if shares is None else {"r": model.series.r.tolist(), "share": shares[0].tolist()},
        nearest={name: value for name, value in vars(found).items() if name != "spectrum"},
        shift=shift,
        rms=float(np.sqrt(np.mean((spectrum - model.mean_spectrum) ** 2))),
        distance=distance,
        typical_distance=typical,
        noise=normalized.noise,
        energy_range=(float(normalized.energy[0]) + shift, float(normalized.energy[-1]) + shift),
        mesh_range=(float(mesh[0]), float(mesh[-1])),
        label_range=model.scaling.ranges["msd"],
        e0=normalized.e0,
        edge_step=normalized.edge_step,
        normalization=normalized.parameters,
        reference=None if reference is None else plain(reference),
        warnings=(
            *normalized.doubts,
            *prepared.warnings,
            *_doubts(model, reference, interval, msd, distance, typical),
        ),
        mesh=mesh,
        spectrum=spectrum,
        nearest_spectrum=found.spectrum,
        band=metadata.band,
        edge_energy=metadata.edge_energy,
        first_shell=metadata.first_shell,
        measured=normalized,
    )


def _answered(model: TrainedModel, spectra: Floats, mode: Mode, predictor: str) -> tuple[Answers, Interval]:
    if predictor == NETWORK:
        return model.predict(spectra, mode), model.interval(mode)
    baseline, interval = model.baseline(mode, predictor)
    msd = np.asarray(baseline(model.scaling.scale_features(spectra)), dtype=np.float64)
    return Answers(msd, np.zeros(len(msd))), interval


def _doubts(
    model: TrainedModel, reference: Reference | None, interval: Interval, msd: float, distance: float, typical: float
) -> Iterator[str]:
    if not interval.sufficient:
        yield (
            f"the interval is calibrated on {interval.families} families of averages, too few for "
            f"{interval.confidence:.0%}"
        )
    lowest, highest = model.scaling.ranges["msd"]
    if not lowest <= msd <= highest:
        yield f"the MSD {msd:.4f} Å² lies outside the {lowest:.4f} … {highest:.4f} Å² of the training labels"
    if distance > typical:
        yield (
            f"the spectrum is unlike the training spectra: {distance:.1f} of their standard deviations from their "
            f"mean (root mean square over energies; 99 % of held-out spectra lie below {typical:.1f})"
        )
    if reference is not None:
        yield from reference.calibration.doubts
        trained = model.metadata.campaign.training.broadening
        if reference.calibration.broadening > trained:
            yield (
                f"the measurement is broader than theory by {reference.calibration.broadening:.2f} eV, more than the "
                f"{trained:g} eV of training.broadening"
            )
