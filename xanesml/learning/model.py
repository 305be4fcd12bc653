"""Trained networks: ensembles with what belongs to them, the folder that holds them, and their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from xanesml.averages.series import Series
from xanesml.errors import EnvironmentProblem, SpectrumError, StoreError
from xanesml.files.arrays import Floats, Reals, Singles
from xanesml.files.whole import whole_file, write_text
from xanesml.learning.augmentation import Mode
from xanesml.learning.intervals import Interval
from xanesml.learning.network import import_keras
from xanesml.learning.predictor_files import BASELINES_FILE, load_baselines
from xanesml.learning.predictors import Predictor
from xanesml.learning.scaling import SCALED_LABELS, Scaling

if TYPE_CHECKING:
    import keras


MODEL_SCHEMA = "xanesml-model"
MODEL_VERSION = 3
METADATA_FILE = "model.json"
SERIES_FILE = "series.npz"

_REMEDY = "make one with `xanesml train`"


class ModelMetadata(TypedDict):
    """What trained networks have to be accompanied by, to be used on a measured spectrum.

    Attributes
    ----------
    element : str
        Chemical symbol of the absorber.
    edge : str
        Absorption edge, such as `L3`.
    mesh : list of float
        Photon energies that the networks expect spectra on, eV.
    reference : list of float
        Mean of the training spectra on the mesh, edge steps.
    band : list of list of float
        5th and 95th percentile of the training spectra on the mesh, edge steps.
    scaling : dict
        Scaling of features and labels, see `Scaling.to_dict`.
    intervals : dict of str to dict
        By mode, the interval about an ensemble's answer, see `Interval.to_dict`.
    distances : dict of str to float
        By mode, the distance from the training spectra below which 99 % of the test spectra lie.
    edge_energy : float
        Photon energy of the edge that the mesh refers to, eV.
    first_shell : float
        Reference length of the first shell, Å.
    normalization : str
        How the training spectra were normalized: `absolute` or `feff`.
    normalization_energy : float
        Photon energy at which μ0 gave their edge step, eV.
    campaign : dict
        Resolved campaign.
    campaign_digest : str
        Its hash.
    versions : dict
        Versions of the packages that made the networks.
    metrics : dict
        By mode, `Assessment.to_dict`.
    """

    element: str
    edge: str
    mesh: list[float]
    reference: list[float]
    band: list[list[float]]
    scaling: dict[str, Any]
    intervals: dict[str, dict[str, Any]]
    distances: dict[str, float]
    edge_energy: float
    first_shell: float
    normalization: str
    normalization_energy: float
    campaign: dict[str, Any]
    campaign_digest: str
    versions: dict[str, str]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What an ensemble answers. No array holds NaN.

    Attributes
    ----------
    msd : ndarray
        Means over the networks of the mean squared displacement, shape (n,), float64, Å².
    spread : ndarray
        Their standard deviations, 0 for a single network, shape (n,), float64, Å².
    mean_shift : ndarray or None
        Mean first-shell shift, shape (n,), float64, Å; None where the networks have no such answer.
    skewness : ndarray or None
        Skewness of the distribution, shape (n,), float64; likewise.
    distribution : ndarray or None
        Share of the first shell in each bin, shape (n, R), float64; likewise.
    """

    msd: Floats
    spread: Floats
    mean_shift: Floats | None = None
    skewness: Floats | None = None
    distribution: Floats | None = None


@dataclass(frozen=True)
class TrainedModel:
    """Ensembles of trained networks with what belongs to them.

    Attributes
    ----------
    ensembles : mapping of str to sequence of keras.Model
        By mode, networks that take scaled features and return scaled labels by name.
    mesh : ndarray
        Photon energies that spectra must be on, shape (M,), float64, eV.
    scaling : Scaling
        Scaling of features and labels, from the training split.
    series : Series
        What the training spectra are averages of.
    metadata : ModelMetadata
        Where the networks come from.
    baselines : mapping of str to mapping of str to Predictor
        By mode and name, the baselines that the networks were compared with.
    """

    ensembles: Mapping[Mode, Sequence[keras.Model]]
    mesh: Floats
    scaling: Scaling
    series: Series
    metadata: ModelMetadata
    baselines: Mapping[Mode, Mapping[str, Predictor]]

    def predict(self, spectra: Reals, mode: Mode = "direct", *, batch_size: int = 1024) -> Answers:
        """Answer what the mean squared displacement is, and the like.

        Parameters
        ----------
        spectra : ndarray
            Normalized spectra on the model's mesh, shape (N, M), edge steps, no NaN.
        mode : {"direct", "reference"}
            Whether they are spectra as they are, or differences put upon a simulated reference.
        batch_size : int
            Spectra evaluated at once; bounds the memory and does not change the result.

        Returns
        -------
        Answers
            One for each spectrum.

        Raises
        ------
        SpectrumError
            If the spectra have another number of points or are not finite.
        StoreError
            If no networks were trained for the mode.
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

    def networks(self, mode: Mode) -> Sequence[keras.Model]:
        """Return the networks of a mode; StoreError where there are none."""
        if mode not in self.ensembles:
            raise StoreError(
                f"the model has no networks for the mode {mode!r}, only for {', '.join(self.ensembles)}; add it to "
                "training.modes and run `xanesml train`"
            )
        return self.ensembles[mode]

    def interval(self, mode: Mode) -> Interval:
        """Return the interval about an ensemble's answer."""
        return Interval(**self.metadata["intervals"][mode])

    def baseline(self, mode: Mode, name: str) -> tuple[Predictor, Interval]:
        """Return a baseline, which takes scaled features, and the interval about its answer.

        Raises
        ------
        StoreError
            If the model has nothing for the mode, or no such baseline.
        """
        self.networks(mode)
        baselines = self.baselines.get(mode, {})
        if name not in baselines:
            raise StoreError(f"the model has no baseline {name!r}; it has {', '.join(baselines) or 'none'}")
        return baselines[name], Interval(**self.metadata["metrics"][mode]["baseline_intervals"][name])


def answers_of_ensemble(
    networks: Sequence[keras.Model], features: Singles, scaling: Scaling, *, batch_size: int = 1024
) -> Answers:
    """Return what an ensemble answers to scaled features, shape (n, M)."""
    each = [evaluate(network, features, batch_size=batch_size) for network in networks]

    def members(name: str) -> Floats:
        found = np.array([answers[name] for answers in each])
        return scaling.unscale_labels(found[..., 0], name) if name in SCALED_LABELS else found.astype(np.float64)

    msd = members("msd")
    further = {name: members(name).mean(axis=0) for name in each[0] if name != "msd"}
    return Answers(msd.mean(axis=0), msd.std(axis=0), **further)


def evaluate(network: keras.Model, features: Singles, *, batch_size: int = 1024) -> dict[str, Singles]:
    """Return a network's answers by name, shape (n, 1) or (n, R), for scaled features, shape (n, M); n may be 0."""
    ops = import_keras().ops
    blocks = [
        {name: ops.convert_to_numpy(answer) for name, answer in network(block, training=False).items()}
        for block in (features[start : start + batch_size] for start in range(0, len(features), batch_size))
    ]
    return {
        name: np.concatenate([np.empty((0, *output.shape[1:]), np.float32), *(block[name] for block in blocks)])
        for name, output in network.output.items()
    }


def network_file(mode: Mode, member: int) -> str:
    """Return the name of a network's file in a model's folder."""
    return f"{mode}-{member}.keras"


def save_network(path: Path, network: keras.Model) -> None:
    """Write a network's file, which appears under its name only when complete.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    with whole_file(path) as partial:
        network.save(partial)


def complete_model(folder: Path, metadata: ModelMetadata, series: Series, networks: Sequence[str]) -> None:
    """Make a folder of networks and baselines a model: write what belongs to them, `model.json` last.

    That file holds the checksums of all others, so a folder left half written by a kill
    is told from a whole one. Networks that do not belong to it are removed.

    Parameters
    ----------
    folder : Path
        Folder that the networks are in.
    metadata : ModelMetadata
        What belongs to them.
    series : Series
        What the training spectra are averages of.
    networks : sequence of str
        Names of the networks' files.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    with whole_file(folder / SERIES_FILE) as partial:
        np.savez(partial, delta=series.delta, mu=series.mu, edge_step=series.edge_step, r=series.r)
    try:
        digests = {name: _digest(folder / name) for name in [*networks, BASELINES_FILE, SERIES_FILE]}
        for path in folder.glob("*.keras"):
            if path.name not in digests:
                path.unlink()
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the model to {folder}: {error.strerror or error}; check the folder and the space left"
        ) from error
    content = {"schema": MODEL_SCHEMA, "schema_version": MODEL_VERSION, "files": digests, **metadata}
    write_text(folder / METADATA_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def load_model(folder: Path) -> TrainedModel:
    """Read trained networks.

    Parameters
    ----------
    folder : Path
        A folder that `complete_model` wrote.

    Returns
    -------
    TrainedModel
        The networks, ready to predict.

    Raises
    ------
    StoreError
        If the folder holds no model, one of another version, or one half written.
    EnvironmentProblem
        If Keras is not installed.
    """
    metadata, digests = _read_metadata(folder / METADATA_FILE)
    for name, digest in digests.items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise StoreError(f"{folder / name} cannot be read: {error.strerror}; {_REMEDY}") from error
        if found != digest:
            raise StoreError(f"{folder / name} is not the file that {METADATA_FILE} describes; {_REMEDY}")
    load = import_keras().saving.load_model
    ensembles: dict[Mode, list[keras.Model]] = {}
    modes: tuple[Mode, ...] = ("direct", "reference")
    for mode in modes:
        names = [name for name in digests if name.startswith(f"{mode}-")]
        if names:
            ensembles[mode] = [load(folder / name, compile=False) for name in names]
    mesh = np.asarray(metadata["mesh"], dtype=np.float64)
    with np.load(folder / SERIES_FILE) as file:
        stored = {name: file[name] for name in ("delta", "mu", "edge_step", "r")}
    series = Series(energy=mesh, first_shell=metadata["first_shell"], **stored)
    scaling, baselines = Scaling.from_dict(metadata["scaling"]), load_baselines(folder)
    return TrainedModel(ensembles, mesh, scaling, series, metadata, baselines)


def _read_metadata(path: Path) -> tuple[ModelMetadata, dict[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path.parent} holds no trained model: {path.name}: {error.strerror}; {_REMEDY}") from error
    except ValueError as error:
        raise StoreError(f"{path} is not valid JSON: {error}; {_REMEDY}") from error
    schema = content.pop("schema", None) if isinstance(content, dict) else None
    if schema != MODEL_SCHEMA:
        raise StoreError(f"{path} does not describe a model: schema {schema!r}, expected {MODEL_SCHEMA!r}; {_REMEDY}")
    version = content.pop("schema_version", None)
    if version != MODEL_VERSION:
        raise StoreError(
            f"{path} has version {version} of {MODEL_SCHEMA}, this xanesml reads {MODEL_VERSION}; train again with `xanesml train`"
        )
    lacking = (ModelMetadata.__required_keys__ | {"files"}) - content.keys()
    if lacking:
        raise StoreError(f"{path} is incomplete: it lacks {', '.join(sorted(lacking))}; {_REMEDY}")
    digests: dict[str, str] = content.pop("files")
    metadata: ModelMetadata = content
    return metadata, digests


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
