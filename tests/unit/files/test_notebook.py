"""What notebooks show: cards and tables, with all text escaped, and libraries of the extra."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest

from xanesml.errors import EnvironmentProblem
from xanesml.files.notebook import Card, Entry, html_table, notebook_library

HOSTILE = '<script>a & "b"</script>'


class Shown(Card):
    def card(self) -> tuple[str, list[Entry]]:
        return HOSTILE, [("a", "1"), ("longer", HOSTILE)]


def cells(html: str) -> list[list[tuple[str, str | None]]]:
    """Return the tags and texts of a table's cells, row by row."""
    return [[(cell.tag, cell.text) for cell in row] for row in ElementTree.fromstring(html).iter("tr")]


def test_a_card_is_a_title_and_aligned_lines() -> None:
    assert repr(Shown()).splitlines() == [HOSTILE, "  a:      1", f"  longer: {HOSTILE}"]


def test_a_card_is_a_table_whose_text_is_text() -> None:
    html = Shown()._repr_html_()
    assert "<script>" not in html
    title, table = ElementTree.fromstring(f"<div>{html}</div>")
    assert title.text == HOSTILE
    assert cells(ElementTree.tostring(table, encoding="unicode")) == [
        [("th", "a"), ("td", "1")],
        [("th", "longer"), ("td", HOSTILE)],
    ]


def test_a_table_with_a_head_has_plain_rows() -> None:
    assert cells(html_table(("x", HOSTILE), [("1", "2")])) == [
        [("th", "x"), ("th", HOSTILE)],
        [("td", "1"), ("td", "2")],
    ]


@pytest.mark.requires("pandas")
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notebook_library("pandas").__name__ == "pandas"
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        EnvironmentProblem, match=r'^this needs pandas \(.*\); run `pip install "xanesml\[notebook\]"`$'
    ):
        notebook_library("pandas")
