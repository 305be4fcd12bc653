"""The site file: all settings that differ between clusters, in one small TOML file."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from xanesml.campaign import first_problem
from xanesml.errors import EnvironmentProblem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Folder of the site files that come with xanesml.
PRESET_FOLDER = Path(__file__).with_name("presets")

#: Their names, each of which is accepted in place of a site file.
PRESETS = ("cpu-cluster", "gpu-cluster", "laptop")

#: All jobs, in order.
JOBS = ("doctor", "simulate", "average", "compare", "tune", "train", "predict")

#: The keys that say where Python is; one of them at most.
PYTHON = ("conda", "venv", "archive", "container")

#: Shortest time of a job before its drain, s. Slurm signals up to 30 s early, and ranks take seconds to start.
_SHORTEST = 45

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<fields>\d+(?::\d+){0,2})")


def time_seconds(text: str) -> int:
    """Return the seconds of a time in Slurm's format: `M`, `M:S`, `H:M:S`, `D-H`, `D-H:M` or `D-H:M:S`.

    Raises
    ------
    ValueError
        If it has none of these formats, or is zero.
    """
    match = _TIME.fullmatch(text)
    days, fields = (match["days"], [int(field) for field in match["fields"].split(":")]) if match else (None, [0])
    # Two fields are minutes and seconds, unless days come before them.
    if days is None and len(fields) < 3:
        fields = [0, *fields]
    hours, minutes, seconds = [*fields, 0, 0][:3]
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise ValueError(f"{text!r} is not a time in Slurm's format; write minutes, 'HH:MM:SS' or 'D-HH:MM:SS'")
    return total


def _time(text: str) -> str:
    time_seconds(text)
    return text


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} is not one line of text")
    return text


Line = Annotated[str, Field(min_length=1), AfterValidator(_line)]
Word = Annotated[str, Field(pattern=r"^[^\s\"'\\$`]+$")]
PositiveInt = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Environment(_Section):
    """Where a job runs and what it loads: keys of the site, each of which a job may have of its own."""

    account: Word | None = None
    """Account to charge. Default none."""
    partition: Word | None = None
    """Partition. Default: Slurm's."""
    before: list[Line] = []
    """Shell lines before anything is loaded, such as 'module purge' or 'module use FOLDER'. Default none."""
    modules: list[Word] = []
    """Modules to load. Default none."""
    conda: Line | None = None
    """Name or folder of a conda environment to activate. Default none."""
    venv: Line | None = None
    """Folder of a virtual environment to activate. Default none."""
    archive: Line | None = None
    """Tar archive of a Python environment, which every node unpacks into memory or onto its disk. Default none."""
    container: Line | None = None
    """Apptainer image, or the command that runs another command in a container. Default none."""
    setup: list[Line] = []
    """Shell lines after these, such as 'export OMP_PROC_BIND=false'. Default none."""
    launcher: Line = "mpirun"
    """Command that starts the ranks, such as 'mpirun' or 'srun --mpi=pmix'. Default mpirun."""

    @model_validator(mode="after")
    def _runnable(self) -> Environment:
        for name in ("launcher", "container"):
            text = getattr(self, name)
            try:
                words = None if text is None else shlex.split(text)
            except ValueError as error:
                raise ValueError(f"{name} = {text!r}: {error}") from error
            if words == []:
                raise ValueError(f"{name} is empty; give 'mpirun', 'srun --mpi=pmix' or your site's, or leave it out")
        given = [name for name in PYTHON if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(f'{name} = {getattr(self, name)!r}' for name in given)} are both given; keep one"
            )
        return self


class Job(Environment):
    """Resources of a job."""

    nodes: PositiveInt = 1
    """Number of nodes. Default 1."""
    tasks_per_node: PositiveInt = 1
    """Ranks on each node. Default 1."""
    cpus_per_task: PositiveInt = 1
    """Cores of each rank. Default 1."""
    hyperthreads: bool = False
    """Whether a rank may be given a hardware thread in place of a core. Default false."""
    memory: Word | None = None
    """Memory of each node, such as '64G'. Default: Slurm's."""
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    """GPUs of each node; one for each rank, or none. Default 0."""
    gpu_type: Word | None = None
    """Type of the GPUs, such as 'a100'. Default: any."""
    time: Annotated[str, AfterValidator(_time)] = "01:00:00"
    """Time limit, in Slurm's format. Default 01:00:00."""
    options: list[Line] = []
    """Further options of sbatch for this job, such as '--exclusive'. Default none."""


class DrainedJob(Job):
    """A job that stops in order when its time is up, and is queued again."""

    drain: PositiveInt = 300
    """Time before the end at which Slurm warns the job, s. Default 300."""
    restarts: Annotated[int, Field(ge=0)] = 20
    """How many times it is queued again at most. Default 20."""

    @model_validator(mode="after")
    def _time_to_work(self) -> DrainedJob:
        if time_seconds(self.time) < self.drain + _SHORTEST:
            raise ValueError(f"time = {self.time!r} leaves no time before drain = {self.drain} s; make the time longer")
        return self


class SimulateJob(DrainedJob):
    """The FEFF runs."""

    strict: bool = False
    """Whether a failed run stops the jobs after it. Else `engine.max_failed` of the campaign does. Default false."""


class TrainJob(DrainedJob):
    """The training job: one rank on each GPU."""

    drain: PositiveInt = 120
    """Time before the end at which Slurm warns the job, s. Default 120."""

    @model_validator(mode="after")
    def _one_rank_per_gpu(self) -> TrainJob:
        if self.gpus_per_node not in (0, self.tasks_per_node):
            raise ValueError(
                f"gpus_per_node is {self.gpus_per_node} and tasks_per_node {self.tasks_per_node}; "
                "a rank trains on one GPU: make them equal"
            )
        return self


class Site(Environment):
    """Settings of a site."""

    slurm: bool = True
    """Whether Slurm runs the jobs; otherwise they run one after the other where they are started. Default true."""
    options: list[Line] = []
    """Further options of sbatch for all jobs, such as '--qos=long'. Default none."""
    scratch: Line | None = None
    """Node-local folder for FEFF's files; $NAME is expanded in the job. Default: $SLURM_TMPDIR, $TMPDIR or /tmp."""
    doctor: Job | None = None
    """The check of the machine. Default: as the FEFF runs, for a quarter of an hour."""
    simulate: SimulateJob = SimulateJob()
    """The FEFF runs."""
    average: Job = Job()
    """Averages: from the store to training tensors."""
    compare: Job = Job()
    """Particle averages against statistical ones."""
    tune: TrainJob | None = None
    """The search for training settings. Default: as the training."""
    train: TrainJob = TrainJob()
    """Training of the networks."""
    predict: Job = Job()
    """Predictions for measured spectra."""

    @model_validator(mode="after")
    def _archive_needs_slurm(self) -> Site:
        archives = (self.archive, *(self.of(name).archive for name in JOBS))
        if not self.slurm and any(archive is not None for archive in archives):
            raise ValueError("archive is unpacked by Slurm on every node; without it give venv or conda")
        return self

    def job(self, name: str) -> Job:
        """Return the resources of a job, one of `JOBS`."""
        given: Job | None = getattr(self, name)
        if given is not None:
            return given
        if name == "doctor":
            shared = self.simulate.model_dump(include=set(Job.model_fields), exclude_unset=True)
            return Job.model_validate(shared | {"time": "00:15:00"})
        return self.train

    def of(self, name: str) -> Environment:
        """Return where a job runs and what it loads: its own keys, and the site's where it has none."""
        own = self.job(name)
        keys = Environment.model_fields
        given = {key: getattr(own, key) for key in keys if key in own.model_fields_set}
        # An environment of the job's own takes the place of another kind of the site's.
        replaced = PYTHON if set(PYTHON) & given.keys() else ()
        return Environment.model_validate(
            {key: getattr(self, key) for key in keys if key not in replaced and key in self.model_fields_set} | given
        )


def load_site(name: str) -> Site:
    """Read and check a site file.

    Parameters
    ----------
    name : str
        Path of a TOML file, or one of `PRESETS`.

    Returns
    -------
    Site
        The validated site.

    Raises
    ------
    EnvironmentProblem
        If the file cannot be read, is not TOML, or does not validate; the message
        names the first offending key and what is accepted there.
    """
    path = PRESET_FOLDER / f"{name}.toml" if name in PRESETS else Path(name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot read the site file {name}: {error.strerror}; give a file, or one of {', '.join(PRESETS)}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EnvironmentProblem(f"{name} is not valid TOML: {error}") from error
    try:
        return Site.model_validate(content)
    except ValidationError as error:
        raise EnvironmentProblem(f"{name}: {first_problem(error, Site)}") from error
