#!/usr/bin/env python3
"""Run whole campaigns with a random fault every few seconds, and count what that costs.

    python benchmarks/soak.py [--faults 200] [--log soak.jsonl]

Each round runs a campaign by the fake FEFF through simulate, average, train and predict. A stage is
started again and again, each time with a fault: a rank, the launcher or a FEFF child killed, a plain
exception inside a rank, a full disk, a second driver, a clock that jumps by hours, SIGTERM; between
calls the folder moves. Then the stage runs undisturbed to its end. Every round is a line of the log;
started again, the soak goes on after the last one.

The baseline is a campaign that nobody disturbed: its spectra, errors and predictions have to come out.
Rows lost, files that are half, results that differ, processes and files left behind, and endings that
are not one line have to be 0; else the exit status is 1. Reads /proc and mounts a small disk: Linux, as root.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from conftest import FAKE_CAMPAIGN, MPI_AS_ROOT, mpirun_command  # noqa: E402
from killing import children, different_spectra, done_rows  # noqa: E402

from xanesml.errors import XanesmlError  # noqa: E402
from xanesml.learning.model import check_listed  # noqa: E402
from xanesml.validation import validate  # noqa: E402

CAMPAIGN = (
    FAKE_CAMPAIGN.replace("families = 300", "families = 60\nmeans_per_family = 4")
    .replace("filters = [8]", "filters = [4]\ndense = [4]")
    .replace("epochs = 2", "epochs = 40")
)

BREAK = ROOT / "tests" / "parallel" / "programs" / "break_command.py"

#: Faults by stage, how often a round brings each stage one, and how long a stage takes, s: a fault falls within.
STAGES = {
    "simulate": (("rank", "launcher", "feff", "defect", "disk", "second", "clock", "term"), 14, 3.0),
    "average": (("rank", "launcher", "defect", "disk", "second", "clock", "term"), 10, 2.0),
    "train": (("rank", "launcher", "defect", "disk", "second", "clock", "term"), 1, 12.0),
    "predict": (("rank", "disk", "term"), 1, 6.0),
}

#: Where a plain exception is raised.
DEFECTS = {
    "simulate": ("hpc.farming.feff_worker:FeffWorker.finish", "hpc.farming.feff_lead:FeffLead.report"),
    "average": ("hpc.average:blocks", "hpc.average:survey"),
    "train": ("hpc.training.loop:evaluate", "hpc.training.share:load_tensors"),
}

#: Makes the clock jump by up to two hours now and then, in every Python that finds it on its path.
JUMPING = """
import os, random, time
if "XANESML_SOAK_CLOCK" in os.environ:
    now, jumps = time.time, random.Random()
    time.time = lambda: now() + jumps.choice((0, 0, 0, -7200, -60, 60, 7200))
"""

#: What may be in the output folder in the end.
KNOWN = {
    "store.h5",
    "store.journal",
    "store.totals",
    "failed",
    "tensors.h5",
    "model",
    "figures",
    "predictions.json",
    "predictions.csv",
}

#: How long a stage may take in all, and how long its processes to go, s.
PATIENCE, GOING = 180.0, 20.0

HARM = ("lost", "half", "different", "left", "endings", "hung")


class Round:
    """A campaign on a disk of its own, and what went wrong with it."""

    def __init__(self, seed: int, disk: Path, spectrum: Path) -> None:
        self.random, self.disk, self.spectrum = random.Random(seed), disk, spectrum  # noqa: S311 (chooses faults)
        self.token = f"{os.getpid()}-{seed}"
        self.place, self.moves = disk / "place-0", 0
        self.place.mkdir()
        (self.place / "campaign.toml").write_text(CAMPAIGN, encoding="utf-8")
        self.faults: Counter[str] = Counter()
        self.harm: dict[str, list[str]] = {name: [] for name in HARM}
        self.rows: dict[int, bytes] = {}

    @property
    def out(self) -> Path:
        return self.place / "out"

    def run(self) -> None:
        """Bring every stage its faults, and then to its end."""
        for stage, (kinds, count, _) in STAGES.items():
            for _ in range(count):
                self.attempt(stage, self.random.choice(kinds))
                if self.random.random() < 0.25:
                    self.move()
            for _ in range(3):
                if self.attempt(stage, "") == 0:
                    break
            else:
                self.harm["endings"].append(f"{stage} does not come to its end")
                return
            self.move()
        names = {path.name for path in self.out.iterdir()} - KNOWN
        # A killed writer leaves its lock file, which locks nothing.
        self.harm["left"] += [name for name in sorted(names) if not re.fullmatch(r"\..*\.lock", name)]

    def move(self) -> None:
        self.moves += 1
        self.place = self.place.rename(self.disk / f"place-{self.moves}")
        self.faults["moved folder"] += 1

    def command(self, stage: str, fault: str) -> list[str]:
        xanesml = [sys.executable, "-m", "hpc.cli"]
        if fault == "defect":
            xanesml = [sys.executable, str(BREAK), self.random.choice(DEFECTS[stage]), str(self.random.randrange(2))]
        if stage == "predict":
            return [*xanesml, "predict", str(self.out / "model"), str(self.spectrum), "-o", str(self.out)]
        more = ["--scratch", str(self.place), "--writer", self.random.choice(("mpio", "root"))] * (stage == "simulate")
        return [*mpirun_command(2), *xanesml, stage, str(self.place / "campaign.toml"), "-o", str(self.out), *more]

    def attempt(self, stage: str, fault: str) -> int:
        """Start a stage, bring it a fault, wait for its end, and look at what is there."""
        env = os.environ | MPI_AS_ROOT | {"XANESML_SOAK": self.token, "FAKE_FEFF_SECONDS": "0.03"}
        env["PYTHONPATH"] = f"{self.disk.parent / 'clock'}:{ROOT}"
        env |= {"XANESML_SOAK_CLOCK": "1"} if fault == "clock" else {}
        command = self.command(stage, fault)
        # Not on the disk that is filled.
        said = self.disk.with_suffix(".said")
        with said.open("w") as output:
            process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
            hit = fault in ("clock", "defect")
            try:
                if fault not in ("", "clock", "defect"):
                    time.sleep(self.random.uniform(0, STAGES[stage][2]))
                    hit = process.poll() is None and self.bring(fault, process, command, env)
                status = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.harm["hung"].append(f"{stage}, {fault}")
                status = 1
            (self.disk / "ballast").unlink(missing_ok=True)
        # Where nothing was left to run, nothing broke.
        hit = hit and (fault != "defect" or status != 0)
        if hit:
            self.faults[fault] += 1
        self.look_at_processes(stage, fault, process)
        self.look_at_ending(stage, fault if hit else "", status, said.read_text(errors="replace"))
        self.look_at_files(stage, fault)
        return status

    def bring(self, fault: str, process: subprocess.Popen[bytes], command: list[str], env: dict[str, str]) -> bool:
        """Bring a fault to a stage that runs; return whether it hit."""
        ranks = children(process.pid)
        if fault == "disk":
            return fill(self.disk / "ballast")
        if fault == "second":
            second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
            refused = "is being written by process" in second.stderr
            if second.returncode and not (second.returncode == 2 and refused):
                self.harm["endings"].append(f"second: {second.returncode}: {second.stderr[-300:]}")
            # Whichever comes first is the one that runs.
            return True
        victims = {"rank": ranks[:1] or [process.pid], "feff": [pid for rank in ranks for pid in children(rank)]}
        number = signal.SIGTERM if fault == "term" else signal.SIGKILL
        for pid in victims.get(fault, [process.pid])[-1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                return True
        return False

    def look_at_processes(self, stage: str, fault: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until all processes of a stage are gone."""
        deadline = time.monotonic() + GOING
        while (left := marked(self.token)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            self.harm["left"].append(f"{stage}, {fault}: process {pid}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def look_at_ending(self, stage: str, fault: str, status: int, said: str) -> None:
        """Check that a stage has said in one line how it ended."""
        lines = [line for line in said.splitlines() if line.startswith("xanesml: ")]
        traceback = "Traceback (most recent call last)" in said
        if fault in ("rank", "launcher", "feff", "term"):
            good = not traceback and len(lines) <= 1
        elif fault == "defect":
            good = status != 0 and len(re.findall(r"^rank \d on \S+ failed:$", said, re.MULTILINE)) == 1
        elif fault == "disk":
            good = not traceback and (status in (0, 3) or len(lines) == 1)
        elif fault == "second":
            good = status == 0 or (status == 2 and "is being written by process" in said)
        else:
            good = status == 0
        if not good:
            self.harm["endings"].append(f"{stage}, {fault or 'nothing'}: status {status}: {said[-700:]}")

    def look_at_files(self, stage: str, fault: str) -> None:
        """Check that what was there is there, and whole."""
        try:
            if (self.out / "store.h5").exists():
                rows, _ = done_rows(self.out / "store.h5")
                lost = [task for task, content in self.rows.items() if rows.get(task) != content]
                self.harm["lost"] += [f"{stage}, {fault}: row {task}" for task in lost]
                self.rows |= rows
            if (self.out / "tensors.h5").exists():
                self.harm["half"] += [
                    f"{stage}, {fault}: {text}" for text in validate(self.out / "tensors.h5").problems
                ]
            if (self.out / "model").exists():
                for name in json.loads((self.out / "model" / "model.json").read_text())["files"]:
                    check_listed(self.out / "model", name)
            if (self.out / "predictions.json").exists():
                json.loads((self.out / "predictions.json").read_text())
        except (XanesmlError, OSError, ValueError) as error:
            self.harm["half"].append(f"{stage}, {fault}: {error}")

    def compare(self, reference: dict[str, Any]) -> None:
        """Compare the results with those of the undisturbed campaign."""
        if any(self.harm["endings"]):
            return
        if count := different_spectra(self.out / "store.h5", reference["store"]):
            self.harm["different"].append(f"{count} spectra")
        for name, expected in reference["results"].items():
            if result(self.out, name) != expected:
                self.harm["different"].append(name)


def result(out: Path, name: str) -> Any:
    if name == "predictions":
        return [one["msd"] for one in json.loads((out / "predictions.json").read_text())["predictions"]]
    return (out / "model" / name).read_bytes()


def marked(token: str) -> list[int]:
    """Return the processes with the token of a round in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"XANESML_SOAK={token}\0".encode() in path.read_bytes() + b"\0":
                found.append(int(path.parent.name))
    return found


def fill(ballast: Path) -> bool:
    """Fill a disk to its last byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return True


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 48 MiB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def undisturbed(folder: Path) -> dict[str, Any]:
    """Run the campaign without faults; return its results."""
    folder.mkdir()
    one = Round(0, folder, folder / "spectra" / "task-000005.xdi")
    for stage in STAGES:
        if stage == "predict":
            export = ["export", str(one.out / "store.h5"), "-o", str(folder / "spectra"), "--tasks", "5"]
            subprocess.run([sys.executable, "-m", "hpc.cli", *export], cwd=ROOT, check=True, capture_output=True)
        if one.attempt(stage, ""):
            sys.exit(f"{stage} fails undisturbed: {one.harm}")
    names = ("parity-direct.csv", "parity-reference.csv", "particles-direct.csv", "predictions")
    results = {name: result(one.out, name) for name in names}
    return {"store": one.out / "store.h5", "spectrum": one.spectrum, "results": results}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run whole campaigns with random faults and count what that costs.")
    parser.add_argument("--faults", type=int, default=200, help="faults in all, those in the log included (200)")
    parser.add_argument("--log", type=Path, default=Path("soak.jsonl"), help="one line a round (soak.jsonl)")
    parser.add_argument("--first", type=int, default=1, help="seed of the first campaign (1)")
    options = parser.parse_args()
    rounds = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log.exists() else []
    with tempfile.TemporaryDirectory(prefix="xanesml-soak-") as name:
        folder = Path(name).resolve()
        (folder / "clock").mkdir()
        (folder / "clock" / "sitecustomize.py").write_text(JUMPING, encoding="utf-8")
        reference = undisturbed(folder / "undisturbed")
        while sum(sum(one["faults"].values()) for one in rounds) < options.faults:
            seed = len(rounds) + options.first
            with small_disk(folder / f"round-{seed}") as disk:
                one = Round(seed, disk, reference["spectrum"])
                began = time.monotonic()
                one.run()
                one.compare(reference)
            shutil.rmtree(folder / f"round-{seed}")
            rounds.append({"faults": one.faults, "harm": one.harm, "seconds": time.monotonic() - began})
            with options.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(rounds[-1]) + "\n")
            print(f"round {seed}: {sum(one.faults.values())} faults; {told(one.harm)}", flush=True)
    sys.exit(summarize(rounds))


def told(harm: dict[str, list[str]]) -> str:
    return "; ".join(f"{name}: {' | '.join(cases)}" for name, cases in harm.items() if cases) or "no harm"


def summarize(rounds: list[dict[str, Any]]) -> int:
    """Print the figures and return the exit status."""
    faults: Counter[str] = Counter()
    for one in rounds:
        faults.update(one["faults"])
    every = ", ".join(f"{count} {name}" for name, count in sorted(faults.items()))
    seconds = sum(one["seconds"] for one in rounds)
    print(f"{len(rounds)} campaigns in {seconds / 60:.0f} minutes; faults {faults.total()}: {every}")
    meaning = {
        "lost": "rows lost",
        "half": "files that are half",
        "different": "results that differ from the undisturbed campaign's",
        "left": "processes and files left behind",
        "endings": "endings that are not one line",
        "hung": "commands that hang",
    }
    counts = {name: sum(len(one["harm"][name]) for one in rounds) for name in HARM}
    for name, count in counts.items():
        print(f"{meaning[name]:52s} {count}")
    return 1 if any(counts.values()) else 0


if __name__ == "__main__":
    main()
