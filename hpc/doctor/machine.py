"""Checks of a host: scratch, stack, cores, memory, time, GPUs.

A check takes the `Setting` and returns a `Finding`. It may be slow and may raise: `hpc.doctor.driver`
limits the time and turns an exception into a finding.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import tempfile
from pathlib import Path

from hpc.doctor.findings import Finding, Setting, ok, problem, warning
from hpc.doctor.limits import last_words, run_child
from hpc.drain import time_left
from xanesml.files.mounts import NETWORK, file_system

GIB, MIB = 1024**3, 1024**2

#: Smallest hard stack limit for FEFF, bytes; it keeps large arrays there.
STACK = 64 * MIB

#: Free space in the scratch folder for each rank, bytes; a run writes 5 MB, and more with a large FMS radius.
SCRATCH_FREE = 50 * MIB

#: Memory for each rank, bytes; a run takes 140 MB, and more with a large FMS radius.
MEMORY = 1 * GIB

#: Walltime left, s: the time that job scripts reserve for the end.
WALLTIME = 600.0

_GPU_LIMIT = 30.0
_IN_MEMORY = ("tmpfs", "ramfs")


def scratch_folder(setting: Setting) -> Finding:
    """Check that the folder for FEFF's files is writable, has room, and is local to this host."""
    folder = setting.scratch
    try:
        with tempfile.TemporaryFile(prefix="xanesml-doctor-", dir=folder) as file:
            file.write(bytes(MIB))
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return problem(
            f"{folder} cannot be written: {error.strerror}", "name a folder on the host itself with --scratch"
        )
    kind = file_system(folder)
    memory = ", which is memory" if kind in _IN_MEMORY else ""
    text = f"{folder} on {kind}{memory}, {{}} GiB free"
    shared = setting.output.exists() and setting.output.stat().st_dev == folder.stat().st_dev
    if kind in NETWORK or (setting.hosts > 1 and shared):
        return warning(
            f"{text}, shared by the hosts",
            "name a folder on the host itself with --scratch: every run writes some 100 files",
            free / GIB,
        )
    if free < SCRATCH_FREE * setting.ranks:
        return warning(
            f"{text}, ranks here: {setting.ranks}",
            f"free {SCRATCH_FREE // MIB} MiB for each rank, or name another folder with --scratch",
            free / GIB,
        )
    return ok(text, value=free / GIB)


def stack_limit(_setting: Setting) -> Finding:
    """Check the stack limit."""
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if hard == resource.RLIM_INFINITY:
        return ok("unlimited")
    if hard >= STACK:
        return ok("{} MiB", value=hard / MIB)
    return problem(
        "{} MiB, and FEFF keeps large arrays there",
        f"raise the hard limit (ulimit -Hs) to {STACK // MIB} MiB or unlimited before the job starts, or ask the site",
        hard / MIB,
    )


def cores(setting: Setting) -> Finding:
    """Compare the ranks of this host with the physical cores that they may use."""
    physical = len({_siblings(cpu) for cpu in setting.cores})
    text = f"ranks here: {setting.ranks}, cores: {physical}"
    if setting.ranks > physical:
        return warning(text, "start at most one rank for each core, and let the launcher bind each to its own")
    return ok(text)


def threads(_setting: Setting) -> Finding:
    """Report the number of threads set in the environment."""
    value = os.environ.get("OMP_NUM_THREADS")
    asked = "OMP_NUM_THREADS is not set" if value is None else f"OMP_NUM_THREADS={value}"
    return ok(f"{asked}; each FEFF runs with one thread in any case")


def memory(setting: Setting) -> Finding:
    """Compare the free memory, or the job's limit if it is smaller, with the number of ranks."""
    available = memory_available(Path("/"))
    if available is None:
        return ok("not known on this system")
    share = available / setting.ranks
    if share < MEMORY:
        return warning("{} GiB for each rank", "start fewer ranks on a host, or ask for more", share / GIB)
    return ok("{} GiB for each rank", value=share / GIB)


def walltime(_setting: Setting) -> Finding:
    """Report the time left for the job."""
    left = time_left(None)
    if left is None:
        return ok("end of the job not known (no SLURM_JOB_END_TIME)")
    minutes = max(0, round(left / 60))
    text = f"{minutes // 60} h {minutes % 60:02d} min left"
    return warning(text, "ask for more time (--time)") if left < WALLTIME else ok(text)


def gpus(_setting: Setting) -> Finding:
    """Count NVIDIA's GPUs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ok("none (no nvidia-smi); training runs on the cores")
    listed = run_child([program, "-L"], _GPU_LIMIT)
    names = re.findall(r"^GPU \d+: (.+?) \(UUID", listed.stdout, re.MULTILINE)
    if listed.returncode or not names:
        return warning(f"nvidia-smi -L finds none: {last_words(listed)}", "ask the site about its GPU driver")
    kinds = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    return ok(kinds)


def memory_available(root: Path) -> int | None:
    """Return the memory available to programs, bytes; None where it is not known.

    That is Linux's MemAvailable, or less where a control group of this process or one above it, of version 1
    or 2, has a lower limit. `root` is the folder of `proc` and `sys`.
    """
    meminfo = root / "proc/meminfo"
    if not meminfo.exists():
        return None
    found = re.search(r"^MemAvailable: +(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    amounts = [int(found[1]) * 1024] if found else []
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.exists() else ():
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):
            base = root / "sys/fs/cgroup" / controllers
            limit = "memory.limit_in_bytes" if controllers else "memory.max"
            group = base / name.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(base) and (folder / limit).is_file():
                    text = (folder / limit).read_text(encoding="ascii").strip()
                    amounts += [int(text)] if text.isdigit() else []
    return min(amounts, default=None)


def _siblings(cpu: int) -> str:
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return siblings.read_text(encoding="ascii").strip() if siblings.exists() else str(cpu)
