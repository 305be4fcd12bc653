from __future__ import annotations

import numpy as np
import pytest
from fms_run import packed
from hypothesis import given, settings
from hypothesis import strategies as st

from xanesml.fms.pad import decode

# Magnitudes that the exponent's character has room for.
numbers = st.floats(-1e35, 1e35).filter(lambda number: number == 0 or abs(number) > 1e-35)


@settings(deadline=None)
@given(st.lists(numbers, max_size=20))
def test_numbers_survive_to_twelve_digits(values: list[float]) -> None:
    np.testing.assert_allclose(decode("".join(map(packed, values)).encode(), 8), values, rtol=1e-11)


@settings(deadline=None)
@given(numbers, st.integers(4, 12))
def test_the_width_sets_the_precision(value: float, width: int) -> None:
    assert decode(packed(value, width).encode(), width)[0] == pytest.approx(
        value, rel=max(10 * 90.0 ** (2 - width), 1e-14)
    )


def test_a_number_from_feff_is_read() -> None:
    # From a phase.bin of gold: an energy in hartree.
    assert decode(b"R1no&R3N", 8)[0] == pytest.approx(-0.1515610883031439, rel=1e-13)


@pytest.mark.parametrize("text", [b"R1no&R3", b"R1no& 3N", b"R1no&R3\x7f"])
def test_what_is_not_packed_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="packed numbers"):
        decode(text, 8)
