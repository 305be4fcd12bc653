from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpc.closing import Closing, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (18_720, "5 h 12 min"),
        (86_399, "1 d 0 h"),
        (183_600, "2 d 3 h"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_next_command_has_the_users_names_quoted() -> None:
    closing = Closing(Path("my campaign.toml"), Path("out put"))
    assert closing.command("average", ranks=True) == "mpirun xanesml average 'my campaign.toml' --output 'out put'"
    assert Closing(Path("x.toml")).command("report") == "xanesml report x.toml"
    assert Closing(None, Path("out")).command("report") == "xanesml report CAMPAIGN --output out"


def test_the_line_says_what_was_made_and_what_comes_next() -> None:
    line = Closing().line([Path("out/tensors.h5"), "12 figures"], "xanesml train x.toml")
    assert re.fullmatch(r"made out/tensors\.h5, 12 figures in \d+\.\d s; next: xanesml train x\.toml", line)
    assert Closing().line([], "x").startswith("made nothing in ")
