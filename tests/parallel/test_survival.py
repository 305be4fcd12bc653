"""What a simulation survives: full and refusing file systems, second drivers, too little time, failing runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import FAKE_CAMPAIGN, MpiRun
from killing import Simulation, children, different_spectra, done_tasks, run_undisturbed
from requirements import require

from hpc.drain import CLOSING, RESUBMIT
from xanesml.campaign import Campaign
from xanesml.feff.engine import make_engine
from xanesml.feff.outcomes import Outcome
from xanesml.files.layout import STORE, row_arrays
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import open_store_file, torn_rows

pytestmark = [pytest.mark.requires("mpi"), pytest.mark.timeout(240)]

#: The 19 distorted runs only.
CAMPAIGN = re.sub(r"\[disorder\][^\[]*", "", FAKE_CAMPAIGN)
TASKS = 19

#: Open MPI without its ways to parallel files.
NO_MPI_IO = {"OMPI_MCA_io": "^ompio,romio321"}

WRITERS = [pytest.param("mpio", marks=pytest.mark.requires("mpio")), "root"]

Mount = Callable[[int], Path]


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, xanesml: str) -> Path:
    """The store of the same campaign that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "campaign.toml").write_text(CAMPAIGN, encoding="utf-8")
    return run_undisturbed(xanesml, folder / "campaign.toml", folder / "out")[0]


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Mount]:
    """Mount a file system of some KiB: ``tmpfs(kibibytes)``."""
    require("mounts")
    mounted: list[Path] = []

    def mount(kibibytes: int) -> Path:
        folder = tmp_path / f"tmpfs-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
        subprocess.run(command, check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill a file system but for some bytes, and return the file that does it."""
    filler = folder / "filler"
    system = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, system.f_bavail * system.f_frsize - leave)
    return filler


def command(xanesml: str, campaign: Path, store: Path, *options: str) -> list[str]:
    return [xanesml, "simulate", str(campaign), "-o", str(store.parent), *options]


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """Check that a command came to its end with one line that says what is the matter, and return it."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("xanesml: ")]
    assert len(lines) == 1, done.stderr
    for noise in ("Traceback", "Exception ignored", "MPI_ABORT"):
        assert noise not in done.stdout + done.stderr
    assert done.returncode == 2
    for word in words:
        assert word in lines[0]
    return lines[0]


def assert_intact(store: Path) -> int:
    """Check a store's format and rows, and return how many are done."""
    with open_store_file(store) as file:
        assert torn_rows(file).tolist() == []
    return len(done_tasks(store))


def lay_out_store(campaign: Path, store: Path) -> None:
    content = Campaign.load(campaign)
    lay_out(store, content, expand(content), make_engine(content.engine).identity)


def give_row_blocks_back(store: Path) -> None:
    """Make holes of the rows of an empty store, so that writing them needs space again."""
    with open_store_file(store) as file:
        places = [(file[array.path].id.get_offset(), file[array.path].nbytes) for array in row_arrays(STORE)]
    for offset, size in places:
        subprocess.run(["fallocate", "--punch-hole", "-o", str(offset), "-l", str(size), str(store)], check=True)


def test_a_store_that_does_not_fit_on_the_disk_is_said_before_any_run(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmpfs: Mount
) -> None:
    store = tmpfs(300) / "out" / "store.h5"
    done = mpirun(2, *command(xanesml, campaign, store), timeout=60)
    assert_refused(done, f"cannot write {store}: No space left on device")
    assert not store.parent.exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_fills_up_while_rows_are_written_costs_no_row_that_is_done(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmpfs: Mount, undisturbed: Path, writer: str
) -> None:
    store = tmpfs(1024) / "store.h5"
    lay_out_store(campaign, store)
    give_row_blocks_back(store)
    # The journal lies elsewhere, so that it is a row that does not fit.
    store.with_suffix(".journal").symlink_to(campaign.with_name("store.journal"))
    filler = fill(store.parent, leave=48 * 1024)
    words = command(xanesml, campaign, store, "--writer", writer)
    full = mpirun(2, *words, timeout=60)
    line = assert_refused(full, f"cannot write to {store}: No space left on device", "finished rows are safe")
    assert "fix this and rerun" in line
    assert 0 < assert_intact(store) < TASKS

    filler.unlink()
    done = mpirun(2, *words, timeout=60)
    assert done.returncode == 0, done.stderr
    assert different_spectra(store, undisturbed) == 0


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_without_room_for_the_journal_stops_in_order(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmpfs: Mount, undisturbed: Path, writer: str
) -> None:
    store = tmpfs(1024) / "store.h5"
    lay_out_store(campaign, store)
    journal = store.with_suffix(".journal")
    # The start of a call still fits on the journal's first page, its runs do not.
    journal.write_text("\n" * (os.sysconf("SC_PAGESIZE") - 300))
    words = command(xanesml, campaign, store, "--writer", writer)
    with Simulation(words, store, ranks=2, env={"FAKE_FEFF_SECONDS": "0.3"}) as simulation:
        simulation.wait_for(lambda: "start" in journal.read_text(), "the start")
        filler = fill(store.parent)
        simulation.process.wait(60)
    assert_refused(simulation.completed(), f"cannot write {journal}: No space left on device")
    before = assert_intact(store)
    assert before < TASKS

    filler.unlink()
    done = mpirun(2, *words, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"{TASKS} done; {TASKS - before} runs" in done.stdout
    assert different_spectra(store, undisturbed) == 0


def test_a_disk_that_is_full_from_the_start_is_said_in_one_line(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmpfs: Mount
) -> None:
    store = tmpfs(1024) / "store.h5"
    lay_out_store(campaign, store)
    fill(store.parent)
    assert_refused(mpirun(2, *command(xanesml, campaign, store), timeout=60), "No space left on device")
    assert assert_intact(store) == 0


def test_a_read_only_folder_is_said_in_one_line(mpirun: MpiRun, xanesml: str, campaign: Path, tmpfs: Mount) -> None:
    folder = tmpfs(1024)
    lay_out_store(campaign, folder / "store.h5")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for store in (folder / "store.h5", folder / "new" / "store.h5"):
        done = mpirun(2, *command(xanesml, campaign, store), timeout=60)
        assert_refused(done, f"cannot write {store}: Read-only file system")


@pytest.mark.requires("mpio")
def test_where_parallel_files_do_not_work_rank_0_writes_and_says_why(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path, undisturbed: Path
) -> None:
    store = tmp_path / "out" / "store.h5"
    refused = mpirun(2, *command(xanesml, campaign, store, "--writer", "mpio"), env=NO_MPI_IO, timeout=60)
    assert_refused(refused, "--writer mpio: ", "MPI_File_open failed", "use --writer root")
    done = mpirun(2, *command(xanesml, campaign, store), env=NO_MPI_IO, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rank 0 writes for all, because the file system refuses parallel HDF5") == 1
    assert different_spectra(store, undisturbed) == 0
    assert not list(tmp_path.glob("out/*probe*"))


@pytest.fixture(scope="session")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which no file below $NO_LOCKS_IN can be locked, as on some cluster file systems."""
    require("linux", "C compiler")
    source = tmp_path_factory.mktemp("no-locks") / "no_locks.c"
    source.write_text(
        """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int refuses(int file)
{
    char link[64], path[4096] = "";
    const char *folder = getenv("NO_LOCKS_IN");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    return folder && readlink(link, path, sizeof path - 1) > 0 && !strncmp(path, folder, strlen(folder));
}

static int call(const char *name, int file, int request, void *value)
{
    if ((request == F_SETLK || request == F_SETLKW) && refuses(file)) {
        errno = ENOLCK;
        return -1;
    }
    int (*real)(int, int, ...) = (int (*)(int, int, ...)) dlsym(RTLD_NEXT, name);
    return real(file, request, value);
}

#define WRAP(name)                             \\
    int name(int file, int request, ...)       \\
    {                                          \\
        va_list rest;                          \\
        va_start(rest, request);               \\
        void *value = va_arg(rest, void *);    \\
        va_end(rest);                          \\
        return call(#name, file, request, value); \\
    }

WRAP(fcntl)
WRAP(fcntl64)

int flock(int file, int operation)
{
    int (*real)(int, int) = (int (*)(int, int)) dlsym(RTLD_NEXT, "flock");
    if (!refuses(file))
        return real(file, operation);
    errno = ENOLCK;
    return -1;
}
""",
        encoding="utf-8",
    )
    library = source.with_suffix(".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def test_a_file_system_without_locks_is_told_and_a_second_driver_refused_all_the_same(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path, no_locks: dict[str, str], undisturbed: Path
) -> None:
    store = tmp_path / "out" / "store.h5"
    words = command(xanesml, campaign, store)
    env = no_locks | {"NO_LOCKS_IN": str(store.parent)}
    with Simulation(words, store, ranks=2, env=env | {"FAKE_FEFF_SECONDS": "1"}) as first:
        assert first.wait_for_rows(1), first.said
        second = mpirun(1, *words, env=env, timeout=60)
        line = assert_refused(second, f"{store} is being written by process ", "if it is dead")
        assert int(line.partition("process ")[2].split()[0]) in children(first.process.pid)
        assert first.process.wait(60) == 0, first.said
    assert first.output.count("the file system has no locks (No locks available)") == 1
    assert different_spectra(store, undisturbed) == 0
    third = mpirun(1, *words, env=env, timeout=60)
    assert third.returncode == 0, "a driver that came to its end is no reason to wait"


def test_a_second_driver_is_refused_until_the_first_is_gone(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path, undisturbed: Path
) -> None:
    store = tmp_path / "out" / "store.h5"
    words = command(xanesml, campaign, store)
    with Simulation(words, store, ranks=2, env={"FAKE_FEFF_SECONDS": "1"}) as first:
        assert first.wait_for_rows(1), first.said
        ranks = children(first.process.pid)
        line = assert_refused(mpirun(2, *words, timeout=60), f"{store} is being written by process")
        holder = re.search(r"by process (\d+) on (\S+) since \w+ \w+ +\d+ \d\d:\d\d:\d\d \d{4}; wait for it", line)
        assert holder, line
        assert int(holder[1]) in ranks
        assert holder[2] == os.uname().nodename
        assert first.wait_for_rows(len(done_tasks(store)) + 1), "the first one goes on undisturbed"
        for pid in (first.process.pid, *ranks):
            os.kill(pid, signal.SIGKILL)
    done = mpirun(2, *words, timeout=60)
    assert done.returncode == 0, done.stderr
    assert different_spectra(store, undisturbed) == 0


def test_a_store_of_something_else_is_refused_with_what_differs(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path
) -> None:
    store = tmp_path / "out" / "store.h5"
    store.parent.mkdir()
    lay_out_store(campaign, store)
    before = store.read_bytes()
    words = command(xanesml, campaign, store)
    cases = {
        "fms_radius = 3.5": ("fms_radius = 3.6", "feff.fms_radius is 3.5 there and 3.6 here"),
        "fake 1": ("fake 2", "was computed by command fake 1: "),
    }
    for old, (new, difference) in cases.items():
        campaign.write_text(CAMPAIGN.replace(old, new), encoding="utf-8")
        assert_refused(mpirun(1, *words, timeout=60), str(store), difference, "another --output folder", "--reuse")
    assert store.read_bytes() == before
    with h5py.File(store, "r+") as file:
        file.attrs["schema_version"] = STORE.version + 1
    newer = f"is xanesml-store version {STORE.version + 1}, but xanesml-store version {STORE.version} is needed"
    assert_refused(mpirun(2, *words, timeout=60), newer, "`xanesml simulate CAMPAIGN` in another --output folder")


@pytest.mark.parametrize("teller", ["option", "slurm"])
def test_a_simulation_stops_by_itself_before_its_time_is_over(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path, teller: str
) -> None:
    store = tmp_path / "out" / "store.h5"
    words = command(xanesml, campaign, store)

    def run(seconds: float) -> subprocess.CompletedProcess[str]:
        env = {"FAKE_FEFF_SECONDS": "4"}
        if teller == "option":
            return mpirun(2, *words, "--limit", f"{seconds / 60:.3f}", env=env)
        return mpirun(2, *words, env=env | {"SLURM_JOB_END_TIME": f"{time.time() + seconds:.0f}"})

    # Time for a few runs on each rank; the clock runs while Python starts, too.
    stopped = run(CLOSING + 14)
    assert stopped.returncode == RESUBMIT, stopped.stdout + stopped.stderr
    assert re.search(r"\d+ s are left for runs, and a run is likely to take \d+ s: no further tasks", stopped.stdout)
    assert "stopped with tasks left to run: start the same command again" in stopped.stdout
    done = assert_intact(store)
    assert 0 < done < TASKS
    with open_store_file(store) as file:
        assert set(file["runs/outcome"][:]) == {Outcome.PENDING, Outcome.DONE}, "what was under way was finished"
        assert np.isnan(file["spectra/mu"][:][file["runs/outcome"][:] == Outcome.PENDING]).all()

    line = assert_refused(run(CLOSING + 2), "s; ask for more time")
    assert re.match(r"xanesml: [012] s are left for runs", line)
    assert assert_intact(store) == done


def test_a_time_shorter_than_a_run_is_refused_before_the_first_and_not_asked_for_again(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path
) -> None:
    # The cost model knows that 55 atoms with FEFF's self-consistency take longer.
    real = tmp_path / "real.toml"
    real.write_text(
        'name = "real"\n[distortion]\nmaximum = 0.01\nminimum = 0.0\n[engine]\npot = "feff"\n', encoding="utf-8"
    )
    words = (xanesml, "simulate", str(real), "-o", str(tmp_path / "real"), "--limit", f"{(CLOSING + 8) / 60:.3f}")
    assert re.search(
        r"\d s are left for runs, and a run is likely to take \d\d s; ask for more time",
        assert_refused(mpirun(1, *words), "ask for more time"),
    )
    # It does not know how slow a FEFF of the site is.
    campaign.write_text(CAMPAIGN.replace("timeout = 5", "timeout = 600"), encoding="utf-8")
    no_closing = "import hpc.drain; hpc.drain.CLOSING = 0; from hpc.cli import main; main()"
    store = tmp_path / "out" / "store.h5"
    words = (sys.executable, "-c", no_closing, *command(xanesml, campaign, store)[1:], "--limit", f"{8 / 60:.3f}")
    assert_refused(mpirun(1, *words, env={"FAKE_FEFF_SECONDS": "3600"}), "ask for more time")
    assert assert_intact(store) == 0


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_rank_without_room_for_its_runs_retires_and_the_others_do_the_work(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path, tmpfs: Mount, undisturbed: Path, trouble: str
) -> None:
    scratch = tmpfs(1024)
    if trouble == "full":
        fill(scratch)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(scratch)], check=True)
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text(
        f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && export SLURM_TMPDIR={scratch}\nexec "$@"\n', encoding="utf-8"
    )
    wrapper.chmod(0o755)
    store = tmp_path / "out" / "store.h5"
    done = mpirun(3, str(wrapper), *command(xanesml, campaign, store), timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    retired = re.findall(r"rank 1 takes no further tasks: (.*)", done.stdout)
    assert len(retired) == 1
    assert str(scratch) in retired[0]
    assert different_spectra(store, undisturbed) == 0


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_when_no_rank_has_room_for_its_runs_all_stop_and_say_so_once(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path, tmpfs: Mount, trouble: str
) -> None:
    scratch = tmpfs(1024)
    if trouble == "full":
        fill(scratch)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(scratch)], check=True)
    store = tmp_path / "out" / "store.h5"
    done = mpirun(2, *command(xanesml, campaign, store, "--scratch", str(scratch)), timeout=60)
    assert_refused(done, str(scratch))
    assert assert_intact(store) == 0


def test_tries_and_changed_cards_are_recorded_and_not_averaged_unasked(
    mpirun: MpiRun, xanesml: str, campaign: Path, tmp_path: Path
) -> None:
    content = CAMPAIGN.replace("scf = false", "").replace("corval = false", "")
    campaign.write_text(content, encoding="utf-8")
    store = tmp_path / "out" / "store.h5"
    done = mpirun(2, *command(xanesml, campaign, store), env={"FAKE_FEFF": "picky"}, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    changes = "feff.scf.mixing = 0.05, feff.scf.iterations = 100, feff.corval = -200.0"
    with open_store_file(store) as file:
        assert set(file["runs/outcome"][:]) == {Outcome.DONE}
        assert set(file["runs/changes"][:]) == {changes.encode()}
        # As it is, with more room for corval, and twice with less mixing.
        assert set(file["runs/tries"][:]) == {4}
    assert done.stdout.count(f"done: with {changes}") == TASKS

    averages = [xanesml, "average", str(campaign), "-o", str(store.parent)]
    assert_refused(mpirun(2, *averages, timeout=60), "accept_changed")
    accepting = content.replace("[averaging]", "[averaging]\naccept_changed = true")
    campaign.write_text(accepting, encoding="utf-8")
    accepted = mpirun(2, *averages, timeout=60)
    assert accepted.returncode == 0, accepted.stderr


def test_status_can_be_asked_for_at_any_moment(xanesml: str, campaign: Path, tmp_path: Path) -> None:
    store = tmp_path / "out" / "store.h5"
    words = command(xanesml, campaign, store)
    ask = [xanesml, "status", str(campaign), "-o", str(store.parent)]
    seen: list[int] = []
    with Simulation(words, store, ranks=2, env={"FAKE_FEFF_SECONDS": "0.5", "FAKE_FEFF": "fail@5"}) as simulation:
        simulation.wait_for(store.with_suffix(".journal").exists, "the journal")
        under_way = True
        while under_way:
            under_way = simulation.process.poll() is None
            told = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=False)
            assert told.returncode == 0, told.stderr
            match = re.match(rf"tasks: (\d+) of {TASKS} done", told.stdout)
            assert match, told.stdout
            seen.append(int(match[1]))
            time.sleep(0.5)
    assert simulation.process.returncode == 3, simulation.said
    assert seen == sorted(seen)
    assert seen[-1] == len(done_tasks(store))
    assert len(set(seen)) > 2, "it was looked at while it went on"
