"""The command line: one clear line for what the user got wrong, and no file left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from xanesml.campaign import load_campaign

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SERIES = 'name = "x"\n[distortion]\nstep = 0.45\n'


def run(xanesml: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([xanesml, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("verb", ["plan", "simulate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[feff]\nscff = 1\n", "unknown key 'feff.scff'; accepted here:"),
        ('[feff]\ns02 = "one"\n', "feff.s02: Input should be a valid number"),
        ('[structure]\nelement = "Zz"\n', "'Zz' is not a chemical element"),
        ('[feff]\nedge = "Q9"\n', "FEFF does not know the edge 'Q9'"),
        ('[structure]\nelement = "Cu"\n[feff]\nedge = "N7"\n', "feff.edge: Cu has no N7 edge"),
        ("[structure]\nminimum_distance = 2.6\n", "closer than structure.minimum_distance = 2.6 Å"),
        ("[structure]\nabsorber = 55\n", "structure.absorber is 55; 55-atom cuboctahedron has atoms 0 to 54"),
        ("[disorder]\nabsorbers = [0, 99]\n", "99"),
        ('[structure]\nfile = "broken.xyz"\n', "broken.xyz"),
        ('[structure]\nfile = "none.cif"\n', "none.cif"),
        ('[engine]\nkind = "command"\ncommands = [["no-such-feff"]]\nversion = "9"\n', "no-such-feff"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(
    xanesml: str, tmp_path: Path, verb: str, text: str, message: str
) -> None:
    (tmp_path / "broken.xyz").write_text("3\n\nAu 0 0\n")
    (tmp_path / "x.toml").write_text(SERIES + text)
    before = sorted(tmp_path.iterdir())
    done = run(xanesml, verb, "x.toml", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("xanesml: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["average", "x.toml"], "store.h5 does not exist; make it with `xanesml simulate CAMPAIGN`"),
        (["train", "x.toml"], "tensors.h5"),
        (["status", "x.toml"], "nothing was simulated there yet"),
        (["predict", "no-model", str(EXAMPLES / "Au_Foil_L3_rt_2016Foils.xdi")], "no-model"),
        (["plan", "none.toml"], "cannot read the campaign none.toml"),
        (["plan", "x.toml", "--task", "3"], "--task 3 is not in the campaign; give 0 … 2"),
    ],
)
def test_what_is_missing_is_named(xanesml: str, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    done = run(xanesml, *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("xanesml: ")]) == 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]


def test_debug_shows_the_traceback(xanesml: str, tmp_path: Path) -> None:
    done = run(xanesml, "--debug", "plan", "none.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "CampaignError" in done.stderr


def test_a_folder_that_cannot_be_written_to_is_named(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    (tmp_path / "file").write_text("")
    done = run(xanesml, "simulate", "x.toml", "-o", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot write file/store.h5" in done.stderr


def test_plan_counts_prints_and_touches_nothing(xanesml: str, tmp_path: Path) -> None:
    demo = EXAMPLES / "demo.toml"
    done = run(xanesml, "plan", str(demo), "--task", "31", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TITLE Au55")
    assert "31 distorted, 2 disordered, 55 atoms each" in done.stdout
    assert "57, 31 for the series and 26 for particle averages" in done.stdout
    assert "core-hours" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_has_what_it_promises() -> None:
    demo = load_campaign(EXAMPLES / "demo.toml")
    assert demo.averaging.families * demo.averaging.means_per_family >= 20_000
