"""File systems: which one a path lies on, and whether other hosts see it too."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

#: File systems that several hosts share, by their type in /proc/mounts.
NETWORK = frozenset(
    (
        *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "ceph", "panfs", "pvfs2", "wekafs", "quobyte"),
        *("9p", "afs", "daos", "dvs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse", "fuse.juicefs", "virtiofs"),
    )
)

#: File systems of one host, by their type in /proc/mounts.
LOCAL = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs"),
        *("tmpfs", "ramfs", "rootfs", "overlay", "aufs", "squashfs", "iso9660"),
    )
)


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the type of the file system of an existing path, such as `"ext4"`.

    `mounts` is a mount table in the format of fstab(5), by default /proc/mounts. For a path that is not in it
    the type is `"an unknown file system"`.
    """
    table = Path("/proc/mounts")
    if mounts is None:
        mounts = table.read_text(encoding="utf-8", errors="replace") if table.exists() else ""
    resolved = PurePosixPath(path.resolve())
    best, kind = -1, "an unknown file system"
    for line in mounts.splitlines():
        _, mounted, name, *_ = line.split(" ")
        point = PurePosixPath(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mounted))
        # The last of several mounts on one point hides the others.
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), name
    return kind


def is_local(path: Path) -> bool:
    """Return whether a path is known to lie on a file system of this host alone."""
    return file_system(path) in LOCAL
