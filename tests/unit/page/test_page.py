"""The page of a campaign, at every stage."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from campaign_folder import HOSTILE, averaged, half_simulated, predicted, small, trained

from xanesml.errors import StoreError
from xanesml.files.lock import WriteLock
from xanesml.page import write_page
from xanesml.page.runs import read_runs, time_section
from xanesml.page.write import collect

#: Elements without an end.
VOID = {"meta", "link", "input", "path", "rect"}


class Elements(HTMLParser):
    """Counts elements, gathers text and attributes, and checks that elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]


def page(folder: Path) -> Elements:
    path = write_page(folder, small(), now=1.7e9)
    assert path == folder / "report.html"
    assert path.stat().st_size < 5e6
    return Elements(path.read_text(encoding="utf-8"))


def test_a_planned_campaign_says_what_there_is_to_do(tmp_path: Path) -> None:
    made = page(tmp_path / "new")
    assert "31 FEFF runs are planned" in made.text
    for command in ("simulate", "average", "train", "predict"):
        assert f"`xanesml {command}`" in made.text
    assert made.count["svg"] == 0


def test_a_simulation_under_way_shows_outcomes_failures_and_the_series(tmp_path: Path) -> None:
    half_simulated(tmp_path, small())
    made = page(tmp_path)
    assert "9 of 31 FEFF runs are done." in made.text
    assert "3 runs have failed." in made.text
    assert made.text.count("potential\nno convergence") == 3
    assert "node0" in made.text
    assert "4 of 5 distorted structures have a spectrum" in made.text
    assert "Nothing is averaged yet" in made.text
    assert "2023-11-14 22:13 UTC" in made.text
    assert made.count["figure"] == 4


def test_the_whole_campaign_is_on_the_page(tmp_path: Path) -> None:
    half_simulated(tmp_path, small())
    averaged(tmp_path)
    trained(tmp_path)
    predicted(tmp_path, {"warnings": ["the noise is large"]}, {"source": "b.dat", "name": "b", "msd": 0.02})
    sections = collect(tmp_path, small())
    assert [one.name for one in sections] == [
        *("progress", "failures", "time", "series", "averages", "comparison", "learning"),
        *("errors-direct", "intervals-direct", "sensitivity-direct", "readings", "provenance"),
    ]
    assert [(one.problem, one.missing) for one in sections] == [("", "")] * len(sections)
    charts = [chart for one in sections for chart in one.charts]
    assert len({chart.name for chart in charts}) == len(charts)
    made = page(tmp_path)
    assert made.count["figure"] == len(charts)
    names = [value for _, name, value in made.attributes if name == "id"]
    assert len(set(names)) == len(names)
    referred = [value for _, name, value in made.attributes if name in ("aria-labelledby", "for")]
    assert {one for value in referred for one in str(value).split()} <= set(names)
    assert "foil: the noise is large." in made.text
    assert "0.0078 … 0.0112 (90%)" in made.text
    assert "the seed" not in made.text


def test_what_a_pool_has_read_is_on_the_page(tmp_path: Path) -> None:
    reading = {"source": "a.xdi", "msd": 0.0108, "interval": [0.0085, 0.0131], "bond": -0.032, "bond_error": 0.011}
    reading |= {"neighbors": "10.0 ± 0.6", "shift": -0.15, "warnings": [f"noisy {HOSTILE}"]}
    content = {
        "pool": {"name": "au-l3-pool"},
        "references": [{"source": "foil.xdi", "msd": 0.008, "msd_error": 0.0004}],
        "crystal": True,
        "readings": [reading, reading | {"neighbors": ""}],
        "refused": ["b.xdi: no edge"],
    }
    (tmp_path / "readings.json").write_text(json.dumps(content))
    made = page(tmp_path)
    assert "Read by the pool au-l3-pool beside foil.xdi of 0.0080 Å²." in made.text
    for cell in ("0.0108", "0.0085 … 0.0131", "−0.032 ± 0.011", "10.0 ± 0.6", "−0.15"):
        assert cell in made.text
    assert f"a.xdi: noisy {HOSTILE}." in made.text
    assert "b.xdi: no edge." in made.text
    assert "No measured spectrum has been read yet" not in made.text
    (tmp_path / "readings.json").write_text(json.dumps(content | {"crystal": False}))
    assert "first neighbors − reference's" in page(tmp_path).text
    (tmp_path / "readings.json").write_text("{}")
    assert "readings.json lacks or misstates 'readings'; make it again with `xanesml predict`" in page(tmp_path).text


def test_nothing_is_asked_for_but_the_page(tmp_path: Path) -> None:
    averaged(tmp_path)
    made = page(tmp_path)
    for tag, name, value in made.attributes:
        if name in ("src", "href", "action", "srcset"):
            assert str(value).startswith(("#", "data:,")), (tag, name, value)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)


def test_texts_from_files_are_texts_on_the_page(tmp_path: Path) -> None:
    # Past the check of campaign files, which no such name passes.
    hostile = small().model_copy(update={"name": HOSTILE})
    half_simulated(tmp_path, hostile, words=HOSTILE)
    averaged(tmp_path)
    with h5py.File(tmp_path / "tensors.h5", "r+") as file:
        file.attrs["versions"] = f'{{"xanesml": "{html.escape("<b>")}<script>alert(2)</script>"}}'
    predicted(
        tmp_path,
        {"source": HOSTILE, "name": HOSTILE, "element": HOSTILE, "warnings": [HOSTILE]},
        refused=[{"source": HOSTILE, "reason": HOSTILE}],
    )
    path = write_page(tmp_path, hostile)
    text = path.read_text()
    made = Elements(text)
    # The page's own script alone.
    assert made.count["script"] == 1
    assert made.count["img"] == 0
    assert [one for one in made.attributes if one[1].startswith("on")] == []
    assert made.text.count(HOSTILE) >= 8


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    half_simulated(tmp_path, small())
    (tmp_path / "tensors.h5").write_text("no HDF5")
    (tmp_path / "predictions.json").write_text("{}")
    made = page(tmp_path)
    assert "9 of 31 FEFF runs are done." in made.text
    assert "tensors.h5 is not a readable HDF5 file" in made.text
    assert "predictions.json lacks or misstates 'predictions'; make it again with `xanesml predict`" in made.text


def test_a_page_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    with WriteLock(tmp_path / "report.html"), pytest.raises(StoreError):
        write_page(tmp_path, small())
    assert not (tmp_path / "report.html").exists()


def test_the_use_of_the_cores_is_the_time_in_feff(tmp_path: Path) -> None:
    half_simulated(tmp_path, small())
    runs = read_runs(tmp_path / "store.h5")
    section = time_section(runs)
    use = next(chart for chart in section.charts if chart.name == "use").marks[0]
    ran = runs.seconds[:12]
    begun = runs.finished[:12] - ran
    edges = begun.min() + use.x / use.x[-1] * (runs.finished[:12].max() - begun.min())
    assert (use.y * np.diff(edges)).sum() == pytest.approx(ran.sum())
    for first, last, mean in zip(edges[:-1], edges[1:], use.y, strict=True):
        shared = [
            max(0.0, min(last, end) - max(first, start)) for start, end in zip(begun, runs.finished, strict=False)
        ]
        assert mean == pytest.approx(sum(shared) / (last - first), abs=1e-6)
    hosts = next(table for table in section.tables if table.caption == "Use by host")
    assert [row[:3] for row in hosts.rows] == [("node0", "6", "0"), ("node1", "6", "3")]
