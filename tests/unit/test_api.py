"""The front door of the package, and every example on its page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from small_model import STORE, small_model

import xanesml as xm
from xanesml.errors import StoreError

PAGE = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"


#: To train one, and to predict from the foil.
NEEDS_A_MODEL = pytest.mark.requires("mpi", "keras", "sklearn", "larch")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the repository after `make model`, its model trained in seconds."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "examples").symlink_to(ROOT / "examples")
    made = folder / "reference" / "au561"
    made.mkdir(parents=True)
    (made / "store.h5").symlink_to(STORE)
    small_model(made)
    return folder


@NEEDS_A_MODEL
@pytest.mark.requires("pandas", "xarray")
@pytest.mark.timeout(180)
def test_every_example_of_the_page_runs(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"api.md, block {number}", "exec"), names)
    assert names["table"].attrs["units"] == {"delta": "Å", "sigma": "Å"}
    assert dict(names["dataset"].sizes) == {"average": 100, "energy": 110, "delta": 91, "r": 46}
    np.testing.assert_allclose(names["pair"], names["series"].average(np.array(names["weights"]) * 7), rtol=1e-14)
    assert names["found"].refused[0][0] == "no-such-file.xdi"
    assert (repository / "figures" / "foil.pdf").exists()
    assert "cannot read the spectrum no-such-file.xdi" in capsys.readouterr().out


def test_the_page_describes_the_front_door() -> None:
    for name in xm.__all__:
        assert f"xm.{name}" in PAGE
    assert {*xm.__all__, "__version__"} <= set(dir(xm))


@NEEDS_A_MODEL
def test_a_model_prints_itself_and_names_its_predictors(repository: Path) -> None:
    model = xm.load_model(str(repository / "reference" / "au561" / "model"))
    lines = dict(line.split(":", 1) for line in repr(model).splitlines()[1:])
    assert lines["  for"].split()[:2] == ["Au", "L3,"]
    assert lines["  mesh"].split()[0] == "110"
    assert "held-out averages" in lines["  direct"]
    assert "<table>" in model._repr_html_()
    assert model.predictors[0] == "network"
    assert "moments" in model.predictors
    assert model.predict(FOIL, predictor="moments").mode == "direct"
    with pytest.raises(StoreError, match="no baseline 'guess'"):
        model.predict(FOIL, predictor="guess")


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(xm.XanesmlError, match=r"there is no .*model\.json; train again") as caught:
        xm.load_model(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_command_plans_by_the_same_tasks(xanesml: str) -> None:
    campaign = ROOT / "examples" / "demo.toml"
    done = subprocess.run([xanesml, "plan", str(campaign)], capture_output=True, text=True, check=True)
    tasks = xm.load_campaign(str(campaign)).tasks()
    assert done.stdout.startswith(tasks.inputs(0)[0])
    assert f"{len(tasks)}, 31 for the series" in done.stdout


def test_importing_it_is_quick_and_loads_no_array() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import xanesml; print(time.perf_counter() - start); "
        "print(sorted({'numpy', 'h5py', 'ase', 'pydantic', 'pandas', 'xarray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.splitlines()
    assert float(seconds) < 0.1
    assert loaded == "[]"
