"""Fitted baselines in a file of a model's folder: arrays alone, which any version of the libraries reads alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from xanesml.errors import StoreError
from xanesml.files.whole import whole_file
from xanesml.learning.augmentation import Mode
from xanesml.learning.predictors import Constant, Linear, LinearMoments, Predictor, SlopeLine, Trees

BASELINES_FILE = "baselines.npz"

#: What a baseline can be, by its name in the file.
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Constant, SlopeLine, Linear, LinearMoments, Trees)}
_REMEDY = "make one with `xanesml train`"


def save_baselines(folder: Path, baselines: Mapping[Mode, Mapping[str, Predictor]]) -> None:
    """Write fitted baselines to `baselines.npz`, which appears under its name only when complete.

    Parameters
    ----------
    folder : Path
        Folder of a model.
    baselines : mapping of str to mapping of str to Predictor
        By mode of training and by name.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    arrays = {
        f"{mode}/{name}/{type(baseline).__name__}/{field}": values
        for mode, some in baselines.items()
        for name, baseline in some.items()
        for field, values in vars(baseline).items()
    }
    with whole_file(folder / BASELINES_FILE) as partial:
        np.savez_compressed(partial, **arrays)


def load_baselines(folder: Path) -> dict[Mode, dict[str, Predictor]]:
    """Read the fitted baselines of a model.

    Parameters
    ----------
    folder : Path
        A folder that `save_baselines` wrote to.

    Returns
    -------
    dict of str to dict of str to Predictor
        By mode of training and by name; the answers are those of what was saved, bit for bit.

    Raises
    ------
    StoreError
        If there is no such file or it holds something else.
    """
    path = folder / BASELINES_FILE
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}; {_REMEDY}") from error
    except (BadZipFile, EOFError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}; {_REMEDY}") from error
    states: dict[tuple[str, ...], dict[str, Any]] = {}
    for key, values in arrays.items():
        *owner, field = key.split("/")
        # A number was made an array of no dimensions.
        states.setdefault(tuple(owner), {})[field] = values[()]
    baselines: dict[Any, dict[str, Predictor]] = {}
    for owner, state in states.items():
        try:
            mode, name, kind = owner
            baselines.setdefault(mode, {})[name] = _KINDS[kind](**state)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path} holds no baseline that xanesml knows: {'/'.join(owner)}; {_REMEDY}") from error
    return baselines
