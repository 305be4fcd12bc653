from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from conftest import ROOT
from rich.console import Console

from hpc.follow import follow, line, panel
from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.store.journal import Journal
from xanesml.store.status import read_status

CAMPAIGN = 'name = "x"\n[distortion]\nstep = 0.45\n'


class Simulate(Protocol):
    """Begins a journal of 20 tasks, 4 of them done before, with some runs on two hosts and one that failed."""

    def __call__(self, store: Path, *, done: int = 3, message: str = "no convergence") -> Journal: ...


@pytest.fixture
def simulated() -> Iterator[Simulate]:
    begun: list[Journal] = []

    def begin(store: Path, *, done: int = 3, message: str = "no convergence") -> Journal:
        store.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(store, outcomes={"pending": 16, "done": 4}, pending=16, ranks=2)
        begun.append(journal)
        for task in range(done):
            run(journal, task)
        run(journal, 15, Outcome.CRASHED, message)
        journal.flush()
        return journal

    yield begin
    for journal in begun:
        journal._let_go()


def run(journal: Journal, task: int, outcome: Outcome = Outcome.DONE, message: str = "") -> None:
    host = f"node{task % 2}"
    journal.run(task=task, outcome=outcome, seconds=2.0, rank=task % 2, host=host, tries=1, message=message)


def shown(store: Path, *, width: int = 100, now: float | None = None) -> str:
    status = read_status(store)
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True, color_system=None)
    console.print(panel(store, status, failures=3, now=status.latest if now is None else now))
    return console.export_text()


def test_the_panel_has_bars_rate_hosts_and_the_last_failures(tmp_path: Path, simulated: Simulate) -> None:
    store = tmp_path / "store.h5"
    simulated(store)
    began = read_status(store).began
    text = shown(store, now=began + 3600)
    assert re.search(r"done +━+.* 7 +35\.0%", text)
    assert re.search(r"crashed +━+.* 1 +5\.0%", text)
    assert re.search(r"pending +━+.* 12 +60\.0%", text)
    # 4 runs in an hour, and 12 are left.
    assert "4 runs per hour, about 3 h 0 min left" in text
    assert re.search(r"2 ranks, last sign of life (1 h 0|59) min", text)
    assert re.search(r"node0 +2\b", text)
    assert re.search(r"node1 +2\b", text)
    assert "task 15: crashed: no convergence" in text
    assert str(store)[:20] in text


def test_what_a_file_says_is_not_obeyed(tmp_path: Path, simulated: Simulate) -> None:
    store = tmp_path / "store.h5"
    simulated(store, message="[bold]\x1b[2J[/bold]")
    text = shown(store)
    assert "[bold]\\x1b[2J[/bold]" in text
    assert "\x1b[2J" not in text


def test_a_panel_fits_a_narrow_terminal(tmp_path: Path, simulated: Simulate) -> None:
    store = tmp_path / "store.h5"
    simulated(store, message="a long story " * 30)
    assert max(map(len, shown(store, width=60).splitlines())) <= 60


def test_lines_follow_until_the_call_has_ended(tmp_path: Path, simulated: Simulate) -> None:
    store = tmp_path / "store.h5"
    journal = simulated(store, done=0)
    steps = iter([lambda: run(journal, 1), journal.close])
    lines: list[str] = []

    def wait(seconds: float) -> None:
        assert seconds == 30.0
        next(steps)()
        if not journal._file.closed:
            journal.flush()

    follow(store, failures=3, echo=lines.append, wait=wait)
    assert len(lines) == 3
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", one).split(";")[0] for one in lines] == [
        "4 of 20 done, 1 crashed, 15 left",
        "5 of 20 done, 1 crashed, 14 left",
        "5 of 20 done, 1 crashed, 14 left",
    ]
    assert "ended after" in lines[-1]
    assert "last sign of life" in lines[0]


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path, simulated: Simulate) -> None:
    simulated(tmp_path / "store.h5")

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    lines: list[str] = []
    follow(tmp_path / "store.h5", failures=3, echo=lines.append, wait=interrupted)
    assert len(lines) == 1


def test_before_a_simulation_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing was simulated there yet"):
        follow(tmp_path / "store.h5", failures=3, echo=print)


def test_a_line_of_a_call_without_runs(tmp_path: Path) -> None:
    Journal(tmp_path / "store.h5", outcomes={"pending": 3}, pending=3, ranks=1).close()
    status = read_status(tmp_path / "store.h5")
    assert line(status, status.latest).endswith("0 of 3 done, 3 left; ended after 0.0 s")


def test_the_command_shows_a_panel_on_a_terminal_and_lines_elsewhere(tmp_path: Path, simulated: Simulate) -> None:
    (tmp_path / "x.toml").write_text(CAMPAIGN)
    simulated(tmp_path / "x" / "store.h5").close()
    command = [sys.executable, "-c", "from xanesml import main; main()", "status", "x.toml", "--follow"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    piped = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"\d\d:\d\d:\d\d 7 of 20 done, 1 crashed, 12 left; .*ended after .* s\n", piped)
    leader, follower = pty.openpty()
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=follower, stdin=follower) as process:
        os.close(follower)
        seen = b""
        while chunk := _read(leader):
            seen += chunk
        assert process.wait() == 0
    os.close(leader)
    assert "crashed" in seen.decode()
    assert "━" in seen.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux tells the end of a terminal so.
        return b""
