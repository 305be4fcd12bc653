"""Training, from a tensor file to the folder of a trained model and its errors.

Ranks divide into groups. A group trains one network after the other, data-parallel over its
ranks (`hpc.training.loop`, `hpc.training.collective`); one process trains all networks with the same code.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpc.comm import Ranks, from_root, on_root, silent
from hpc.training.collective import check_backend, join_group
from hpc.training.share import load_share, read_split
from hpc.training.trainer import Trained, Trainer
from xanesml.assessment.assess import Assessment, assess
from xanesml.assessment.model_card import write_card
from xanesml.assessment.report import LABELS, NETWORK, REPORT_FILE, TrainingReport
from xanesml.assessment.sensitivity import most_harmful, sensitivity, sensitivity_file, write_sensitivity
from xanesml.campaign import Campaign, Mode
from xanesml.errors import EnvironmentProblem
from xanesml.files.folders import replace_folder, resume_replacement
from xanesml.files.hdf5 import package_versions
from xanesml.files.lock import WriteLock
from xanesml.files.records import write_record
from xanesml.files.table import write_csv
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.model import (
    ModelMetadata,
    answers_of_ensemble,
    complete_model,
    is_of_model,
    unfinished_folder,
)
from xanesml.learning.network import import_keras
from xanesml.learning.particle_set import ParticleSet, ParticleSplit
from xanesml.learning.predictor_files import save_baselines
from xanesml.learning.predictors import Predictor
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import Split, steps_per_epoch
from xanesml.learning.trained_network import network_file, numpy_file, save_for_numpy

if TYPE_CHECKING:
    import keras

#: Test spectra to which the answers without Keras are compared with its own.
_COMPARED = 256


def train(
    comm: Ranks,
    campaign: Campaign,
    tensors: Path,
    folder: Path,
    *,
    echo: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
    ranks_per_network: int = 1,
) -> TrainingReport | None:
    """Train the networks of a campaign and write them with their errors; collective.

    It writes the files of a model (docs/reference/running.md) and, for TensorBoard, `logs/`, into the folder
    `FOLDER.unfinished`, with a checkpoint after every epoch, from which the next call resumes. When all is
    complete, that folder takes the place of an earlier model. Reproducible from the campaign's seed on the
    same number of ranks.

    Parameters
    ----------
    comm : Ranks
        The ranks.
    campaign : Campaign
        The campaign.
    tensors : Path
        Its tensor file.
    folder : Path
        Folder of the trained model.
    echo : callable
        Prints a line; called once per epoch, on the first rank of every group.
    stop : callable
        Returns whether this rank was asked to stop.
    ranks_per_network : int, optional
        Smallest number of ranks that train a network together, if there are as many. Default 1: ranks
        share a network only if there are more ranks than networks.

    Returns
    -------
    TrainingReport or None
        The same on every rank; None if training was stopped and can resume.

    Raises
    ------
    StoreError
        If the tensor file is unusable or belongs to another campaign, or another process trains there.
    EnvironmentProblem
        If a library is missing or the folder cannot be written to.
    """
    # On rank 0 the stack holds the lock.
    with ExitStack() as at_the_end:
        on_root(comm, lambda: at_the_end.enter_context(WriteLock(folder, echo)))
        on_root(comm, lambda: resume_replacement(folder, ours=is_of_model))
        return _train(comm, campaign, tensors, folder, ranks_per_network, echo, stop)


def _train(
    comm: Ranks,
    campaign: Campaign,
    tensors: Path,
    folder: Path,
    ranks_per_network: int,
    echo: Callable[[str], None],
    stop: Callable[[], bool],
) -> TrainingReport | None:
    section, work = campaign.training, unfinished_folder(folder)
    count, split = from_root(comm, lambda: read_split(campaign, tensors))
    check_backend(comm)
    on_root(comm, lambda: _make_folder(work, folder))
    jobs = [(mode, member) for mode in section.modes for member in range(section.members)]
    groups = min(max(1, comm.size // ranks_per_network), len(jobs))
    number, collective = join_group(comm, groups)
    data, local, scaling = load_share(campaign, tensors, count, split, comm, collective)
    steps = steps_per_epoch(split, count, batch_size=section.batch_size, size=collective.size)
    trainer = Trainer(campaign, collective, data, local, scaling, steps, work, stop)
    say = echo if collective.rank == 0 else silent
    if comm.rank == 0:
        echo(f"training {len(jobs)} networks on {split.training.size} spectra: {comm.size} ranks in {groups} groups")
        for remark in collective.remarks():
            echo(remark)
    mine = []
    for mode, member in jobs[number::groups]:
        mine.append(trainer.train(mode, member, say))
        if not mine[-1].fitted.finished:
            break
    trained = [one for some in comm.allgather(mine if collective.rank == 0 else []) for one in some]
    done = sum(one.fitted.finished for one in trained)
    if done < len(jobs):
        if comm.rank == 0:
            echo(f"stopped with {done} of {len(jobs)} networks trained: start the same command again")
        return None
    del data, trainer

    def finish() -> TrainingReport:
        report = _finish(campaign, tensors, work, split, scaling, trained, comm.size, groups, echo)
        replace_folder(work, folder, ours=is_of_model)
        # Only now, so that a call that was killed before is resumed at its end.
        for checkpoint in folder.glob("checkpoint-*.npz"):
            checkpoint.unlink()
        return report

    return from_root(comm, finish)


def _make_folder(work: Path, folder: Path) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot make the folder {folder}: {error.strerror}; name one that is writable"
        ) from error


def _finish(
    campaign: Campaign,
    tensors: Path,
    folder: Path,
    split: Split,
    scaling: Scaling,
    trained: Sequence[Trained],
    ranks: int,
    groups: int,
    echo: Callable[[str], None],
) -> TrainingReport:
    """Assess the networks in a folder and complete the model."""
    section, data = campaign.training, load_tensors(tensors)
    load = import_keras().saving.load_model
    tuned = ParticleSplit.of(len(data.particle_msd), campaign).tuning
    assessments: dict[Mode, Assessment] = {}
    for mode in section.modes:
        networks = [load(folder / network_file(mode, member), compile=False) for member in range(section.members)]
        mine = [one for one in trained if one.mode == mode]
        histories = [one.fitted.history for one in sorted(mine, key=lambda one: one.member)]
        untuned = [one.untuned for one in mine if one.untuned is not None]
        assessments[mode] = assess(
            networks,
            mode,
            data,
            split,
            scaling,
            campaign,
            particles=ParticleSet.test(data, mode, campaign),
            calibration=ParticleSet.calibration(data, mode, campaign),
            best_epochs=[min(each, key=lambda epoch: epoch.validation_mae).epoch for each in histories],
            untuned=np.asarray(np.mean(untuned, axis=0)) if untuned else None,
        )
        _write_tables(folder, mode, assessments[mode])
        some = scaling.scale_features(data.spectra[split.test[:_COMPARED]])
        apart = save_for_numpy(folder, mode, networks, some)
        echo(f"{mode}: answers without Keras differ from its own by at most {apart:.1g} of their scale")
        predictors = _predictors(networks, scaling) | assessments[mode].baselines
        rows = sensitivity(predictors, mode, data, split, scaling, campaign)
        write_sensitivity(folder / sensitivity_file(mode), rows)
        for line in [*_summary(mode, assessments[mode]), f"{mode}: {most_harmful(rows)}"]:
            echo(line)
    slowest = max((sum(one.fitted.seconds for one in trained[start::groups]) for start in range(groups)), default=0.0)
    report = TrainingReport(
        campaign=campaign.name,
        campaign_digest=campaign.digest(),
        modes={mode: assessment.report for mode, assessment in assessments.items()},
        training=split.training.size,
        validation=split.validation.size,
        calibration=split.calibration.size,
        families=np.unique(data.family).size,
        tuned=len(tuned),
        epochs=section.epochs,
        parameters=networks[0].count_params(),
        ranks=ranks,
        groups=groups,
        seconds=slowest,
        samples_per_second=sum(one.fitted.samples for one in trained) / slowest if slowest else 0.0,
    )
    write_record(folder / REPORT_FILE, report)
    _remove_others(folder, report)
    save_baselines(folder, {mode: assessment.baselines for mode, assessment in assessments.items()})
    metadata = _metadata(campaign, data, split, scaling, assessments)
    write_card(folder, metadata, report)
    members = list(product(section.modes, range(section.members)))
    complete_model(
        folder,
        metadata,
        data.series,
        [REPORT_FILE, *(file(mode, member) for file in (network_file, numpy_file) for mode, member in members)],
    )
    return report


def _remove_others(folder: Path, report: TrainingReport) -> None:
    """Remove tables that an earlier training with other modes or more members has left unfinished."""
    mine: set[str] = set()
    for mode, content in report.modes.items():
        mine |= {f"history-{mode}-{member}.csv" for member in range(len(content.best_epochs))}
        mine |= {f"parity-{mode}.csv", f"particles-{mode}.csv", sensitivity_file(mode)}
    for path in folder.glob("*.csv"):
        if is_of_model(path.name) and path.name not in mine:
            path.unlink()


def _metadata(
    campaign: Campaign, data: Tensors, split: Split, scaling: Scaling, assessments: dict[Mode, Assessment]
) -> ModelMetadata:
    return ModelMetadata(
        element=campaign.structure.element,
        edge=campaign.feff.edge,
        mesh=data.mesh,
        band=np.percentile(data.spectra[split.training], (5, 95), axis=0),
        scaling=scaling,
        intervals={mode: assessment.report.interval for mode, assessment in assessments.items()},
        baseline_intervals={mode: assessment.report.baseline_intervals for mode, assessment in assessments.items()},
        distances={mode: assessment.distance for mode, assessment in assessments.items()},
        edge_energy=data.edge,
        first_shell=data.series.first_shell,
        normalization_energy=data.normalization_energy,
        campaign=campaign,
        campaign_digest=campaign.digest(),
        versions=json.loads(package_versions()),
    )


def _predictors(networks: Sequence[keras.Model], scaling: Scaling) -> dict[str, Predictor]:
    return {NETWORK: lambda features: answers_of_ensemble(networks, features, scaling).msd}


def _write_tables(folder: Path, mode: Mode, assessment: Assessment) -> None:
    columns = assessment.labels, assessment.answers.msd, assessment.answers.spread, assessment.half_widths
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_csv(folder / f"parity-{mode}.csv", ["label", "prediction", "spread", "half_width"], rows)
    rows = zip(assessment.particle_labels.tolist(), assessment.particle_answers.tolist(), strict=True)
    write_csv(folder / f"particles-{mode}.csv", ["label", "prediction"], rows)


def _summary(mode: Mode, assessment: Assessment) -> Iterable[str]:
    report = assessment.report
    for comparison in (report.test, report.fitted, report.particle):
        if comparison.n:
            errors = ", ".join(f"{LABELS[name]} {error.mae:.2g}" for name, error in comparison.errors.items())
            yield f"{mode}: MAE in Å² on {comparison.n} {comparison.spectra}: {errors}"
    if report.particle_before_fine_tuning is not None:
        before = report.particle_before_fine_tuning.mae
        yield f"{mode}: before fine-tuning the networks had {before:.2g} Å² on the particle averages"
    yield f"{mode}: {report.verdict()}"
    yield (
        f"{mode}: the interval of {report.interval.confidence:.0%} holds {report.coverage:.1%} of the test "
        f"split, {report.width:.2g} Å² wide; over other calibrations {report.scatter}"
    )
