"""Files that are read first in a process of its own."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xanesml.errors import EnvironmentProblem, SpectrumError
from xanesml.files import apart
from xanesml.files.apart import crash
from xanesml.measured import nexus, read_spectra

DATA = Path(__file__).resolve().parents[2] / "data"

#: Does with a file what its name says, and counts the files that it has read.
PROBE = """
import os, signal
read = 0
def probe(path):
    global read
    read += 1
    match path.name:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            while True:
                pass
        case "raise":
            raise ValueError("no")
        case "exit":
            os._exit(3)
        case "print":
            print("." * 100, flush=True)
    path.with_name(f"{os.getpid()}-{read}").touch()
"""


@pytest.fixture(autouse=True)
def _own_readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(apart, "_readers", {})
    yield
    for reader in apart._readers.values():
        reader.end()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_probe.py").write_text(PROBE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "a_probe"


def test_one_process_reads_all_files(module: str, tmp_path: Path) -> None:
    for name in ("one", "raise", "a line\nand another", "print"):
        assert crash(module, tmp_path / name) is None
    process = apart._readers[module]._process.pid
    assert sorted(path.name for path in tmp_path.glob(f"{process}-*")) == [f"{process}-{count}" for count in (1, 3, 4)]


def test_a_crash_is_told_and_the_next_file_read(module: str, tmp_path: Path) -> None:
    said = crash(module, tmp_path / "crash")
    assert said == "its structure is damaged: HDF5 crashes on it (SIGSEGV); restore it from a copy"
    assert crash(module, tmp_path / "one") is None


def test_a_reading_without_end_is_ended(module: str, tmp_path: Path) -> None:
    began = time.monotonic()
    said = crash(module, tmp_path / "hang", limit=1.0)
    assert said is not None
    assert said.startswith("HDF5 does not finish reading it within 1 s: its structure is damaged, or the disk is slow")
    assert time.monotonic() - began < 30
    # Each file has its own time.
    assert crash(module, tmp_path / "one", limit=60.0) is None
    assert "within 0.5 s" in str(crash(module, tmp_path / "hang", limit=0.5))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_between_files_is_started_again(module: str, tmp_path: Path, number: int) -> None:
    assert crash(module, tmp_path / "one") is None
    os.kill(apart._readers[module]._process.pid, number)
    apart._readers[module]._process.wait()
    assert crash(module, tmp_path / "two") is None


def test_an_interrupt_at_the_keyboard_is_not_the_reader_s(module: str, tmp_path: Path) -> None:
    assert crash(module, tmp_path / "one") is None
    assert os.getpgid(apart._readers[module]._process.pid) != os.getpgid(0)


def test_modules_in_the_working_folder_are_not_run(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "data").mkdir()
    for name in ("signal.py", "copy.py", "contextlib.py"):
        (folder / name).write_text("raise SystemExit(1)")
    monkeypatch.chdir(folder)
    assert crash(module, tmp_path / "one") is None


def test_no_process_is_told(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(EnvironmentProblem, match="cannot start a process to read files in: No such file"):
        crash(module, tmp_path / "one")


def test_this_process_ends_while_a_forked_one_lives(tmp_path: Path) -> None:
    path = tmp_path / "foil.nxs"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    script = f"""
import os, time
from pathlib import Path
from xanesml.files.apart import crash
crash("xanesml.measured.nexus", Path({str(path)!r}))
if os.fork() == 0:
    time.sleep(20)
"""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert time.monotonic() - began < 15


def test_a_process_that_fails_is_no_damage(module: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="first ended: exit status 3; run the command again"):
        crash(module, tmp_path / "exit")


def test_a_forked_process_does_not_share_the_reader(module: str, tmp_path: Path) -> None:
    assert crash(module, tmp_path / "one") is None
    if (child := os.fork()) == 0:
        own = False
        try:
            own = not apart._readers and crash(module, tmp_path / "two") is None
            apart._readers[module].end()
        finally:
            os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert crash(module, tmp_path / "three") is None


def test_a_damaged_nexus_file_on_which_hdf5_never_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hanging.nxs"
    path.write_bytes(gzip.decompress((DATA / "hanging.nxs.gz").read_bytes()))
    monkeypatch.setattr(nexus, "LIMIT", 2.0)
    with pytest.raises(SpectrumError, match=r"hanging\.nxs.*damaged"):
        read_spectra(path, element="Au", edge="L3")
