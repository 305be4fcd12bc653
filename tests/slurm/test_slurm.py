"""The job scripts on a real Slurm with two virtual nodes: through to the end, cut off, canceled, and without a node."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from conftest import FAKE_CAMPAIGN, ROOT
from killing import done_tasks
from private_slurm import NODES, PrivateSlurm, processes_of
from processes import wait_for
from synthetic import write_tensors

from xanesml.feff.outcomes import Outcome
from xanesml.store.journal import journal_path
from xanesml.store.plan import load_campaign

pytestmark = [pytest.mark.requires("slurm"), pytest.mark.timeout(240)]

SUBMIT = ROOT / "jobscripts" / "submit-campaign"
FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"

#: More ranks than this machine has cores.
SITE = """
launcher = "mpirun --oversubscribe --bind-to none"
setup = [{setup}]
[simulate]
nodes = 2
tasks_per_node = {ranks}
time = "{minutes}"
drain = 10
restarts = {restarts}
[average]
nodes = 2
tasks_per_node = 1
time = "5"
[train]
nodes = 2
tasks_per_node = 1
gpus_per_node = 1
time = "5"
drain = 10
[predict]
time = "5"
"""

#: Seven distorted runs and a disordered structure with real FEFF, each a few seconds.
REAL = """
name = "real"
[structure]
atoms = 13
[distortion]
minimum = -0.3
maximum = 0.3
step = 0.1
[disorder]
structures = 1
absorbers = [0, 9]
[feff]
scf = false
corval = false
fms_radius = 3.5
[averaging]
sigma = [0.05, 0.07]
location = [-0.05, 0.05]
families = 50
"""

#: Few and small networks.
TRAINING = """
[training]
filters = [8]
members = 1
modes = ["direct"]
batch_size = 64
epochs = {epochs}
"""

#: The 19 distorted runs of the fake FEFF.
SERIES = re.sub(r"\[disorder\][^\[]*", "", FAKE_CAMPAIGN)
TASKS = 19


@pytest.fixture(scope="module")
def slurm() -> Iterator[PrivateSlurm]:
    slurm = PrivateSlurm(cpus=8)
    yield slurm
    slurm.stop()


@dataclass
class Campaign:
    """A campaign in a folder of its own, whose name a shell could take amiss."""

    slurm: PrivateSlurm
    folder: Path
    name: str
    text: str

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / f"{self.name} campaign.toml"
        self.file.write_text(re.sub('name = ".*"', f'name = "{self.name}"', self.text), encoding="utf-8")
        self.output = self.folder / self.name
        self.store = self.output / "store.h5"

    def submit(
        self,
        *options: str,
        others: tuple[Campaign, ...] = (),
        ranks: int = 1,
        restarts: int = 9,
        seconds: float = 0,
        minutes: int = 5,
        setup: str = "true",
        **variables: str,
    ) -> list[str]:
        """Submit the campaign and others that lie beside it, with further variables; return their job numbers."""
        site = self.folder / "site.toml"
        text = SITE.format(ranks=ranks, restarts=restarts, minutes=minutes, setup=json.dumps(setup))
        site.write_text(text, encoding="utf-8")
        command = [str(SUBMIT), "--site", str(site), *options, str(self.file), *(str(one.file) for one in others)]
        told = self.slurm.run(*command, cwd=self.folder, FAKE_FEFF_SECONDS=str(seconds), **variables)
        assert re.search("^watch: +squeue --job ", told, re.MULTILINE)
        return re.findall(r" job (\d+)", re.sub("after job.*", "", told))

    def wait_for_rows(self, count: int) -> list[int]:
        self.slurm.wait_for(lambda: len(done_tasks(self.store)) >= count, f"{count} rows of {self.name}")
        return done_tasks(self.store)

    def assert_complete(self, *, killed: bool = False) -> None:
        """Check that every run is done, none was done twice, and both nodes took part.

        A kill takes the last second of the journal with it.
        """
        with h5py.File(self.store) as file:
            outcomes, hosts = file["runs/outcome"][:], {host.decode() for host in file["runs/host"][:]}
        assert set(outcomes) == {Outcome.DONE}
        told = [json.loads(line) for line in journal_path(self.store).read_text().splitlines()]
        runs = Counter(line["task"] for line in told if line["event"] == "run")
        assert set(runs.values()) == {1}
        assert killed or len(runs) == len(outcomes)
        if self.slurm.named:
            assert hosts == set(NODES)

    def log(self) -> str:
        folders = {self.output / "jobs", self.folder / "jobs"}
        return "\n".join(log.read_text() for folder in folders for log in sorted(folder.glob("*.log")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("it's 100 % jobs")


@pytest.fixture(scope="module", autouse=True)
def cut_off(slurm: PrivateSlurm, folder: Path) -> tuple[tuple[Campaign, ...], list[str]]:
    """Two campaigns as job arrays with less time than they need; they go on beside the first tests."""
    both = tuple(Campaign(slurm, folder / "arrays", name, SERIES) for name in ("first", "second"))
    return both, both[0].submit("--to", "average", others=both[1:], seconds=4, minutes=1)


@pytest.fixture(scope="module", autouse=True)
def endless(slurm: PrivateSlurm, folder: Path) -> tuple[Campaign, list[str]]:
    """A campaign in which a program that always has work left takes the place of xanesml."""
    campaign = Campaign(slurm, folder / "endless", "endless", SERIES)
    programs = campaign.folder / "bin"
    programs.mkdir()
    (programs / "xanesml").write_text("#!/bin/sh\nexit 75\n")
    (programs / "xanesml").chmod(0o755)
    return campaign, campaign.submit("--to", "average", restarts=1, setup=f'export PATH="{programs}:$PATH"')


def test_a_whole_campaign_by_one_command(slurm: PrivateSlurm, folder: Path) -> None:
    campaign = Campaign(slurm, folder / "whole", "real", REAL + TRAINING.format(epochs=2))
    numbers = campaign.submit("--spectrum", str(FOIL))
    assert len(numbers) == 4
    for number in numbers:
        ended = slurm.wait_for_state(number, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", seconds=200)
        assert ended["JobState"] == "COMPLETED", campaign.log()
        assert ended["NumNodes"] == ("1" if number == numbers[-1] else "2")
    campaign.assert_complete()
    assert (campaign.output / "model" / "model.json").exists()
    assert json.loads((campaign.output / "predictions.json").read_text())["predictions"]


def test_a_training_that_was_interrupted_goes_on(slurm: PrivateSlurm, folder: Path) -> None:
    campaign = Campaign(
        slurm, folder / "training", "synthetic", 'name = "x"\n[distortion]\n' + TRAINING.format(epochs=60)
    )
    campaign.output.mkdir()
    write_tensors(campaign.output / "tensors.h5", load_campaign(campaign.file), families=20)
    (number,) = campaign.submit("--from", "train", "--to", "train")
    model = campaign.output / "model"

    def epochs() -> list[str]:
        tables = sorted(campaign.output.rglob("history*.csv"))
        return [line for table in tables for line in table.read_text().splitlines()[1:]]

    slurm.wait_for(lambda: len(epochs()) > 3, "epochs")
    slurm.run("scancel", "--batch", "--signal=USR1", number)
    slurm.wait_for(lambda: slurm.job(number)["Restarts"] == "1", "the restart")
    before = epochs()
    ended = slurm.wait_for_state(number, "COMPLETED", "FAILED")
    assert ended["JobState"] == "COMPLETED", campaign.log()
    assert (ended["Restarts"], ended["NumNodes"]) == ("1", "2")
    assert (model / "model.json").exists()
    assert 3 < len(before) < 60, "it was stopped on its way"
    # Each line has the time that its epoch took, which no second training would repeat.
    assert epochs()[: len(before)] == before


def test_jobs_cut_off_by_their_time_are_queued_again_until_all_is_done(
    slurm: PrivateSlurm, cut_off: tuple[tuple[Campaign, ...], list[str]]
) -> None:
    campaigns, (simulate, average) = cut_off
    for index, campaign in enumerate(campaigns):
        member = f"{simulate}_{index}"
        ended = slurm.wait_for_state(member, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", seconds=150)
        assert ended["JobState"] == "COMPLETED", campaign.log()
        assert 1 <= int(ended["Restarts"]) <= 5
        campaign.assert_complete()
        ended = slurm.wait_for_state(f"{average}_{index}", "COMPLETED", "FAILED", "CANCELLED", seconds=60)
        assert ended["JobState"] == "COMPLETED", campaign.log()
        assert (campaign.output / "tensors.h5").exists()
    assert "stopped with tasks left to run" in campaigns[0].log()


def test_a_canceled_job_stays_canceled_and_the_next_goes_on(slurm: PrivateSlurm, folder: Path) -> None:
    campaign = Campaign(slurm, folder / "canceled", "canceled", SERIES)
    number, waiting = campaign.submit("--to", "average", ranks=2, seconds=1)
    before = set(campaign.wait_for_rows(3))
    slurm.run("scancel", number)
    assert slurm.wait_for_state(number, "CANCELLED", "PENDING", "COMPLETED", "FAILED")["JobState"] == "CANCELLED"
    assert slurm.wait_for_state(waiting, "CANCELLED", "FAILED")["JobState"] == "CANCELLED"
    before |= set(done_tasks(campaign.store))
    assert len(before) < TASKS, "it was canceled on its way"
    (number,) = campaign.submit("--to", "simulate", ranks=2)
    assert slurm.wait_for_state(number, "COMPLETED", "FAILED")["JobState"] == "COMPLETED", campaign.log()
    assert f"{len(before)} of {TASKS} tasks done" in campaign.log()
    campaign.assert_complete(killed=True)


def test_a_node_that_fails_costs_the_runs_in_flight(slurm: PrivateSlurm, folder: Path) -> None:
    campaign = Campaign(slurm, folder / "failure", "failure", SERIES)
    (number,) = campaign.submit("--to", "simulate", ranks=2, seconds=1)
    before = set(campaign.wait_for_rows(3))
    slurm.kill_node("n2")
    slurm.wait_for(lambda: slurm.job(number)["Restarts"] == "1", "the job to be queued again")
    before |= set(done_tasks(campaign.store))
    assert len(before) < TASKS, "it failed on its way"
    slurm.start_node("n2")
    assert slurm.wait_for_state(number, "COMPLETED", "FAILED")["JobState"] == "COMPLETED", campaign.log()
    assert f"{len(before)} of {TASKS} tasks done" in campaign.log()
    campaign.assert_complete(killed=True)


def failing_last(campaign: Path) -> tuple[str, int]:
    """Return a mode in which the fake FEFF fails in runs of a campaign's last structure alone, and in how many."""
    table = load_campaign(campaign).tasks()
    checksums = [zlib.crc32(table.inputs(task)[0].encode()) for task in range(len(table))]
    for share in range(5, 500):
        failing = [task for task, checksum in enumerate(checksums) if checksum % share == 0]
        if failing and (table.structure[failing] == table.structure[-1]).all():
            return f"fail@{share}", len(failing)
    raise AssertionError("no share makes runs of the last structure fail alone")


def test_a_preempted_job_goes_on_later_and_a_failed_run_does_not_end_the_chain(
    slurm: PrivateSlurm, folder: Path
) -> None:
    campaign = Campaign(slurm, folder / "preempted", "preempted", FAKE_CAMPAIGN)
    (folder / "few.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    few, count = failing_last(folder / "few.toml")
    simulate, average = campaign.submit("--to", "average", ranks=2, seconds=0.5, FAKE_FEFF=few)
    before = set(campaign.wait_for_rows(3))
    urgent = ["sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    number = slurm.run(*urgent, "--wrap", "true").strip()
    slurm.wait_for(lambda: slurm.job(simulate)["Restarts"] == "1", "the job to be queued again")
    before |= set(done_tasks(campaign.store))
    assert 0 < len(before) < 45 - count, "it was preempted on its way"
    slurm.wait_for_state(number, "COMPLETED")
    for job in (simulate, average):
        assert slurm.wait_for_state(job, "COMPLETED", "FAILED", "CANCELLED")["JobState"] == "COMPLETED", campaign.log()
    with h5py.File(campaign.store) as file:
        outcomes = Counter(file["runs/outcome"][:].tolist())
    assert (outcomes[Outcome.DONE], outcomes[Outcome.CRASHED]) == (45 - count, count)
    assert "some runs failed, and the jobs after this one go on without them" in campaign.log()
    assert re.search(r"^used: \d+\.\d\d node hours on 2 nodes$", campaign.log(), re.MULTILINE)


def test_restarts_have_an_end(slurm: PrivateSlurm, endless: tuple[Campaign, list[str]]) -> None:
    campaign, (simulate, average) = endless
    ended = slurm.wait_for_state(simulate, "FAILED", "COMPLETED", seconds=60)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "75:0", "1")
    assert "work is left after 1 restarts, the most allowed" in campaign.log()
    assert slurm.wait_for_state(average, "CANCELLED", "COMPLETED")["JobState"] == "CANCELLED"


def test_nothing_is_left_when_the_tests_die() -> None:
    code = "import private_slurm, time; print(private_slurm.PrivateSlurm(cpus=1).folder, flush=True); time.sleep(60)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        folder = Path(dying.stdout.readline().strip())
        assert len(processes_of(folder)) >= 4
        dying.kill()
    wait_for(lambda: not folder.exists(), 30)
    assert processes_of(folder) == []
