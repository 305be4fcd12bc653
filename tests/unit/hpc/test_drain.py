from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from hpc import drain
from hpc.drain import CLOSING, Drain, RunTimes, time_left

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def listening() -> Iterator[Drain]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    flags = Drain()
    flags.listen()
    yield flags
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "abandon"),
    [(signal.SIGUSR1, False), (signal.SIGUSR2, True), (signal.SIGTERM, True), (signal.SIGINT, True)],
)
def test_signals_ask_to_stop_and_all_but_one_to_abandon_what_runs(
    listening: Drain, number: signal.Signals, abandon: bool
) -> None:
    assert not listening.requested
    os.kill(os.getpid(), number)
    assert listening.requested
    assert listening.abandon == abandon


def test_a_driver_that_was_asked_to_finish_can_still_be_told_to_abandon(listening: Drain) -> None:
    listening.finish()
    assert (listening.requested, listening.abandon) == (True, False)
    os.kill(os.getpid(), signal.SIGTERM)
    assert listening.abandon


def test_what_runs_is_abandoned_in_time_for_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(drain.time, "monotonic", lambda: now)
    flags = Drain(100 + CLOSING)
    assert flags.left == 100
    now += 99
    assert not flags.requested
    now += 1
    assert flags.requested
    assert flags.abandon
    assert flags.left == 0


def test_the_clock_and_a_time_too_short_are_told_from_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(drain.time, "monotonic", lambda: now)
    asked, short, ended = Drain(100 + CLOSING), Drain(), Drain(100 + CLOSING)
    asked.finish()
    assert (asked.requested, asked.out_of_time) == (True, False)
    short.too_short()
    assert (short.requested, short.abandon, short.out_of_time) == (True, False, True)
    now += 100
    assert ended.out_of_time


def test_without_an_end_there_is_always_time() -> None:
    assert Drain().left == float("inf")
    assert not Drain().requested


def test_a_run_is_likely_to_take_as_long_as_nineteen_in_twenty() -> None:
    assert RunTimes().likely == 0
    assert RunTimes([float("nan")]).likely == 0
    guessed = RunTimes([float("nan")], guess=12.0)
    assert guessed.likely == 12
    guessed.add(3.0)
    assert guessed.likely == 3
    times = RunTimes([float("nan"), *range(100)])
    # The 0.95 quantile of 0 … 99, 94 % of the way plus 0.05 of a step.
    assert times.likely == pytest.approx(94.05)
    for _ in range(100):
        times.add(1000.0)
    assert times.likely == 1000


def test_runs_of_long_ago_are_forgotten() -> None:
    times = RunTimes([3600.0] * 1000)
    for _ in range(1000):
        times.add(1.0)
    assert times.likely == 1


def test_the_time_left_is_what_the_user_says_or_else_slurm() -> None:
    in_an_hour = {"SLURM_JOB_END_TIME": str(int(time.time()) + 3600)}
    assert time_left(90.0, in_an_hour) == 90
    assert time_left(None, in_an_hour) == pytest.approx(3600, abs=2)
    assert time_left(None, {}) is None
    assert time_left(None, {"SLURM_JOB_END_TIME": "UNLIMITED"}) is None
