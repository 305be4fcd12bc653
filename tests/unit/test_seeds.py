"""Random draws: each stream is by itself, and no draw changes from one version to the next."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from xanesml.seeds import Stream, generator, seed_of, seed_of_families, structure_rng

KEYS = ((), (0,), (1,), (0, 1), (1, 2))


def test_no_two_generators_are_one() -> None:
    states = [tuple(seed_of(1, stream, *key).generate_state(4)) for stream, key in product(Stream, KEYS)]
    states += [tuple(np.random.SeedSequence(1, spawn_key=(index,)).generate_state(4)) for index in range(50)]
    states.append(tuple(seed_of_families(1).generate_state(4)))
    assert len(set(states)) == len(states)


def test_no_stream_begins_another() -> None:
    values = [stream.value for stream in Stream]
    assert not [(a, b) for a, b in product(values, values) if a != b and b[: len(a)] == a]


@pytest.mark.parametrize(
    ("stream", "key", "drawn"),
    [
        (Stream.SPLIT, (), 3483204289784873718),
        (Stream.ORDER, (3, 1), 2647965073285712884),
        (Stream.TEST_ERRORS, (), 1895882045992632218),
    ],
)
def test_draws_are_those_that_stored_results_were_made_with(stream: Stream, key: tuple[int, ...], drawn: int) -> None:
    assert int(generator(20250101, stream, *key).integers(2**62)) == drawn


def test_a_structure_depends_on_its_index_alone() -> None:
    assert structure_rng(7, 3).integers(2**62) == np.random.default_rng(
        np.random.SeedSequence(7, spawn_key=(3,))
    ).integers(2**62)
