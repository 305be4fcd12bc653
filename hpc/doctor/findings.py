"""Input and result of a check, and one line for the findings of many hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path

from xanesml.campaign import Campaign, EngineSection

#: Hosts named in one finding, and findings printed in one line; further ones are counted.
NAMED = 3


@dataclass(frozen=True)
class Setting:
    """The job to be checked.

    Attributes
    ----------
    campaign : Campaign or None
        The campaign, if one was named.
    output : Path
        The output folder.
    scratch : Path
        The scratch folder.
    size, hosts : int
        Number of ranks and of hosts.
    ranks : int
        Ranks on this host.
    cores : frozenset of int
        Processors that the ranks of this host may use together.
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
    """Severity of a finding; the worst of several counts."""

    OK = 0
    WARNING = 1
    PROBLEM = 2

    @property
    def label(self) -> str:
        """The mark as printed."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """Result of one check on one host.

    Attributes
    ----------
    mark : Mark
        Its severity.
    text : str
        The finding as one line; a pair of braces stands for `value`.
    remedy : str
        What to do; empty if nothing is wrong.
    value : float or None
        A number in which the same finding may differ from host to host.
    """

    mark: Mark
    text: str
    remedy: str = ""
    value: float | None = None

    def line(self, check: str) -> str:
        """Return it as printed, after the name of its check."""
        told = f"{self.mark.label:<9}{check:<17}{self.text}"
        return f"{told} → {self.remedy}" if self.remedy else told


#: A finding of one severity, from text, remedy and value.
ok, warning, problem = partial(Finding, Mark.OK), partial(Finding, Mark.WARNING), partial(Finding, Mark.PROBLEM)


def summarize(findings: Sequence[tuple[str, Finding]], *, alike: str = "") -> Finding:
    """Summarize the findings of all hosts in one: equal findings once, others with their hosts.

    Parameters
    ----------
    findings : sequence of (str, Finding)
        Host and finding, at least one.
    alike : str, optional
        Remedy if the hosts differ in what must be the same on all of them; differing hosts
        are then a problem.

    Returns
    -------
    Finding
        The worst ones first, with the remedies of those in its text.
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
    return Finding(mark, "; ".join(texts), "; ".join(dict.fromkeys(filter(None, remedies))))


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
