from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from hpc import drain
from hpc.doctor import joint, machine, software
from hpc.doctor.driver import CHECKS
from hpc.doctor.findings import Finding, Mark, Setting, summarize
from hpc.doctor.limits import GIVEN_UP, attempt, last_words, run_child
from xanesml.campaign import Campaign

OK, WARNING, PROBLEM = Mark.OK, Mark.WARNING, Mark.PROBLEM


def setting(
    tmp_path: Path, *, size: int = 1, hosts: int = 1, ranks: int = 1, cores: int = 1, **engine: object
) -> Setting:
    content: dict[str, object] = {"name": "tiny", "distortion": {}}
    if engine:
        content["engine"] = {"kind": "command", "version": "fake 1"} | engine
        content["feff"] = {"representative": "nearest"}
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return Setting(
        campaign=Campaign.model_validate(content),
        output=tmp_path / "out",
        scratch=tmp_path / "scratch",
        size=size,
        hosts=hosts,
        ranks=ranks,
        # Beyond the processors of any machine, so that each counts as a core of its own.
        cores=frozenset(range(10**6, 10**6 + cores)),
    )


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_equal_findings_are_told_once() -> None:
    summary = summarize([("n1", Finding(OK, "feff10")), ("n2", Finding(OK, "feff10"))], alike="install the same")
    assert summary.line("engine") == "ok       engine           feff10"


def test_a_value_that_varies_is_a_range_and_not_another_finding() -> None:
    found = [(f"n{i}", Finding(OK, "{} GiB for each rank", value=value)) for i, value in enumerate((12.4, 8.0, 2000.0))]
    assert summarize(found).text == "8–2,000 GiB for each rank"
    assert summarize(found[:1]).text == "12 GiB for each rank"


def test_hosts_that_differ_are_named_the_worst_first() -> None:
    found = [("n1", Finding(OK, "fine")), ("n2", Finding(PROBLEM, "broken", "repair it")), ("n3", Finding(OK, "fine"))]
    summary = summarize(found)
    assert summary.line("engine") == "problem  engine           n2: broken; n1, n3: fine → repair it"


def test_a_difference_is_a_problem_only_where_hosts_must_be_alike() -> None:
    found = [("n1", Finding(OK, "python 3.11")), ("n2", Finding(OK, "python 3.12"))]
    assert summarize(found).mark is OK
    summary = summarize(found, alike="use one environment")
    assert (summary.mark, summary.text) == (PROBLEM, "n1: python 3.11; n2: python 3.12")
    assert summary.remedy == "use one environment"


def test_many_hosts_with_many_answers_fit_on_a_line() -> None:
    found = [(f"n{i}", Finding(OK, f"version {min(i, 6)}")) for i in range(100)]
    summary = summarize(found)
    assert summary.text == "n0: version 0; n1: version 1; n2: version 2; and other answers from 97 more"
    assert summarize([*found[6:], ("odd", Finding(WARNING, "odd", "look"))]).text == (
        "odd: odd; n6, n7, n8 and 91 more: version 6"
    )


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(Mark)), min_size=1, max_size=30))
def test_the_mark_of_a_line_is_the_worst_of_its_findings(found: list[tuple[str, Mark]]) -> None:
    summary = summarize([(f"n{i}", Finding(mark, text)) for i, (text, mark) in enumerate(found)])
    assert summary.mark == max(mark for _, mark in found)
    assert "\n" not in summary.line("x")


def test_braces_in_a_message_stay_as_they_are() -> None:
    assert summarize([("n1", Finding(PROBLEM, "bad value {} in {0}"))]).text == "bad value {} in {0}"


def test_an_exception_is_a_finding() -> None:
    def fail() -> Finding:
        raise KeyError("first line\nsecond line")

    found = attempt(fail, 5)
    assert found.mark is PROBLEM
    assert "KeyError: 'first line" in found.text
    assert "\n" not in found.text


def test_a_check_that_hangs_is_left_alone() -> None:
    began = time.monotonic()
    found = attempt(lambda: time.sleep(3) or Finding(OK, "late"), 0.1)
    assert time.monotonic() - began < 2
    assert (found.mark, found.text) == (PROBLEM, "no answer within 0 s")


def test_the_watchdog_says_what_hangs_and_ends_the_process() -> None:
    code = (
        "import time\nfrom hpc.doctor.limits import watchdog\n"
        "with watchdog('quick', 5, print):\n    pass\n"
        "with watchdog('parallel HDF5', 0.2, print):\n    time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == GIVEN_UP
    assert done.stdout.startswith("problem  parallel HDF5    the ranks were not done after 0 s")
    assert "quick" not in done.stdout


def test_a_child_knows_of_no_mpi_and_its_last_words_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    child = run_child(["sh", "-c", "echo size=$OMPI_COMM_WORLD_SIZE; echo oops >&2; exit 3"], 10)
    assert (child.stdout, last_words(child)) == ("size=\n", "oops")
    assert last_words(run_child(["sh", "-c", "exit 3"], 10)) == "exit status 3"
    assert last_words(run_child(["sh", "-c", "kill -ILL $$"], 10)) == f"ended by {signal.SIGILL.name}"
    assert "sleep was not done after 0 s" in attempt(lambda: run_child(["sleep", "30"], 0.1), 10).text


@pytest.mark.parametrize(
    ("environment", "size", "mark", "text"),
    [
        ({}, 1, OK, "none"),
        ({}, 4, OK, "not known; ranks: 4"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 4, OK, "MPI sees all processes that were started; ranks: 4, hosts: 1"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 1, PROBLEM, "4 processes were started (OMPI_COMM_WORLD_SIZE), but MPI sees 1"),
        ({"SLURM_STEP_NUM_TASKS": "4"}, 1, PROBLEM, "mpi4py was built for, or loads, another MPI"),
        ({"SLURM_NTASKS": "4"}, 1, WARNING, "one process without a launcher in an allocation for 4"),
    ],
)
def test_processes_that_do_not_see_each_other_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], size: int, mark: Mark, text: str
) -> None:
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = software.launcher(setting(tmp_path, size=size))
    assert found.mark is mark
    assert text in found.text


@pytest.mark.parametrize(
    ("mode", "mark", "text"),
    [
        ("succeed", OK, "done in {} s"),
        ("fail", PROBLEM, "crashed: FEFF ended with return code 3"),
        ("wrong-edge", PROBLEM, "bad-output"),
        ("nothing", PROBLEM, "bad-output"),
        ("hang", WARNING, "not over after 1 s"),
    ],
)
def test_the_engine_is_judged_by_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, mark: Mark, text: str
) -> None:
    monkeypatch.setattr(software, "RUN_LIMIT", 1.0 if mode == "hang" else 30.0)
    here = setting(tmp_path, commands=[[sys.executable, str(ROOT / "tests" / "fake_feff.py"), mode]])
    assert software.engine(here).text.startswith("command fake 1: ")
    found = software.engine_runs(here)
    assert found.mark is mark
    assert text in found.text
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.feff
def test_real_feff_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "RUN_LIMIT", 200.0)
    here = setting(tmp_path)
    assert software.engine(here).text.startswith("feff10-rs ")
    found = software.engine_runs(here)
    assert found.mark is OK, found.text
    assert found.value is not None
    assert 0 < found.value < software.RUN_LIMIT


def test_a_missing_program_is_a_problem(tmp_path: Path) -> None:
    here = setting(tmp_path, commands=[["no-such-feff"]])
    found = attempt(lambda: software.engine(here), 10)
    assert found.mark is PROBLEM
    assert "'no-such-feff'" in found.text


TENSORFLOW = "__version__ = '2.0'\n"
HOROVOD = "def mpi_built(): return {}\ndef nccl_built(): return 0\ndef gloo_built(): return True\n"


@pytest.mark.requires("tensorflow", "horovod")
@pytest.mark.parametrize(
    ("tensorflow", "horovod", "size", "mark", "text"),
    [
        (TENSORFLOW, HOROVOD.format(True), 2, OK, "TensorFlow 2.0, Keras 3.0; Horovod 0.1 built with MPI and Gloo"),
        (TENSORFLOW, HOROVOD.format(False), 2, PROBLEM, "Horovod 0.1 built with Gloo"),
        (TENSORFLOW, HOROVOD.format(False), 1, OK, "Horovod 0.1 built with Gloo"),
        (
            TENSORFLOW,
            "raise ImportError('undefined symbol')",
            2,
            PROBLEM,
            "Horovod cannot be imported: ImportError: und",
        ),
        ("import os; os.abort()", HOROVOD.format(True), 1, PROBLEM, "TensorFlow cannot be imported: ended by SIGABRT"),
    ],
)
def test_a_broken_training_library_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensorflow: str, horovod: str, size: int, mark: Mark, text: str
) -> None:
    here = setting(tmp_path, size=size)
    libraries = tmp_path / "libraries"
    (libraries / "horovod" / "tensorflow").mkdir(parents=True)
    (libraries / "tensorflow.py").write_text(tensorflow, encoding="utf-8")
    (libraries / "keras.py").write_text("__version__ = '3.0'\n", encoding="utf-8")
    (libraries / "horovod" / "__init__.py").write_text("__version__ = '0.1'\n", encoding="utf-8")
    (libraries / "horovod" / "tensorflow" / "__init__.py").write_text(horovod, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(libraries))
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    # Other tests may have loaded the real one.
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    found = software.training(here)
    assert found.mark is mark
    assert text in found.text
    assert "tensorflow" not in sys.modules


@pytest.mark.requires("tensorflow", "horovod")
@pytest.mark.parametrize("missing", ["tensorflow", "horovod"])
def test_a_training_library_that_is_not_installed_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = software.importlib.util.find_spec
    monkeypatch.setattr(software.importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in ("tensorflow", "keras"):
        (libraries / f"{name}.py").write_text("__version__ = '9'\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(libraries))
    found = software.training(setting(tmp_path))
    assert found.mark is WARNING
    assert f"{ {'tensorflow': 'TensorFlow', 'horovod': 'Horovod'}[missing] } is not installed" in found.text


def test_scratch_is_written_and_left_empty(tmp_path: Path) -> None:
    found = machine.scratch_folder(setting(tmp_path))
    assert found.mark is OK
    assert found.value is not None
    assert found.value == pytest.approx(shutil.disk_usage(tmp_path).free / 1024**3, rel=0.1)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_scratch_that_hosts_share_or_that_is_short_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = machine.scratch_folder(setting(tmp_path, hosts=2))
    assert (shared.mark, "shared by the hosts" in shared.text) == (WARNING, True)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(1, 1, 120 * machine.MIB))
    assert machine.scratch_folder(setting(tmp_path, ranks=2)).mark is OK
    short = machine.scratch_folder(setting(tmp_path, ranks=3))
    assert (short.mark, short.value) == (WARNING, 120 / 1024)
    assert "ranks here: 3" in short.text


def test_scratch_that_cannot_be_written_is_one_problem_and_feff_is_not_run(tmp_path: Path) -> None:
    here = setting(tmp_path)
    here.scratch.rmdir()
    found = machine.scratch_folder(here)
    assert (found.mark, found.text) == (PROBLEM, f"{here.scratch} cannot be written: No such file or directory")
    assert software.engine_runs(here).mark is WARNING


def fake_system(root: Path, cgroup: str, limits: dict[str, str]) -> Path:
    for path, text in {
        "proc/meminfo": "MemTotal:       8000000 kB\nMemAvailable:   4000000 kB\n",
        "proc/self/cgroup": cgroup,
        **{f"sys/fs/cgroup/{path}": text for path, text in limits.items()},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        ("0::/\n", {}, 4_096_000_000),
        ("0::/job/step\n", {"job/step/memory.max": "max\n", "job/memory.max": "2000\n"}, 2000),
        ("9:name=systemd:/\n4:memory:/slurm/job\n", {"memory/slurm/job/memory.limit_in_bytes": "3000\n"}, 3000),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": "9223372036854771712\n"}, 4_096_000_000),
        ("4:memory:/not/mounted\n", {"memory/memory.limit_in_bytes": "5000\n"}, 5000),
    ],
)
def test_memory_is_the_smallest_of_all_limits(
    tmp_path: Path, cgroup: str, limits: dict[str, str], expected: int
) -> None:
    assert machine.memory_available(fake_system(tmp_path, cgroup, limits)) == expected
    assert machine.memory_available(tmp_path / "no-linux") is None


@pytest.mark.parametrize(("ranks", "mark", "share"), [(2, OK, 1.5), (4, WARNING, 0.75)])
def test_memory_is_shared_by_the_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, mark: Mark, share: float
) -> None:
    monkeypatch.setattr(machine, "memory_available", lambda _: 3 * machine.GIB)
    found = machine.memory(setting(tmp_path, ranks=ranks))
    assert (found.mark, found.value) == (mark, share)


@pytest.mark.parametrize(("ranks", "mark"), [(1, OK), (4, OK), (5, WARNING)])
def test_more_ranks_than_cores_are_a_warning(tmp_path: Path, ranks: int, mark: Mark) -> None:
    found = machine.cores(setting(tmp_path, ranks=ranks, cores=4))
    assert (found.mark, found.text) == (mark, f"ranks here: {ranks}, cores: 4")


@pytest.mark.parametrize(
    ("hard", "mark", "text"),
    [
        (resource.RLIM_INFINITY, OK, "unlimited"),
        (64 * machine.MIB, OK, "{} MiB"),
        (8 * machine.MIB, PROBLEM, "{} MiB, and FEFF keeps large arrays there"),
    ],
)
def test_a_small_stack_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: int, mark: Mark, text: str
) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (1024, hard))
    found = machine.stack_limit(setting(tmp_path))
    assert (found.mark, found.text) == (mark, text)


@pytest.mark.parametrize(
    ("seconds", "mark", "text"),
    [
        (None, OK, "end of the job not known (no SLURM_JOB_END_TIME)"),
        (2 * 3600 + 300, OK, "2 h 05 min left"),
        (299, WARNING, "0 h 05 min left"),
        (-60, WARNING, "0 h 00 min left"),
    ],
)
def test_a_job_that_is_about_to_end_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int | None, mark: Mark, text: str
) -> None:
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setattr(drain.time, "time", lambda: 1.7e9)
    if seconds is not None:
        monkeypatch.setenv("SLURM_JOB_END_TIME", str(1_700_000_000 + seconds))
    found = machine.walltime(setting(tmp_path))
    assert (found.mark, found.text) == (mark, text)


def test_the_threads_of_the_environment_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "32")
    assert machine.threads(setting(tmp_path)).text.startswith("OMP_NUM_THREADS=32; ")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine.threads(setting(tmp_path)).text.startswith("OMP_NUM_THREADS is not set; ")


@pytest.mark.parametrize(
    ("script", "mark", "text"),
    [
        (None, OK, "none (no nvidia-smi); training runs on the cores"),
        (
            "for i in 0 1; do echo \"GPU $i: NVIDIA H200 (UUID: GPU-$i)\"; done; echo 'GPU 2: Tesla T4 (UUID: GPU-9)'",
            OK,
            "2 × NVIDIA H200, 1 × Tesla T4",
        ),
        (
            "echo 'Failed to initialize NVML' >&2; exit 9",
            WARNING,
            "nvidia-smi -L finds none: Failed to initialize NVML",
        ),
    ],
)
def test_gpus_are_counted_by_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, mark: Mark, text: str
) -> None:
    if script is None:
        monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    else:
        program(tmp_path / "bin", "nvidia-smi", script)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    found = machine.gpus(setting(tmp_path))
    assert (found.mark, found.text) == (mark, text)


@pytest.mark.parametrize(("offset", "mark", "text"), [(-2.5, WARNING, "-2.5 s off"), (0.004, OK, "within 4 ms")])
def test_a_clock_that_is_off_is_a_warning(offset: float, mark: Mark, text: str) -> None:
    summary = summarize([("n1", joint.judge_offset(offset))])
    assert summary.mark is mark
    assert text in summary.text


def test_a_host_that_does_not_see_the_output_folder_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "VISIBLE", 0.2)
    probe = tmp_path / "probe"
    assert joint._see(probe, "token").text == f"{tmp_path} does not show what rank 0 writes there"
    probe.write_text("another token", encoding="ascii")
    assert joint._see(probe, "token").mark is PROBLEM, "a file that another run left does not count"
    probe.write_text("token", encoding="ascii")
    assert joint._see(probe, "token").mark is OK
    assert list(tmp_path.iterdir()) == [probe]


@pytest.mark.parametrize(
    ("broken", "variable", "mark", "text"),
    [
        ((), "", OK, "files can be locked"),
        (("flock",), "", PROBLEM, "flock, which HDF5 uses: No locks available"),
        (("flock",), "FALSE", OK, "files can be locked"),
        (("lockf",), "", WARNING, "lockf, which MPI and simulate use: No locks available"),
        (("flock", "lockf"), "FALSE", WARNING, "lockf, which MPI"),
    ],
)
def test_locks_are_tried_as_hdf5_and_as_mpi_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...], variable: str, mark: Mark, text: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", variable)
    for name in broken:
        monkeypatch.setattr(joint.fcntl, name, refuse)
    with ExitStack() as opened:
        found = joint._lock(tmp_path / "probe", opened)
    assert found.mark is mark
    assert text in found.text


def test_a_lock_that_another_process_does_not_feel_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "probe"
    with path.open("wb") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        code = (
            "import pathlib, sys\nfrom hpc.doctor import joint\n"
            "print(joint._held(pathlib.Path(sys.argv[1])).mark.label)\n"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        ).stdout
    assert told == "ok\n"
    assert joint._held(path).mark is WARNING


def test_a_folder_is_removed_with_the_parents_that_were_made(tmp_path: Path) -> None:
    with joint.folder_made(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    with joint.folder_made(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept"]
    with joint.folder_made(tmp_path / "a" / "kept" / "b"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept"]


def test_every_check_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "how-to" / "doctor.md").read_text(encoding="utf-8")
    assert [check.name for check in CHECKS if f"| {check.name} |" not in page] == []
    assert len({check.name for check in CHECKS}) == len(CHECKS)
