"""The job scripts, made from one template and the site file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.jobscripts.site import PRESET_FOLDER, DrainedJob, Job, SimulateJob, Site
from xanesml.errors import EnvironmentProblem
from xanesml.files.whole import write_text

#: The jobs of a campaign, in order.
JOBS = ("simulate", "average", "train", "predict")

#: The program that submits them, beside the scripts.
SUBMIT = "submit-campaign"

_TEMPLATES = Path(__file__).with_name("templates")

#: Purpose of each job, and its arguments when submitted by hand, alone and as an array.
_ABOUT = {
    "simulate": ("FEFF runs of a campaign, one per rank at a time", "CAMPAIGN", "A.toml B.toml C.toml"),
    "average": ("From the store to training tensors", "CAMPAIGN", "A.toml B.toml C.toml"),
    "train": ("The network, one rank per GPU where there are GPUs", "CAMPAIGN", "A.toml B.toml C.toml"),
    "predict": ("The disorder of measured spectra", "MODEL SPECTRUM...", "A/model B/model C/model SPECTRUM..."),
}


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


def write_jobs(site: Site, work: Sequence[Work], spectra: Sequence[Path], folder: Path) -> list[Path]:
    """Write the scripts of one or several campaigns, ready to submit.

    Parameters
    ----------
    site : Site
        The site.
    work : sequence of Work
        The campaigns; several make job arrays and need different output folders.
    spectra : sequence of Path
        Measured spectra, as `xanesml predict` takes them; without any there is no predict script.
    folder : Path
        Folder of the scripts and the jobs' logs; created if missing. Scripts in it are replaced.

    Returns
    -------
    list of Path
        The scripts; the last is `SUBMIT`, which submits the others.

    Raises
    ------
    EnvironmentProblem
        If the campaigns cannot be run together, or the folder cannot be written to.
    """
    if len({one.output.absolute() for one in work}) < len(work):
        raise EnvironmentProblem("two of the campaigns have the same name and would write into the same folder")
    if len(work) > 1 and not site.slurm:
        raise EnvironmentProblem(
            f"{len(work)} campaigns need job arrays, and the site has no Slurm; give one at a time"
        )
    for path in (folder, *spectra, *(path for one in work for path in (one.campaign, one.output))):
        if not str(path.absolute()).isprintable():
            raise EnvironmentProblem(f"{str(path)!r} is not printable text, which job scripts need of paths; rename it")
    missing = next((path for path in spectra if not _is_there(path)), None)
    if missing is not None:
        raise EnvironmentProblem(f"there is no spectrum {missing}; give files that exist to --spectrum")
    folder = folder.absolute()
    jobs = [job for job in JOBS if spectra or job != "predict"]
    texts = {f"{job}.sbatch": job_script(site, job, work, spectra, folder) for job in jobs}
    return _write(folder, texts | {SUBMIT: _submit_script(site, work)})


def write_unfilled(site: Site, folder: Path) -> list[Path]:
    """Write scripts that take a campaign when they are submitted, and the site files to start from.

    Parameters
    ----------
    site : Site
        The site.
    folder : Path
        Their folder; scripts in it are replaced, site files are not.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    presets = {path.name: path.read_text(encoding="utf-8") for path in sorted(PRESET_FOLDER.glob("*.toml"))}
    texts = {name: text for name, text in presets.items() if not (folder / name).exists()}
    texts |= {f"{job}.sbatch": job_script(site, job) for job in JOBS}
    return _write(folder, texts | {SUBMIT: _submit_script(site)})


def job_script(
    site: Site, job: str, work: Sequence[Work] = (), spectra: Sequence[Path] = (), folder: Path | None = None
) -> str:
    """Return the bash script of one job, one of `JOBS`.

    Without campaigns it takes them when it is submitted. Its log goes to `folder`, or to where it is submitted.
    """
    wanted: Job = getattr(site, job)
    drained = isinstance(wanted, DrainedJob)
    purpose, arguments, several = _ABOUT[job]
    submit = "sbatch" if site.slurm else "bash"
    usage = f"{submit} {job}.sbatch {arguments}{'' if job == 'predict' else f' [OPTIONS OF xanesml {job}]'}"
    about = [f"# {purpose}:", f"#   {usage}"]
    if site.slurm:
        about.append(f"#   sbatch --array=0-2 {job}.sbatch {several}")
    if work:
        about = [f"# {purpose}: {', '.join(one.name for one in work)}"]
    about.append("# Written by `xanesml jobscripts`; the settings of the site come from the site file.")
    return _filled(
        "job.sbatch",
        HEADER="\n".join(_header(site, job, wanted, work, folder)),
        ABOUT="\n".join(about),
        SITE="\n".join(_site_lines(site, job, wanted, work, spectra)),
        USAGE=f"usage: {usage}",
        RUN=_template("drained.sh") if drained else '"${command[@]}"',
    )


def _submit_script(site: Site, work: Sequence[Work] = ()) -> str:
    """Return the program that submits the scripts in its folder; without campaigns, for those in its arguments."""
    campaigns = [
        f"campaigns={_array(one.campaign.absolute() for one in work)}",
        f"outputs={_array(one.output.absolute() for one in work)}",
    ]
    if site.slurm:
        # Each member waits for its counterpart in the array before, so a failed campaign delays no other.
        submit = _filled("chained.sh", AFTER="aftercorr" if len(work) > 1 else "afterok")
    else:
        submit = _filled("here.sh", RESTARTS=str(max(site.simulate.restarts, site.train.restarts)))
    return _filled(SUBMIT, CAMPAIGNS="\n".join(campaigns), SUBMIT=submit)


def _header(site: Site, job: str, wanted: Job, work: Sequence[Work], folder: Path | None) -> list[str]:
    if not site.slurm:
        return ["#"]
    options = [f"--job-name={work[0].name}-{job}" if len(work) == 1 else f"--job-name=xanesml-{job}"]
    if site.account:
        options.append(f"--account={site.account}")
    if wanted.partition or site.partition:
        options.append(f"--partition={wanted.partition or site.partition}")
    options += [f"--nodes={wanted.nodes}", f"--ntasks-per-node={wanted.tasks_per_node}"]
    options.append(f"--cpus-per-task={wanted.cpus_per_task}")
    if wanted.gpus_per_node:
        options.append(f"--gpus-per-node={wanted.gpus_per_node}")
    options.append(f"--time={wanted.time}")
    if isinstance(wanted, DrainedJob):
        options.append(f"--signal=B:USR1@{wanted.drain}")
    if len(work) > 1:
        options.append(f"--array=0-{len(work) - 1}")
    log = "%x-%A_%a.log" if len(work) > 1 else "%x-%j.log"
    where = "" if folder is None else str(folder).replace("%", "%%") + "/"
    options += ["--requeue", "--open-mode=append", f"--output={_in_double_quotes(where + log)}"]
    return [f"#SBATCH {option}" for option in [*options, *site.options, *wanted.options]] + ["#"]


def _site_lines(site: Site, job: str, wanted: Job, work: Sequence[Work], spectra: Sequence[Path]) -> Iterable[str]:
    if site.modules:
        yield f'module load {" ".join(site.modules)} || fail "the modules cannot be loaded"'
    if site.conda:
        yield f'eval "$(conda shell.bash hook)" && conda activate {shlex.quote(str(Path(site.conda).expanduser()))} ||'
        yield '  fail "the conda environment cannot be activated"'
    if site.venv:
        yield f"source {shlex.quote(str(Path(site.venv).expanduser() / 'bin' / 'activate'))} ||"
        yield '  fail "the virtual environment cannot be activated"'
    yield from site.setup
    launcher = [] if job == "predict" else shlex.split(site.launcher)
    command = [*map(shlex.quote, launcher), "xanesml", job]
    if job == "simulate" and site.scratch:
        yield from _scratch_lines(site.scratch)
        command += ["--scratch", '"$scratch"']
    yield f"command=({' '.join(command)})"
    if isinstance(wanted, DrainedJob):
        yield f"restarts={wanted.restarts}"
        # Averaging can do without some runs, and the training without some averages.
        yield f"passing={3 if isinstance(wanted, SimulateJob) and not wanted.strict else ''}"
    if job == "predict":
        yield f"targets={_array(one.output.absolute() / 'model' for one in work)} outputs=()"
        if spectra:
            yield f'set -- {" ".join(shlex.quote(str(path.absolute())) for path in spectra)} "$@"'
    else:
        yield f"targets={_array(one.campaign.absolute() for one in work)}"
        yield f"outputs={_array(one.output.absolute() for one in work)}"


def _scratch_lines(scratch: str) -> Iterable[str]:
    """Yield lines that name the scratch folder, and refuse one that the job would take for another."""
    # Without a value, "$NAME" would be the folder that the job is submitted in, and "$NAME/x" one in the root.
    for name in dict.fromkeys(re.findall(r"\$(?:(\w+)|\{(\w+)\})", scratch)):
        variable = "".join(name)
        said = f"scratch is {scratch}, and {variable} is not set on "
        yield f'[[ -n ${{{variable}:-}} ]] || fail {shlex.quote(said)}"$(hostname); set it, or change the site file"'
    yield f"scratch={_expanding(scratch)}"
    yield "[[ $scratch == /* ]] || fail \"scratch is '$scratch', which is no path from the root; change the site file\""


def _is_there(spectrum: Path) -> bool:
    """Return whether the file exists; `:NAME` after it selects one of its spectra."""
    text = str(spectrum)
    ends = [place for place, letter in enumerate(text) if letter == ":"]
    return any(Path(text[:end]).is_file() for end in [*ends, len(text)])


def _array(paths: Iterable[Path]) -> str:
    return f"({' '.join(shlex.quote(str(path)) for path in paths)})"


def _expanding(text: str) -> str:
    """Quote a word in which $NAME is expanded."""
    return '"' + re.sub(r'(["\\`])', r"\\\1", text) + '"'


def _in_double_quotes(text: str) -> str:
    """Quote a word of an #SBATCH line, where nothing is expanded."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"' if re.search(r"[^\w./%-]", text) else text


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").rstrip("\n")


def _filled(template: str, **parts: str) -> str:
    pieces = re.split(r"@([A-Z]+)@", _template(template))
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces)) + "\n"


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"cannot make the folder {folder}: {error.strerror}; give another --output") from error
    written = []
    for name, text in texts.items():
        write_text(folder / name, text)
        written.append(folder / name)
    written[-1].chmod(0o755)
    return written
