"""A campaign made of a feff.inp: its structure, and its cards as keys."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols
from pydantic import ValidationError

from xanesml.campaign import EDGES, Campaign, first_problem
from xanesml.errors import CampaignError
from xanesml.structures.feff_inp import FeffInput, read_feff_input

#: Cards that a campaign does not take over, and why.
_LEFT_OUT = {
    "CONTROL": "a run does all of its steps",
    "PRINT": "only spectra are kept",
    "RPATH": "paths are for EXAFS",
    "RMAX": "paths are for EXAFS",
    "NLEG": "paths are for EXAFS",
    "CRITERIA": "paths are for EXAFS",
    "EXAFS": "a campaign computes XANES",
    "RESTART": "it changes mu by more than a 0.01 Å distortion does",
    "SIG2": "disorder comes from the structures",
    "DEBYE": "disorder comes from the structures",
}
_OWN = ("TITLE", "EDGE", "HOLE", "SCF", "CORVAL", "EXCHANGE", "S02", "XANES", "FMS", "ABSOLUTE")


def campaign_text(path: Path, *, beside: Path | None = None) -> str:
    """Return a campaign file (TOML) of the structure and cards of a feff.inp.

    Each key says which card it is from. What a campaign does not take over is named in comments, as are values
    of its own where FEFF's default is none that a campaign can have.

    Parameters
    ----------
    path : Path
        The feff.inp.
    beside : Path, optional
        Folder that the campaign file will be in. Default: the present folder.

    Raises
    ------
    StructureError
        If the file is no complete feff.inp.
    CampaignError
        If a card cannot be read, or a campaign cannot have its value.
    """
    found = read_feff_input(path)
    keys, notes = feff_keys(path, found)
    name = re.sub(r"[^\w.-]+", "-", path.resolve().parent.name if path.stem.lower() == "feff" else path.stem)
    structure = {
        "element": chemical_symbols[found.atoms.numbers[found.absorber]],
        "file": os.path.relpath(path, beside or Path()),
        "absorber": found.absorber,
    }
    content: dict[str, Any] = {"name": name.strip("-.") or "feff", "structure": structure, "feff": keys}
    try:
        Campaign.model_validate(content | {"distortion": {}})
    except ValidationError as error:
        raise CampaignError(f"{path}: {first_problem(error, Campaign)}") from error
    title = " ".join(found.cards.get("TITLE", []))
    lines = [f"# Made of {path}{': ' + title if title else ''}", *(f"# {note}" for note in notes)]
    lines += [f"name = {_toml(content['name'])}", "", "[structure]"]
    lines += [f"{key} = {_toml(value)}" for key, value in structure.items()]
    lines += ["", "[distortion]", "", "[disorder]", "structures = 20", "", "[feff]"]
    return "\n".join([*lines, *(f"{key} = {_toml(value)}" for key, value in keys.items())]) + "\n"


def feff_keys(path: Path, found: FeffInput) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of a campaign's [feff] for the cards of a feff.inp, and what else is to be said.

    Raises
    ------
    CampaignError
        If a card cannot be read.
    """
    cards = found.cards
    notes: list[str] = []

    def numbers(card: str, *defaults: float) -> list[float]:
        words = cards.get(card, [])[: len(defaults)]
        try:
            given = [float(re.sub("[dD]", "e", word)) for word in words]
        except ValueError as error:
            raise CampaignError(f"{path}: the card {card} has {' '.join(words)!r}; give numbers") from error
        if more := cards.get(card, [])[len(defaults) :]:
            notes.append(f"left out: {' '.join(more)}, the last of {card}, for which a campaign has no key")
        return given + list(defaults[len(given) :])

    keys: dict[str, Any] = {"edge": _edge(path, cards)}
    if "SCF" in cards:
        radius, lfms, iterations, mixing, steps = numbers("SCF", 4.0, 0, 30, 0.2, 1)
        keys["scf"] = {
            "radius": radius,
            "lfms": int(lfms),
            "iterations": int(iterations),
            "mixing": mixing,
            "mixing_iterations": int(steps),
        }
    else:
        keys["scf"] = False
    keys["corval"] = numbers("CORVAL", -70.0)[0] if "CORVAL" in cards else False
    model, real, imaginary = numbers("EXCHANGE", 0, 0.0, 0.0)
    keys["exchange"] = [int(model), real, imaginary]
    keys["s02"] = numbers("S02", 1.0)[0] or 1.0
    largest, step, near = numbers("XANES", 3.7, 0.05, 0.1)
    if "XANES" not in cards or len(cards["XANES"]) < 3 or not near:
        notes.append("XANES states no step near the edge; 0.1 eV is of the campaign")
    keys["xanes"] = [largest, step, near or 0.1]
    if "FMS" in cards:
        keys["fms_radius"] = numbers("FMS", 4.0)[0]
    else:
        notes.append("there is no FMS card; fms_radius is the campaign's default: choose it")
        keys["fms_radius"] = 7.0
    if found.shared:
        notes.append("which atoms share a potential is left to feff.potentials, not taken from the file")
    keys["lmax"] = found.lmax
    keys["normalization"] = "absolute"
    extra = [" ".join([card, *words]) for card, words in cards.items() if card not in {*_OWN, *_LEFT_OUT}]
    if extra:
        keys["extra_cards"] = extra
    notes += [f"left out: {card}, as {reason}" for card, reason in _LEFT_OUT.items() if card in cards]
    return keys, notes


def _edge(path: Path, cards: dict[str, list[str]]) -> str:
    word = (cards.get("EDGE") or cards.get("HOLE") or ["K"])[0].upper()
    if word.isdecimal() and 1 <= int(word) <= len(EDGES):
        return EDGES[int(word) - 1]
    if word not in EDGES:
        raise CampaignError(f"{path}: FEFF does not know the edge {word!r}; it knows {', '.join(EDGES)}")
    return word


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON's texts, numbers and truths are TOML's as well.
    return json.dumps(value, ensure_ascii=False)
