"""Cards of FEFF10 that have no key of their own: the stages that they need, and which of them no run here honors.

FEFF10 is a row of programs, the stages, and most cards only tell a stage what to do. A spectrum needs nine stages;
some cards need one more, without which FEFF10 stops, or computes a spectrum as if the card were not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Stages of FEFF10 that only some cards need, in the order in which FEFF10 runs them: between pot and xsph, and last.
BEFORE_PHASES, LAST = ("ldos", "screen", "crpa", "opconsat"), ("sfconv",)

#: Names of the same card.
_ALIASES = {"PLAS": "MPSE", "SO2C": "SFCO"}

_Cards = dict[str, tuple[str, list[str]]]

#: What some cards ask for, and no run does.
_ASKED = {
    **dict.fromkeys(("EXAF", "XES", "DANE", "FPRI", "ELNE", "EXEL", "MAGI"), "another spectrum than XANES"),
    **dict.fromkeys(("COMP", "RHOZ", "CGRI", "DENS"), "densities in place of the spectrum"),
    **dict.fromkeys(("RIXS", "FULL", "BAND"), "a program that feff10-rs does not have"),
    "CFAV": "absorbers, which disorder.absorbers chooses",
}

#: Files that a run would read, by card and by its first parameter where only some of its values read one.
_FILES = {
    ("DEBY", "1"): "spring.inp",
    ("DEBY", "2"): "spring.inp",
    ("DEBY", "4"): "sig2.dat",
    ("DEBY", "5"): "a dynamical matrix",
    ("EXTP", ""): "potentials",
    ("CIF", ""): "a crystal",
    ("EGRI", "2"): "a grid of energies",
    ("CONF", "FILE"): "config.inp",
    ("PMBS", ""): "listedges.pmbse",
    ("INCL", ""): "cards",
    ("LOAD", ""): "cards",
}

#: Where FEFF10 has the parameter by which `_FILES` tells them apart; the others have it first.
_PLACE = {"DEBY": 2}

_ANOTHER_FEFF = "or run a FEFF of your own (engine.kind = 'command')"

#: From this EXCHANGE model on, and from 10 more, FEFF10's screen reads a potential that it has never set.
_UNSCREENED = 5


def cards(lines: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return the cards of lines of feff.inp: each name in full, in capitals, and its parameters.

    Comments are left out. Lines that belong to the card before, such as atoms, are among them.
    """
    words = (re.findall(r"[^\s,]+", line) for text in lines for line in text.splitlines())
    return [(first.upper(), more) for first, *more in filter(None, words) if first[0] not in "*#%;"]


def short(name: str) -> str:
    """Return what FEFF reads of a card's name: four letters."""
    return name[:4].upper()


def stages_needed(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the stages of `BEFORE_PHASES` and `LAST` that the cards among lines of feff.inp need, in their order."""
    given = _by_name(lines)
    needed = {
        # Its densities of states change no spectrum, but with HUBBARD it makes the potentials that xsph reads.
        "ldos": "HUBB" in given,
        "screen": _is_rpa(given),
        # Overwrites the screened hole of `screen`, and the U of HUBBARD.
        "crpa": "CRPA" in given,
        "opconsat": _is_many_pole(given) and "OPCO" in given,
        "sfconv": "SFCO" in given,
    }
    return tuple(stage for stage in (*BEFORE_PHASES, *LAST) if needed[stage])


def refusal(lines: Iterable[str], exchange: int) -> str | None:
    """Return why FEFF10 from the wheel would not do what some cards say, in one line; None if it does.

    Parameters
    ----------
    lines : iterable of str
        The cards, as `feff.extra_cards` has them.
    exchange : int
        The model of the card EXCHANGE.

    References
    ----------
    FEFF10 user's guide, cards COREHOLE, DEBYE, EGRID, EPS0, EXTPOT, HUBBARD, MPSE, OPCONS, SCREEN, SFCONV. That FEFF10
    ignores a card without another, or writes NaN, was measured.
    """
    given = _by_name(lines)
    for name, (full, words) in given.items():
        if name in _ASKED:
            return f"{full} asks for {_ASKED[name]}; remove it"
        place = _PLACE.get(name, 0)
        value = words[place].upper() if len(words) > place else ""
        if file := _FILES.get((name, value)) or _FILES.get((name, "")):
            return f"{' '.join([full, *words])} reads a file ({file}) that no run has; remove it, {_ANOTHER_FEFF}"
        if name == "CONT" and "0" in words[:6]:
            return f"{' '.join([full, *words])} leaves out stages without which there is no spectrum; remove it"
    return _needs_another_card(given, exchange)


def _needs_another_card(given: _Cards, exchange: int) -> str | None:
    if _is_many_pole(given):
        full = given["MPSE"][0]
        if exchange != 0:
            return f"FEFF ignores {full} with EXCHANGE {exchange}; set feff.exchange = [0, ...], or remove {full}"
        if "OPCO" not in given:
            return f"{full} reads a loss function that no run has; add the card OPCONS, {_ANOTHER_FEFF}"
    if _is_rpa(given) and exchange % 10 >= _UNSCREENED:
        return (
            f"FEFF cannot screen the core hole (COREHOLE RPA) with EXCHANGE {exchange}, and spectra are NaN; "
            f"set feff.exchange to a model below {_UNSCREENED}, such as [0, ...]"
        )
    if "HUBB" in given and "LDOS" not in given:
        return "HUBBARD needs the card LDOS, which has the energies of its densities of states; add it"
    wanted = {"SCRE": ("COREHOLE RPA", _is_rpa(given))}
    wanted |= dict.fromkeys(("EPS0", "EGAP"), ("MPSE", _is_many_pole(given)))
    for name, (other, there) in wanted.items():
        if name in given and not there:
            return f"FEFF ignores {given[name][0]} without {other}; add that, or remove {given[name][0]}"
    return None


def _by_name(lines: Iterable[str]) -> _Cards:
    # The last of a card counts.
    return {_ALIASES.get(short(name), short(name)): (name, words) for name, words in cards(lines)}


def _is_rpa(given: _Cards) -> bool:
    hole = [word.upper() for word in given.get("CORE", ("", []))[1]]
    return hole[:1] == ["RPA"] or _whole(given.get("NOHO", ("", []))[1], 0) == 2


def _is_many_pole(given: _Cards) -> bool:
    return "MPSE" in given and _whole(given["MPSE"][1], 1) > 0


def _whole(words: list[str], default: int) -> int:
    try:
        return int(float(words[0])) if words else default
    except ValueError:
        # FEFF refuses it.
        return default
