"""Trains the networks of one group of ranks one after the other."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.comm import silent
from hpc.training.checkpoint import Epoch
from hpc.training.collective import Collective
from hpc.training.loop import Fitted, HeldOut, Schedule, fit
from xanesml.campaign import Campaign, Mode
from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Indices
from xanesml.files.table import write_csv
from xanesml.learning.augmentation import Augmentation, Augmenter, augmenter
from xanesml.learning.batches import Batches, EndlessBatches, MixedBatches, StoredBatches, label_columns
from xanesml.learning.dataset import Tensors
from xanesml.learning.network import answers_of, build_network
from xanesml.learning.particle_set import ParticleSet
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import Split
from xanesml.learning.trained_network import evaluate, network_file, save_network
from xanesml.seeds import Stream, seed_of

if TYPE_CHECKING:
    import keras

#: Sections that a trained network depends on.
TRAINED_SECTIONS = ("structure", "distortion", "disorder", "feff", "averaging", "training", "seed")

#: Steps of an epoch of fine-tuning, and its learning rate in units of the campaign's.
TUNING_STEPS, TUNING_RATE = 10, 0.1


def checkpoint_file(mode: Mode, member: int) -> str:
    """Return the name of a network's checkpoint, which stays in the model's folder until the model is complete."""
    return f"checkpoint-{mode}-{member}.npz"


@dataclass(frozen=True)
class Trained:
    """Result of training one network.

    Attributes
    ----------
    mode : {"direct", "reference"}
        Its mode.
    member : int
        Its number in the ensemble.
    fitted : Fitted
        Its history and speed; unfinished if training was stopped.
    untuned : ndarray or None
        Its MSDs of particle averages before it was fine-tuned on others, shape (n,), Å².
    """

    mode: Mode
    member: int
    fitted: Fitted
    untuned: Floats | None = None


@dataclass(frozen=True)
class Trainer:
    """Trains the networks of one group of ranks.

    Attributes
    ----------
    campaign : Campaign
        The campaign.
    collective : Collective
        The ranks of the group.
    data : Tensors
        This rank's share of the statistical averages.
    split : Split
        The rows of each part.
    scaling : Scaling
        The scaling, the same on all ranks.
    steps : int
        Steps of an epoch, the same on all ranks.
    folder : Path
        Folder of the model.
    stop : callable
        Returns whether this rank was asked to stop.
    """

    campaign: Campaign
    collective: Collective
    data: Tensors
    split: Split
    scaling: Scaling
    steps: int
    folder: Path
    stop: Callable[[], bool]

    def train(self, mode: Mode, member: int, say: Callable[[str], None]) -> Trained:
        """Train one network and write it; collective over the group."""
        section, name = self.campaign.training, f"{mode} {member + 1}"
        key = (section.modes.index(mode), member)
        network, fitted = self.fit(
            mode,
            member,
            echo=lambda line: say(f"{name}: {line}"),
            checkpoint=self.folder / checkpoint_file(mode, member),
            after_epoch=_Log(self.folder, f"{mode}-{member}"),
        )
        if not fitted.finished:
            return Trained(mode, member, fitted)
        untuned = None
        tuning = ParticleSet.tuning(self.data, mode, self.campaign)
        if len(tuning.msd):
            untuned = self._on_particles(network, ParticleSet.test(self.data, mode, self.campaign))
            self._fine_tune(network, mode, key, tuning)
            say(f"{name}: fine-tuned on {np.unique(tuning.rows).size} structures")
        if self.collective.rank == 0:
            save_network(self.folder / network_file(mode, member), network)
        return Trained(mode, member, fitted, untuned)

    def fit(
        self,
        mode: Mode,
        member: int,
        *,
        echo: Callable[[str], None],
        after_epoch: Callable[[list[Epoch]], bool | None],
        checkpoint: Path | None = None,
    ) -> tuple[keras.Model, Fitted]:
        """Train one network on statistical averages and return it; collective over the group, see `loop.fit`."""
        campaign, section = self.campaign, self.campaign.training
        key = (section.modes.index(mode), member)
        weights = seed_of(campaign.seed, Stream.WEIGHTS, *key, self.collective.rank)
        # The ranks start from rank 0's weights, but each draws its own dropout.
        network = build_network(
            self.data.mesh.size, section, bins=self.data.series.r.size, seed=int(weights.generate_state(1)[0])
        )
        errors = augmenter(section, mode, self.data, self.scaling.ranges["msd"])
        return network, fit(
            network,
            self.collective,
            source=self._source(errors, key),
            held_out=self._measured_on(self.split.validation, errors, key),
            seen=self._measured_on(self._some_training_rows(), errors, key, 1),
            scaling=self.scaling,
            schedule=self._schedule(key),
            echo=echo,
            checkpoint=checkpoint,
            stop=self.stop,
            after_epoch=after_epoch,
        )

    def _source(self, errors: Augmenter, key: tuple[int, ...], *, steps: int = 0) -> Batches:
        section, mine = self.campaign.training, (*key, self.collective.rank)
        names = answers_of(section)
        if section.source == "on_the_fly":
            return EndlessBatches(
                self.data, names, self.scaling, errors, self.campaign, key=mine, steps=steps or self.steps
            )
        return StoredBatches(
            self.data.spectra,
            label_columns(self.data, self.scaling, names),
            names,
            self.split.training,
            self.scaling,
            errors,
            seed=self.campaign.seed,
            key=mine,
            batch_size=section.batch_size,
            steps=steps or self.steps,
        )

    def _measured_on(self, rows: Indices, errors: Augmenter, key: tuple[int, ...], *more: int) -> HeldOut:
        names = answers_of(self.campaign.training)
        seed = seed_of(self.campaign.seed, Stream.VALIDATION_ERRORS, *key, self.collective.rank, *more)
        spectra = errors.on_arrays(self.data.spectra[rows], seed)
        columns = label_columns(self.data, self.scaling, names)
        targets = {name: column[rows] for name, column in zip(names, columns, strict=True)}
        return HeldOut(self.scaling.scale_features(spectra), self.data.msd[rows], targets)

    def _some_training_rows(self) -> Indices:
        """Return as many training rows as there are validation rows, spread evenly."""
        rows, count = self.split.training, self.split.validation.size
        return rows[np.linspace(0, rows.size - 1, min(count, rows.size)).astype(np.int64)]

    def _schedule(self, key: tuple[int, ...]) -> Schedule:
        return Schedule(
            section=self.campaign.training,
            seed=self.campaign.seed,
            key=(*key, self.collective.rank),
            identity=self.campaign.digest(*TRAINED_SECTIONS) + "-".join(map(str, key)),
        )

    def _fine_tune(self, network: keras.Model, mode: Mode, key: tuple[int, ...], particles: ParticleSet) -> None:
        """Continue with batches that are half particle averages, at a small learning rate."""
        section, data = self.campaign.training, self.data
        names = answers_of(section)
        noise = Augmentation(noise=particles.noises * section.noise, slope=section.slope)
        columns = [column[particles.rows] for column in label_columns(data, self.scaling, names, particle=True)]
        tuning = StoredBatches(
            particles.spectra.astype(np.float32),
            columns,
            names,
            np.arange(len(particles.msd)),
            self.scaling,
            Augmenter(noise, data.mesh, data.edge),
            seed=self.campaign.seed,
            key=(*key, self.collective.rank, 1),
            batch_size=section.batch_size,
            steps=TUNING_STEPS,
        )
        errors = augmenter(section, mode, data, self.scaling.ranges["msd"])
        gently = {
            "epochs": section.fine_tuning,
            "learning_rate": TUNING_RATE * section.learning_rate,
            "warmup_epochs": 0.0,
        }
        schedule = replace(self._schedule((*key, 1)), section=section.model_copy(update=gently), keep_last=True)
        fit(
            network,
            self.collective,
            source=MixedBatches(self._source(errors, (*key, 1), steps=TUNING_STEPS), tuning),
            held_out=HeldOut(self.scaling.scale_features(particles.spectra), particles.msd),
            scaling=self.scaling,
            schedule=schedule,
            echo=silent,
        )

    def _on_particles(self, network: keras.Model, particles: ParticleSet) -> Floats:
        seed = seed_of(self.campaign.seed, Stream.PARTICLE_NOISE)
        features = particles.features(self.scaling, self.campaign.training.noise, seed)
        return self.scaling.unscale_labels(evaluate(network, features)["msd"][:, 0])


class _Log:
    """Writes the history after each epoch: the table of all epochs, and a point in TensorBoard's curves."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._writer: Any = None

    def __call__(self, history: list[Epoch]) -> None:
        # TensorBoard's own writer, which needs no TensorFlow.
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 (heavy)
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415

        columns = [field.name for field in fields(Epoch)]
        write_csv(self._folder / f"history-{self._name}.csv", columns, [astuple(epoch) for epoch in history])
        logs = self._folder / "logs" / self._name
        last = history[-1]
        points = [
            Summary.Value(tag=name, simple_value=getattr(last, name))
            for name in ("learning_rate", "train_loss", "validation_mae", "loss_training", "loss_validation")
        ]
        try:
            if self._writer is None:
                if len(history) == 1:
                    # Training from the start begins new curves.
                    shutil.rmtree(logs, ignore_errors=True)
                self._writer = EventFileWriter(str(logs))
            self._writer.add_event(Event(wall_time=time.time(), step=last.epoch, summary=Summary(value=points)))
            self._writer.flush()
        except _file_errors() as error:
            text = str(error).splitlines()[0]
            raise EnvironmentProblem(f"cannot write {logs}: {text}; check the folder and the space left") from error


def _file_errors() -> tuple[type[Exception], ...]:
    """Return what writing a file of TensorBoard may raise: with TensorFlow, its own errors."""
    tensorflow = sys.modules.get("tensorflow")
    return (OSError,) if tensorflow is None else (OSError, tensorflow.errors.OpError)
