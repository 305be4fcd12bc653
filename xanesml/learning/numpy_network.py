"""A trained network evaluated by NumPy: its layers as arrays in a file, for prediction without Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from scipy.special import expit, ndtr

from xanesml.campaign import Activation, Pooling
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Singles
from xanesml.files.whole import whole_file

if TYPE_CHECKING:
    import keras

#: Layers that have no weights of use to a trained network, by the names of their classes.
_WITHOUT_WEIGHTS = ("InputLayer", "Reshape", "Flatten", "Dropout")
#: Poolings, by the names of their layers' classes.
_POOLINGS: dict[str, Pooling] = {"MaxPooling1D": "max", "AveragePooling1D": "average"}
#: Settings of a network in its file.
_FORM = "form"
#: Those of networks whose file has none.
_USUAL_FORM = np.array(["relu", "max", "1"])
#: The answer whose numbers are shares that sum to 1.
_SHARES = "distribution"
_REMEDY = "train again with `xanesml train`"


@dataclass(frozen=True)
class Affine:
    """Weights of a convolution or a dense layer. No array holds NaN.

    Attributes
    ----------
    kernel : ndarray, float32
        Shape (K, C, F) for a convolution of K points from C channels to F, (C, F) for a dense layer.
    bias : ndarray, shape (F,), float32
        Offsets.
    """

    kernel: Singles
    bias: Singles


@dataclass(frozen=True)
class NumpyNetwork:
    """The network of `xanesml.learning.network.build_network`, trained, as arrays.

    Each convolution is followed by the activation and pooling by two, each dense layer by the activation. Batch
    normalization is a factor and an offset once the training is over: both are part of the convolution before it.

    Attributes
    ----------
    convolutions, dense : sequence of Affine
        The trunk, in its order.
    answers : mapping of str to Affine
        The last layers, by the name of the answer.
    activation : str
        Name of the activation; see `training.activation` of a campaign.
    pooling : str
        How two points become one: their `max`, their `average`, or `none`.
    stride : int
        Points from one value of a convolution to the next.
    """

    convolutions: Sequence[Affine]
    dense: Sequence[Affine]
    answers: Mapping[str, Affine]
    activation: Activation = "relu"
    pooling: Pooling = "none"
    stride: int = 1

    @classmethod
    def of(cls, network: keras.Model) -> NumpyNetwork:
        """Return a trained Keras network as arrays.

        Raises
        ------
        TypeError
            If it has a layer or an activation that `build_network` never makes.
        """
        convolutions: list[Affine] = []
        dense: list[Affine] = []
        answers: dict[str, Affine] = {}
        activation: Activation = "relu"
        pooling: Pooling = "none"
        stride = 1
        for layer in network.layers:
            kind = type(layer).__name__
            if kind == "Conv1D":
                kernel, *bias = layer.get_weights()
                stride = int(layer.strides[0])
                convolutions.append(Affine(kernel, bias[0] if bias else np.zeros(kernel.shape[-1], np.float32)))
            elif kind == "BatchNormalization":
                convolutions[-1] = _normalized(convolutions[-1], layer.get_weights(), layer.epsilon)
            elif kind == "Dense" and layer.name in network.output:
                answers[layer.name] = Affine(*layer.get_weights())
            elif kind == "Dense":
                dense.append(Affine(*layer.get_weights()))
                activation = _known(layer)
            elif kind in _POOLINGS:
                pooling = _POOLINGS[kind]
            elif kind == "Activation":
                activation = _known(layer)
            elif kind not in (*_WITHOUT_WEIGHTS, "ReLU"):
                raise TypeError(f"no network of xanesml has a layer {kind}")
        # Keras lists the last layers in an order of its own.
        ordered = {name: answers[name] for name in network.output}
        return cls(convolutions, dense, ordered, activation, pooling, stride)

    @classmethod
    def load(cls, path: Path) -> NumpyNetwork:
        """Read a network from its file.

        Raises
        ------
        StoreError
            If the file is missing, damaged, or holds something else.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}; {_REMEDY}") from error
        except (BadZipFile, EOFError, ValueError) as error:
            raise StoreError(f"{path} is damaged: {error}; {_REMEDY}") from error
        layers: dict[str, dict[str, Affine]] = {"convolution": {}, "dense": {}, "answer": {}}
        try:
            activation, pooling, stride = arrays.pop(_FORM, _USUAL_FORM).tolist()
            for key, array in arrays.items():
                part, name, what = key.split("/")
                if what == "kernel":
                    layers[part][name] = Affine(array, arrays[f"{part}/{name}/bias"])
        except (KeyError, ValueError) as error:
            raise StoreError(f"{path} holds no network of xanesml: {error}; {_REMEDY}") from error
        if activation not in _ACTIVATIONS or pooling not in (*_POOLINGS.values(), "none"):
            raise StoreError(f"{path} has the activation {activation} and the pooling {pooling}; {_REMEDY}")
        trunk = list(layers["convolution"].values()), list(layers["dense"].values())
        return cls(*trunk, layers["answer"], activation, pooling, int(stride))

    def save(self, path: Path) -> None:
        """Write the network's file, whole or not at all.

        Raises
        ------
        EnvironmentProblem
            If the folder cannot be written to.
        """
        named = {f"convolution/{number}": layer for number, layer in enumerate(self.convolutions, start=1)}
        named |= {f"dense/{number}": layer for number, layer in enumerate(self.dense, start=1)}
        named |= {f"answer/{name}": layer for name, layer in self.answers.items()}
        with whole_file(path) as partial, partial.open("wb") as stream:
            np.savez(
                stream,
                **{f"{name}/{what}": array for name, one in named.items() for what, array in vars(one).items()},
                **{_FORM: np.array([self.activation, self.pooling, str(self.stride)])},
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each answer to one spectrum, by name."""
        return {name: layer.bias.shape for name, layer in self.answers.items()}

    def __call__(self, features: Singles) -> dict[str, Singles]:
        """Return the answers by name, shape (n, 1) or (n, R), to scaled features, shape (n, M)."""
        signal = np.asarray(features, dtype=np.float32)[:, :, np.newaxis]
        activated = _ACTIVATIONS[self.activation]
        for layer in self.convolutions:
            signal = _halved(activated(_convolved(signal, layer, self.stride)), self.pooling)
        signal = signal.reshape(len(signal), -1)
        for layer in self.dense:
            signal = activated(signal @ layer.kernel + layer.bias)
        return {
            name: _softmax(signal @ layer.kernel + layer.bias)
            if name == _SHARES
            else signal @ layer.kernel + layer.bias
            for name, layer in self.answers.items()
        }


def _known(layer: keras.Layer) -> Activation:
    """Return the name of a layer's activation."""
    name: Activation = layer.activation.__name__
    if name not in _ACTIVATIONS:
        raise TypeError(f"no network of xanesml has the activation {name}")
    return name


def _normalized(layer: Affine, weights: Sequence[Singles], epsilon: float) -> Affine:
    """Return a convolution together with the batch normalization behind it."""
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in weights)
    factor: Floats = gamma / np.sqrt(variance + epsilon)
    return Affine((layer.kernel * factor).astype(np.float32), ((layer.bias - mean) * factor + beta).astype(np.float32))


def _convolved(signal: Singles, layer: Affine, stride: int) -> Singles:
    """Return the convolution of a signal, shape (n, P, C), that is taken as 0 beyond its ends; (n, ⌈P / stride⌉, F)."""
    points, width = signal.shape[1], len(layer.kernel)
    kept = -(-points // stride)
    reach = max((kept - 1) * stride + width - points, 0)
    # What does not come out even reaches one point farther to the right.
    padded = np.pad(signal, ((0, 0), (reach // 2, reach - reach // 2), (0, 0)))
    result = np.broadcast_to(layer.bias, (len(signal), kept, layer.bias.size)).copy()
    for offset, kernel in enumerate(layer.kernel):
        result += padded[:, offset : offset + (kept - 1) * stride + 1 : stride] @ kernel
    return result


def _halved(signal: Singles, pooling: Pooling) -> Singles:
    """Return one of each two points, shape (n, ⌈P / 2⌉, F); the last point stands alone where P is odd."""
    if pooling == "none":
        return signal
    last = signal[:, -1:] if signal.shape[1] % 2 else signal[:, :0]
    even = signal[:, : signal.shape[1] // 2 * 2]
    first, second = even[:, ::2], even[:, 1::2]
    pooled = np.maximum(first, second) if pooling == "max" else (first + second) / np.float32(2)
    return np.concatenate([pooled, last], axis=1)


def _elu(values: Singles) -> Singles:
    return np.where(values > 0, values, np.expm1(np.minimum(values, 0)))


#: Activations by Keras' names.
_ACTIVATIONS: dict[str, Callable[[Singles], Singles]] = {
    "relu": lambda values: np.maximum(values, np.float32(0)),
    "leaky_relu": lambda values: np.where(values > 0, values, np.float32(0.2) * values),
    "elu": _elu,
    # Klambauer and others, arXiv:1706.02515.
    "selu": lambda values: (
        np.float32(1.0507009873554805) * np.where(values > 0, values, np.float32(1.6732632423543772) * _elu(values))
    ),
    "silu": lambda values: values * expit(values),
    "gelu": lambda values: values * ndtr(values),
    "tanh": np.tanh,
}


def _softmax(values: Singles) -> Singles:
    exponentials: Singles = np.exp(values - values.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
