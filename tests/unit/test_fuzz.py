"""Every reader takes mutated files with an error of one line; benchmarks/fuzz.py does the same for longer."""

from __future__ import annotations

import random
from importlib.util import find_spec

import pytest
from fuzzing import Target, fault, mutated, targets
from hypothesis import given, settings
from hypothesis import strategies as st

TARGETS = {target.name: target for target in targets(measured=find_spec("larch") is not None)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_are_read_or_refused_in_one_line(name: str) -> None:
    target: Target = TARGETS[name]

    @given(st.integers(0, len(target.seeds) - 1), st.integers(0, 2**32))
    @settings(max_examples=8 if target.hdf5 else 25, derandomize=True)
    def check(seed: int, changes: int) -> None:
        data = mutated(target.seeds[seed], random.Random(changes))
        assert fault(target, data) is None

    check()
    assert all(fault(target, seed) is None for seed in target.seeds)
