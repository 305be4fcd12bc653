"""What a check is given and what it finds, and how the findings of many hosts become one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from xanesml.campaign import Campaign, EngineSection

#: Hosts named in one answer, and answers told in one line, before the rest is counted.
NAMED = 3


@dataclass(frozen=True)
class Setting:
    """What the checks are about.

    Attributes
    ----------
    campaign : Campaign or None
        The campaign, where one was named.
    output : Path
        The output folder.
    scratch : Path
        The scratch folder.
    size, hosts : int
        Ranks and hosts in all.
    ranks : int
        Ranks on this host.
    cores : frozenset of int
        Processors that the ranks of this host may use, together.
    """

    campaign: Campaign | None
    output: Path
    scratch: Path
    size: int
    hosts: int
    ranks: int
    cores: frozenset[int]

    @property
    def engine(self) -> EngineSection:
        """The engine section of the campaign, or the default."""
        return self.campaign.engine if self.campaign is not None else EngineSection()


class Mark(IntEnum):
    """How bad a finding is; the worst of several counts."""

    OK = 0
    WARNING = 1
    PROBLEM = 2

    @property
    def label(self) -> str:
        """The mark as printed."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """The answer of one check on one host.

    Attributes
    ----------
    mark : Mark
        How bad it is.
    text : str
        What was found, one line. A pair of braces in it stands for `value`.
    remedy : str
        What to do; empty where nothing is wrong.
    value : float or None
        A number that may differ from host to host without making another finding of it.
    """

    mark: Mark
    text: str
    remedy: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Line:
    """What all hosts found in one check, as printed."""

    mark: Mark
    name: str
    text: str
    remedy: str

    def __str__(self) -> str:
        told = f"{self.mark.label:<9}{self.name:<17}{self.text}"
        return f"{told} → {self.remedy}" if self.remedy else told


def summarize(name: str, findings: Sequence[tuple[str, Finding]], *, alike: str = "") -> Line:
    """Make one line of what the hosts found: equal findings once, others with their hosts.

    Parameters
    ----------
    name : str
        The check.
    findings : sequence of (str, Finding)
        Host and finding, at least one.
    alike : str, optional
        What to do where the hosts differ, for what has to be the same on all of them.
        Differing hosts are then a problem.

    Returns
    -------
    Line
        The line. The worst findings come first, and the remedies are those of the
        findings that it tells.
    """
    groups: dict[Finding, list[tuple[str, float | None]]] = {}
    for host, finding in findings:
        groups.setdefault(replace(finding, value=None), []).append((host, finding.value))
    ranked = sorted(groups, key=lambda finding: -finding.mark)
    told = ranked[:NAMED]
    texts = [_text(finding.text, [value for _, value in groups[finding]]) for finding in told]
    remedies = [finding.remedy for finding in told]
    mark = ranked[0].mark
    if len(ranked) > 1:
        texts = [
            f"{_names([host for host, _ in groups[finding]])}: {text}"
            for finding, text in zip(told, texts, strict=True)
        ]
        if alike:
            mark = Mark.PROBLEM
            remedies.append(alike)
    untold = ranked[NAMED:]
    if untold:
        texts.append(f"and other answers from {sum(len(groups[finding]) for finding in untold)} more")
    return Line(mark, name, "; ".join(texts), "; ".join(dict.fromkeys(filter(None, remedies))))


def _text(text: str, values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return text
    low, high = _number(min(numbers)), _number(max(numbers))
    return text.replace("{}", low if low == high else f"{low}–{high}", 1)


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 10 else f"{value:,.0f}"


def _names(hosts: Sequence[str]) -> str:
    named, more = ", ".join(hosts[:NAMED]), len(hosts) - NAMED
    return f"{named} and {more} more" if more > 0 else named
