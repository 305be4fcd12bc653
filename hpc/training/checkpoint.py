"""The state of a training between two epochs, in a file that is complete or absent."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem
from xanesml.files.whole import whole_file

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Epoch:
    """One line of a network's `history-*.csv`.

    Attributes
    ----------
    epoch : int
        From 1.
    learning_rate : float
        The learning rate in the last step.
    train_loss : float
        Mean over steps and ranks of the loss, with dropout and while the weights change.
    validation_mae : float
        Mean absolute error on the validation split, noise added, Å².
    seconds : float
        Wall time, validation included, s.
    loss_training, loss_validation : float
        The loss at the epoch's end, without dropout and penalties, on as many training spectra as there are validation
        spectra, and on these, both with the errors of a measurement; NaN where it was not measured.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_mae: float
    seconds: float
    loss_training: float = np.nan
    loss_validation: float = np.nan


@dataclass
class Checkpoint:
    """The state that a training resumes from.

    Attributes
    ----------
    identity : str
        Hash of the campaign's sections that the training depends on.
    history : list of Epoch
        The epochs so far.
    best : list of ndarray
        The network's weights after the epoch with the smallest validation error.
    weights, optimizer : list of ndarray
        The network's weights and the optimizer's variables now.
    """

    identity: str
    history: list[Epoch]
    best: Arrays
    weights: Arrays
    optimizer: Arrays

    def save(self, path: Path) -> None:
        """Write the file; an earlier one stays until this is complete.

        Raises
        ------
        EnvironmentProblem
            If the folder cannot be written to.
        """
        meta = {"identity": self.identity, "history": [asdict(epoch) for epoch in self.history]}
        groups = {"best": self.best, "weights": self.weights, "optimizer": self.optimizer}
        arrays = {f"{name}_{i}": array for name, group in groups.items() for i, array in enumerate(group)}
        with whole_file(path) as partial:
            np.savez(partial, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path, identity: str) -> Checkpoint | None:
        """Read the file; None if it is missing, damaged, or of another identity.

        Raises
        ------
        EnvironmentProblem
            If the system cannot read it: a training from the start would replace what may be whole.
        """
        try:
            with np.load(path) as file:
                meta = json.loads(file["meta"].tobytes())
                groups = {
                    name: [file[f"{name}_{i}"] for i in range(sum(key.startswith(f"{name}_") for key in file.files))]
                    for name in ("best", "weights", "optimizer")
                }
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot read {path}: {error.strerror or error}; make it readable and start again, or remove it to "
                "train from the start"
            ) from error
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if meta["identity"] != identity:
            return None
        return cls(identity, [Epoch(**epoch) for epoch in meta["history"]], **groups)
