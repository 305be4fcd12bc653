"""Training, from a tensor file to the folder of a trained model and its errors.

The loop is in `hpc.fitting`, Horovod in `hpc.collective`; one process trains with the same code.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc.checkpoint import Epoch
from hpc.collective import open_collective
from hpc.comm import from_root
from hpc.fitting import TRAINED_SECTIONS, fit
from xanesml.assessment import LABELS, Assessment, Comparison, assess, verdict
from xanesml.campaign import Campaign
from xanesml.dataset import Split, Tensors, load_tensors, split_by_family
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.hdf5 import package_versions
from xanesml.model import ModelMetadata, evaluate, save_model, write_text
from xanesml.network import build_network
from xanesml.scaling import Scaling

#: Sections that the averages depend on; training on averages of another campaign is refused.
_AVERAGED_SECTIONS = tuple(section for section in TRAINED_SECTIONS if section != "training")

#: The state between two epochs, in the folder of the model until that is complete.
CHECKPOINT = "checkpoint.npz"


@dataclass(frozen=True)
class TrainingReport:
    """What came of a training; the content of `report.json`.

    Attributes
    ----------
    campaign, campaign_digest : str
        Name and hash of the campaign.
    test : Comparison
        Network and baselines on the test split, Å².
    particle : Comparison
        The same on the particle averages, of which there may be none.
    noise : float
        Standard deviation of the noise on all these spectra, edge steps.
    training, validation, families : int
        Spectra trained on, spectra that chose the epoch, families in all.
    epochs, best_epoch : int
        Epochs trained, and the one whose weights were kept.
    parameters : int
        Parameters of the network, the statistics of batch normalization included.
    ranks : int
        Number of ranks.
    rank : int
        The rank that this copy of the report is on; not in `report.json`.
    seconds : float
        Wall time of all epochs, s.
    samples_per_second : float
        Spectra per second over all ranks, validation not included, s⁻¹. The first of
        several epochs, in which TensorFlow traces the step, is left out.
    """

    campaign: str
    campaign_digest: str
    test: Comparison
    particle: Comparison
    noise: float
    training: int
    validation: int
    families: int
    epochs: int
    best_epoch: int
    parameters: int
    ranks: int
    rank: int
    seconds: float
    samples_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        comparisons = {"test": self.test.to_dict(), "particle": self.particle.to_dict()}
        content = {"units": "Å²"} | asdict(self) | comparisons
        del content["rank"]
        return content


def train(
    campaign: Campaign,
    tensors: Path,
    folder: Path,
    *,
    echo: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> TrainingReport | None:
    """Train the network of a campaign and write it with its errors.

    Collective: every rank of the launcher calls it with the same arguments. Rank 0
    writes `network.keras`, `model.json`, `history.csv`, `parity.csv`, `report.json` and,
    for TensorBoard, `logs/`; until these are complete, a checkpoint after every epoch,
    from which the next call goes on. Reproducible from the campaign's seed on the same
    number of ranks.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    tensors : Path
        Its tensor file.
    folder : Path
        Folder of the trained model.
    echo : callable
        Takes one line per epoch, on rank 0.
    stop : callable
        Whether this rank was asked to stop.

    Returns
    -------
    TrainingReport or None
        The same on every rank, but for `rank`; None where training was stopped and can go on.

    Raises
    ------
    StoreError
        If the tensor file is unusable or belongs to another campaign.
    EnvironmentProblem
        If a library is missing or the folder cannot be written to.
    """
    section = campaign.training
    data = load_tensors(tensors)
    _refuse_other_campaign(campaign, data, tensors)
    split = split_by_family(data.family, validation=section.validation, test=section.test, seed=campaign.seed)
    scaling = Scaling.fit(data.spectra[split.training], data.msd[split.training], noise=section.noise)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot make the folder {folder}: {error.strerror}; name one that can be written to"
        ) from error

    collective = open_collective()
    # The ranks start from rank 0's weights, but each drops out units of its own.
    network = build_network(data.mesh.size, section, seed=campaign.seed + collective.rank)
    say = echo if collective.rank == 0 else _silent
    say(f"training on {split.training.size} spectra, {network.count_params()} parameters, {collective.size} ranks")
    fitted = fit(
        network,
        collective,
        data=data,
        split=split,
        scaling=scaling,
        campaign=campaign,
        echo=say,
        checkpoint=folder / CHECKPOINT,
        stop=stop,
        after_epoch=_Log(folder),
    )
    if not fitted.finished:
        say(f"stopped after {len(fitted.history)} of {section.epochs} epochs: start the same command again")
        return None
    history = fitted.history

    def finish() -> TrainingReport:
        def predict(features: NDArray[np.float32]) -> NDArray[np.float64]:
            return scaling.unscale_labels(evaluate(network, features))

        assessment = assess(predict, data, split, scaling, noise=section.noise, seed=campaign.seed)
        report = TrainingReport(
            campaign=campaign.name,
            campaign_digest=campaign.digest(),
            test=assessment.test,
            particle=assessment.particle,
            noise=section.noise,
            training=split.training.size,
            validation=split.validation.size,
            families=np.unique(data.family).size,
            epochs=len(history),
            best_epoch=min(history, key=lambda epoch: epoch.validation_mae).epoch,
            parameters=network.count_params(),
            ranks=collective.size,
            rank=0,
            seconds=sum(epoch.seconds for epoch in history),
            samples_per_second=fitted.rate,
        )
        _write_tables(folder, history, assessment)
        write_text(folder / "report.json", json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n")
        save_model(folder, network, _metadata(campaign, data, split, scaling, assessment))
        (folder / CHECKPOINT).unlink(missing_ok=True)
        for line in _summary(assessment):
            say(line)
        return report

    return replace(from_root(collective, finish), rank=collective.rank)


class _Log:
    """Writes what an epoch has come to: the table of all, and a point in TensorBoard's curves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def __call__(self, history: list[Epoch]) -> None:
        import tensorflow as tf  # noqa: PLC0415 (heavy)

        _write_history(self._folder, history)
        if self._writer is None:
            if len(history) == 1:
                # A training from the start has curves of its own.
                shutil.rmtree(self._folder / "logs", ignore_errors=True)
            self._writer = tf.summary.create_file_writer(str(self._folder / "logs"))
        with self._writer.as_default(step=history[-1].epoch):
            for name in ("learning_rate", "train_loss", "validation_mae"):
                tf.summary.scalar(name, getattr(history[-1], name))
        self._writer.flush()


def _refuse_other_campaign(campaign: Campaign, data: Tensors, path: Path) -> None:
    theirs: dict[str, Any] = json.loads(data.campaign)
    ours: dict[str, Any] = json.loads(campaign.resolved())
    for section in _AVERAGED_SECTIONS:
        if theirs.get(section) != ours[section]:
            raise StoreError(
                f"{path} was averaged for a campaign with another {section!r} ({theirs.get('name')!r}, "
                f"not {campaign.name!r} as it is now); run `xanesml average` again"
            )


def _metadata(
    campaign: Campaign, data: Tensors, split: Split, scaling: Scaling, assessment: Assessment
) -> ModelMetadata:
    return ModelMetadata(
        element=campaign.structure.element,
        edge=campaign.feff.edge,
        mesh=data.mesh.tolist(),
        reference=scaling.feature_mean.tolist(),
        band=np.percentile(data.spectra[split.training], (5, 95), axis=0).tolist(),
        label_range=[scaling.label_minimum, scaling.label_maximum],
        scaling=scaling.to_dict(),
        edge_energy=data.edge,
        normalization=data.normalization,
        normalization_energy=data.normalization_energy,
        campaign=json.loads(campaign.resolved()),
        campaign_digest=campaign.digest(),
        versions=json.loads(package_versions()),
        metrics={"test": assessment.test.to_dict(), "particle": assessment.particle.to_dict()},
    )


def _write_tables(folder: Path, history: Sequence[Epoch], assessment: Assessment) -> None:
    _write_history(folder, history)
    parity = zip(assessment.labels.tolist(), assessment.predictions.tolist(), strict=True)
    write_text(folder / "parity.csv", _csv(["label", "prediction"], parity))


def _write_history(folder: Path, history: Sequence[Epoch]) -> None:
    columns = [field.name for field in fields(Epoch)]
    write_text(folder / "history.csv", _csv(columns, [astuple(epoch) for epoch in history]))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _summary(assessment: Assessment) -> Iterable[str]:
    for comparison in (assessment.test, assessment.particle):
        if comparison.n:
            errors = ", ".join(f"{LABELS[name]} {error.mae:.2g}" for name, error in comparison.errors.items())
            yield f"MAE in Å² on {comparison.n} {comparison.spectra}: {errors}"
    yield verdict(assessment.test, assessment.particle)


def _silent(line: str) -> None:
    """Take a line and say nothing: the echo of all ranks but the first."""
