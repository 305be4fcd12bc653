from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pot_run import random_potentials

from xanesml.errors import NotApplicable
from xanesml.pot.files import read_free_atoms, read_potentials, write_potentials


@pytest.mark.parametrize("count", [1, 2, 11])
def test_potentials_survive_to_eleven_digits(tmp_path: Path, count: int) -> None:
    made = random_potentials(count)
    write_potentials(tmp_path / "pot.bin", made)
    read = read_potentials(tmp_path / "pot.bin")
    for field in fields(made):
        expected, got = getattr(made, field.name), getattr(read, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_allclose(got, expected, rtol=1e-11, err_msg=field.name)
        else:
            assert got == expected


def test_a_file_that_is_read_is_written_byte_by_byte(tmp_path: Path) -> None:
    write_potentials(tmp_path / "one", random_potentials(2))
    write_potentials(tmp_path / "two", read_potentials(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_lines_have_feffs_length(tmp_path: Path) -> None:
    write_potentials(tmp_path / "pot.bin", random_potentials(2))
    packed = [line for line in (tmp_path / "pot.bin").read_text().splitlines() if line.startswith("!")]
    assert max(map(len, packed)) == 81
    assert (tmp_path / "pot.bin").read_text().splitlines()[0] == ("    2    1    8   -1    4    0    0    0    0")


@pytest.mark.parametrize("keep", [0, 3, 40, 2000])
def test_a_cut_file_is_not_a_pot_bin(tmp_path: Path, keep: int) -> None:
    write_potentials(tmp_path / "pot.bin", random_potentials(2))
    lines = (tmp_path / "pot.bin").read_bytes().splitlines(keepends=True)
    (tmp_path / "pot.bin").write_bytes(b"".join(lines[:keep]))
    with pytest.raises(NotApplicable, match=r"not a complete pot\.bin"):
        read_potentials(tmp_path / "pot.bin")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match=r"cannot read apot\.bin"):
        read_free_atoms(tmp_path / "apot.bin")


def test_what_is_not_an_apot_bin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "apot.bin").write_text("#SN#   Section:    1\n  1 2\n")
    with pytest.raises(NotApplicable, match=r"not a complete apot\.bin"):
        read_free_atoms(tmp_path / "apot.bin")
