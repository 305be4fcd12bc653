"""The job scripts, made from one template and the site file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hpc.jobscripts import lines
from hpc.jobscripts.lines import Work
from hpc.jobscripts.site import JOBS, PRESET_FOLDER, DrainedJob, Site
from xanesml.errors import EnvironmentProblem
from xanesml.files.whole import write_text

#: The jobs that make a chain, in order; the others are submitted alone.
CHAIN = ("simulate", "average", "train", "predict")

#: The program that submits them, beside the scripts.
SUBMIT = "submit-campaign"

_TEMPLATES = Path(__file__).with_name("templates")

#: Purpose of each job, and its arguments when submitted by hand, alone and as an array.
_ABOUT = {
    "doctor": ("Checks every node of a job as large as the simulation", "CAMPAIGN", "A.toml B.toml C.toml"),
    "simulate": ("FEFF runs of a campaign, one per rank at a time", "CAMPAIGN", "A.toml B.toml C.toml"),
    "average": ("From the store to training tensors", "CAMPAIGN", "A.toml B.toml C.toml"),
    "compare": ("Particle averages against statistical ones", "CAMPAIGN", "A.toml B.toml C.toml"),
    "tune": ("Search for better training settings", "CAMPAIGN", "A.toml B.toml C.toml"),
    "train": ("The network, one rank per GPU where there are GPUs", "CAMPAIGN", "A.toml B.toml C.toml"),
    "predict": ("The disorder of measured spectra", "MODEL SPECTRUM...", "A/model B/model C/model SPECTRUM..."),
}


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
    texts = {
        f"{job}.sbatch": job_script(site, job, work, spectra, folder) for job in JOBS if spectra or job != "predict"
    }
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
    wanted, where = site.job(job), site.of(job)
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
        HEADER="\n".join(lines.header(site, job, work, folder)),
        ABOUT="\n".join(about),
        SITE="\n".join([*lines.loading(where), *lines.command(site, job), *lines.targets(job, work, spectra)]),
        CHECK=lines.check(where),
        USAGE=f"usage: {usage}",
        UNPACK=_template("unpack.sh") + "\n\n" if where.archive else "",
        RUN=_template("drained.sh") if drained else '"${command[@]}" "${target[@]}" "$@"',
    )


def _submit_script(site: Site, work: Sequence[Work] = ()) -> str:
    """Return the program that submits the scripts in its folder; without campaigns, for those in its arguments."""
    campaigns = [
        f"campaigns={lines.array(one.campaign.absolute() for one in work)}",
        f"outputs={lines.array(one.output.absolute() for one in work)}",
    ]
    if site.slurm:
        # Each member waits for its counterpart in the array before, so a failed campaign delays no other.
        submit = _filled("chained.sh", AFTER="aftercorr" if len(work) > 1 else "afterok")
    else:
        submit = _filled("here.sh", RESTARTS=str(max(site.simulate.restarts, site.train.restarts)))
    return _filled(SUBMIT, CAMPAIGNS="\n".join(campaigns), SUBMIT=submit)


def _is_there(spectrum: Path) -> bool:
    """Return whether the file exists; `:NAME` after it selects one of its spectra."""
    text = str(spectrum)
    ends = [place for place, letter in enumerate(text) if letter == ":"]
    return any(Path(text[:end]).is_file() for end in [*ends, len(text)])


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
