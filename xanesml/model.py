"""A trained network: what belongs to it, the folder that holds it, and its predictions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem, SpectrumError, StoreError
from xanesml.network import import_keras
from xanesml.scaling import Scaling

if TYPE_CHECKING:
    import keras

MODEL_SCHEMA = "xanesml-model"
MODEL_VERSION = 1
NETWORK_FILE = "network.keras"
METADATA_FILE = "model.json"

_REMEDY = "make one with `xanesml train`"


class ModelMetadata(TypedDict):
    """What a trained network has to be accompanied by, to be used on a measured spectrum.

    Attributes
    ----------
    element : str
        Chemical symbol of the absorber.
    edge : str
        Absorption edge, such as `L3`.
    mesh : list of float
        Photon energies that the network expects spectra on, eV.
    reference : list of float
        Mean of the training spectra on the mesh, edge steps.
    band : list of list of float
        5th and 95th percentile of the training spectra on the mesh, edge steps.
    label_range : list of float
        Smallest and largest training label, Å².
    scaling : dict
        Scaling of features and labels, see `Scaling.to_dict`.
    edge_energy : float
        Photon energy of the edge that the mesh refers to, eV.
    normalization : str
        How the training spectra were normalized: `absolute` or `feff`.
    normalization_energy : float
        Photon energy at which μ0 gave their edge step, eV.
    campaign : dict
        Resolved campaign.
    campaign_digest : str
        Its hash.
    versions : dict
        Versions of the packages that made the network.
    metrics : dict
        Errors on the held-out test split.
    """

    element: str
    edge: str
    mesh: list[float]
    reference: list[float]
    band: list[list[float]]
    label_range: list[float]
    scaling: dict[str, Any]
    edge_energy: float
    normalization: str
    normalization_energy: float
    campaign: dict[str, Any]
    campaign_digest: str
    versions: dict[str, str]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with what belongs to it.

    Attributes
    ----------
    network : keras.Model
        Takes scaled features, returns scaled labels.
    mesh : ndarray
        Photon energies that spectra must be on, shape (M,), float64, eV.
    scaling : Scaling
        Scaling of features and labels, from the training split.
    metadata : ModelMetadata
        Where the network comes from.
    """

    network: keras.Model
    mesh: NDArray[np.float64]
    scaling: Scaling
    metadata: ModelMetadata

    def predict(self, spectra: NDArray[np.floating[Any]], *, batch_size: int = 1024) -> NDArray[np.float64]:
        """Predict the mean squared displacement.

        Parameters
        ----------
        spectra : ndarray
            Normalized spectra on the model's mesh, shape (N, M), edge steps, no NaN.
        batch_size : int
            Spectra evaluated at once; bounds the memory and does not change the result.

        Returns
        -------
        ndarray
            Mean squared displacements, shape (N,), float64, Å².

        Raises
        ------
        SpectrumError
            If the spectra have another number of points or are not finite.
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
        return self.scaling.unscale_labels(evaluate(self.network, features, batch_size=batch_size))


def evaluate(network: keras.Model, features: NDArray[np.float32], *, batch_size: int = 1024) -> NDArray[np.float32]:
    """Return the network's scaled labels, shape (n,), for scaled features, shape (n, M); n may be 0."""
    if len(features) == 0:
        return np.empty(0, dtype=np.float32)
    scaled: NDArray[np.float32] = network.predict(features, batch_size=batch_size, verbose=0)
    return scaled[:, 0]


def save_model(folder: Path, network: keras.Model, metadata: ModelMetadata) -> None:
    """Write a trained network and what belongs to it.

    Each file appears under its name only when complete. `model.json` is written last
    and holds the checksum of `network.keras`, so a folder left half written by a kill
    is told from a whole one.

    Parameters
    ----------
    folder : Path
        Folder to write to; made if it does not exist.
    network : keras.Model
        The network.
    metadata : ModelMetadata
        What belongs to it.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    partial = folder / "partial.keras"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        network.save(partial)
        digest = _digest(partial)
        partial.replace(folder / NETWORK_FILE)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the model to {folder}: {error.strerror or error}; check the folder and the space left"
        ) from error
    finally:
        if partial.exists():
            partial.unlink()
    content = {
        "schema": MODEL_SCHEMA,
        "schema_version": MODEL_VERSION,
        "network_digest": digest,
        **metadata,
    }
    write_text(folder / METADATA_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def load_model(folder: Path) -> TrainedModel:
    """Read a trained network.

    Parameters
    ----------
    folder : Path
        A folder that `save_model` wrote.

    Returns
    -------
    TrainedModel
        The network, ready to predict.

    Raises
    ------
    StoreError
        If the folder holds no model, one of another version, or one half written.
    EnvironmentProblem
        If Keras is not installed.
    """
    metadata, scaling, digest = _read_metadata(folder / METADATA_FILE)
    path = folder / NETWORK_FILE
    try:
        found = _digest(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; {_REMEDY}") from error
    if found != digest:
        raise StoreError(f"{path} is not the network that {METADATA_FILE} describes; {_REMEDY}")
    network = import_keras().saving.load_model(path, compile=False)
    return TrainedModel(network, np.asarray(metadata["mesh"], dtype=np.float64), scaling, metadata)


def _read_metadata(path: Path) -> tuple[ModelMetadata, Scaling, str]:
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
            f"{path} has version {version} of {MODEL_SCHEMA}, this xanesml reads {MODEL_VERSION}; {_REMEDY}"
        )
    lacking = (ModelMetadata.__required_keys__ | {"network_digest"}) - content.keys()
    if lacking:
        raise StoreError(f"{path} is incomplete: it lacks {', '.join(sorted(lacking))}; {_REMEDY}")
    digest: str = content.pop("network_digest")
    metadata: ModelMetadata = content
    return metadata, Scaling.from_dict(metadata["scaling"]), digest


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and give it its own when complete.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {path}: {error.strerror or error}; check the folder and the space left"
        ) from error
    finally:
        if partial.exists():
            partial.unlink()
