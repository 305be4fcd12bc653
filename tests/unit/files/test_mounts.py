"""The file system of a path, and whether it is of this host alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from xanesml.files import mounts
from xanesml.files.mounts import LOCAL, NETWORK, file_system, is_local

MOUNTS = r"""/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/x /work nfs4 rw 0 0
server:/y /work/with\040blank lustre rw 0 0
/dev/sdb1 /work xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "ext4"), ("/tmp/a", "tmpfs"), ("/tmpx", "ext4"), ("/work/a", "xfs"), ("/work/with blank/a", "lustre")],
)
def test_the_file_system_is_that_of_the_nearest_and_last_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert file_system(Path(path), "") == "an unknown file system"


@pytest.mark.requires("linux")
def test_what_is_not_known_to_be_local_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not LOCAL & NETWORK
    # Of the kernel, and of this host alone.
    assert file_system(Path("/proc")) == "proc"
    for kind, local in (("xfs", True), ("lustre", False), ("fuseblk", False)):
        monkeypatch.setattr(mounts, "file_system", lambda _path, kind=kind: kind)
        assert is_local(tmp_path) == local
