"""The whole job on two ranks with a fake FEFF, as the tutorial tells it: what comes out, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.cluster import Octahedron
from conftest import FAKE_CAMPAIGN, MPI_AS_ROOT, ROOT
from documented_commands import PAGES, blocks, calls

from xanesml.store.plan import load_campaign

pytestmark = pytest.mark.requires("mpi")

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder like the repository, in which the demo is the fake campaign, and the reference model the demo's."""
    examples, reference = tmp_path / "examples", tmp_path / "reference" / "au561"
    examples.mkdir()
    for path in (ROOT / "examples").glob("*.[tx]*"):
        (examples / path.name).symlink_to(path)
    (examples / "demo.toml").unlink()
    (examples / "demo.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    reference.mkdir(parents=True)
    (reference / "model").symlink_to(tmp_path / "demo-output" / "model")
    # What readers of the how-to guides bring along.
    for name in ("foil.xdi", "sample.xdi", "session/1.xdi", "session/2.xdi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(FOIL)
    guide = (ROOT / "docs" / "how-to" / "structure.md").read_text(encoding="utf-8")
    (tmp_path / "my-cluster.toml").write_text(guide.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    ase.io.write(tmp_path / "cluster.xyz", Octahedron("Au", 5, cutoff=2))
    (tmp_path / "feff.inp").write_text(load_campaign(ROOT / "examples" / "demo.toml").tasks().inputs(0)[0])
    return tmp_path


#: Calls of xanesml by a shell are noted for `RUN_CALLS`; those by mpirun are not.
NOTE_CALLS = r"""
xanesml() { python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@" >> calls.txt; }
"""

#: Runs the calls noted, all in one process: the libraries that a prediction needs take seconds to import.
RUN_CALLS = """
import json, sys
from hpc.cli import app
for line in open("calls.txt"):
    print("xanesml", *json.loads(line), flush=True)
    if status := app(json.loads(line), standalone_mode=False):
        sys.exit(f"ended with {status}")
"""


def test_only_marked_blocks_are_not_run() -> None:
    run = [block for page in PAGES for block in blocks(page) if block.fenced and not block.needs]
    assert sum("/tutorial/" in block.page for block in run) >= 6
    assert {"simulate", "average", "train", "predict"} <= {call[0] for block in run for call in calls(block.text)}


def follow_the_pages(repository: Path, environment: dict[str, str]) -> str:
    """Run every block that is not marked; return what the calls of xanesml printed, each after itself."""
    oversubscribe = {"OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}

    def run(*command: str) -> str:
        done = subprocess.run(
            command,
            cwd=repository,
            env=environment | oversubscribe,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{command[-1]}: {done.stdout}{done.stderr}"
        return done.stdout

    for page in PAGES:
        for block in blocks(page):
            if block.fenced and not block.needs:
                run("bash", "-euo", "pipefail", "-c", NOTE_CALLS + block.text)
    return run(sys.executable, "-c", RUN_CALLS)


@pytest.mark.timeout(1200)
def test_from_structures_to_the_foil(repository: Path, xanesml: str, tmp_path: Path) -> None:
    campaign, out = repository / "examples" / "demo.toml", repository / "demo-output"
    environment = os.environ | MPI_AS_ROOT | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    told = follow_the_pages(repository, environment | {"PATH": f"{Path(xanesml).parent}:{os.environ['PATH']}"})
    assert told.count("\nxanesml predict ") >= 6
    assert "45 done" in told

    def predict(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [xanesml, "predict", str(out / "model"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)

    (direct,) = json.loads((out / "predictions.json").read_text())["predictions"]
    low, high = direct["interval"]
    assert low <= direct["msd"] <= high
    (itself,) = json.loads((repository / "beside" / "predictions.json").read_text())["predictions"]
    assert (itself["mode"], itself["reference"]["msd"]) == ("reference", 0.0081)
    ridge = predict(str(FOIL), "--with", "ridge", "-o", str(tmp_path / "ridge"))
    assert ridge.returncode == 0, ridge.stderr
    assert "(ridge, shifted by" in ridge.stdout
    alone = predict(str(FOIL), "--reference", str(FOIL))
    assert (alone.returncode, "give one MSD for each reference" in alone.stderr) == (2, True)

    report = json.loads((out / "model" / "report.json").read_text())
    assert (report["ranks"], report["groups"], sorted(report["modes"])) == (2, 2, ["direct", "reference"])
    for content in report["modes"].values():
        assert content["test"]["n"] > 100
        assert set(content["test"]["errors"]) >= {"network", "mean", "ridge"}
        assert 0 < content["coverage"] <= 1
    assert "# fake" in (out / "model" / "README.md").read_text()
    assert {path.name for path in (out / "figures").glob("*.png")} >= {
        "Au_Foil_L3_rt_2016Foils.png",
        "learning_curves.png",
        "parity-direct.png",
        "parity-reference.png",
        "sensitivity-direct.png",
        "sensitivity-reference.png",
        "series.png",
    }

    summary = subprocess.run(
        [xanesml, "report", str(campaign), "-o", str(out)], capture_output=True, text=True, check=True
    ).stdout
    for expected in ("45 done", "4800 statistical averages", "0.0081(5)", "no self-consistent potentials"):
        assert expected in summary, summary
    assert (out / "summary.md").read_text() in summary

    before = (out / "predictions.json").read_bytes()
    foil = np.loadtxt(FOIL)
    narrow = tmp_path / "narrow.txt"
    np.savetxt(narrow, foil[foil[:, 0] < 11950][:, :2])
    done = predict(str(narrow))
    assert done.returncode == 2
    assert done.stderr.startswith("xanesml: ")
    assert done.stderr.count("\n") == 1
    both = predict(str(FOIL), str(narrow), "-o", str(tmp_path / "both"))
    assert (both.returncode, "refused: " in both.stderr) == (3, True)
    assert len(json.loads((tmp_path / "both" / "predictions.json").read_text())["predictions"]) == 1
    copper = tmp_path / "copper.xdi"
    copper.write_text(FOIL.read_text().replace("Element.symbol:  Au", "Element.symbol:  Cu"))
    done = predict(str(copper))
    assert done.returncode == 2
    assert "is of Cu L3, but Au L3 is expected" in done.stderr
    assert (out / "predictions.json").read_bytes() == before
