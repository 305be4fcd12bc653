"""What importing costs: the science needs no MPI and no TensorFlow, and help answers at once."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from conftest import ROOT

import xanesml

PACKAGE = Path(xanesml.__file__).parent
HEAVY = (
    "mpi4py",
    "horovod",
    "tensorflow",
    "keras",
    "larch",
    "matplotlib",
    "sklearn",
    "pandas",
    "xarray",
    "hpc",
)


def modules_after(statements: str) -> set[str]:
    code = f"import sys\n{statements}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_science_loads_nothing_heavy() -> None:
    names = sorted(
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.stem not in ("__init__", "feff10_stages")
    )
    assert "xanesml.store.rows" in names
    loaded = modules_after("\n".join(f"import {name}" for name in names))
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


def test_help_loads_nothing_that_takes_time() -> None:
    loaded = modules_after("import hpc.cli")
    assert loaded.isdisjoint({*HEAVY, "numpy", "h5py", "scipy", "ase"} - {"hpc"})


def test_the_version_is_looked_up_when_asked_for() -> None:
    code = "import sys, xanesml; before = 'importlib.metadata' in sys.modules; print(before, xanesml.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", version("xanesml")]
    assert not hasattr(xanesml, "release")


def test_the_science_never_imports_the_spreading() -> None:
    offenders = [
        path for path in PACKAGE.rglob("*.py") if "import hpc" in path.read_text() or "from hpc" in path.read_text()
    ]
    assert offenders == []


def test_a_prediction_loads_only_what_it_needs(tmp_path: Path) -> None:
    arguments = ["predict", "au-l3", str(ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"), "--no-figures"]
    loaded = modules_after(
        f"from hpc.cli import app\napp([*{arguments}, '--output', {str(tmp_path)!r}], standalone_mode=False)\n"
        "assert not {'xanesml.exafs', 'xanesml.store', 'xanesml.feff.run', 'xanesml.plots'} & set(sys.modules)"
    )
    assert (tmp_path / "predictions.json").exists()
    assert loaded.isdisjoint(set(HEAVY) - {"hpc"}), loaded & set(HEAVY)
