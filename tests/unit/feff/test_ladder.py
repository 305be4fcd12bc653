from __future__ import annotations

import dataclasses
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

from xanesml.campaign import EngineSection, FeffSection, RetrySection, ScfSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import make_engine
from xanesml.feff.ladder import LadderRun
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request
from xanesml.feff.run import RunResult

FAKE = ROOT / "tests" / "fake_feff.py"
FEFF = FeffSection()
RETRY = RetrySection()
SCF = FeffSection(scf=ScfSection(mixing=0.3, iterations=12))


def inputs(feff):
    positions = [[0.0, 0, 0], [2.88, 0, 0], [0, 2.88, 0], [0, 0, 2.88]]
    text = feff_input(numbers=np.full(4, 79), positions=np.array(positions), absorber=0, feff=feff)
    return text, Request.of(feff, absorber_number=79)


class Script:
    """An engine whose runs end as written down, at once; it keeps the cards that it was given."""

    identity = "script"
    timeout = 1.0

    def __init__(self, *ends):
        self.ends = [self.result(end) for end in ends]
        self.texts = []
        self.killed = 0

    @staticmethod
    def result(end):
        outcome, incomplete = end if isinstance(end, tuple) else (end, False)
        message = "" if outcome is Outcome.DONE else f"ends as {outcome.label}"
        return RunResult(outcome, message, incomplete=incomplete, seconds=1.5, cpu_seconds=1.0, memory=100.0)

    def start(self, folder, text, request):  # noqa: ARG002
        (folder / "left").mkdir()
        (folder / "left" / "pot.bin").write_text("")
        self.texts.append([line for line in text.splitlines() if line.startswith(("SCF", "CORVAL"))])
        self.result_of_run = self.ends.pop(0)
        return self

    def poll(self):
        return self.result_of_run

    def kill(self):
        self.killed += 1


def climb(folder, *ends, feff=FEFF, retry=RETRY):
    engine = Script(*ends)
    run = LadderRun(engine, folder, feff, inputs, retry)
    for _ in range(20):
        if (result := run.poll()) is not None:
            assert not engine.ends, "fewer tries than expected"
            return result, engine.texts
    raise AssertionError("no end")


CARDS = ["SCF 4.600000 0 30 0.5 1", "CORVAL -120.0"]


def test_a_run_that_is_done_is_not_tried_again(tmp_path):
    result, texts = climb(tmp_path, Outcome.DONE)
    assert result == Script.result(Outcome.DONE)
    assert texts == [CARDS]


@pytest.mark.parametrize("failure", [Outcome.CRASHED, (Outcome.BAD_OUTPUT, True)])
def test_a_crash_or_early_end_is_repeated_as_it_is(tmp_path, failure):
    result, texts = climb(tmp_path, failure, Outcome.DONE)
    assert texts == [CARDS, CARDS]
    assert (result.outcome, result.tries, result.changes, result.message) == (Outcome.DONE, 2, "", "")


def test_repeats_come_to_an_end(tmp_path):
    result, texts = climb(tmp_path, *[Outcome.CRASHED] * 3, retry=RetrySection(repeats=2))
    assert texts == [CARDS] * 3
    assert result.outcome is Outcome.CRASHED
    assert result.message == "ends as crashed; 3 tries: as it is; as it is; as it is"


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.BAD_INPUT, Outcome.BAD_OUTPUT])
def test_these_ends_are_final(tmp_path, outcome):
    result, _ = climb(tmp_path, outcome)
    assert (result.outcome, result.message, result.tries) == (outcome, f"ends as {outcome.label}", 1)


def test_less_mixing_where_self_consistency_is_not_reached(tmp_path):
    result, texts = climb(
        tmp_path,
        *[Outcome.SCF_NOT_CONVERGED] * 2,
        Outcome.DONE,
        feff=SCF,
        retry=RetrySection(mixing=[0.5, 0.05, 0.3, 0.2]),
    )
    assert [cards[0] for cards in texts] == [
        "SCF 4.600000 0 12 0.3 1",
        "SCF 4.600000 0 100 0.2 1",
        "SCF 4.600000 0 100 0.05 1",
    ]
    assert result.changes == "feff.scf.mixing = 0.05, feff.scf.iterations = 100"


def test_self_consistency_that_was_not_asked_for_has_no_rung(tmp_path):
    result, _ = climb(tmp_path, Outcome.SCF_NOT_CONVERGED, feff=FeffSection(scf=None))
    assert result.tries == 1


@pytest.mark.parametrize(
    ("corval", "values", "tried"),
    [
        (-120.0, [-120.0, -200.0], [-200.0]),
        (None, [-200.0, -60.0, -120.0], [-120.0, -200.0]),
        (-90.0, [-120.0, -200.0], [-120.0, -200.0]),
        (-300.0, [-120.0, -200.0], []),
    ],
)
def test_a_wider_window_where_corval_stops(tmp_path, corval, values, tried):
    feff = FeffSection(scf=None, corval=corval)
    ends = [Outcome.CORVAL_FAILED] * (len(tried) + 1)
    result, texts = climb(tmp_path, *ends, feff=feff, retry=RetrySection(corval=values))
    assert texts[1:] == [[f"CORVAL {value}"] for value in tried]
    assert result.outcome is Outcome.CORVAL_FAILED
    assert result.changes == (f"feff.corval = {tried[-1]}" if tried else "")


def test_rungs_add_up_and_each_has_its_repeats(tmp_path):
    result, texts = climb(
        tmp_path,
        Outcome.CRASHED,
        Outcome.CORVAL_FAILED,
        Outcome.CRASHED,
        Outcome.SCF_NOT_CONVERGED,
        Outcome.CRASHED,
        Outcome.DONE,
    )
    wide = ["SCF 4.600000 0 30 0.5 1", "CORVAL -200.0"]
    both = ["SCF 4.600000 0 100 0.2 1", "CORVAL -200.0"]
    assert texts == [CARDS, CARDS, wide, wide, both, both]
    assert result.changes == "feff.scf.mixing = 0.2, feff.scf.iterations = 100, feff.corval = -200.0"
    assert (result.tries, result.seconds, result.cpu_seconds, result.memory) == (6, 9.0, 6.0, 100.0)


def test_memory_is_that_of_the_largest_try(tmp_path):
    engine = Script(Outcome.CRASHED, Outcome.DONE)
    engine.ends[0] = dataclasses.replace(engine.ends[0], memory=300.0)
    run = LadderRun(engine, tmp_path, FEFF, inputs, RETRY)
    assert run.poll() is None
    assert run.poll().memory == 300.0


def test_the_message_names_the_tries_and_fits(tmp_path):
    result, _ = climb(tmp_path, Outcome.CORVAL_FAILED, *[Outcome.SCF_NOT_CONVERGED] * 3)
    assert result.message == (
        "ends as scf-not-converged; 4 tries: as it is; corval = -200.0; "
        "scf.mixing = 0.2, scf.iterations = 100, corval = -200.0; scf.mixing = 0.05, scf.iterations = 100, corv"
    )
    assert len(result.message.encode()) <= 240


def test_nothing_follows_a_kill(tmp_path):
    engine = Script(Outcome.CRASHED)
    run = LadderRun(engine, tmp_path, FEFF, inputs, RETRY)
    run.kill()
    assert engine.killed == 1
    result = run.poll()
    assert (result.outcome, result.tries) == (Outcome.CRASHED, 1)
    assert run.poll() is result


def finish(mode, folder, **section):
    engine = make_engine(
        EngineSection(kind="command", commands=[[sys.executable, str(FAKE), mode]], version="fake 1", **section)
    )
    run = LadderRun(engine, folder, FEFF, inputs, RETRY)
    while (result := run.poll()) is None:
        time.sleep(0.01)
    return result


def test_a_flaky_run_is_done_at_the_second_try(tmp_path):
    result = finish("flaky", tmp_path / "run")
    assert (result.outcome, result.tries, result.changes, result.log) == (Outcome.DONE, 2, "", "")
    assert result.spectrum is not None


def test_a_picky_run_is_done_with_other_cards(tmp_path):
    result = finish("picky", tmp_path / "run")
    assert (result.outcome, result.tries) == (Outcome.DONE, 4)
    assert result.changes == "feff.scf.mixing = 0.05, feff.scf.iterations = 100, feff.corval = -200.0"
    assert result.spectrum.cards.scf == (100, 4.6, 0)


def test_what_a_failed_try_left_does_not_count(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "pot.bin").write_text("of an earlier try")
    assert finish("corval", folder).tries == 2
    assert not (folder / "pot.bin").exists()
    assert (folder / "feff.inp").read_text() == inputs(FEFF.model_copy(update={"corval": -200.0}))[0]
