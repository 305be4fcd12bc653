"""Fitted baselines in a file of a model's folder: arrays only, which do not depend on the version of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from xanesml.campaign import Mode
from xanesml.errors import StoreError
from xanesml.files.whole import whole_file
from xanesml.learning.predictors import Constant, Linear, LinearMoments, Predictor, SlopeLine, Trees

BASELINES_FILE = "baselines.npz"

#: Kinds of baselines by their names in the file.
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Constant, SlopeLine, Linear, LinearMoments, Trees)}
_REMEDY = "train again with `xanesml train`"


def save_baselines(folder: Path, baselines: Mapping[Mode, Mapping[str, Predictor]]) -> None:
    """Write fitted baselines, by mode of training and by name, to `baselines.npz`, whole or not at all.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    arrays = {
        f"{mode}/{name}/{type(baseline).__name__}/{field.name}": getattr(baseline, field.name)
        for mode, some in baselines.items()
        for name, baseline in some.items()
        for field in fields(_KINDS[type(baseline).__name__])
    }
    with whole_file(folder / BASELINES_FILE) as partial:
        np.savez_compressed(partial, **arrays)


def load_baselines(folder: Path) -> dict[Mode, dict[str, Predictor]]:
    """Read the fitted baselines of a model, by mode of training and by name.

    They give the same answers as those that were saved, bit for bit; boosted trees, fitted again when they
    are first asked, to 1e-9 Å² (see `xanesml.learning.predictors.Trees`).

    Raises
    ------
    StoreError
        If the file is missing, damaged, or holds something else.
    """
    path = folder / BASELINES_FILE
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise StoreError(f"there is no {path}; {_REMEDY}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}; make it readable and try again") from error
    except (BadZipFile, EOFError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}; {_REMEDY}") from error
    states: dict[tuple[str, ...], dict[str, Any]] = {}
    for key, values in arrays.items():
        *owner, field = key.split("/")
        # Numbers are stored as arrays without dimensions.
        states.setdefault(tuple(owner), {})[field] = values[()]
    baselines: dict[Any, dict[str, Predictor]] = {}
    for owner, state in states.items():
        try:
            mode, name, kind = owner
            baselines.setdefault(mode, {})[name] = _KINDS[kind](**state)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path} holds an unknown baseline: {'/'.join(owner)}; {_REMEDY}") from error
    return baselines
