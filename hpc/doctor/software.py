"""Checks of the software: launcher, MPI, packages, FEFF, TensorFlow.

A check takes the `Setting` and returns a `Finding`. It may be slow and may raise: `hpc.doctor.driver`
limits the time and turns an exception into a finding.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hpc.doctor.findings import Finding, Setting, ok, problem, warning
from hpc.doctor.limits import last_words, run_child
from hpc.launcher import launched
from xanesml.campaign import Campaign
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.files.hdf5 import package_versions
from xanesml.store.plan import expand

#: Time limit of the trial run of FEFF, s; it takes 5 s on one free core.
RUN_LIMIT = 30.0

#: Time limit of the import of TensorFlow, s; it is slow on slow file systems.
IMPORT_LIMIT = 120.0

_TENSORFLOW = """
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow, keras
print(json.dumps([tensorflow.__version__, keras.__version__]), flush=True)
"""
_HOROVOD = """
import horovod, horovod.tensorflow as hvd
print(json.dumps([horovod.__version__, bool(hvd.mpi_built()), bool(hvd.nccl_built()), bool(hvd.gloo_built())]))
"""


def launcher(setting: Setting) -> Finding:
    """Check that MPI sees all processes that the launcher started."""
    told = launched()
    allocated = os.environ.get("SLURM_NTASKS", "1")
    if told is None and setting.size == 1 and allocated.isdigit() and int(allocated) > 1:
        return warning(
            f"one process without a launcher in an allocation for {allocated}",
            "start it as the job will be started, with mpirun or srun",
        )
    if told is None:
        return ok("none" if setting.size == 1 else f"not known; {_spread(setting)}")
    if told.processes > setting.size:
        return problem(
            f"{told.processes} processes were started ({told.variable}), but MPI sees {setting.size} of them: "
            f"mpi4py was built for, or loads, another MPI than the launcher's: {_mpi_libraries_named()}",
            "start with the mpirun of that MPI, or install mpi4py for the launcher's; "
            f"the first mpirun on PATH is {shutil.which('mpirun') or 'none'}",
        )
    return ok(f"MPI sees all processes that were started; {_spread(setting)}")


def mpi_library(setting: Setting) -> Finding:
    """Check the MPI library and its thread level."""
    import mpi4py  # noqa: PLC0415 (loads MPI)
    from mpi4py import MPI  # noqa: PLC0415

    vendor, version = MPI.get_vendor()
    names = ("single", "funneled", "serialized", "multiple")
    levels = {getattr(MPI, f"THREAD_{name.upper()}"): name for name in names}
    level = MPI.Query_thread()
    text = (
        f"{vendor} {'.'.join(map(str, version))}, MPI {'.'.join(map(str, MPI.Get_version()))}, "
        f"mpi4py {mpi4py.__version__}, threads: {levels[level]}"
    )
    if len({library.parent for library in _mpi_libraries()}) > 1:
        return problem(
            f"{text}; two MPI libraries in one process: {_mpi_libraries_named()}",
            "build h5py and mpi4py against the same MPI (docs/how-to/install.md)",
        )
    if level < MPI.THREAD_MULTIPLE and setting.size > 1:
        return warning(
            text, "training on several ranks needs an MPI with MPI_THREAD_MULTIPLE; everything else does not"
        )
    return ok(text)


def packages(_setting: Setting) -> Finding:
    """Report the versions of Python and of the packages that results depend on."""
    versions: dict[str, str] = json.loads(package_versions())
    return ok(", ".join(f"{name} {version}" for name, version in versions.items()))


def engine(setting: Setting) -> Finding:
    """Check that the engine's programs are installed."""
    return ok(make_engine(setting.engine).identity)


def engine_runs(setting: Setting) -> Finding:
    """Run FEFF on 13 gold atoms, without self-consistency."""
    section = setting.engine.model_copy(update={"timeout": RUN_LIMIT})
    representative = "typical" if section.takes_representatives else "nearest"
    table = expand(
        Campaign.model_validate(
            {
                "name": "doctor",
                "structure": {"atoms": 13},
                "distortion": {"minimum": 0.0, "maximum": 0.01},
                "feff": {"scf": False, "corval": False, "fms_radius": 3.5, "representative": representative},
            }
        )
    )
    try:
        folder = tempfile.TemporaryDirectory(prefix="xanesml-doctor-", dir=setting.scratch)
    except OSError:
        return warning("not run, since the scratch folder cannot be written")
    with folder as name:
        result = run_feff(make_engine(section), Path(name), *table.inputs(0))
    if result.outcome is Outcome.DONE:
        return ok("13 atoms without SCF: done in {} s", value=result.seconds)
    if result.outcome is Outcome.TIMED_OUT:
        return warning(
            f"13 atoms without SCF: not over after {RUN_LIMIT:.0f} s, 5 s are usual",
            "look for an overloaded host, or for Python or FEFF on a slow file system",
        )
    return problem(
        f"13 atoms without SCF: {result.outcome.label}: {result.message}",
        "repair the engine ([engine] in the campaign; docs/how-to/feff.md)",
    )


def training(setting: Setting) -> Finding:
    """Import TensorFlow and Horovod, in a child process that may crash."""
    if importlib.util.find_spec("tensorflow") is None:
        return warning(
            "TensorFlow is not installed",
            "simulate and average do not need it; for train and predict run pip install '.[train]'",
        )
    with_horovod = importlib.util.find_spec("horovod") is not None
    child = run_child([sys.executable, "-c", _TENSORFLOW + (_HOROVOD if with_horovod else "")], IMPORT_LIMIT)
    told: list[list[Any]] = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("[")]
    said = last_words(child)
    if not told:
        return problem(f"TensorFlow cannot be imported: {said}", "reinstall it: pip install '.[train]'")
    found = "TensorFlow {}, Keras {}".format(*told[0])
    if not with_horovod:
        remedy = "one process trains without it; for several build it (docs/how-to/install.md)"
        return warning(f"{found}; Horovod is not installed", remedy)
    remedy = "rebuild it with --no-cache-dir (docs/how-to/install.md); one process trains without it"
    if len(told) == 1:
        return problem(f"{found}; Horovod cannot be imported: {said}", remedy)
    version, mpi, nccl, gloo = told[1]
    built = [name for name, there in (("MPI", mpi), ("NCCL", nccl), ("Gloo", gloo)) if there]
    found = f"{found}; Horovod {version} built with {' and '.join(built) or 'neither MPI nor NCCL nor Gloo'}"
    if not mpi and setting.size > 1:
        return problem(found, f"without MPI it does not see the ranks: {remedy}")
    return ok(found)


def _mpi_libraries() -> list[Path]:
    """Return the MPI libraries that this process has loaded."""
    maps = Path("/proc/self/maps")
    text = maps.read_text(encoding="utf-8", errors="replace") if maps.exists() else ""
    return sorted({Path(path) for path in re.findall(r"\S*/libmpi(?:ch)?\.so\S*", text)})


def _mpi_libraries_named() -> str:
    return ", ".join(map(str, _mpi_libraries())) or "not known"


def _spread(setting: Setting) -> str:
    return f"ranks: {setting.size}, hosts: {setting.hosts}"
