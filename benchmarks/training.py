#!/usr/bin/env python3
"""Training steps: our loop against Keras' own, Horovod's cost, two ranks against one, and what input costs.

    python benchmarks/training.py [--rounds N] [--steps N]

The network is the reference campaign's, the spectra are averages of a made-up series on 110 points.
The baseline is `model.compile` and `model.fit` of the same network with the same losses, on the
same scaled arrays. Where it is compared, our loop takes these arrays too: spectra without errors of a
measurement, which `model.fit` knows nothing of, scaled in the step; ours also judges eight spectra after
every epoch. All ways take their turn in each round, in one process. Of all epochs of a way the fastest
counts, which is never the first of a round, where the step is compiled. Horovod at one rank is the same
loop with its collectives.

For the weak scaling every rank has a core of its own, or a GPU: one trains on batches of 128, two on 128
each. Efficiency is the spectra per second of two over twice those of one.

Waiting is the time between a step and the next one's arrays, as a share of the epoch. On a GPU, which
computes while the host fetches them, it is an upper bound of what is lost. With KERAS_BACKEND=jax the
ways without Horovod are measured on JAX' devices.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mpi import answer, on_ranks, rank_part

from hpc.comm import world_or_alone
from hpc.training.checkpoint import Epoch
from hpc.training.collective import Collective, HorovodCollective, check_backend, join_group
from hpc.training.loop import HeldOut, Schedule, fit
from xanesml.campaign import Campaign, TrainingSection
from xanesml.learning.augmentation import Augmentation, Augmenter, augmenter
from xanesml.learning.batches import Batches, EndlessBatches, StoredBatches, label_columns
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.network import answers_of, build_network, import_keras, loss_of
from xanesml.learning.scaling import FeatureSums, Scaling

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import campaign, write_tensors  # noqa: E402

POINTS, MEMBERS, EPOCHS = 110, 8, 8
BASELINE, OURS, HOROVOD = "model.fit (baseline)", "fit", "fit, through Horovod"
SECTION = TrainingSection()
NAMES = answers_of(SECTION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all ways (3)")
    parser.add_argument("--steps", type=int, default=40, help="steps of an epoch (40)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tensors.h5"
        families = -(-options.steps * SECTION.batch_size // MEMBERS)
        write_tensors(path, campaign(), families=families, members=MEMBERS, points=POINTS)
        found = on_ranks(1, __file__, "turns", path, options.steps, options.rounds)
        device = ", ".join(found["gpus"]) or f"{os.cpu_count()} cores"
        print(f"Keras on {found['backend']}, {device}, batches of {SECTION.batch_size}\n")
        print(f"{'method, one process':44s} {'spectra/s':>10s} {'ms per step':>10s} {'ratio':>7s}")
        rates = found["rates"]
        for way, rate in rates.items():
            ratio = rate / rates[BASELINE]
            print(f"{way:44s} {rate:10,.0f} {1e3 * SECTION.batch_size / rate:10.2f} {ratio:7.2f}")
        if HOROVOD in rates:
            print(f"\nHorovod at one rank takes {rates[OURS] / rates[HOROVOD] - 1:.1%} more time")
        print(
            f"\n{'input, with the errors of a measurement':44s} {'spectra/s':>10s} {'ms per step':>10s} {'waiting':>8s}"
        )
        for way, (rate, waiting) in found["inputs"].items():
            print(f"{way:44s} {rate:10,.0f} {1e3 * SECTION.batch_size / rate:10.2f} {waiting:8.2%}")
        if HOROVOD in rates and len(found["gpus"]) != 1:
            scaled(path, options.steps, -(-options.rounds // 2))


def scaled(path: Path, steps: int, rounds: int) -> None:
    """Print the spectra per second of one and of two ranks, each on a core or a GPU of its own."""
    rates = {1: 0.0, 2: 0.0}
    for _ in range(rounds):
        for ranks, fastest in rates.items():
            rates[ranks] = max(fastest, on_ranks(ranks, __file__, "ranks", path, steps))
    print(f"\n{'ranks, a core or a GPU each':44s} {'spectra/s':>10s} {'efficiency':>11s}")
    for ranks, rate in rates.items():
        print(f"{ranks:<44d} {rate:10,.0f} {rate / (ranks * rates[1]):11.1%}")


class Waited:
    """Batches of another source, and the seconds that each epoch's were waited for."""

    def __init__(self, source: Batches) -> None:
        self._source = source
        self.steps, self.width, self.variables = source.steps, source.width, source.variables
        self.prepare = source.prepare
        self.seconds: list[float] = []

    def epoch(self, number: int) -> Iterator[tuple[Any, ...]]:
        self.seconds.append(0.0)
        arrays = self._source.epoch(number)
        while True:
            began = time.perf_counter()
            found = next(arrays, None)
            self.seconds[-1] += time.perf_counter() - began
            if found is None:
                return
            yield found


class Setting:
    """The data of a tensor file, and what is trained on it."""

    def __init__(self, path: Path, steps: int) -> None:
        self.data: Tensors = load_tensors(path)
        self.campaign: Campaign = campaign()
        self.steps = steps
        ranges = {name: getattr(self.data, name) for name in NAMES[:3]}
        sums = FeatureSums.of(self.data.spectra, self.data.spectra[0].astype(float))
        self.scaling = Scaling.fit(sums, ranges, noise=SECTION.noise)
        self.errors = augmenter(SECTION, "direct", self.data, self.scaling.ranges["msd"])
        self.none = Augmenter(Augmentation(), self.data.mesh, self.data.edge)

    def network(self) -> Any:
        return build_network(POINTS, SECTION, bins=self.data.series.r.size, seed=1)

    def stored(self, errors: Augmenter) -> StoredBatches:
        return StoredBatches(
            self.data.spectra,
            label_columns(self.data, self.scaling, NAMES),
            NAMES,
            np.arange(self.steps * SECTION.batch_size),
            self.scaling,
            errors,
            seed=1,
            key=(0,),
            batch_size=SECTION.batch_size,
            steps=self.steps,
        )

    def endless(self) -> EndlessBatches:
        return EndlessBatches(self.data, NAMES, self.scaling, self.errors, self.campaign, key=(0,), steps=self.steps)

    def fit(self, source: Batches, collective: Collective) -> list[Epoch]:
        """Return the epochs of our loop but the first."""
        held_out = HeldOut(self.scaling.scale_features(self.data.spectra[:8]), self.data.msd[:8])
        schedule = Schedule(SECTION.model_copy(update={"epochs": EPOCHS}), 1, (0,), "")
        fitted = fit(
            self.network(),
            collective,
            source=source,
            held_out=held_out,
            scaling=self.scaling,
            schedule=schedule,
            echo=lambda _line: None,
        )
        return fitted.history[1:]

    def rate(self, epochs: list[Epoch], ranks: int = 1) -> float:
        """Return the spectra per second of the fastest epoch."""
        return ranks * self.steps * SECTION.batch_size / min(epoch.seconds for epoch in epochs)

    def keras_fit(self) -> float:
        """Return the spectra per second of Keras' own loop."""
        keras = import_keras()
        network, rows = self.network(), slice(0, self.steps * SECTION.batch_size)
        features = self.scaling.scale_features(self.data.spectra[rows])
        columns = [column[rows] for column in label_columns(self.data, self.scaling, NAMES)]

        def loss(name: str) -> Any:
            return lambda target, answer: loss_of({name: answer}, {name: target}, 1.0)

        network.compile(
            keras.optimizers.Adam(SECTION.learning_rate),
            loss={name: loss(name) for name in NAMES},
            loss_weights={name: 1.0 if name == "msd" else SECTION.head_weight for name in NAMES},
        )
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: ends.append(time.perf_counter()))
        targets = dict(zip(NAMES, columns, strict=True))
        network.fit(features, targets, batch_size=SECTION.batch_size, epochs=EPOCHS, verbose=0, callbacks=[clock])
        return float(len(features) / np.diff(ends).min())


def turns(path: Path, steps: int, rounds: int) -> None:
    """Measure all that one process does."""
    backend, setting = import_keras().backend.backend(), Setting(path, steps)
    horovod = with_horovod() if backend == "tensorflow" else None

    def rate(collective: Collective) -> float:
        return setting.rate(setting.fit(setting.stored(setting.none), collective))

    ways = {BASELINE: setting.keras_fit, OURS: lambda: rate(Collective())}
    if horovod is not None:
        ways[HOROVOD] = lambda: rate(horovod)
    rates = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for way, measure in ways.items():
            rates[way] = max(rates[way], measure())
    inputs = {}
    for way, source in (("tensors", setting.stored(setting.errors)), ("on_the_fly", setting.endless())):
        waited = Waited(source)
        epochs = setting.fit(waited, Collective())
        shares = [seconds / epoch.seconds for seconds, epoch in zip(waited.seconds[1:], epochs, strict=True)]
        inputs[way] = setting.rate(epochs), statistics.median(shares)
    answer({"backend": backend, "gpus": gpus(), "rates": rates, "inputs": inputs})


def one_of_ranks(path: Path, steps: int) -> None:
    """Measure the ranks that train one network, each on its own core or GPU."""
    comm = world_or_alone()
    check_backend(comm)
    if not gpus():
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[comm.rank % len(cores)]})
    _, collective = join_group(comm, 1)
    setting = Setting(path, steps)
    epochs = setting.fit(setting.stored(setting.none), collective)
    if comm.rank == 0:
        answer(setting.rate(epochs, comm.size))


def gpus() -> list[str]:
    """Return the names of the GPUs, which are left alone."""
    if import_keras().backend.backend() == "jax":
        return [name for name in import_keras().distribution.list_devices() if not name.startswith("cpu")]
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    found = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in found]


def with_horovod() -> HorovodCollective | None:
    """Return this rank alone, joined by Horovod; None where there is none."""
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    try:
        import horovod.tensorflow as horovod  # noqa: PLC0415 (heavy)
    except ImportError:
        return None
    horovod.init(MPI.COMM_WORLD)
    return HorovodCollective(horovod)


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    elif words[0] == "turns":
        turns(Path(words[1]), int(words[2]), int(words[3]))
    else:
        one_of_ranks(Path(words[1]), int(words[2]))
