"""The model card of a pool: what it was made of and what it allows for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xanesml.pools.environments import LABELS
from xanesml.pools.model import Pool


def _source(one: Mapping[str, Any]) -> str:
    return f"{one['name']}, variant {one['variant']}" if "variant" in one else str(one["name"])


def card(pool: Pool) -> str:
    """Return a pool's model card as Markdown."""
    window, errors, theory = pool.window, pool.errors, pool.theory
    within = (pool.energy >= window.first) & (pool.energy <= window.last)
    size = theory.size[within]
    lines = [
        f"# {pool.name}: MSD, bond length and coordination number beside references, {pool.element} {pool.shell}",
        "",
        "Mixtures of environments from molecular dynamics, and a normal distribution conditioned on the difference of "
        "a spectrum from a reference of known mean squared displacement (MSD, Å²):",
        "",
        "    xanesml predict NAME SPECTRUM --reference FOIL --reference-msd MSD",
        "",
        "Further references, each with its MSD, take away what theory gets wrong in common.",
        "",
        "| store | campaign | runs | engine |",
        "| --- | --- | ---: | --- |",
        *(f"| {_source(one)} | `{one['campaign_digest']}` | {one['done']} | {one['engine']} |" for one in pool.sources),
        "",
        f"{len(pool.mixtures)} mixtures, {int(pool.mixtures.crystal.sum())} of them of the crystal alone. Labels:",
        "",
        "| label | smallest | largest |",
        "| --- | ---: | ---: |",
        *(
            f"| {name} | {column.min():.4g} | {column.max():.4g} |"
            for name, column in zip(LABELS, pool.mixtures.labels.T, strict=True)
        ),
        "",
        f"Read are {window.first:g} … {window.last:g} eV from the edge. A sample is expected within {pool.spread:g} Å² "
        "of its reference's MSD (standard deviation). Allowed for are the noise that spectra show, "
        f"errors of {errors.noise:g} edge steps from point to point besides, errors of gain ({errors.gain:g}), of the "
        f"background's slope ({errors.slope:g} edge steps in 50 eV) and offset ({errors.offset:g}), of the alignment "
        f"({errors.shift:g} eV), and of theory: {size.min():.0%} to {size.max():.0%} of a difference, the same over "
        f"{theory.length:g} eV.",
    ]
    if theory.by_cards:
        told = ", ".join(f"{name} {value:.0%}" for name, value in theory.by_cards.items())
        lines += ["", f"The error of theory is what other cards make of the same environments: {told}."]
    if set(pool.widening) != {1.0}:
        factors = ", ".join(f"{factor:.2f} ({label})" for label, factor in zip(LABELS, pool.widening, strict=True))
        lines += [
            "",
            "Uncertainties are those of the normal distribution times the factors by which they hold 90 % of simulated "
            "sessions in the worst of these card sets. Each was read by a pool that knew neither its cards nor its "
            f"structures: {factors}.",
        ]
    return "\n".join(lines) + "\n"
