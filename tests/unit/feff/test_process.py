from __future__ import annotations

import os
import resource
import signal
import sys

import pytest
from conftest import ROOT
from processes import alive, wait_for

from xanesml.feff import process
from xanesml.feff.process import ChildRun, clean_environment, raise_stack_limit

FAKE = ROOT / "tests" / "fake_feff.py"


def start(folder, *commands, environment=None):
    return ChildRun(commands, folder=folder, log=folder / "run.log", environment=environment or dict(os.environ))


def finish(run):
    wait_for(lambda: run.poll() is not None)
    return run.poll()


def python(code):
    return [sys.executable, "-c", code]


def test_programs_run_in_order_in_the_folder(tmp_path):
    run = start(
        tmp_path, python("import os; print('one', os.getcwd())"), python("import sys; print('two', file=sys.stderr)")
    )
    assert finish(run) == 0
    assert (tmp_path / "run.log").read_text() == f"one {tmp_path}\ntwo\n"


def test_a_failure_ends_the_sequence(tmp_path):
    assert finish(start(tmp_path, python("raise SystemExit(5)"), python("open('ran', 'w')"))) == 5
    assert not (tmp_path / "ran").exists()


def test_a_signal_is_a_negative_return_code(tmp_path):
    assert finish(start(tmp_path, python("import os; os.kill(os.getpid(), 11)"))) == -signal.SIGSEGV


def test_no_standard_input(tmp_path):
    assert finish(start(tmp_path, python("import sys; raise SystemExit(len(sys.stdin.read()))"))) == 0


@pytest.mark.parametrize("earlier", [[], [python("pass")]])
def test_a_program_that_cannot_start(tmp_path, earlier):
    assert finish(start(tmp_path, *earlier, ["/nowhere/feff"])) == 127
    assert "cannot start /nowhere/feff: No such file or directory" in (tmp_path / "run.log").read_text()


def test_kill_takes_the_grandchildren_too(tmp_path):
    (tmp_path / "feff.inp").write_text("")
    run = start(tmp_path, [sys.executable, str(FAKE), "hang"], python("open('ran', 'w')"))
    wait_for((tmp_path / "hang.pid").exists)
    leader, grandchild = map(int, (tmp_path / "hang.pid").read_text().split())
    assert run.poll() is None
    assert alive(leader)
    assert alive(grandchild)
    run.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(leader, 0)
    wait_for(lambda: not alive(grandchild))
    assert run.poll() == -signal.SIGTERM
    assert not (tmp_path / "ran").exists()
    run.kill()


def test_kill_is_not_put_off_by_ignored_sigterm(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.1)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); open('ready', 'w'); time.sleep(60)"
    run = start(tmp_path, python(code))
    wait_for((tmp_path / "ready").exists)
    run.kill()
    assert run.poll() == -signal.SIGKILL


def test_children_left_behind_by_a_finished_program_die(tmp_path):
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    assert finish(start(tmp_path, python(code))) == 0
    left = int((tmp_path / "run.log").read_text())
    wait_for(lambda: not alive(left))


def test_environment_is_no_rank_and_single_threaded(monkeypatch):
    ranks = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PRTE_X", "SLURM_PROCID", "MPI_X", "HYDRA_X", "I_MPI_X")
    base = dict.fromkeys(ranks, "1") | {"PATH": "/bin", "OMP_NUM_THREADS": "8", "COMPILER": "x"}
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert clean_environment(base) == {
        "PATH": "/bin",
        "COMPILER": "x",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "8589934592",
        "MALLOC_TOP_PAD_": "268435456",
    }
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not any(name.startswith("MALLOC_") for name in clean_environment(base))


def test_environment_defaults_to_this_process(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "3")
    monkeypatch.setenv("SCRATCH_HERE", "/scratch")
    environment = clean_environment()
    assert environment["SCRATCH_HERE"] == "/scratch"
    assert "OMPI_COMM_WORLD_RANK" not in environment


def test_children_inherit_the_raised_stack_limit(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    lowered = 4 * 1024**2
    assert hard in (resource.RLIM_INFINITY, soft) or hard > lowered
    resource.setrlimit(resource.RLIMIT_STACK, (lowered, hard))
    try:
        raise_stack_limit()
        code = "import resource; print(resource.getrlimit(resource.RLIMIT_STACK))"
        assert finish(start(tmp_path, python(code))) == 0
        assert (tmp_path / "run.log").read_text().strip() == str((hard, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


def test_time_and_memory_of_all_programs_and_their_children_count(tmp_path):
    burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    hold = "block = b'x' * 150 * 2**20"
    run = start(tmp_path, python(burn), python(child), python(hold))
    assert finish(run) == 0
    assert 0.6 <= run.cpu_seconds < 3
    # What this process has held itself counts for the programs that it starts.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 150 < run.memory < max(300, own + 150)


def test_a_killed_program_is_counted_too(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.2: pass\nopen('ready', 'w')\nwhile True: pass"
    run = start(tmp_path, python(burn))
    wait_for((tmp_path / "ready").exists)
    assert run.cpu_seconds == 0
    run.kill()
    assert run.cpu_seconds > 0.15
    assert run.memory > 1
