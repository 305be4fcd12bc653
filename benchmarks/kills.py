#!/usr/bin/env python3
"""Kill simulations at random moments, many times, and count what that costs.

    python benchmarks/kills.py [--kills 500] [--log kills.jsonl]

Each round runs a campaign of short runs by the fake FEFF under mpirun, kills a rank, the
launcher, the launcher with all ranks or a FEFF once or twice, lets the same command
complete the store and compares it with that of an undisturbed simulation. Every round is
a line of the log; started again, the benchmark goes on after the last one.

Rows lost, spectra that differ, rows torn in the end and processes or folders left behind
have to be 0; else the exit status is 1. The baseline of the restarts is the start of the
undisturbed simulation, which lays the store out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from conftest import FAKE_CAMPAIGN  # noqa: E402
from killing import VICTIMS, Trial, run_trial, run_undisturbed  # noqa: E402

XANESML = str(Path(sys.executable).with_name("xanesml"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill simulations at random moments and count what that costs.")
    parser.add_argument("--kills", type=int, default=500, help="kills in all, those in the log included (500)")
    parser.add_argument("--log", type=Path, default=Path("kills.jsonl"), help="one line a round (kills.jsonl)")
    options = parser.parse_args()
    rounds = read(options.log)
    with tempfile.TemporaryDirectory(prefix="xanesml-kills-") as name:
        folder = Path(name).resolve()
        campaign = folder / "campaign.toml"
        campaign.write_text(FAKE_CAMPAIGN, encoding="utf-8")
        reference, first_start = run_undisturbed(XANESML, campaign, folder / "undisturbed")
        seed = max((trial["seed"] for trial in rounds), default=-1) + 1
        while kills(rounds) < options.kills:
            rounds.append(one_round(seed, folder / f"seed-{seed}", campaign, reference))
            with options.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(rounds[-1]) + "\n")
            print(f"{kills(rounds):4d} of {options.kills}: {told(rounds[-1])}", flush=True)
            seed += 1
    sys.exit(summarize(rounds, first_start))


def one_round(seed: int, folder: Path, campaign: Path, reference: Path) -> dict[str, Any]:
    folder.mkdir()
    try:
        trial = run_trial(seed, folder, xanesml=XANESML, campaign=campaign, reference=reference)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return asdict(Trial(seed, "", 0)) | {"broken": str(error)}
    return asdict(trial)


def read(log: Path) -> list[dict[str, Any]]:
    rounds = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        try:
            rounds.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{log}: half a line is passed over")
    return rounds


def hits(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [kill for trial in rounds for kill in trial["kills"] if kill["victim"] != "nobody"]


def kills(rounds: list[dict[str, Any]]) -> int:
    return len(hits(rounds))


def told(trial: dict[str, Any]) -> str:
    if "broken" in trial:
        return f"seed {trial['seed']}: broken: {trial['broken']}"
    victims = ", ".join(f"{kill['victim']} with {kill['done']} rows done" for kill in trial["kills"])
    return f"seed {trial['seed']}, {trial['writer']}, {trial['ranks']} ranks: {victims}: {trial['lost']} lost"


def summarize(rounds: list[dict[str, Any]], first_start: float) -> int:
    """Print the figures and return the exit status; `first_start` is the baseline of the restarts, s."""
    every = hits(rounds)
    by_victim = Counter(kill["victim"] for kill in every)
    restarts = [kill["restart"] for kill in every if kill["restart"] is not None]
    harm = {
        "rows lost": sum(trial["lost"] for trial in rounds),
        "spectra that differ": sum(trial["different"] for trial in rounds),
        "rows torn in the end": sum(trial["torn_in_the_end"] for trial in rounds),
        "processes and folders left": sum(len(trial["remains"]) for trial in rounds),
        "torn rows not reported": sum(abs(kill["torn"] - kill["told"]) for kill in every),
        "rounds that broke off": sum("broken" in trial for trial in rounds),
    }
    print(f"{'kills':28s} {len(every)}: {', '.join(f'{by_victim[victim]} {victim}' for victim in VICTIMS)}")
    print(f"{'rows done at the kills':28s} {sum(kill['done'] for kill in every)}")
    print(f"{'torn rows found and repaired':28s} {sum(kill['torn'] for kill in every)}")
    for name, count in harm.items():
        print(f"{name:28s} {count}")
    if restarts:
        mean = statistics.mean(restarts)
        print(f"{'restart to first row, s':28s} {mean:.1f} (longest {max(restarts):.1f})")
        print(
            f"{'first start to first row, s':28s} {first_start:.1f} (baseline; restarts {mean / first_start:.2f} of it)"
        )
    return int(any(harm.values()))


if __name__ == "__main__":
    main()
