#!/usr/bin/env python3
"""Make docs/reference/campaign.md from the models of the campaign.

Without options it prints the page; with `--check` it compares it with docs/reference/campaign.md
and exits with 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from xanesml.campaign import EDGES, ESSENTIAL, MAGIC_NUMBERS, VARIED, Campaign

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "campaign.md"

INTRODUCTION = """\
<!-- Made by tools/campaign_reference.py from xanesml/campaign.py; edit that. -->

# The campaign file

A campaign is one TOML file; `examples/au55-l3.toml` and `examples/demo.toml` are two. `xanesml plan CAMPAIGN`
checks it and prints what it would compute. Ten keys matter for every campaign; the defaults of all others, marked
*advanced* below, suit most.

## The ten keys that matter

{essential}

## Rules

- An unknown key, a wrong type or a value out of range is refused with one line that names the key and what it
  accepts.
- The structures of `[distortion]` and `[disorder]` are computed only if the section is present; it may be empty.
  At least one is required, and averaging requires `[distortion]`. A key or any other section that is missing has
  its default.
- Every output file holds the resolved campaign, with all defaults filled in.
- Numbers are finite. A dash in the unit column stands for no unit."""

#: Values that a validator accepts, where the type does not tell.
ACCEPTED = {
    "structure.element": "chemical symbol",
    "structure.atoms": "integer > 0; " + ", ".join(map(str, MAGIC_NUMBERS[:6])) + ", …",
    "feff.edge": ", ".join(EDGES),
}

#: Rules that join several keys of a section.
RULES = {
    "structure": "`size`, `surfaces`, `images` and `occupancy` go with the shapes, or the file, that take them.",
    "distortion": "`maximum` lies a whole number of steps above `minimum`.",
    "disorder": "`sigma_maximum` is not below `sigma_minimum`.",
    "feff": "`extra_cards` may hold neither a card that has a key of its own nor RESTART, and for the engine `feff10` "
    "none that its runs would not honor: [Further cards](../how-to/feff.md#further-cards).",
    "feff.variants.NAME": f"Besides, at least one of {', '.join(f'`{key}`' for key in VARIED)} of `[feff]`; "
    "the rest, also of `scf`, is the campaign's. Variants may be added to a campaign that was simulated.",
    "engine": "`commands` and `version` are required for `command` and refused for `feff10`.",
    "averaging": "Ranges are `[smallest, largest]`.",
    "tuning": "Ranges are `[smallest, largest]`. At least one setting is searched.",
}

UNIT = re.compile(r"(?:, |\()(Å⁻¹|Å²|Å|eV|s|mesh points|edge steps)(?=[.;)]| \()")


def page() -> str:
    """Return the text of docs/reference/campaign.md."""
    introduction = INTRODUCTION.format(essential="\n".join(_essential()))
    return "\n\n".join([introduction, *_sections(Campaign, "")]) + "\n"


def _essential() -> list[str]:
    """Return the table of the keys that matter."""
    rows = []
    for key, why in ESSENTIAL.items():
        *sections, name = key.split(".")
        model = Campaign
        for section in sections:
            model = _section_of(model.model_fields[section])
        rows.append(f"| `{key}` | {_split(model.model_fields[name])[1]} | {why} |")
    return ["| key | default | why |", "| --- | --- | --- |", *rows]


def _sections(model: type[BaseModel], path: str) -> list[str]:
    """Return a heading, the text and the table of a model, then those of the sections in it."""
    schema = model.model_json_schema()
    heading = f"## `[{path}]`" if path else "## Top level"
    rows, nested = [], []
    for name, field in model.model_fields.items():
        key = f"{path}.{name}" if path else name
        section = _section_of(field)
        named = typing.get_origin(field.annotation) is dict
        if section is not None:
            nested += _sections(section, f"{key}.NAME" if named else key)
        # The table [feff.scf] can also be switched off, which makes it a value.
        if section is None or _false_is_off(model, name):
            rows.append(_row(key, field, _property(schema, name), off=_false_is_off(model, name)))
    text = " ".join((model.__doc__ or "").split())
    table = ["| key | | accepted | unit | default | meaning |", "| --- | --- | --- | --- | --- | --- |", *rows]
    parts = [heading, text, *([RULES[path]] if path in RULES else []), "\n".join(table)]
    return ["\n\n".join(parts), *nested]


def _row(key: str, field: FieldInfo, schema: dict[str, Any], *, off: bool) -> str:
    accepted = ACCEPTED.get(key) or _accepted(schema)
    meaning, default = _split(field)
    units = ", ".join(UNIT.findall(meaning)) or "–"
    level = "**matters**" if key in ESSENTIAL else "advanced"
    accepted += ", or `false`" if off else ""
    cells = [f"`{key.rpartition('.')[2]}`", level, accepted, units, default, meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _split(field: FieldInfo) -> tuple[str, str]:
    """Separate a description's sentence about the default from the rest."""
    description = " ".join((field.description or "").split())
    if field.is_required():
        return description, "required"
    explained = re.search(r" Default: ([^.]*(?:\.\d[^.]*)*)\.", description)
    if explained:
        return description.replace(explained[0], ""), explained[1]
    # A sentence that only repeats the value is not needed beside the column.
    meaning = re.sub(r" Default (?!\S+: )[^;]+\.$", "", description)
    return meaning, "none" if field.default is None else f"`{_toml(field.default)}`"


def _accepted(schema: dict[str, Any]) -> str:
    """Describe a field's JSON Schema in words."""
    match schema:
        case {"anyOf": options}:
            words = " or ".join(_accepted(option) for option in options if option.get("type") != "null")
        case {"enum": values}:
            words = " or ".join(f"`{_toml(value)}`" for value in values)
        case {"const": value}:
            words = f"`{_toml(value)}`"
        case {"$ref": _}:
            words = "table"
        case {"prefixItems": parts}:
            items = [_accepted(part) for part in parts]
            words = f"array of {len(items)}: {items[0] + ' each' if len(set(items)) == 1 else '; '.join(items)}"
        case {"type": "array", "items": item}:
            words = f"array of: {_accepted(item)}"
        case {"type": "number" | "integer"}:
            words = _number(schema)
        case {"type": "object", "additionalProperties": item}:
            words = f"table of: {_accepted(item)}"
        case {"type": "string", "format": "path"}:
            words = "path"
        case {"type": "string"}:
            words = "text"
        case {"type": "boolean"}:
            words = "`true` or `false`"
        case _:
            raise ValueError(f"no words for the schema {schema}")
    return words


def _number(schema: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    return " ".join([schema["type"], ", ".join(limits)]).strip()


def _toml(value: Any) -> str:
    """Return a default as TOML writes it."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _property(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"][name]
    return found


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *typing.get_args(field.annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _false_is_off(model: type[BaseModel], name: str) -> bool:
    if model.model_fields[name].default is None or model is Campaign:
        return False
    try:
        return getattr(model.model_validate({name: False}), name) is None
    except ValidationError:
        return False


def main() -> int:
    """Print the page, or compare it with the file."""
    parser = argparse.ArgumentParser(description="Make docs/reference/campaign.md from the campaign's models.")
    parser.add_argument(
        "--check", action="store_true", help="compare with docs/reference/campaign.md instead of printing"
    )
    text = page()
    if not parser.parse_args().check:
        sys.stdout.write(text)
        return 0
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE} is out of date; run: tools/campaign_reference.py > docs/reference/campaign.md\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
