"""The command line: one clear line for what the user got wrong, and no file left behind."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pytest
from campaign_folder import averaged, half_simulated, predicted, small, trained
from conftest import ROOT
from made_store import made_store
from small_tensors import write_small
from synthetic import campaign, write_tensors

from hpc.cli import main
from xanesml.averages.comparison import compare
from xanesml.averages.trace import trace_lines
from xanesml.campaign import Campaign

EXAMPLES = ROOT / "examples"
SERIES = 'name = "x"\n[distortion]\nstep = 0.45\n'


#: Commands that neither start MPI nor load TensorFlow, so that they need no process of their own.
LIGHT = ("plan", "plot", "mix", "compare", "trace", "status", "report")


def run(xanesml: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command; in this process, which saves a second of imports, where nothing speaks against it."""
    command = [xanesml, *arguments]
    if arguments[0] not in LIGHT:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
    status = ended.value.code or 0
    assert isinstance(status, int)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


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
        (
            '[feff]\nrepresentative = "nearest"\n'
            '[engine]\nkind = "command"\ncommands = [["no-such-feff"]]\nversion = "9"\n',
            "no-such-feff",
        ),
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
        (["plot", "x.toml"], "x/tensors.h5 does not exist; make it with `xanesml average CAMPAIGN`"),
        (["compare", "x.toml"], "x/tensors.h5 does not exist; make it with `xanesml average CAMPAIGN`"),
        (["trace", "x/tensors.h5", "0"], "x/tensors.h5 does not exist; make it with `xanesml average CAMPAIGN`"),
        pytest.param(["train", "x.toml"], "tensors.h5", marks=pytest.mark.requires("keras")),
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


def test_the_version_is_printed(xanesml: str, tmp_path: Path) -> None:
    done = run(xanesml, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"xanesml {version('xanesml')}\n")


def test_a_shell_completes_commands(xanesml: str, tmp_path: Path) -> None:
    asked = {"_XANESML_COMPLETE": "complete_bash", "COMP_WORDS": "xanesml pl", "COMP_CWORD": "1"}
    done = subprocess.run([xanesml], env=os.environ | asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["plan", "plot"]
    assert "--install-completion" in run(xanesml, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize("file", ["hpc/__init__.py", "hpc.py"])
def test_another_package_named_hpc_is_one_line(tmp_path: Path, file: str) -> None:
    foreign = tmp_path / file
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("raise RuntimeError('a package that has nothing to do with us')\n")
    # As the console script does.
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from xanesml import main; sys.exit(main())", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    place = foreign.parent if file == "hpc/__init__.py" else foreign
    assert done.stderr == (
        f"xanesml: another package named hpc at {place} hides xanesml's; remove it from PYTHONPATH or uninstall it\n"
    )
    assert done.returncode == 2


def test_the_console_script_is_the_command_line(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys; from xanesml import main; sys.exit(main())", "--version"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"xanesml {version('xanesml')}\n"


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
    assert "absorber 35 (Au) of 55 atoms" in done.stdout
    assert "12 neighbors at 2.8837 Å, up to a cutoff of 3.4293 Å" in done.stdout
    assert done.stdout.endswith(f"; next: mpirun xanesml simulate {demo}\n")
    assert list(tmp_path.iterdir()) == []


def test_plan_shows_the_sites_and_the_runs_they_take(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        'name = "x"\n[distortion]\nabsorbers = "sites"\n[disorder]\nstructures = 2\nabsorbers = "all"\n'
    )
    done = run(xanesml, "plan", "x.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sites:       5, multiplicities 1 12 6 24 12; the series takes 91 × 5 FEFF runs\n" in done.stdout
    assert "FEFF runs:   565, 455 for the series and 110 for particle averages\n" in done.stdout


def test_plan_draws_when_asked(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SERIES + "[structure]\natoms = 13\n")
    done = run(xanesml, "plan", "x.toml", "--figure", "shell.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == "figure:      shell.png, shell.pdf"
    assert {path.name for path in tmp_path.iterdir()} == {"x.toml", "shell.png", "shell.pdf"}


def test_the_demo_has_what_it_promises() -> None:
    demo = Campaign.load(EXAMPLES / "demo.toml")
    assert demo.averaging.families * demo.averaging.means_per_family >= 20_000


def test_plot_draws_and_says_what_it_left_out(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    write_small(tmp_path / "out" / "tensors.h5", particles=0, averages=0)
    done = run(xanesml, "plot", "x.toml", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    left_out, drawn, last = done.stdout.splitlines()
    assert last.startswith("made out/figures in ")
    assert last.endswith("; next: mpirun xanesml train x.toml --output out")
    assert left_out == (
        "left out: weightings, weights_as_bars: the file has no statistical averages; "
        "disordered, differences, distribution, neighbors_in_sigma, comparison, comparison_rms: "
        "the file has no particle averages"
    )
    assert drawn == "figures: out/figures: 3, each as PNG and PDF"
    names = sorted(path.stem for path in (tmp_path / "out" / "figures").glob("*.pdf"))
    assert names == ["roughness", "series", "shell"] == sorted(one.stem for one in tmp_path.glob("out/figures/*.png"))


def test_mix_makes_averages_of_ones_own_choice_and_leaves_the_tensor_file_alone(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    tensors = tmp_path / "x" / "tensors.h5"
    write_tensors(tensors, campaign())
    before = tensors.read_bytes(), tensors.stat().st_mtime_ns
    asked = ("--sigma", "0.08,0.145", "--mean", "-0.1,0", "--mean", "0.1", "--alpha=-5,0,5")
    done = run(xanesml, "mix", "x.toml", *asked, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    *lines, last = done.stdout.splitlines()
    assert len(lines) == 18
    assert lines[-1] == (
        "left out: sigma0.145_mean0.1_alpha5: the series truncates it by 1.58% of its mass; --truncated makes it"
    )
    assert last == "mix: x/mix: 16 spectra as XDI; spectra.csv, labels.csv, mix.png, mix.pdf"
    (tmp_path / "bonds").write_text("2.88\n2.90\n")
    more = ("--msd", "0.0081", "--bonds", "bonds", "--truncated", "--name", "all")
    done = run(xanesml, "mix", "x.toml", *asked[:-1], *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "x" / "all").glob("*.xdi"))) == 6 + 3 + 1 + 1  # and the undistorted
    assert before == (tensors.read_bytes(), tensors.stat().st_mtime_ns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no distribution is given; give --sigma, --msd or --bonds"),
        (("--sigma", "0.08;0.1"), "--sigma has '0.08;0.1'; give numbers"),
        (("--bonds", "none.txt"), "--bonds none.txt cannot be read: No such file or directory"),
        (("--sigma", "0.5"), "the series, -0.45 to 0.45 Å, truncates all 1 distributions"),
    ],
)
def test_what_mix_cannot_make_is_one_line(
    xanesml: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    write_tensors(tmp_path / "x" / "tensors.h5", campaign(), families=2, members=2)
    done = run(xanesml, "mix", "x.toml", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"xanesml: {message}")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["tensors.h5"]


def test_compare_prints_its_numbers_and_names_its_files(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    tensors = write_small(tmp_path / "x" / "tensors.h5")
    done = run(xanesml, "compare", "x.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *numbers, files, last = done.stdout.splitlines()
    assert last.startswith("made x/comparison.csv, x/figures in ")
    assert last.endswith("; next: mpirun xanesml train x.toml")
    assert numbers == compare(tensors).lines()
    assert files == (
        "table: x/comparison.csv; figures: x/figures: "
        "comparison.png, comparison.pdf, comparison_rms.png, comparison_rms.pdf"
    )
    assert len((tmp_path / "x" / "comparison.csv").read_text().splitlines()) == 5
    assert len(list((tmp_path / "x" / "figures").iterdir())) == 4


def test_compare_without_particle_averages_is_one_line(xanesml: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    write_small(tmp_path / "x" / "tensors.h5", particles=0)
    done = run(xanesml, "compare", "x.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("xanesml: x/tensors.h5 has no particle averages to compare; give the campaign")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["tensors.h5"]


@pytest.mark.parametrize(("option", "kind"), [([], "statistical"), (["--particle"], "particle")])
def test_trace_prints_what_the_function_says(
    xanesml: str, tmp_path: Path, option: list[str], kind: Literal["statistical", "particle"]
) -> None:
    write_tensors(tmp_path / "tensors.h5", campaign(), families=2, members=2, particles=3)
    done = run(xanesml, "trace", str(tmp_path / "tensors.h5"), "2", *option, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == trace_lines(tmp_path / "tensors.h5", 2, kind)


def test_an_old_file_names_the_command_that_converts_it(xanesml: str, tmp_path: Path) -> None:
    packed = (ROOT / "tests" / "data" / "tensors-version-2.h5.gz").read_bytes()
    (tmp_path / "tensors.h5").write_bytes(gzip.decompress(packed))
    refused = run(xanesml, "trace", "tensors.h5", "0", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.endswith("run `xanesml convert tensors.h5`\n")
    converted = run(xanesml, "convert", "tensors.h5", cwd=tmp_path)
    assert converted.returncode == 0, converted.stderr
    assert converted.stdout == "tensors.h5: converted from xanesml-tensors version 2 to version 5\n"
    mixed = run(xanesml, "convert", "none.h5", "tensors.h5", cwd=tmp_path)
    assert (mixed.returncode, mixed.stdout) == (3, "tensors.h5: xanesml-tensors version 5 already\n")
    assert mixed.stderr.startswith("refused: none.h5 does not exist")
    assert run(xanesml, "trace", "tensors.h5", "0", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("stage", ["planned", "simulated", "averaged", "trained", "predicted"])
def test_a_report_is_a_page_beside_the_summary_and_names_the_next_command(
    xanesml: str, tmp_path: Path, stage: str
) -> None:
    (tmp_path / "x.toml").write_text(SERIES)
    out = tmp_path / "out"
    done = ["planned", "simulated", "averaged", "trained", "predicted"].index(stage)
    for make in (
        lambda: half_simulated(out, small()),
        lambda: averaged(out),
        lambda: trained(out),
        lambda: predicted(out),
    )[:done]:
        make()
    said = run(xanesml, "report", "x.toml", "-o", "out", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    last = said.stdout.splitlines()[-1]
    assert last.startswith("made out/summary.md, out/report.html in ")
    assert last.endswith(
        {
            "planned": "; next: mpirun xanesml simulate x.toml --output out",
            "simulated": "; next: mpirun xanesml average x.toml --output out",
            "averaged": "; next: mpirun xanesml train x.toml --output out",
            "trained": "; next: xanesml predict out/model SPECTRUM",
            "predicted": "; next: open out/report.html in a browser",
        }[stage]
    )
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (out / "summary.md").exists()


def test_variants_are_planned_exported_and_reported(xanesml: str, tmp_path: Path) -> None:
    text = SERIES + "[structure]\natoms = 13\n[feff]\nscf = false\n[feff.variants.less]\ns02 = 0.9\nstructures = '1:'\n"
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    told = run(xanesml, "plan", "x.toml", "--task", "4", cwd=tmp_path).stdout.splitlines()
    assert "S02 0.9" in told
    assert "FEFF runs:   5, 3 for the series and 0 for particle averages, 2 in variants" in told
    assert "variant:     less, tasks 3 … 4: s02 = 0.9" in told
    made_store(tmp_path / "x" / "store.h5", Campaign.load(tmp_path / "x.toml"))
    done = run(xanesml, "export", "x/store.h5", "-o", "out", "--variant", "less", "--format", "xdi", cwd=tmp_path)
    assert done.stdout == "2 spectra in out\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["task-000003.xdi", "task-000004.xdi"]
    run(xanesml, "report", "x.toml", cwd=tmp_path)
    assert "5 FEFF runs (2 in less): 5 done" in (tmp_path / "x" / "summary.md").read_text(encoding="utf-8")
