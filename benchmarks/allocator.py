#!/usr/bin/env python3
"""What the glibc settings of `xanesml.feff.process` do to a FEFF run: time, page faults and peak memory by stage.

    python benchmarks/allocator.py [--case C] [--repeats N] [--folder DIR [--resume]] [--spheres]

A reference run goes stage by stage, each a program of its own, without the settings (the
baseline) and with them in turn, in two folders; in the end both must hold the same xmu.dat,
byte for byte. The native FMS stage is listed beside FEFF's own, which runs after it and
counts in the sum. About four minutes for both cases and one repeat.

With --spheres: two iterations of the stage `pot` with self-consistent spheres of 79, 135 and 201 atoms, with all
settings but MALLOC_ARENA_MAX (the baseline) and with all of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from feff_cases import Record, Used, arguments, copied, heading, prepared, row, used, work_folder

from xanesml.campaign import FeffSection, ScfSection, StructureSection
from xanesml.feff.cards import feff_input
from xanesml.feff.feff10 import NATIVE_FMS, STAGES, stage_command
from xanesml.feff.process import GLIBC_KEEPS_MEMORY, clean_environment
from xanesml.structures import build_cluster

CASES = ("55-distorted", "561-disorder")
ENVIRONMENTS = {
    "without": {name: value for name, value in clean_environment().items() if name not in GLIBC_KEEPS_MEMORY},
    "with": clean_environment(),
}
#: Radius of the self-consistent sphere around the middle of 561 gold atoms, Å, by the atoms in it.
SPHERES = {79: 6.7, 135: 7.8, 201: 9.2}
ARENAS = {
    "without": {name: value for name, value in clean_environment().items() if name != "MALLOC_ARENA_MAX"},
    "with": clean_environment(),
}
FIRST, *REST = STAGES
MEASURED = [stage for each in REST for stage in ((NATIVE_FMS, each) if each == "fms" else (each,))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spheres", action="store_true", help="what MALLOC_ARENA_MAX does to larger spheres")
    options = arguments(parser, CASES, repeats=1)
    with work_folder(options.folder) as folder:
        if options.spheres:
            spheres(folder)
            return
        record = Record(folder / "allocator.jsonl", resume=options.resume)
        heading(
            "case", "stage", "s without", "s with", "ratio", "ratio of CPU time",
            "page faults without", "with", "peak without, MiB", "with",
        )  # fmt: skip
        for case in options.case:
            for _ in range(len(record.of(case, MEASURED[-1], "with")), options.repeats):
                run_both(prepared(folder, case, FIRST), case, record)
            tell(case, record)


def run_both(start: Path, case: str, record: Record) -> None:
    """Run all stages of a case in both environments in turn."""
    places = {which: copied(start, which) for which in ENVIRONMENTS}
    for stage in MEASURED:
        for which, place in places.items():
            record.add(used(stage_command(place, stage), place, ENVIRONMENTS[which]), case, stage, which)
    one, other = ((place / "xmu.dat").read_bytes() for place in places.values())
    if one != other:
        raise SystemExit(f"{case}: the settings have changed xmu.dat")


def spheres(folder: Path) -> None:
    """Run the stage `pot` with larger self-consistent spheres, without and with one arena."""
    heading("atoms", "s without", "s with", "ratio", "page faults without", "with")
    cluster = build_cluster(StructureSection(atoms=561))
    for atoms, radius in SPHERES.items():
        feff = FeffSection(scf=ScfSection(radius=radius, iterations=2))
        text = feff_input(numbers=cluster.numbers, positions=cluster.positions, absorber=cluster.absorber, feff=feff)
        start = folder / f"sphere-{atoms}" / "start"
        start.mkdir(parents=True, exist_ok=True)
        (start / "feff.inp").write_text(text, encoding="utf-8")
        used(stage_command(start, "rdinp", "atomic"), start)
        made = {}
        for which, environment in ARENAS.items():
            place = copied(start, which)
            made[which] = used(stage_command(place, "pot"), place, environment)
        one, other = ((start.with_name(which) / "pot.bin").read_bytes() for which in ARENAS)
        if one != other:
            raise SystemExit(f"{atoms} atoms: the setting has changed pot.bin")
        without, kept = made.values()
        row(atoms, f"{without.seconds:.1f}", f"{kept.seconds:.1f}", f"{without.seconds / kept.seconds:.2f}",
            without.faults, kept.faults)  # fmt: skip


def tell(case: str, record: Record) -> None:
    """Print the rows of a case."""
    sums: dict[str, list[Used]] = {which: [] for which in ENVIRONMENTS}
    for stage in MEASURED:
        medians = [record.median(case, stage, which) for which in ENVIRONMENTS]
        compare(case, stage, *medians)
        if stage != NATIVE_FMS:
            for which, median in zip(ENVIRONMENTS, medians, strict=True):
                sums[which].append(median)
    compare(case, "all, the same xmu.dat", *map(together, sums.values()))


def together(stages: list[Used]) -> Used:
    return Used(
        seconds=sum(stage.seconds for stage in stages),
        cpu=sum(stage.cpu for stage in stages),
        memory=max(stage.memory for stage in stages),
        faults=sum(stage.faults for stage in stages),
    )


def compare(case: str, stage: str, without: Used, kept: Used) -> None:
    row(
        case,
        stage,
        f"{without.seconds:.2f}",
        f"{kept.seconds:.2f}",
        f"{without.seconds / kept.seconds:.2f}",
        f"{without.cpu / kept.cpu:.2f}",
        without.faults,
        kept.faults,
        f"{without.memory:.0f}",
        f"{kept.memory:.0f}",
    )


if __name__ == "__main__":
    main()
