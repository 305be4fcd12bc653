"""Text from a file is text: no terminal, browser or reader of Markdown obeys it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hpc.cli import app
from xanesml.assessment.summary import code, prose
from xanesml.errors import CampaignError, printable

ESCAPE = "\x1b]0;owned\x07\x1b[31m"


@given(st.text())
def test_what_is_printed_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert all(one.isprintable() or one in "\n\t" for one in shown)
    if all(one.isprintable() for one in text):
        assert shown == text


def test_known_texts_stay_as_they_are() -> None:
    text = "MSD 0.0081 Å², σ² ± 1 — “foil” …\n\tnext"
    assert printable(text) == text
    assert printable(ESCAPE) == "\\x1b]0;owned\\x07\\x1b[31m"
    assert printable("a\u202egnp.exe") == "a\\u202egnp.exe"


def test_a_campaign_does_not_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hpc.comm import exit_with

    path = tmp_path / "campaign.toml"
    path.write_text('name = "x"\n[distortion]\n"\\u001b[31mred" = 1\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["plan", str(path)])
    assert isinstance(result.exception, CampaignError)
    with pytest.raises(SystemExit):
        exit_with(result.exception, 2)
    said = capsys.readouterr().err
    assert "unknown key 'distortion.\\x1b[31mred'" in said
    assert "\x1b" not in said


def test_a_name_is_neither_html_nor_the_end_of_a_cell() -> None:
    name = f"<script>alert(1)</script>`|{ESCAPE}\nnext"
    assert code(name) == "`<script>alert(1)</script>'/\\x1b]0;owned\\x07\\x1b[31m next`"
    assert prose(name) == "&lt;script>alert(1)&lt;/script>`/\\x1b]0;owned\\x07\\x1b[31m next"
