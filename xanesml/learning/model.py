"""Trained models: ensembles of networks with their metadata, the folder that holds them, and their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pydantic.dataclasses

from xanesml.averages.series import Series
from xanesml.campaign import Campaign, Mode, as_made
from xanesml.errors import EnvironmentProblem, SpectrumError, StoreError
from xanesml.files.arrays import Floats, Reals, Singles
from xanesml.files.digest import file_digest
from xanesml.files.records import RECORD, FloatArray, plain, read_json, record_of
from xanesml.files.whole import reason, whole_file, write_text
from xanesml.learning.intervals import Interval
from xanesml.learning.predictor_files import BASELINES_FILE, load_baselines
from xanesml.learning.predictors import Predictor
from xanesml.learning.scaling import SCALED_LABELS, Scaling
from xanesml.learning.trained_network import NETWORK_FILES, evaluate, load_networks

if TYPE_CHECKING:
    from xanesml.learning.trained_network import Network

MODEL_SCHEMA = "xanesml-model"
MODEL_VERSION = 3
METADATA_FILE = "model.json"
SERIES_FILE = "series.npz"

#: Files and folders that training makes in a model's folder.
_FILES = (
    *(METADATA_FILE, SERIES_FILE, BASELINES_FILE, "report.json", "README.md", "logs", ".*.partial*"),
    *NETWORK_FILES,
    *(f"{table}-*.csv" for table in ("history", "parity", "particles", "sensitivity")),
    "checkpoint-*.npz",
)

_REMEDY = "train again with `xanesml train`"


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=RECORD)
class ModelMetadata:
    """Data that trained networks need to be used on a measured spectrum; kept in `model.json`.

    Attributes
    ----------
    element : str
        Chemical symbol of the absorber.
    edge : str
        Absorption edge, such as `L3`.
    mesh : ndarray
        Photon energies that the networks expect spectra on, shape (M,), float64, eV.
    band : ndarray
        5th and 95th percentile of the training spectra, shape (2, M), float64, edge steps.
    scaling : Scaling
        Scaling of features and labels, from the training split.
    intervals : dict of str to Interval
        By mode, the interval around an ensemble's answer.
    baseline_intervals : dict of str to dict of str to Interval
        By mode and name, the interval around a baseline's answer.
    distances : dict of str to float
        By mode, the distance from the training spectra below which 99 % of spectra of further families lie; from
        the calibration split.
    edge_energy : float
        Photon energy of the edge that the mesh refers to, eV.
    first_shell : float
        Length of the undistorted first shell, Å.
    normalization_energy : float
        Photon energy at which μ0 gave their edge step, eV.
    campaign : Campaign
        The campaign.
    campaign_digest : str
        Its hash.
    versions : dict of str to str
        Versions of the packages that made the networks.
    """

    element: str
    edge: str
    mesh: FloatArray
    band: FloatArray
    scaling: Scaling
    intervals: dict[Mode, Interval]
    baseline_intervals: dict[Mode, dict[str, Interval]]
    distances: dict[Mode, float]
    edge_energy: float
    first_shell: float
    normalization_energy: float
    campaign: Campaign
    campaign_digest: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Answers:
    """Answers of an ensemble. No array holds NaN.

    Attributes
    ----------
    msd : ndarray
        Means over the networks of the mean squared displacement, shape (n,), float64, Å²; 0 where that mean is
        negative, which no displacement is.
    spread : ndarray
        Their standard deviations, 0 for a single network, shape (n,), float64, Å².
    mean_shift : ndarray or None
        Mean first-shell shift, shape (n,), float64, Å; None if the networks have no such answer.
    skewness : ndarray or None
        Skewness of the distribution, shape (n,), float64, or None.
    distribution : ndarray or None
        Share of the first shell in each bin, shape (n, R), float64, or None.
    """

    msd: Floats
    spread: Floats
    mean_shift: Floats | None = None
    skewness: Floats | None = None
    distribution: Floats | None = None

    def __post_init__(self) -> None:
        """Replace negative displacements by 0."""
        object.__setattr__(self, "msd", np.maximum(self.msd, 0.0))


@dataclass(frozen=True)
class TrainedModel:
    """Ensembles of trained networks with their metadata.

    Attributes
    ----------
    ensembles : mapping of str to sequence of NumpyNetwork or of keras.Model
        By mode, networks that take scaled features and return scaled labels by name.
    series : Series
        The distorted series that the training spectra are averages of.
    metadata : ModelMetadata
        Mesh, scaling, intervals and origin of the networks.
    baselines : mapping of str to mapping of str to Predictor
        By mode and name, the baselines that the networks were compared with.
    """

    ensembles: Mapping[Mode, Sequence[Network]]
    series: Series
    metadata: ModelMetadata
    baselines: Mapping[Mode, Mapping[str, Predictor]]

    @property
    def mesh(self) -> Floats:
        """Photon energies that spectra must be on, shape (M,), float64, eV."""
        return self.metadata.mesh

    @property
    def scaling(self) -> Scaling:
        """Scaling of features and labels, from the training split."""
        return self.metadata.scaling

    @property
    def mean_spectrum(self) -> Floats:
        """Mean of the training spectra, shape (M,), float64, edge steps."""
        return self.scaling.feature_mean

    def predict(self, spectra: Reals, mode: Mode = "direct", *, batch_size: int = 1024) -> Answers:
        """Predict the mean squared displacement and the networks' other answers.

        Parameters
        ----------
        spectra : ndarray
            Normalized spectra on the model's mesh, shape (N, M), edge steps, no NaN.
        mode : {"direct", "reference"}
            Whether they are spectra as measured, or differences added to a simulated reference.
        batch_size : int
            Spectra evaluated at once; limits the memory and does not change the result.

        Returns
        -------
        Answers
            One answer for each spectrum.

        Raises
        ------
        SpectrumError
            If the spectra have another number of points or are not finite.
        StoreError
            If the model has no networks for the mode.
        """
        points = self.mesh.size
        if spectra.ndim != 2 or spectra.shape[1] != points:
            raise SpectrumError(
                f"the spectra have shape {spectra.shape}, the model takes (N, {points}); "
                "interpolate them onto the model's mesh"
            )
        if not np.isfinite(spectra).all():
            raise SpectrumError("the spectra hold numbers that are not finite; the model takes finite edge steps only")
        features = self.scaling.scale_features(spectra)
        return answers_of_ensemble(self.networks(mode), features, self.scaling, batch_size=batch_size)

    def networks(self, mode: Mode) -> Sequence[Network]:
        """Return the networks of a mode; StoreError if there are none."""
        if mode not in self.ensembles:
            raise StoreError(
                f"the model has no networks for the mode {mode!r}, only for {', '.join(self.ensembles)}; add it to "
                "training.modes and run `xanesml train`"
            )
        return self.ensembles[mode]

    def interval(self, mode: Mode) -> Interval:
        """Return the interval around an ensemble's answer."""
        return self.metadata.intervals[mode]

    def baseline(self, mode: Mode, name: str) -> tuple[Predictor, Interval]:
        """Return a baseline, which takes scaled features, and the interval around its answer.

        Raises
        ------
        StoreError
            If the model has no networks for the mode, or no such baseline.
        """
        self.networks(mode)
        baselines = self.baselines.get(mode, {})
        if name not in baselines:
            raise StoreError(f"the model has no baseline {name!r}; it has {', '.join(baselines) or 'none'}")
        return baselines[name], self.metadata.baseline_intervals[mode][name]


def answers_of_ensemble(
    networks: Sequence[Network], features: Singles, scaling: Scaling, *, batch_size: int = 1024
) -> Answers:
    """Return an ensemble's answers to scaled features, shape (n, M)."""
    each = [evaluate(network, features, batch_size=batch_size) for network in networks]

    def members(name: str) -> Floats:
        found = np.array([answers[name] for answers in each])
        return scaling.unscale_labels(found[..., 0], name) if name in SCALED_LABELS else found.astype(np.float64)

    msd = members("msd")
    further = {name: members(name).mean(axis=0) for name in each[0] if name != "msd"}
    return Answers(msd.mean(axis=0), msd.std(axis=0), **further)


def complete_model(folder: Path, metadata: ModelMetadata, series: Series, files: Sequence[str]) -> None:
    """Turn a folder of networks and baselines into a model: write the series and, last, `model.json`.

    `model.json` holds the checksums of the files that others read, so that a half-written folder is
    recognized. `files` names the networks, and what else is read; other networks are removed.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    with whole_file(folder / SERIES_FILE) as unfinished:
        np.savez(unfinished, delta=series.delta, mu=series.mu, edge_step=series.edge_step, r=series.r)
    try:
        digests = {name: file_digest(folder / name) for name in [*files, BASELINES_FILE, SERIES_FILE]}
        for path in folder.iterdir():
            if path.name not in digests and any(fnmatchcase(path.name, pattern) for pattern in NETWORK_FILES):
                path.unlink()
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the model to {folder}: {error.strerror or error}; check the folder and the space left"
        ) from error
    content = {"schema": MODEL_SCHEMA, "schema_version": MODEL_VERSION, "files": digests, **plain(metadata)}
    write_text(folder / METADATA_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def unfinished_folder(folder: Path) -> Path:
    """Return where a model is made until it is complete and takes the place of the one in `folder`."""
    target = folder.resolve()
    return target.with_name(f"{target.name}.unfinished")


def is_of_model(name: str) -> bool:
    """Whether a file or folder of this name in a model's folder was made with the model."""
    return any(fnmatchcase(name, pattern) for pattern in _FILES)


def check_listed(folder: Path, name: str) -> None:
    """Check that a file of a model's folder is the one that was written with the model.

    Raises
    ------
    StoreError
        If `model.json`, which is written last, is missing or does not list the file, or lists another.
    """
    digests = read_json(folder / METADATA_FILE, _REMEDY).get("files")
    if not isinstance(digests, dict) or name not in digests:
        raise StoreError(f"{folder / METADATA_FILE} does not list {name}; {_REMEDY}")
    _check_digest(folder / name, digests[name])


def _check_digest(path: Path, digest: object) -> None:
    try:
        found = file_digest(path)
    except FileNotFoundError as error:
        raise StoreError(f"there is no {path}, which {METADATA_FILE} lists; {_REMEDY}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}; make it readable and try again") from error
    if found != digest:
        raise StoreError(f"{path} is not the file that {METADATA_FILE} describes; {_REMEDY}")


def load_model(folder: Path) -> TrainedModel:
    """Read a trained model, ready to predict, from a folder that `complete_model` wrote.

    Raises
    ------
    StoreError
        If the folder holds no model, a model of another version, or a half-written one.
    EnvironmentProblem
        If the model holds its networks for Keras alone, and Keras is not installed.
    """
    metadata, digests = read_metadata(folder)
    for name, digest in digests.items():
        _check_digest(folder / name, digest)
    each = {mode: load_networks(folder, mode, list(digests)) for mode in get_args(Mode)}
    ensembles = {mode: networks for mode, networks in each.items() if networks}
    with np.load(folder / SERIES_FILE) as file:
        stored = {name: file[name] for name in ("delta", "mu", "edge_step", "r")}
    series = Series(energy=metadata.mesh, first_shell=metadata.first_shell, **stored)
    return TrainedModel(ensembles, series, metadata, load_baselines(folder))


def read_metadata(folder: Path) -> tuple[ModelMetadata, dict[str, str]]:
    """Return the metadata of a model, and the digests of its files by their names.

    Raises
    ------
    StoreError
        If the folder holds no model, or a model of another version.
    """
    path = folder / METADATA_FILE
    content = read_json(path, _REMEDY)
    schema, version = content.pop("schema", None), content.pop("schema_version", None)
    if schema != MODEL_SCHEMA:
        raise StoreError(f"{path} does not describe a model: schema {schema!r}, expected {MODEL_SCHEMA!r}; {_REMEDY}")
    if version != MODEL_VERSION:
        raise StoreError(
            f"{path} has version {version} of {MODEL_SCHEMA}, this xanesml reads {MODEL_VERSION}; {_REMEDY}"
        )
    if not isinstance(digests := content.pop("files", None), dict):
        raise StoreError(f"{path} lacks 'files', the checksums of the model's files; {_REMEDY}")
    if away := [name for name in digests if Path(name).name != name]:
        raise StoreError(f"{path} names {away[0]!r}, which is not in its folder; {_REMEDY}")
    content["campaign"] = as_made(content.get("campaign"))
    return record_of(ModelMetadata, content, path, _REMEDY), digests
