"""Site files: what is wrong in them is one line, and every key is offered and documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

from hpc.jobscripts import PRESETS, Site, load_site
from hpc.jobscripts.site import JOBS, SimulateJob, TrainJob, time_seconds
from xanesml.errors import EnvironmentProblem


def site(folder: Path, text: str) -> Site:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return load_site(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cluster = 'x'\n", "unknown key 'cluster'; accepted here: account, partition"),
        ("[simulate]\nnode = 2\n", "unknown key 'simulate.node'; accepted here: account"),
        ("account = 'a b'\n", "account: String should match"),
        ('launcher = "mpirun \'x"\n', 'launcher = "mpirun \'x": No closing quotation'),
        ("launcher = ' '\n", "launcher is empty; give 'mpirun'"),
        ("conda = 'a'\nvenv = 'b'\n", "conda = 'a' and venv = 'b' are both given"),
        ('setup = ["a\\nb"]\n', "is not one line of text"),
        ("[simulate]\nnodes = 0\n", "simulate.nodes: Input should be greater than 0 (got 0)"),
        ("[simulate]\ntime = '1 day'\n", "simulate.time: '1 day' is not a time in Slurm's format; write minutes"),
        ("[average]\ntime = '0'\n", "average.time: '0' is not a time in Slurm's format"),
        ("[simulate]\ntime = '5'\n", "simulate: time = '5' leaves no time before drain = 300 s"),
        ("container = ' '\n", "container is empty"),
        ("slurm = false\n[train]\narchive = 'a.tar'\n", "archive is unpacked by Slurm on every node"),
        ("[train]\ngpus_per_node = 4\n", "gpus_per_node is 4 and tasks_per_node 1; a rank trains on one GPU"),
        ("nodes\n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_with_a_site_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        site(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_site_that_is_not_there_is_named_with_the_presets(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"cannot read the site file .*give a file, or one of cpu-cluster"):
        load_site(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 300), ("5:30", 330), ("24:00:00", 86400), ("1-12", 129600), ("1-0:30", 88200), ("2-01:02:03", 176523)],
)
def test_times_are_read_as_slurm_reads_them(text: str, seconds: int) -> None:
    assert time_seconds(text) == seconds


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_sites_and_their_commented_keys_exist(tmp_path: Path, preset: str) -> None:
    text = (ROOT / "jobscripts" / f"{preset}.toml").read_text(encoding="utf-8")
    assert load_site(preset) == site(tmp_path, text)
    # A comment that is a key and a value is an offer to the reader.
    offered = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in text.splitlines()
    )
    assert site(tmp_path, offered) != load_site(preset)


def test_every_key_of_a_site_file_is_documented() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "how-to" / "slurm.md").read_text(encoding="utf-8").splitlines()
        if line[:2] == "| "
    ]
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert {*Site.model_fields, *SimulateJob.model_fields, *TrainJob.model_fields} - set(JOBS) <= documented
