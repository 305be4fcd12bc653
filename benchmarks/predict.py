#!/usr/bin/env python3
"""One spectrum, from the command line to its MSD, in a process of its own on one core.

    python benchmarks/predict.py [--rounds N]

Reads the foil of the examples with the model that ships: with its figure, without, and by the same networks in
Keras. Prints wall time, processor time and peak memory of each, the median of N rounds, and the ratio to Keras; then
where the time without Keras goes, by the packages that are imported. Exits with 1 above 300 MB, or where Keras is not
twice as slow.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from xanesml.learning.model import complete_model, load_model, read_metadata
from xanesml.learning.network import build_network
from xanesml.learning.numpy_network import NumpyNetwork
from xanesml.learning.predictor_files import save_baselines
from xanesml.learning.trained_network import save_network
from xanesml.models import shipped_model

ROOT = Path(__file__).resolve().parent.parent
FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
#: Most memory, MB, and least ratio of processor time to that by Keras.
MOST_MEMORY, LEAST_RATIO = 300.0, 2.0
#: Packages that are named.
NAMED = 10

_COMMAND = "import sys; from hpc.cli import main; sys.argv = ['xanesml', *sys.argv[1:]]; main()"


@dataclass(frozen=True)
class Cost:
    """Wall time and processor time, s, and peak memory, MB, of a process."""

    wall: float
    processor: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:5.2f} s wall, {self.processor:5.2f} s processor, {self.memory:4.0f} MB"


def keras_model(folder: Path) -> None:
    """Write the shipped model with its networks for Keras alone."""
    shipped = shipped_model("au-l3").folder
    metadata, listed = read_metadata(shipped)
    # Batch normalization is part of the arrays already.
    section = metadata.campaign.training.model_copy(update={"batch_normalization": False})
    model = load_model(shipped)
    files = []
    for name in [name for name in listed if re.fullmatch(r"(direct|reference)-\d+\.npz", name)]:
        arrays = NumpyNetwork.load(shipped / name)
        network = build_network(metadata.mesh.size, section, bins=model.series.r.size, seed=1)
        layers = {f"convolution_{number}": layer for number, layer in enumerate(arrays.convolutions, start=1)}
        layers |= {f"dense_{number}": layer for number, layer in enumerate(arrays.dense, start=1)}
        for layer, weights in (layers | dict(arrays.answers)).items():
            network.get_layer(layer).set_weights([weights.kernel, weights.bias])
        files.append(name.replace(".npz", ".keras"))
        save_network(folder / files[-1], network)
    save_baselines(folder, model.baselines)
    complete_model(folder, metadata, model.series, files)


def run(model: str, folder: Path, *options: str) -> Cost:
    """Return what one prediction costs, on one core."""
    command = [sys.executable, "-c", _COMMAND, "predict", model, str(FOIL), "--output", str(folder), *options]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder) as process:
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(process.stderr.read().decode() if process.stderr else "the prediction failed")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def median(costs: list[Cost]) -> Cost:
    """Return the medians of each number."""
    return Cost(*(statistics.median(getattr(one, name) for one in costs) for name in ("wall", "processor", "memory")))


def imports(folder: Path) -> Counter[str]:
    """Return the seconds that imports of a prediction with its figure take, by top-level package."""
    command = [sys.executable, "-X", "importtime", "-c", _COMMAND, "predict", "au-l3", str(FOIL), "-o", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    spent: Counter[str] = Counter()
    for microseconds, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", done.stderr):
        spent[name.partition(".")[0]] += int(microseconds) / 1e6
    return spent


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    core = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as made:
        folder, keras = Path(made), Path(made) / "model"
        keras.mkdir()
        # In a process of its own: one that is started counts the memory of the one that starts it as its own.
        maker = get_context("spawn").Process(target=keras_model, args=(keras,))
        maker.start()
        maker.join()
        os.sched_setaffinity(0, {core})
        cases: dict[str, tuple[str, ...]] = {
            "with its figure": ("au-l3",),
            "without": ("au-l3", "--no-figures"),
            "without, by Keras": (str(keras), "--no-figures"),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in cases}
        for _ in range(options.rounds):
            for name, (model, *words) in cases.items():
                costs[name].append(run(model, folder, *words))
        found = {name: median(some) for name, some in costs.items()}
        for name, cost in found.items():
            print(f"{name:18} {cost}")
        light, heavy = found["without"], found["without, by Keras"]
        ratio = heavy.processor / light.processor
        print(f"Keras takes {ratio:.1f} × the processor time and {heavy.memory / light.memory:.1f} × the memory")
        spent = imports(folder)
        total = sum(spent.values())
        print(f"imports of a prediction with its figure: {total:.2f} s")
        for name, seconds in spent.most_common(NAMED):
            print(f"  {name:14} {seconds:.2f} s")
    if max(cost.memory for name, cost in found.items() if "Keras" not in name) > MOST_MEMORY or ratio < LEAST_RATIO:
        sys.exit(1)


if __name__ == "__main__":
    main()
