from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from requirements import require

from xanesml.errors import EnvironmentProblem
from xanesml.files import whole
from xanesml.files.whole import reason, whole_file, write_text

#: A process that writes the file over and over, a text of one letter at a time, until it is killed.
WRITER = """
import sys
from pathlib import Path
from xanesml.files.whole import whole_file
path, letter = Path(sys.argv[1]), sys.argv[2]
for count in range(int(sys.argv[3])):
    with whole_file(path, durable=False) as partial:
        with partial.open("w") as file:
            for _ in range(8):
                file.write(1000 * letter)
                file.flush()
                if count == 0:
                    print("writing", flush=True)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_text("old")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    require("mounts")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_file_that_is_replaced_keeps_its_permissions(file: Path) -> None:
    file.chmod(0o664)
    write_text(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o664)


def start_writer(path: Path, letter: str, times: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), letter, str(times)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_the_file_gets_its_name_at_the_end_of_the_block(file: Path) -> None:
    with whole_file(file) as partial:
        assert re.fullmatch(r"\.model\.keras~[0-9a-f]{16}\.partial\.keras", partial.name)
        assert partial.parent == file.parent
        partial.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(file.parent.iterdir()) == [file]


def test_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "note.txt", "σ²\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == b"\xcf\x83\xc2\xb2\n"


@pytest.mark.parametrize("error", [ValueError("of the block"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_file(file: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, whole_file(file) as partial:
        partial.write_text("half")
        raise error
    assert caught.value is error
    assert list(file.parent.iterdir()) == [file]
    assert file.read_text() == "old"


def test_a_kill_in_the_block_leaves_the_old_file(file: Path) -> None:
    writer = start_writer(file, "n", 1_000_000)
    try:
        time.sleep(0.1)
    finally:
        writer.kill()
        writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    assert file.read_text() in ("old", 8000 * "n")
    write_text(file, "new")
    assert file.read_text() == "new"


def test_of_two_that_write_at_once_each_leaves_a_whole_file(file: Path) -> None:
    writers = [start_writer(file, letter, 300) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(file.read_text())
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert seen <= {"old", 8000 * "a", 8000 * "b"}
    assert file.read_text() in (8000 * "a", 8000 * "b")
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_is_named_and_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "series.npz"
    path.write_text("old")
    message = rf"^cannot write {path}: No space left on device; check the folder and the space left$"
    with pytest.raises(EnvironmentProblem, match=message), whole_file(path) as partial:
        partial.write_bytes(bytes(100_000))
    with pytest.raises(EnvironmentProblem, match=message):
        write_text(path, 100_000 * "x")
    assert list(small_disk.iterdir()) == [path]
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "note.txt"
    with pytest.raises(EnvironmentProblem, match=rf"^cannot write {path}: (Not a directory|File exists); check"):
        write_text(path, "")


def test_a_file_system_that_may_only_be_read_is_named(small_disk: Path) -> None:
    path = small_disk / "series.npz"
    path.write_text("old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(EnvironmentProblem, match=rf"^cannot write {path}: Read-only file system; check the folder"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_link_stays_and_its_file_is_written(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.keras"
    link.symlink_to("../model.keras")
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert list(link.parent.iterdir()) == [link]


def test_file_and_folder_are_on_disk_before_the_block_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        whole.os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
    )
    write_text(file, "new")
    assert [path.parent for path in synced] == [file.parent, file.parent.parent]
    assert synced[0].name.endswith(".partial.keras"), "before the file gets its name"
    assert synced[1] == file.parent
    synced.clear()
    write_text(file, "scratch", durable=False)
    assert synced == []
    assert file.read_text() == "scratch"


@pytest.mark.parametrize(("number", "fatal"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_syncs_no_folders_will_do(
    file: Path, monkeypatch: pytest.MonkeyPatch, number: int, fatal: bool
) -> None:
    sync = os.fsync

    def no_folders(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(whole.os, "fsync", no_folders)
    if fatal:
        with pytest.raises(EnvironmentProblem, match="Input/output error"):
            write_text(file, "new")
    else:
        write_text(file, "new")
    assert file.read_text() == "new"


def test_a_reason_is_in_the_systems_words() -> None:
    assert reason(OSError(errno.ENOSPC, "Can't synchronously write data\n (file write failed)")) == (
        "No space left on device"
    )
    hdf5 = "Unable to synchronously open file (unable to lock file, errno = 37, error message = 'No locks available')"
    assert reason(OSError(hdf5)) == "No locks available"
    assert reason(OSError("file signature\n not found")) == "file signature not found"
