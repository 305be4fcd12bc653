"""Checks of a training before hours are spent on it: one batch, ten spectra, shuffled labels; a minute, one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpc.comm import Alone, silent
from hpc.training.collective import Collective, check_backend
from hpc.training.loop import HeldOut, Schedule, fit
from hpc.training.optimizer import make_optimizer
from hpc.training.share import load_share, read_split
from hpc.training.step import compiled_step
from xanesml.campaign import Campaign, TrainingSection
from xanesml.files.arrays import Indices, Singles
from xanesml.learning.augmentation import Augmentation, Augmenter, augmenter
from xanesml.learning.batches import StoredBatches, label_columns
from xanesml.learning.dataset import Tensors
from xanesml.learning.network import answers_of, build_network
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import Split
from xanesml.seeds import Stream, generator, seed_of

if TYPE_CHECKING:
    import keras

#: Spectra that are to be overfitted; steps between two looks, and most looks; MAE that is enough, of their scatter.
_FEW, _FEW_STEPS, _MOST_LOOKS, _LEARNED_BY_HEART = 10, 50, 40, 0.1
#: Steps of the trainings with right and with shuffled labels, and their epochs.
_STEPS, _EPOCHS = 40, 5
#: MAE on the validation split in units of the mean label's: at most this with right labels, at least that with
#: shuffled ones.
_LEARNS, _CANNOT_LEARN = 0.8, 0.9
#: What keeps a network from learning by heart.
_UNRESTRAINED: dict[str, object] = {
    "dropout": 0.0,
    "block_dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "weight_decay": 0.0,
    "warmup_epochs": 0.0,
}


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    name : str
        What was checked.
    ok : bool
        Whether it is as it should be.
    text : str
        What was found, with what to do where it is not, in one line.
    """

    name: str
    ok: bool
    text: str

    def line(self) -> str:
        """Return the finding as one line."""
        return f"{'ok' if self.ok else 'problem':<8} {self.name:<16} {self.text}"


def check_training(campaign: Campaign, tensors: Path, *, echo: Callable[[str], None]) -> bool:
    """Check a campaign's training on its tensor file, print a line for each finding, and write nothing.

    Returns
    -------
    bool
        Whether all is as it should be.

    Raises
    ------
    StoreError
        If the tensor file is unusable or belongs to another campaign.
    EnvironmentProblem
        If a library is missing.
    """
    count, split = read_split(campaign, tensors)
    check_backend(Alone())
    data, split, scaling = load_share(campaign, tensors, count, split, Alone(), Collective())
    checks = _Checks(campaign, data, split, scaling)
    verdicts = []
    for finding in checks.findings():
        echo(finding.line())
        verdicts.append(finding.ok)
    return all(verdicts)


@dataclass(frozen=True)
class _Checks:
    campaign: Campaign
    data: Tensors
    split: Split
    scaling: Scaling

    def findings(self) -> Iterator[Finding]:
        """Yield the findings, the quickest first."""
        yield self.one_batch()
        yield self.ten_spectra()
        yield from self.shuffled_labels()

    def one_batch(self) -> Finding:
        """Take one batch forward and back: all is finite, and the gradient reaches every variable."""
        # One step of SGD at the rate 1 takes off the gradient itself.
        plain = _changed(self._section, _UNRESTRAINED | {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0})
        network, source = self._network(plain), self._source(plain, self.split.training, steps=1)
        before = [variable.numpy() for variable in network.trainable_variables]
        step = compiled_step(network, make_optimizer(network, plain), Collective(), source, plain.head_weight)
        (arrays,) = source.epoch(1)
        loss = float(step(*arrays))
        gradients = {
            variable.path: was - variable.numpy()
            for variable, was in zip(network.trainable_variables, before, strict=True)
        }
        broken = [name for name, gradient in gradients.items() if not np.isfinite(gradient).all()]
        unreached = [name for name, gradient in gradients.items() if not gradient.any()]
        what = f"{len(arrays[0])} spectra of {self.data.mesh.size} energies, loss {loss:.3g}"
        if broken or not np.isfinite(loss):
            return Finding(
                "one batch",
                False,
                f"{what}: not finite in {', '.join(broken) or 'the loss'}; check the averages with `xanesml validate`",
            )
        if unreached:
            return Finding(
                "one batch",
                False,
                f"{what}: the gradient does not reach {', '.join(unreached)}; give another activation or "
                "initial_weights, or a head_weight above 0",
            )
        norm = float(np.sqrt(sum(np.square(gradient, dtype=np.float64).sum() for gradient in gradients.values())))
        return Finding(
            "one batch", True, f"{what}, gradient {norm:.3g}; it reaches all {network.count_params():,} weights"
        )

    def ten_spectra(self) -> Finding:
        """Learn ten spectra by heart, without errors of measurement and without what restrains the network."""
        section = _changed(self._section, _UNRESTRAINED | {"epochs": _MOST_LOOKS})
        by_msd = self.split.training[np.argsort(self.data.msd[self.split.training], kind="stable")]
        rows = by_msd[np.unique(np.linspace(0, by_msd.size - 1, _FEW).astype(np.int64))]
        none = Augmenter(Augmentation(), self.data.mesh, self.data.edge)
        network = self._network(section)
        source = self._source(section, rows, steps=_FEW_STEPS, batch=rows.size, errors=none)
        labels = self.data.msd[rows]
        held = HeldOut(self.scaling.scale_features(self.data.spectra[rows]), labels)
        scatter = float(np.abs(labels - labels.mean()).mean())
        enough = _LEARNED_BY_HEART * scatter
        fitted = fit(
            network,
            Collective(),
            source=source,
            held_out=held,
            scaling=self.scaling,
            schedule=self._schedule(section),
            echo=silent,
            after_epoch=lambda history: history[-1].validation_mae <= enough,
        )
        error = min(
            (epoch.validation_mae for epoch in fitted.history if np.isfinite(epoch.validation_mae)), default=np.nan
        )
        what = (
            f"{rows.size} spectra, MAE {_milli(error)} after {_FEW_STEPS * len(fitted.history)} steps, "
            f"where their MSDs scatter by {_milli(scatter)}"
        )
        if error <= enough:
            return Finding("ten spectra", True, f"learned by heart: {what}")
        return Finding(
            "ten spectra",
            False,
            f"not learned by heart: {what}; give another learning_rate, more filters or dense units, or another "
            "optimizer",
        )

    def shuffled_labels(self) -> Iterator[Finding]:
        """Learn for some steps with the right labels, and with shuffled ones, from which nothing can be learned."""
        section = _changed(self._section, {"epochs": _EPOCHS, "warmup_epochs": min(1.0, self._section.warmup_epochs)})
        labels = self.data.msd
        mean = float(np.abs(labels[self.split.validation] - labels[self.split.training].mean()).mean())
        right, shuffled = (self._error(section, shuffle=shuffle) / mean for shuffle in (False, True))
        steps = f"after {_EPOCHS * _STEPS} steps, in units of the mean label's {_milli(mean)}"
        advice = "" if right <= _LEARNS else "; give another learning_rate or optimizer, or fewer restraints"
        yield Finding("right labels", right <= _LEARNS, f"validation MAE {right:.2f} {steps}{advice}")
        # NaN is no answer either.
        fair = shuffled >= _CANNOT_LEARN
        advice = "" if fair else "; a label stands in the spectra, or families are on both sides of the split"
        yield Finding("shuffled labels", fair, f"validation MAE {shuffled:.2f} {steps}{advice}")

    @property
    def _section(self) -> TrainingSection:
        return self.campaign.training

    def _network(self, section: TrainingSection) -> keras.Model:
        seed = seed_of(self.campaign.seed, Stream.WEIGHTS, 0, 0, 0)
        return build_network(
            self.data.mesh.size, section, bins=self.data.series.r.size, seed=int(seed.generate_state(1)[0])
        )

    def _source(
        self,
        section: TrainingSection,
        rows: Indices,
        *,
        steps: int,
        batch: int | None = None,
        errors: Augmenter | None = None,
        order: Indices | None = None,
    ) -> StoredBatches:
        names = answers_of(section)
        columns = label_columns(self.data, self.scaling, names)
        if order is not None:
            columns = [column[order] for column in columns]
        return StoredBatches(
            self.data.spectra,
            columns,
            names,
            rows,
            self.scaling,
            errors or augmenter(section, section.modes[0], self.data, self.scaling.ranges["msd"]),
            seed=self.campaign.seed,
            key=(0, 0, 0),
            batch_size=batch or section.batch_size,
            steps=steps,
        )

    def _schedule(self, section: TrainingSection) -> Schedule:
        return Schedule(section=section, seed=self.campaign.seed, key=(0, 0, 0), identity="")

    def _error(self, section: TrainingSection, *, shuffle: bool) -> float:
        """Return the mean absolute error on the validation split after a short training, Å²."""
        rows, order = self.split.training, None
        if shuffle:
            order = np.arange(len(self.data.msd))
            order[rows] = generator(self.campaign.seed, Stream.SHUFFLED_LABELS).permutation(rows)
        held = HeldOut(self._measured(section), self.data.msd[self.split.validation])
        fitted = fit(
            self._network(section),
            Collective(),
            source=self._source(section, rows, steps=_STEPS, order=order),
            held_out=held,
            scaling=self.scaling,
            schedule=self._schedule(section),
            echo=silent,
        )
        # The last one: the smallest of several would be lucky.
        return fitted.history[-1].validation_mae

    def _measured(self, section: TrainingSection) -> Singles:
        errors = augmenter(section, section.modes[0], self.data, self.scaling.ranges["msd"])
        seed = seed_of(self.campaign.seed, Stream.VALIDATION_ERRORS, 0, 0, 0)
        return self.scaling.scale_features(errors.on_arrays(self.data.spectra[self.split.validation], seed))


def _changed(section: TrainingSection, changes: dict[str, object]) -> TrainingSection:
    # Not validated: AdamW without decay is what is wanted here.
    return section.model_copy(update=changes)


def _milli(value: float) -> str:
    return f"{1e3 * value:.3g} × 10⁻³ Å²"
