#!/usr/bin/env python3
"""Seconds of `xanesml import` for folders of FEFF runs, beside parsing the same files and nothing else.

python benchmarks/importing.py [--runs N] [--atoms N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

from xanesml.campaign import Campaign
from xanesml.feff.elsewhere import ElsewhereRun, run_folders
from xanesml.feff.xmu import read_xmu
from xanesml.store.importing import import_runs
from xanesml.store.plan import expand

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import fake_feff

#: Absorbers of a disordered structure.
ABSORBERS = 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--atoms", type=int, default=561)
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        disorder = {"structures": -(-options.runs // ABSORBERS)}
        campaign = Campaign.model_validate({"name": "x", "structure": {"atoms": options.atoms}, "disorder": disorder})
        made(folder / "runs", campaign, options.runs)
        began = time.process_time()
        for one in map(ElsewhereRun, run_folders(folder / "runs")):
            read_xmu(one.folder / "xmu.dat")
            _ = one.input
        parsed = time.process_time()
        report = import_runs(folder / "runs", campaign, folder / "store.h5", echo=lambda _: None)
        ended = time.process_time()
    seconds, baseline = ended - parsed, parsed - began
    print(f"{report.imported} runs of {options.atoms} atoms: {seconds:.1f} s of processor time")
    print(f"ratio to parsing feff.inp and xmu.dat alone ({baseline:.1f} s): {seconds / baseline:.2f}")


def made(folder: Path, campaign: Campaign, runs: int) -> None:
    """Write folders with feff.inp and an xmu.dat of the stand-in for FEFF."""
    table, here = expand(campaign), Path.cwd()
    for task in range(runs):
        target = folder / f"run{task:06d}"
        target.mkdir(parents=True)
        (target / "feff.inp").write_text(table.inputs(task)[0], encoding="utf-8")
        os.chdir(target)
        sys.argv[1:] = ["succeed"]
        with contextlib.redirect_stdout(io.StringIO()):
            fake_feff.main()
    # The temporary folder is removed at the end.
    os.chdir(here)


if __name__ == "__main__":
    main()
