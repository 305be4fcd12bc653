#!/usr/bin/env python3
"""Let all readers read mutated files, and count what they do wrong.

    python benchmarks/fuzz.py [--inputs 20000] [--seed 1] [--only NAME] [--keep FOLDER]

The inputs are real small files with random changes: campaigns, structure files, XDI, Athena projects,
NeXus, text, xmu.dat, phase.bin, stores and tensor files. A reader has to return or to raise an error of
one line within a minute and 1 GiB, and to leave no file behind. Inputs that make it do otherwise are kept.
A process may not have more address space than 1 GiB above what it starts with. The exit status is 1 if
there are any. The baseline of the speed is a reader of the files as they are.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fuzzing import fault, mutated, targets

#: Inputs of other targets for each input that HDF5 reads, which takes much longer.
OTHERS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description="Let all readers read mutated files and count what they do wrong.")
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs in all (20000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutations (1)")
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="folder of the inputs with faults")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    every = [target for target in targets() if options.only in target.name]
    for target in every:
        for seed in target.seeds:
            fault(target, seed)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
    found: Counter[str] = Counter()
    print(f"{'target':18s} {'inputs':>7s} {'faults':>7s} {'ms':>8s} {'over unchanged':>15s}")
    weights = [1 if target.hdf5 else OTHERS for target in every]
    for place, target in enumerate(every):
        count = options.inputs * sum(weights[: place + 1]) // sum(weights)
        count -= options.inputs * sum(weights[:place]) // sum(weights)
        began = time.perf_counter()
        for seed in target.seeds:
            fault(target, seed)
        unchanged = (time.perf_counter() - began) / len(target.seeds)
        rng, faults, began = random.Random(f"{options.seed} {target.name}"), 0, time.perf_counter()  # noqa: S311
        for number in range(count):
            data = mutated(rng.choice(target.seeds), rng)
            if (said := fault(target, data)) is not None:
                faults += 1
                case = f"{target.name}: {said}"
                found[case] += 1
                if found[case] == 1:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    name = target.name.replace(" ", "-")
                    (options.keep / f"{name}-{number}{target.suffix}").write_bytes(data)
                    print(f"  {name}-{number}: {said}", flush=True)
        each = (time.perf_counter() - began) / max(count, 1)
        print(f"{target.name:18s} {count:7d} {faults:7d} {1e3 * each:8.2f} {each / unchanged:15.2f}", flush=True)
    print(f"{options.inputs} inputs, {found.total()} faults of {len(found)} kinds")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
