"""What a job script says about the site and its campaigns: options of sbatch, what is loaded, the command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.jobscripts.site import DrainedJob, Environment, Job, SimulateJob, Site

#: Jobs of one process, which need no launcher.
SERIAL = ("compare", "predict")


@dataclass(frozen=True)
class Work:
    """A campaign to write scripts for.

    Attributes
    ----------
    campaign : Path
        The campaign file.
    name : str
        The campaign's name.
    output : Path
        Folder of all results.
    """

    campaign: Path
    name: str
    output: Path


def header(site: Site, job: str, work: Sequence[Work], folder: Path | None) -> list[str]:
    """Return the lines that sbatch reads; a single empty comment without Slurm."""
    if not site.slurm:
        return ["#"]
    wanted, where = site.job(job), site.of(job)
    options = [f"--job-name={work[0].name}-{job}" if len(work) == 1 else f"--job-name=xanesml-{job}"]
    if where.account:
        options.append(f"--account={where.account}")
    if where.partition:
        options.append(f"--partition={where.partition}")
    options += [*_resources(wanted), f"--time={wanted.time}"]
    if isinstance(wanted, DrainedJob):
        options.append(f"--signal=B:USR1@{wanted.drain}")
    if len(work) > 1:
        options.append(f"--array=0-{len(work) - 1}")
    log = "%x-%A_%a.log" if len(work) > 1 else "%x-%j.log"
    path = "" if folder is None else str(folder).replace("%", "%%") + "/"
    options += ["--requeue", "--open-mode=append", f"--output={_in_double_quotes(path + log)}"]
    return [f"#SBATCH {option}" for option in [*options, *site.options, *wanted.options]] + ["#"]


def _resources(wanted: Job) -> Iterable[str]:
    yield f"--nodes={wanted.nodes}"
    yield f"--ntasks-per-node={wanted.tasks_per_node}"
    yield f"--cpus-per-task={wanted.cpus_per_task}"
    if wanted.memory:
        yield f"--mem={wanted.memory}"
    if wanted.gpus_per_node:
        kind = f"{wanted.gpu_type}:" if wanted.gpu_type else ""
        yield f"--gpus-per-node={kind}{wanted.gpus_per_node}"
    elif not wanted.hyperthreads:
        # FEFF fills a core; two on the threads of one core take nearly twice as long.
        yield "--hint=nomultithread"


def loading(where: Environment) -> Iterable[str]:
    """Yield lines that load what a job needs, and refuse to start where it cannot be had."""
    yield from where.before
    if where.modules:
        yield f'module load {" ".join(where.modules)} || fail "the modules cannot be loaded"'
    if where.conda:
        yield f'eval "$(conda shell.bash hook)" && conda activate {shlex.quote(str(Path(where.conda).expanduser()))} ||'
        yield '  fail "the conda environment cannot be activated"'
    if where.venv:
        yield f"source {shlex.quote(str(Path(where.venv).expanduser() / 'bin' / 'activate'))} ||"
        yield '  fail "the virtual environment cannot be activated"'
    yield from where.setup


def command(site: Site, job: str) -> Iterable[str]:
    """Yield lines that set the command of a job, without its campaign."""
    wanted, where = site.job(job), site.of(job)
    # A launcher of the job's own starts also a single process, where a site wants that.
    launched = job not in SERIAL or "launcher" in wanted.model_fields_set
    launcher = list(_launcher(where, wanted)) if launched else []
    if where.archive:
        tool = ['"$environment/bin/python"', '"$environment/bin/xanesml"']
        yield f"archive={shlex.quote(str(Path(where.archive).expanduser()))}"
        yield 'environment="${TMPDIR:-/tmp}/xanesml-${SLURM_JOB_ID:-none}"'
    elif where.container:
        words = shlex.split(where.container)
        inside = words if len(words) > 1 else ["apptainer", "exec", *words]
        tool = ['"${container[@]}"', "xanesml"]
        yield f"container=({' '.join(map(shlex.quote, inside))})"
    else:
        tool = ["xanesml"]
    words = [*launcher, *tool, job]
    if job == "simulate" and site.scratch:
        yield from _scratch(site.scratch)
        words += ["--scratch", '"$scratch"']
    yield f"command=({' '.join(words)})"
    if isinstance(wanted, DrainedJob):
        yield f"restarts={wanted.restarts}"
        # Averaging can do without some runs, and the training without some averages.
        yield f"passing={3 if isinstance(wanted, SimulateJob) and not wanted.strict else ''}"


def _launcher(where: Environment, wanted: Job) -> Iterable[str]:
    words = shlex.split(where.launcher)
    yield shlex.quote(words[0])
    if Path(words[0]).name == "srun":
        if not any(word.startswith(("-K", "--kill-on-bad-exit")) for word in words):
            yield "--kill-on-bad-exit=1"
        if not any(word.startswith(("-c", "--cpus-per-task")) for word in words):
            # From sbatch srun has not inherited it since Slurm 22.05.
            yield f'--cpus-per-task="${{SLURM_CPUS_PER_TASK:-{wanted.cpus_per_task}}}"'
    yield from map(shlex.quote, words[1:])


def targets(job: str, work: Sequence[Work], spectra: Sequence[Path]) -> Iterable[str]:
    """Yield lines that set what the members of a job array work on, and where their results go."""
    if job == "predict":
        yield f"targets={array(one.output.absolute() / 'model' for one in work)} outputs=()"
        if spectra:
            yield f'set -- {" ".join(shlex.quote(str(path.absolute())) for path in spectra)} "$@"'
    else:
        yield f"targets={array(one.campaign.absolute() for one in work)}"
        yield f"outputs={array(one.output.absolute() for one in work)}"


def check(where: Environment) -> str:
    """Return the lines that refuse to start where xanesml or its container is not there."""
    if where.archive:
        return '[[ -r $archive ]] || fail "no archive $archive on $(hostname); make it (docs/how-to/install.md)"'
    if where.container:
        lines = [
            'type -P "${container[0]}" >/dev/null ||',
            '  fail "no ${container[0]} on $(hostname); load it in the site file: before, modules or setup"',
        ]
        if len(shlex.split(where.container)) == 1:
            lines.append('[[ -e ${container[2]} ]] || fail "there is no image ${container[2]} on $(hostname)"')
        return "\n".join(lines)
    return (
        "type -P xanesml >/dev/null ||\n"
        '  fail "no xanesml on $(hostname); load it in the site file: modules, conda, venv, archive or container"'
    )


def _scratch(scratch: str) -> Iterable[str]:
    """Yield lines that name the scratch folder, and refuse one that the job would take for another."""
    # Without a value, "$NAME" would be the folder that the job is submitted in, and "$NAME/x" one in the root.
    for name in dict.fromkeys(re.findall(r"\$(?:(\w+)|\{(\w+)\})", scratch)):
        variable = "".join(name)
        said = f"scratch is {scratch}, and {variable} is not set on "
        yield f'[[ -n ${{{variable}:-}} ]] || fail {shlex.quote(said)}"$(hostname); set it, or change the site file"'
    yield f"scratch={_expanding(scratch)}"
    yield "[[ $scratch == /* ]] || fail \"scratch is '$scratch', which is no path from the root; change the site file\""


def array(paths: Iterable[Path]) -> str:
    """Return paths as an array of bash."""
    return f"({' '.join(shlex.quote(str(path)) for path in paths)})"


def _expanding(text: str) -> str:
    """Quote a word in which $NAME is expanded."""
    return '"' + re.sub(r'(["\\`])', r"\\\1", text) + '"'


def _in_double_quotes(text: str) -> str:
    """Quote a word of an #SBATCH line, where nothing is expanded."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"' if re.search(r"[^\w./%-]", text) else text
