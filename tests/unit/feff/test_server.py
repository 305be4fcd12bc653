"""Runs that a server forks: as those that are started, with the imports made once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import alive, wait_for

pytestmark = pytest.mark.requires("linux")

#: A program in place of FEFF10's stages; importing it leaves a line.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path

with open(Path(__file__).with_name("imported"), "a") as file:
    file.write("once\\n")

def preload():
    pass

def main(folder, what):
    print(what, folder, os.getcwd(), os.getsid(0) == os.getpgid(0) == os.getpid(), len(sys.stdin.read()))
    print([name for name in os.listdir("/proc/self/fd") if int(name) > 3])
    if what == "exit":
        sys.exit(5)
    if what == "raise":
        raise RuntimeError("a defect of the program")
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        else:
            Path("hangs").write_text("")
        time.sleep(3600)
    return 0

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
"""

#: A rank: it takes orphans, as no process of the tests should.
RANK = """
import os, sys, time
from pathlib import Path
from xanesml.feff import process, server

folder = Path(sys.argv[1])
server.PROGRAM = folder / "program.py"
process.serve_runs()

def start(what, **more):
    run = folder / what
    run.mkdir()
    command = [sys.executable, str(server.PROGRAM), str(run), what]
    return process.ChildRun([command], folder=run, log=run / "run.log", environment=dict(os.environ))

def finish(run):
    while (code := run.poll()) is None:
        time.sleep(0.01)
    return code

def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def rank(folder: Path, code: str) -> list[str]:
    """Run code in a rank; return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", RANK + code, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_runs_are_as_if_started_and_import_nothing_again(folder: Path) -> None:
    code = """
for what in ("fine", "exit", "raise", "crash"):
    print(what, finish(start(what)))
print(len(children()))
"""
    # The server and the guard are left.
    assert rank(folder, code) == ["fine 0", "exit 5", "raise 1", f"crash {-signal.SIGSEGV}", "2"]
    for what in ("fine", "exit", "raise", "crash"):
        run = folder / what
        lines = (run / "run.log").read_text().splitlines()
        if what != "crash":  # which takes what is buffered with it
            assert lines[:2] == [f"{what} {run} {run} True 0", "[]"]
    assert (folder / "raise" / "run.log").read_text().endswith("RuntimeError: a defect of the program\n")
    assert (folder / "imported").read_text() == "once\n"


def test_a_kill_takes_all_of_a_run_and_leaves_no_zombie(folder: Path) -> None:
    code = """
run = start("hang")
while not (folder / "hang" / "hangs").exists():
    time.sleep(0.01)
run.kill()
print(run.poll(), len(children()))
"""
    assert rank(folder, code) == [f"{-signal.SIGTERM} 2"]


def test_without_its_server_a_rank_starts_its_runs(folder: Path) -> None:
    code = """
print(finish(start("fine")))
os.kill(server._current[0].pid, 9)
print(finish(start("exit")))
print(finish(start("raise")))
"""
    assert rank(folder, code) == ["0", "5", "1"]
    assert (folder / "imported").read_text() == 3 * "once\n"


def test_with_a_rank_its_server_and_its_run_end(folder: Path) -> None:
    code = """
run = start("hang")
print(server._current[0].pid, run._child.pid, flush=True)
time.sleep(3600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", RANK + code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        wait_for((folder / "hang" / "hangs").exists)
        # A launcher's signals to all of a job do not end the server before its rank.
        os.kill(pids[0], signal.SIGTERM)
        assert all(map(alive, pids))
        process.kill()
    wait_for(lambda: not any(map(alive, pids)))


def test_a_rank_that_dies_before_its_guard_knows_of_a_run_leaves_none(folder: Path) -> None:
    code = """
def die(pid):
    print(server._current[0].pid, pid, flush=True)
    os.kill(os.getpid(), 9)
server._current[0].start([str(folder), "hang"], folder, folder / "log", die)
"""
    words = [sys.executable, "-c", RANK + code, str(folder)]
    died = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    pids = [int(word) for word in died.stdout.split()]
    wait_for(lambda: not any(map(alive, pids)))
    assert not (folder / "hangs").exists()


def test_other_programs_are_started_and_so_is_everything_where_there_is_no_server(folder: Path) -> None:
    code = """
(folder / "other").mkdir()
command = [sys.executable, "-c", "raise SystemExit(7)"]
run = process.ChildRun([command], folder=folder, log=folder / "log", environment=dict(os.environ))
print(finish(run))
server.stop_server()
print(finish(start("exit")))
"""
    assert rank(folder, code) == ["7", "5"]
