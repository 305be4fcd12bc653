#!/usr/bin/env python3
"""Full multiple scattering, native against FEFF's own: the stage, whole runs, and what starting costs.

    python benchmarks/fms.py [--whole | --start-up] [--case C] [--repeats N] [--folder DIR [--resume]]

Without an option the FMS stage alone, by every method, in run folders that FEFF's stages
rdinp to xsph have prepared with the reference cards; the baseline is FEFF's own stage in
the same environment. `--whole` takes whole runs, with native potentials too: the baseline is FEFF out of the box, the
wheel's pipeline of the same stages with its own FMS and without the allocator settings.
`--start-up` runs next to nothing, against an interpreter that does nothing. One thread,
all ways in turn, medians. With `--folder` the prepared runs serve again, and with
`--resume` a call goes on where an earlier one was broken off.

Deviations are the largest in the spectrum: of μ over the largest μ, and of the absorber's
Green's function over its largest element at the same energy.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from feff_cases import CASES, Record, Used, arguments, case_input, copied, heading, prepared, row, used, work_folder

from xanesml.campaign import EngineSection
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.feff10 import NATIVE_FMS, STAGES, stage_command
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import GLIBC_KEEPS_MEMORY, clean_environment
from xanesml.feff.xmu import read_xmu
from xanesml.fms.solve import solve_ldl, solve_lu

BEFORE, AFTER = STAGES[: STAGES.index("fms")], STAGES[STAGES.index("fms") + 1 :]

#: How many times faster than FEFF out of the box a whole run should be.
AIMS = {"55-disorder": 6, "55-distorted": 9, "561-disorder": 8, "561-distorted": 13}

#: The orbitals of an atom of gold, the width of the absorber's block.
WIDTH = 16

# The stages that a spectrum needs, as the wheel runs them.
PIPELINE = """
import sys, feff10
stages = [feff10.Stage.from_name(name) for name in sys.argv[2:]]
feff10.FeffPipeline(feff10.FeffConfig.from_file(sys.argv[1], sys.argv[1] + "/feff.inp", stages=stages)).run()
"""

# The native stage in a run's folder, by a given method.
NATIVE = """
import sys
from pathlib import Path
from xanesml.fms.stage import solve_stage
solve_stage(Path(sys.argv[1]), method=sys.argv[2])
"""


def main() -> None:
    if sys.argv[1:2] == ["--rates"]:
        rates(int(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="whole runs")
    parser.add_argument("--start-up", action="store_true", help="what interpreters and imports cost")
    whole = "--whole" in sys.argv
    options = arguments(parser, list(AIMS if whole else CASES))
    with work_folder(options.folder) as folder:
        if options.start_up:
            start_up(folder, options.repeats)
        elif whole:
            record = Record(folder / "whole.jsonl", resume=options.resume)
            heading("case", "FEFF out of the box, s", "native, s", "ratio", "of CPU time", "aim", "Δμ", "solved by")
            for case in options.case:
                compare_runs(folder, case, options.repeats, record)
        else:
            record = Record(folder / "stage.jsonl", resume=options.resume)
            heading("case", "orbitals", "method", "s", "ratio", "of CPU time", "peak, MiB", "Δμ", "ΔG")
            orders = {compare_stages(folder, case, options.repeats, record) for case in options.case}
            print()
            heading("order", "cgemm, s", "its Gflop/s", "LU alone", "share", "solve_lu, s", "solve_ldl, s")
            for order in sorted(orders):
                command = [sys.executable, __file__, "--rates", str(order - WIDTH), str(2 * options.repeats + 1)]
                subprocess.run(command, env=clean_environment(), check=True)


def compare_stages(folder: Path, case: str, repeats: int, record: Record) -> int:
    """Measure the stage by all methods, print the rows of a case, and return its number of orbitals."""
    start = prepared(folder, case, *BEFORE)
    methods = ["lu", "ldl"] if CASES[case][1] == "disorder" else ["lu", "ldl", "symmetric"]
    ways: dict[tuple[str, ...], Callable[[], Used]] = {
        (case, method): lambda method=method: run_stage(start, method) for method in ("feff", *methods)
    }
    record.in_turn(repeats, ways)
    places = {method: start.with_name(method) for _, method in ways}
    for method, place in places.items():
        if not (place / "gg.bin").exists():
            run_stage(start, method)
        used(stage_command(place, *AFTER), place)
    mu, green = read_xmu(places["feff"] / "xmu.dat").mu, read_green(places["feff"] / "gg.bin")
    baseline = record.median(case, "feff")
    orbitals = int((places["lu"] / "log3.dat").read_text(encoding="ascii").split("fms: lu, ")[1].split()[0])
    for method, place in places.items():
        one = record.median(case, method)
        other = np.abs(read_xmu(place / "xmu.dat").mu - mu).max() / mu.max()
        largest = np.abs(green).max(axis=(1, 2), keepdims=True)
        moved = (np.abs(read_green(place / "gg.bin") - green) / largest).max()
        row(
            case,
            orbitals,
            "FEFF's own" if method == "feff" else method,
            f"{one.seconds:.2f}",
            f"{baseline.seconds / one.seconds:.1f}",
            f"{baseline.cpu / one.cpu:.1f}",
            f"{one.memory:.0f}",
            *(("–", "–") if method == "feff" else (f"{other:.1e}", f"{moved:.1e}")),
        )
    return orbitals


def run_stage(start: Path, method: str) -> Used:
    place = copied(start, method)
    if method == "feff":
        return used(stage_command(place, "fms"), place)
    return used([sys.executable, "-c", NATIVE, str(place), method], place)


def read_green(path: Path) -> np.ndarray:
    """Return the content of gg.bin, (energies, orbitals, orbitals)."""
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    numbers = np.array(lines, dtype=float)
    green = numbers[:, 0::2] + 1j * numbers[:, 1::2]
    return np.asarray(green.reshape(-1, green.shape[1], green.shape[1]))


def rates(order: int, repeats: int) -> None:
    """Print the time of a complex matrix product of some order, and of factorizations beside it."""
    from scipy.linalg import blas, lapack  # noqa: PLC0415

    rng = np.random.default_rng(0)
    shape = (order + WIDTH, order + WIDTH)
    system = np.tril(rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(order)
    system[np.arange(order), np.arange(order)] += 3
    system = system.astype(np.complex64)
    matrix = np.asfortranarray(system[:order, :order] + np.tril(system[:order, :order], -1).T)
    ways: dict[str, Callable[[], object]] = {
        "product": lambda: blas.cgemm(1, matrix, matrix),
        "lu": lambda: lapack.cgetrf(matrix),
        "solve_lu": lambda: solve_lu(system, WIDTH),
        "solve_ldl": lambda: solve_ldl(system, WIDTH),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - began)
    # The least: these are too short for medians on a machine that does anything else.
    product, factors, by_lu, by_ldl = (min(times) for times in taken.values())
    rate = 8e-9 * order**3 / product
    # LU takes a third of the product's operations.
    row(
        order,
        f"{product:.4f}",
        f"{rate:.0f}",
        f"{factors:.4f}",
        f"{product / 3 / factors:.0%}",
        f"{by_lu:.4f}",
        f"{by_ldl:.4f}",
    )


def compare_runs(folder: Path, case: str, repeats: int, record: Record) -> None:
    """Measure whole runs and print the row of a case."""
    places = {way: folder / case / way for way in ("as-it-comes", "native-run")}
    solver = places["native-run"] / "solver.txt"
    record.in_turn(
        repeats,
        {
            (case, "feff"): lambda: run_as_it_comes(places["as-it-comes"], case),
            (case, "native"): lambda: run_native(places["native-run"], case),
        },
    )
    for way, run in (("as-it-comes", run_as_it_comes), ("native-run", run_native)):
        if not (places[way] / "xmu.dat").exists():
            run(places[way], case)
    expected, mu = (read_xmu(place / "xmu.dat").mu for place in places.values())
    feff, native = record.median(case, "feff"), record.median(case, "native")
    row(
        case,
        f"{feff.seconds:.1f}",
        f"{native.seconds:.1f}",
        f"{feff.seconds / native.seconds:.2f}",
        f"{feff.cpu / native.cpu:.2f}",
        f"≥ {AIMS[case]}",
        f"{np.abs(mu - expected).max() / expected.max():.1e}",
        solver.read_text(encoding="utf-8").strip(),
    )


def run_as_it_comes(place: Path, case: str) -> Used:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "feff.inp").write_text(case_input(case)[0], encoding="utf-8")
    environment = {name: value for name, value in clean_environment().items() if name not in GLIBC_KEEPS_MEMORY}
    return used([sys.executable, "-c", PIPELINE, str(place), *STAGES], place, environment)


def run_native(place: Path, case: str) -> Used:
    # On FEFF's own grid of phase shifts, as the spectra are compared.
    result = run_feff(make_engine(EngineSection(pot_grid="feff")), place, *case_input(case))
    if result.outcome is not Outcome.DONE:
        sys.exit(f"{case}: {result.outcome.label}: {result.message}")
    return Used(result.seconds, result.cpu_seconds, result.memory, 0)


def start_up(folder: Path, repeats: int) -> None:
    """Measure programs that do next to nothing, and print what the start of a run costs."""
    place = folder / "start-up"
    place.mkdir(exist_ok=True)
    (place / "feff.inp").write_text(case_input("55-distorted")[0], encoding="utf-8")
    python = sys.executable
    several = ["rdinp"] * len(STAGES)
    commands = {
        "python -c pass (baseline)": [python, "-c", "pass"],
        "import feff10": [python, "-c", "import feff10"],
        "import numpy": [python, "-c", "import numpy"],
        "import the native FMS stage": [python, "-c", "import xanesml.fms.stage, xanesml.fms.reduced"],
        "a program of one short stage (rdinp)": stage_command(place, "rdinp"),
        f"a program of {len(STAGES)} short stages": stage_command(place, *several),
        "the wheel's pipeline of one short stage": [python, "-c", PIPELINE, str(place), "rdinp"],
        f"the wheel's pipeline of {len(STAGES)} short stages": [python, "-c", PIPELINE, str(place), *several],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(max(repeats, 5)):
        for name, command in commands.items():
            taken[name].append(used(command, place).seconds)
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    nothing, _, _, native, _, short, _, pipeline = seconds.values()
    heading("program", "median, s", "ratio")
    for name, median in seconds.items():
        row(name, f"{median:.3f}", f"{median / nothing:.1f}")
    row(f"start of a run with {NATIVE_FMS} (aim < 0.5 s)", f"{short + native - nothing:.3f}", "")
    row("the same by the wheel's pipeline, FEFF's FMS", f"{pipeline:.3f}", "")


if __name__ == "__main__":
    main()
