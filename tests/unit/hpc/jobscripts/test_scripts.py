"""Job scripts: what the site file says is in them, and what they do with stand-ins for Slurm and the launcher."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from processes import wait_for

from hpc.jobscripts import PRESETS, Site, Work, load_site, write_jobs, write_unfilled
from hpc.jobscripts.scripts import CHAIN, SUBMIT, job_script
from hpc.jobscripts.site import JOBS
from xanesml.errors import EnvironmentProblem

CAMPAIGN = 'name = "small"\n[distortion]\nstep = 0.45\n'

#: Path of a campaign, an output folder or a spectrum that a shell could take amiss.
AWKWARD = 'it\'s $HOME "50 %" & more'


def test_the_scripts_in_the_repository_are_those_that_the_command_writes(xanesml: str, tmp_path: Path) -> None:
    subprocess.run([xanesml, "jobscripts", "-o", str(tmp_path / "out")], check=True, stdout=subprocess.DEVNULL)
    written = {path.name: (path.read_text(), os.access(path, os.X_OK)) for path in (tmp_path / "out").iterdir()}
    shipped = {path.name: (path.read_text(), os.access(path, os.X_OK)) for path in (ROOT / "jobscripts").iterdir()}
    assert shipped == written, "run: rm -r jobscripts && xanesml jobscripts -o jobscripts"


def test_site_files_that_were_changed_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "laptop.toml").write_text("mine")
    (tmp_path / "simulate.sbatch").write_text("old")
    write_unfilled(Site(), tmp_path)
    assert (tmp_path / "laptop.toml").read_text() == "mine"
    assert (tmp_path / "simulate.sbatch").read_text() == job_script(Site(), "simulate")


def test_everything_that_a_site_says_is_in_the_script(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        """
account = "proj-7"
partition = "std"
options = ["--qos=long"]
modules = ["gcc/12", "openmpi"]
conda = "my env"
setup = ["ulimit -c 0"]
launcher = "srun --mpi=pmix"
scratch = "/local/$USER"
[simulate]
nodes = 3
tasks_per_node = 64
time = "2-00:00:00"
options = ["--exclusive"]
[train]
partition = "gpu"
tasks_per_node = 4
gpus_per_node = 4
cpus_per_task = 8
drain = 60
""",
        encoding="utf-8",
    )
    wanted = load_site(str(file))
    simulate, train = (job_script(wanted, job).splitlines() for job in ("simulate", "train"))
    common = ["--account=proj-7", "--qos=long", "--requeue", "--open-mode=append"]
    for option in [
        *common,
        "--partition=std",
        "--exclusive",
        "--nodes=3",
        "--ntasks-per-node=64",
        "--time=2-00:00:00",
        "--signal=B:USR1@300",
    ]:
        assert f"#SBATCH {option}" in simulate
    for option in [*common, "--partition=gpu", "--gpus-per-node=4", "--ntasks-per-node=4", "--signal=B:USR1@60"]:
        assert f"#SBATCH {option}" in train
    assert 'module load gcc/12 openmpi || fail "the modules cannot be loaded"' in simulate
    assert "eval \"$(conda shell.bash hook)\" && conda activate 'my env' ||" in simulate
    assert "ulimit -c 0" in simulate
    assert 'scratch="/local/$USER"' in simulate
    # From sbatch srun inherits no cores, and it leaves ranks alone that wait for one that has failed.
    cores = '--kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-%d}" --mpi=pmix'
    assert f'command=(srun {cores % 1} xanesml simulate --scratch "$scratch")' in simulate
    assert f"command=(srun {cores % 8} xanesml train)" in train
    assert "#SBATCH --hint=nomultithread" in simulate
    assert "#SBATCH --hint=nomultithread" not in train
    assert "command=(xanesml predict)" in job_script(wanted, "predict")


def test_a_job_has_its_own_environment_where_it_names_one() -> None:
    wanted = Site.model_validate(
        {
            "before": ["module purge"],
            "modules": ["gcc"],
            "conda": "base",
            "account": "cpu-account",
            "launcher": "srun -K0 -c 4 --mpi=pmi2",
            "simulate": {"memory": "64G", "hyperthreads": True},
            "train": {
                "account": "gpu-account",
                "modules": ["cuda"],
                "venv": "/gpu env",
                "launcher": "mpirun",
                "tasks_per_node": 2,
                "gpus_per_node": 2,
                "gpu_type": "a100",
            },
            "predict": {"launcher": "srun -n 1"},
            "average": {"archive": "/x.tar"},
        }
    )
    texts = {job: job_script(wanted, job) for job in JOBS}
    simulate, train = (texts[job].splitlines() for job in ("simulate", "train"))
    order = [
        simulate.index(line) for line in ("module purge", 'module load gcc || fail "the modules cannot be loaded"')
    ]
    assert order == sorted(order)
    assert {"#SBATCH --account=cpu-account", "#SBATCH --mem=64G"} <= set(simulate)
    assert "#SBATCH --hint=nomultithread" not in simulate
    assert "command=(srun -K0 -c 4 --mpi=pmi2 xanesml simulate)" in simulate
    assert {"#SBATCH --account=gpu-account", "#SBATCH --gpus-per-node=a100:2", "module purge"} <= set(train)
    assert "module load cuda" in texts["train"]
    assert "source '/gpu env/bin/activate' ||" in train
    assert "conda" not in texts["train"].split("type -P")[0]
    assert "command=(mpirun xanesml train)" in train
    assert "srun -n 1 xanesml predict" in texts["predict"].replace(
        ' --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}"', ""
    )
    assert "command=(xanesml compare)" in texts["compare"]
    # The search is a training, and the check of a machine is as large as the simulation.
    assert "#SBATCH --gpus-per-node=a100:2" in texts["tune"]
    assert {"#SBATCH --mem=64G", "#SBATCH --time=00:15:00"} <= set(texts["doctor"].splitlines())
    assert "conda" not in texts["average"].split("[[ -r")[0]


def test_ranks_in_a_container_are_started_by_the_launcher_outside(stage: Stage) -> None:
    image = stage.folder / "my image.sif"
    (stage.programs / "xanesml").unlink()
    write_unfilled(Site(launcher="launch", container=f"'{image}'"), stage.folder / "jobs")
    for problem in ("no apptainer on ", f"there is no image {image} on "):
        refused = stage.run("jobs/simulate.sbatch", "a.toml")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert refused.stderr.startswith(f"xanesml: {problem}")
        stage.stand_in("apptainer", "exit 0")
    image.touch()
    assert stage.run("jobs/simulate.sbatch", "a.toml").returncode == 0
    assert stage.run("jobs/predict.sbatch", "a/model", "x.xdi").returncode == 0
    inside = f"[exec] [{image}] [xanesml]"
    assert stage.noted("launch") == [f"[apptainer] {inside} [simulate] [a.toml]"]
    assert stage.noted("apptainer") == [f"{inside} [simulate] [a.toml]", f"{inside} [predict] [a/model] [x.xdi]"]
    write_unfilled(Site(container="shifter --image=x"), stage.folder / "jobs")
    assert "container=(shifter --image=x)" in (stage.folder / "jobs" / "train.sbatch").read_text()


def test_an_archive_is_unpacked_on_every_node_and_removed_at_the_end(stage: Stage) -> None:
    made, archive, local = stage.folder / "made", stage.folder / "an archive.tar", stage.folder / "local disk"
    (made / "bin").mkdir(parents=True)
    local.mkdir()
    (made / "bin" / "python").symlink_to(sys.executable)
    (made / "bin" / "xanesml").write_text("import sys; print('ran', sys.argv[0], *sys.argv[1:])\n")
    subprocess.run(["tar", "-cf", archive, "-C", made, "."], check=True)
    stage.stand_in("sbcast", 'cp "$2" "$3"')
    stage.stand_in("srun", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
    write_unfilled(Site(launcher="launch", archive=str(archive)), stage.folder / "jobs")
    (stage.programs / "xanesml").unlink()
    for job in ("simulate", "average"):
        done = stage.run(f"jobs/{job}.sbatch", "a.toml", TMPDIR=str(local), **IN_JOB)
        assert done.returncode == 0, done.stderr
        assert f"ran {local}/xanesml-7/bin/xanesml {job} a.toml\n" in done.stdout
        assert list(local.iterdir()) == []
    archive.write_text("no archive")
    done = stage.run("jobs/average.sbatch", "a.toml", TMPDIR=str(local), **IN_JOB)
    assert done.returncode == 2
    assert f"xanesml: {archive} cannot be unpacked in {local}/xanesml-7, or has no bin/xanesml\n" in done.stderr
    assert list(local.iterdir()) == []


@pytest.mark.requires("shellcheck")
def test_scripts_of_awkward_paths_are_sound(tmp_path: Path) -> None:
    folder, spectrum = tmp_path / AWKWARD, tmp_path / f"{AWKWARD}.xdi"
    spectrum.touch()
    work = [Work(folder / f"{name}.toml", name, folder / name) for name in ("a", "b")]
    sites = [*map(load_site, PRESETS), Site(archive="/a b.tar"), Site(container="'/a b.sif'", scratch="$X/y")]
    for wanted in sites:
        written = write_jobs(wanted, work[: 2 if wanted.slurm else 1], [spectrum], folder / "jobs")
        checked = subprocess.run(
            [str(Path(sys.executable).with_name("shellcheck")), "--severity=warning", *map(str, written)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("names", "slurm", "message"),
    [
        (("a", "a"), True, "two of the campaigns have the same name"),
        (("a", "b"), False, "2 campaigns need job arrays, and the site has no Slurm"),
        (("a\nb",), True, "is not printable text"),
    ],
)
def test_work_that_cannot_be_scripted_is_refused(
    tmp_path: Path, names: tuple[str, ...], slurm: bool, message: str
) -> None:
    work = [Work(tmp_path / f"{name}.toml", name, tmp_path / name) for name in names]
    with pytest.raises(EnvironmentProblem, match=message):
        write_jobs(Site(slurm=slurm), work, [], tmp_path / "jobs")
    assert list(tmp_path.iterdir()) == []


def test_a_spectrum_that_is_not_there_is_said_before_anything_is_written(tmp_path: Path) -> None:
    work = [Work(tmp_path / "a.toml", "a", tmp_path / "a")]
    with pytest.raises(EnvironmentProblem, match=r"there is no spectrum .*none\.xdi; give files that exist"):
        write_jobs(Site(), work, [tmp_path / "none.xdi"], tmp_path / "jobs")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.prj").touch()
    *_, predict, _ = write_jobs(Site(), work, [tmp_path / "a.prj:foil 1"], tmp_path / "jobs")
    assert f"set -- '{tmp_path}/a.prj:foil 1' " in predict.read_text()


class Stage:
    """A folder of stand-ins on the PATH; each notes how it was called, a line a call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.calls = folder / "calls"
        self.stand_in("xanesml", "exit 0")
        # A launcher that passes signals on, as mpirun does.
        self.stand_in("launch", 'shift 0; exec "$@"')

    def stand_in(self, name: str, then: str) -> None:
        path = self.programs / name
        note = f"printf '%s' {name} >>'{self.calls}'; printf ' [%s]' \"$@\" >>'{self.calls}'; echo >>'{self.calls}'"
        path.write_text(f"#!/bin/bash\n{note}\n{then}\n")
        path.chmod(0o755)

    def noted(self, name: str) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.removeprefix(f"{name} ") for line in lines if line.split()[0] == name]

    def queued_again(self) -> list[str]:
        """Jobs that were requeued."""
        return [call for call in self.noted("scontrol") if call.startswith("[requeue]")]

    def environment(self, **variables: str) -> dict[str, str]:
        base = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        return base | {"PATH": f"{self.programs}:/usr/bin:/bin"} | variables

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", *map(str, command)],
            env=self.environment(**variables),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.stand_in("squeue", 'case "$*" in *%T) echo RUNNING ;; *) echo 2033-05-18T03:33:20 ;; esac')
    stage.stand_in("scontrol", "exit 0")
    write_unfilled(Site(launcher="launch"), tmp_path / "jobs")
    return stage


IN_JOB = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "TZ": "UTC"}


def test_a_script_is_given_a_campaign_and_options(stage: Stage) -> None:
    done = stage.run("jobs/simulate.sbatch", AWKWARD, "--reuse", "old store.h5")
    assert done.returncode == 0, done.stderr
    assert stage.noted("xanesml") == [f"[simulate] [{AWKWARD}] [--reuse] [old store.h5]"]
    assert stage.run("jobs/predict.sbatch", "a/model", "x.xdi", "y.xdi").returncode == 0
    assert stage.noted("xanesml")[1:] == ["[predict] [a/model] [x.xdi] [y.xdi]"]


@pytest.mark.parametrize(
    ("scratch", "variables", "folder"),
    [
        ("$LOCAL", {"LOCAL": "/disk one"}, "/disk one"),
        ("${LOCAL}/it's", {"LOCAL": "/disk"}, "/disk/it's"),
        ("${LOCAL:-/tmp}/$USER", {"USER": "me"}, "/tmp/me"),
        ("$LOCAL", {}, "scratch is $LOCAL, and LOCAL is not set on "),
        ("${LOCAL}/x", {"LOCAL": ""}, "scratch is ${LOCAL}/x, and LOCAL is not set on "),
        ("$LOCAL", {"LOCAL": "here"}, "scratch is 'here', which is no path from the root"),
    ],
)
def test_scratch_is_where_the_job_says_or_nothing_starts(
    stage: Stage, scratch: str, variables: dict[str, str], folder: str
) -> None:
    write_unfilled(Site(launcher="launch", scratch=scratch), stage.folder / "jobs")
    done = stage.run("jobs/simulate.sbatch", "a.toml", **variables)
    if folder.startswith("/"):
        assert stage.noted("xanesml") == [f"[simulate] [--scratch] [{folder}] [a.toml]"]
    else:
        assert (done.returncode, stage.noted("xanesml")) == (2, [])
        assert done.stderr.startswith(f"xanesml: {folder}")
        assert done.stderr.count("\n") == 1


def test_an_array_takes_the_campaign_of_its_index(stage: Stage) -> None:
    three = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MAX": "2"}
    assert stage.run("jobs/average.sbatch", "a", "b", "c", "--writer", "root", **three).returncode == 0
    assert stage.noted("xanesml") == ["[average] [b] [--writer] [root]"]
    for arguments in ((), ("a", "b")):
        refused = stage.run("jobs/average.sbatch", *arguments, **three)
        assert refused.returncode == 2
        assert refused.stderr == "xanesml: usage: sbatch average.sbatch CAMPAIGN [OPTIONS OF xanesml average]\n"


def test_filled_in_scripts_know_their_campaigns(stage: Stage) -> None:
    folder = stage.folder / AWKWARD
    folder.mkdir()
    spectrum = folder / "foil.xdi"
    spectrum.touch()
    work = [Work(folder / f"{name}.toml", name, folder / name) for name in ("a", "b")]
    write_jobs(Site(launcher="launch"), work, [spectrum], folder / "jobs")
    second = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MAX": "1"}
    for job in CHAIN:
        done = stage.run(folder / "jobs" / f"{job}.sbatch", **second)
        assert done.returncode == 0, done.stderr
    campaign, output = folder / "b.toml", folder / "b"
    assert stage.noted("xanesml") == [
        *(f"[{job}] [{campaign}] [--output] [{output}]" for job in CHAIN[:3]),
        f"[predict] [{output / 'model'}] [{spectrum}]",
    ]
    beyond = stage.run(folder / "jobs" / "train.sbatch", SLURM_ARRAY_TASK_ID="2", SLURM_ARRAY_TASK_MAX="2")
    assert (beyond.returncode, beyond.stderr) == (2, "xanesml: array index 2 is none of 0 to 1\n")


def test_without_xanesml_on_the_path_a_script_says_so(stage: Stage) -> None:
    (stage.programs / "xanesml").unlink()
    done = stage.run("jobs/train.sbatch", "a.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("xanesml: no xanesml on ")
    assert done.stderr.count("\n") == 1


def test_a_job_knows_when_it_ends(stage: Stage) -> None:
    stage.stand_in("xanesml", "echo ends $SLURM_JOB_END_TIME")
    said = "ends 2000000000\nused: 0.00 node hours on 2 nodes\n"
    assert stage.run("jobs/simulate.sbatch", "a.toml", **IN_JOB).stdout == said
    # A job without a limit.
    stage.stand_in("squeue", "echo NONE")
    assert stage.run("jobs/simulate.sbatch", "a.toml", **IN_JOB).stdout.startswith("ends\n")


@pytest.mark.parametrize(
    ("status", "before", "answer", "state", "requeued"),
    [
        (0, None, "exit 0", "RUNNING", False),
        (2, None, "exit 1", "RUNNING", False),
        (4, None, "exit 1", "RUNNING", False),
        (75, None, "exit 0", "RUNNING", True),
        (75, "19", "exit 0", "RUNNING", True),
        (75, "20", "exit 0", "RUNNING", False),
        (75, None, "exit 0", "COMPLETING", False),
        (1, None, "exit 0", "RUNNING", False),
        (1, None, "exit 1", "RUNNING", True),
        # Preempted, with time until the job is ended.
        (1, None, "preempted", "RUNNING", True),
        (143, "20", "preempted", "RUNNING", False),
        (137, "20", "exit 1", "RUNNING", False),
    ],
)
@pytest.mark.parametrize("job", ["simulate", "train"])
def test_what_is_queued_again(
    stage: Stage, job: str, status: int, before: str | None, answer: str, state: str, requeued: bool
) -> None:
    stage.stand_in("xanesml", f"exit {status}")
    if answer == "preempted":
        stage.stand_in(
            "scontrol", "echo JobId=7 PreemptEligibleTime=Unknown PreemptTime=2026-01-01T00:00:00 Reason=None"
        )
        answer = "exit 0"
    stage.stand_in("srun", answer)
    stage.stand_in("squeue", f"echo {state}")
    variables = IN_JOB | ({"SLURM_RESTART_COUNT": before} if before else {})
    done = stage.run(f"jobs/{job}.sbatch", "a.toml", **variables)
    assert done.returncode == status, done.stderr
    assert stage.queued_again() == (["[requeue] [7]"] if requeued else [])
    assert ("20 restarts, the most allowed" in done.stderr) == (before == "20")


@pytest.mark.parametrize(("strict", "status"), [(False, 0), (True, 3)])
def test_a_simulation_with_failed_runs_ends_well_unless_the_site_is_strict(
    stage: Stage, strict: bool, status: int
) -> None:
    stage.stand_in("xanesml", "exit 3")
    write_unfilled(Site.model_validate({"launcher": "launch", "simulate": {"strict": strict}}), stage.folder / "jobs")
    for variables in ({}, IN_JOB):
        assert stage.run("jobs/simulate.sbatch", "a.toml", **variables).returncode == status
        assert stage.run("jobs/train.sbatch", "a.toml", **variables).returncode == 3
    assert stage.queued_again() == []


def test_where_a_job_may_not_queue_itself_again_it_says_what_to_do(stage: Stage) -> None:
    stage.stand_in("xanesml", "exit 75")
    stage.stand_in("scontrol", "exit 1")
    done = stage.run("jobs/train.sbatch", "a.toml", **IN_JOB)
    assert done.returncode == 75
    assert (
        done.stderr
        == "work is left, and Slurm does not let job 7 queue itself again; submit it, and those after it, once more\n"
    )


def test_without_slurm_nothing_is_queued(stage: Stage) -> None:
    stage.stand_in("xanesml", "exit 75")
    assert stage.run("jobs/simulate.sbatch", "a.toml").returncode == 75
    assert stage.noted("scontrol") == stage.noted("squeue") == []


@pytest.mark.parametrize(
    ("sent", "heard", "requeued"), [(signal.SIGUSR1, "USR1", True), (signal.SIGTERM, "USR2", False)]
)
def test_signals_reach_the_ranks_and_their_status_comes_back(
    stage: Stage, sent: signal.Signals, heard: str, requeued: bool
) -> None:
    ready, got = stage.folder / "ready", stage.folder / "got"
    traps = "; ".join(f"trap 'echo {name} >>{got}; sleep 0.2; exit 75' {name}" for name in ("USR1", "USR2", "TERM"))
    stage.stand_in("xanesml", f"{traps}\ntouch {ready}\nwhile :; do sleep 0.05; done")
    with subprocess.Popen(
        ["bash", "jobs/simulate.sbatch", "a.toml"],
        env=stage.environment(**IN_JOB),
        cwd=stage.folder,
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for(ready.exists)
        process.send_signal(sent)
        time.sleep(0.05)
        process.send_signal(sent)
        assert process.wait(20) == 75
    assert set(got.read_text().split()) == {heard}
    assert bool(stage.queued_again()) == requeued


def sbatch_that_numbers(stage: Stage, refuse: str = "none") -> None:
    counter = stage.folder / "counter"
    stage.stand_in(
        "sbatch",
        f"[[ ${{*: -1}} != */{refuse}.sbatch ]] || exit 1\n"
        f'echo x >>"{counter}"; echo "$((100 + $(wc -l <"{counter}")));site"',
    )


def test_a_chain_waits_link_by_link_and_says_how_to_watch(stage: Stage) -> None:
    sbatch_that_numbers(stage)
    (stage.folder / "x.xdi").touch()
    output = stage.folder / "out put"
    campaign = stage.folder / "c.toml"
    jobs = output / "jobs"
    write_jobs(Site(), [Work(campaign, "c", output)], [stage.folder / "x.xdi"], jobs)
    done = stage.run(jobs / SUBMIT)
    assert done.returncode == 0, done.stderr

    def waits(number: int) -> str:
        return f"[--parsable] [--dependency=afterok:{number}] [--kill-on-invalid-dep=yes]"

    assert stage.noted("sbatch") == [
        f"[--parsable] [{jobs}/simulate.sbatch]",
        *(f"{waits(101 + number)} [{jobs}/{job}.sbatch]" for number, job in enumerate(CHAIN[1:])),
    ]
    shown = str(output).replace(" ", "\\ ")
    assert done.stdout.splitlines() == [
        "simulate  job 101",
        "average   job 102, after job 101",
        "train     job 103, after job 102",
        "predict   job 104, after job 103",
        "watch:    squeue --job 101,102,103,104",
        f"          xanesml status {campaign} --output {shown}",
        f"          tail -F {shown}/jobs/*.log",
        "stop:     scancel 101 102 103 104",
    ]


def test_a_part_of_a_chain_and_refusals(stage: Stage) -> None:
    sbatch_that_numbers(stage, refuse="train")
    jobs = stage.folder / "jobs of c"
    work = [Work(stage.folder / f"{name}.toml", name, stage.folder / name) for name in "cd"]
    write_jobs(Site(), work, [], jobs)
    assert stage.run(jobs / SUBMIT, "--from", "average", "--to", "average").returncode == 0
    assert stage.noted("sbatch") == [f"[--parsable] [{jobs}/average.sbatch]"]
    refused = stage.run(jobs / SUBMIT, "--from", "average")
    assert refused.returncode == 2
    assert refused.stderr == ("submit-campaign: sbatch refused train; cancel the jobs before it with scancel: 102\n")
    assert "[--dependency=aftercorr:102]" in stage.noted("sbatch")[-1], "an array waits member by member"
    for arguments, message in [
        (("--from", "teach"), "--from teach: give one of simulate average train predict"),
        (("--from",), "--from : give one of simulate average train predict"),
        (("--from", "train", "--to", "average"), "there is nothing from train to average in "),
        (("--from", "predict"), "there is nothing from predict to predict in "),
        (("x.toml",), "x.toml: these scripts are filled in already"),
    ]:
        refused = stage.run(jobs / SUBMIT, *arguments)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"submit-campaign: {message}")


def test_submit_campaign_of_the_repository_writes_and_submits(stage: Stage, xanesml: str) -> None:
    sbatch_that_numbers(stage)
    (stage.programs / "xanesml").unlink()
    (stage.programs / "xanesml").symlink_to(xanesml)
    campaign = stage.folder / "my campaign.toml"
    campaign.write_text(CAMPAIGN, encoding="utf-8")
    done = stage.run(ROOT / "jobscripts" / SUBMIT, "--to", "average", "--site", "gpu-cluster", campaign)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["simulate  job 101", "average   job 102, after job 101"]
    assert "--mpi=pmix" in (stage.folder / "small" / "jobs" / "train.sbatch").read_text()
    for arguments, message in [
        (("--site", "cpu-cluster"), "no campaign is given; name one, or give --output"),
        (("--site", "none.toml", campaign), "cannot read the site file none.toml"),
        ((campaign,), "usage: submit-campaign --site FILE"),
    ]:
        refused = stage.run(ROOT / "jobscripts" / SUBMIT, *arguments)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_without_slurm_a_chain_runs_here(stage: Stage) -> None:
    # Stopped twice with work left, and then done.
    stage.stand_in(
        "xanesml", f'[[ $1 != simulate || $(grep -c "^xanesml .simulate" "{stage.calls}") -gt 2 ]] || exit 75'
    )
    here = Site.model_validate({"slurm": False, "launcher": "launch", "simulate": {"restarts": 2}})
    jobs = stage.folder / "out" / "jobs"
    write_jobs(here, [Work(stage.folder / "c.toml", "c", stage.folder / "out")], [], jobs)
    done = stage.run(jobs / SUBMIT)
    assert done.returncode == 0, done.stderr
    assert [call.split()[0] for call in stage.noted("xanesml")] == ["[simulate]"] * 3 + ["[average]", "[train]"]
    assert stage.noted("squeue") == []
    stage.stand_in("xanesml", "exit 4")
    assert stage.run(jobs / SUBMIT).returncode == 4
    assert shutil.which("sbatch", path=str(stage.programs)) is None


def test_after_ctrl_c_nothing_further_is_started(stage: Stage) -> None:
    ready = stage.folder / "ready"
    stage.stand_in("xanesml", f"trap 'exit 75' USR2\ntouch {ready}\nwhile :; do sleep 0.05; done")
    jobs = stage.folder / "out" / "jobs"
    write_jobs(
        Site(slurm=False, launcher="launch"), [Work(stage.folder / "c.toml", "c", stage.folder / "out")], [], jobs
    )
    with subprocess.Popen(
        ["bash", str(jobs / SUBMIT)], env=stage.environment(), stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        wait_for(ready.exists)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 75
    assert len(stage.noted("xanesml")) == 1
