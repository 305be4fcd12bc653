#!/usr/bin/env python3
"""The spectrum of a crystal in several sets of cards, beside a measured one: whether they are plausible.

    python benchmarks/cards.py reference/pools/pt-crystal.toml examples/measured/pt_c_10wt_20K.xdi \\
        --exchange 5,0.2,0.5 --exchange 0,1.5,0.5 --card "AFOLP 1.0" [--folder FOLDER]

Runs FEFF for the undistorted crystal of a campaign, in its own cards (the baseline) and in each of the others. Prints
the height of the white line, and what is left of the difference from the measured spectrum, from the edge to 45 eV
behind it (RMS), at the best shift and broadening: both in edge steps. A folder keeps the runs.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from feff_cases import heading, row, work_folder

from xanesml import load_campaign
from xanesml.averages.mesh import NORMALIZATION_OFFSET
from xanesml.campaign import Campaign, FeffSection
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import raise_stack_limit
from xanesml.measured import read_spectrum
from xanesml.measured.broadening import broadened
from xanesml.measured.normalization import NormalizedSpectrum, normalize
from xanesml.store.plan import expand

#: Energies that are compared, and those of the white line, eV from the edge.
COMPARED, LINE = (0.0, 45.0), (-5.0, 15.0)
#: Energies of a spectrum, eV from the edge.
WIDE = np.arange(-10.0, 60.0, 0.5)
#: Shifts of the measured energies and Gaussian broadenings of theory that are tried, eV.
SHIFTS, SIGMAS = np.arange(-4.0, 4.0, 0.1), np.arange(0.0, 2.1, 0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", type=Path)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--exchange", action="append", default=[], help="MODEL,EV,EV as on the card EXCHANGE")
    parser.add_argument("--card", action="append", default=[], help="a further card, beside the campaign's exchange")
    parser.add_argument("--folder", type=Path, help="where runs are kept for the next call")
    options = parser.parse_args()
    raise_stack_limit()
    campaign = load_campaign(options.campaign)
    spectrum = read_spectrum(options.measured, element=campaign.structure.element, edge=campaign.feff.edge)
    measured = normalize(spectrum)
    cards = [campaign.feff]
    for text in options.exchange:
        model, *shifts = text.split(",")
        cards.append(campaign.feff.model_copy(update={"exchange": (int(model), *map(float, shifts))}))
    own = campaign.feff.extra_cards
    cards += [campaign.feff.model_copy(update={"extra_cards": [*own, text]}) for text in options.card]
    heading("EXCHANGE, further card", "white line, edge steps", "left of the difference", "ratio to the campaign's")
    baseline = 0.0
    with work_folder(options.folder) as folder:
        for feff in cards:
            mu = crystal(folder, campaign, feff)
            left = misfit(mu, measured)
            baseline = baseline or left
            row(_name(feff), _height(WIDE, mu), f"{left:.3f}", f"{left / baseline:.2f}")
    row("measured", _height(measured.energy - measured.e0, measured.mu), "", "")


def crystal(folder: Path, campaign: Campaign, feff: FeffSection) -> np.ndarray:
    """Return μ in edge steps at `WIDE` of an undistorted crystal's center; kept in the folder."""
    content = campaign.model_dump(exclude={"disorder", "feff"}) | {
        "distortion": {"minimum": 0.0, "maximum": 0.01},
        "feff": feff.model_dump(exclude={"variants"}),
    }
    content["structure"]["images"] = None
    text, request = expand(Campaign.model_validate(content)).inputs(0)
    engine = make_engine(campaign.engine)
    # By all that the spectrum depends on: a folder may serve several campaigns.
    place = folder / (hashlib.blake2b(f"{engine.identity}\0{text}".encode(), digest_size=8).hexdigest() + ".npz")
    if not place.exists():
        result = run_feff(engine, place.with_suffix(""), text, request)
        if result.outcome is not Outcome.DONE or result.spectrum is None:
            raise SystemExit(f"EXCHANGE {feff.exchange}: {result.message}")
        found = result.spectrum
        step = np.interp(found.edge + NORMALIZATION_OFFSET, found.energy, found.mu0)
        np.savez(place, mu=np.interp(found.edge + WIDE, found.energy, found.mu) / step)
    with np.load(place) as kept:
        return np.asarray(kept["mu"])


def misfit(mu: np.ndarray, measured: NormalizedSpectrum) -> float:
    """Return the root mean square difference at the best shift and broadening."""
    shown = np.array([np.interp(WIDE + shift, measured.energy - measured.e0, measured.mu) for shift in SHIFTS])
    within = (COMPARED[0] <= WIDE) & (COMPARED[1] >= WIDE)
    away = [(broadened(mu[np.newaxis], WIDE, sigma) - shown)[:, within] for sigma in SIGMAS]
    return float(np.sqrt((np.array(away) ** 2).mean(axis=-1).min()))


def _name(feff: FeffSection) -> str:
    return " ".join([*(f"{one:g}" for one in feff.exchange), *feff.extra_cards])


def _height(energy: np.ndarray, mu: np.ndarray) -> str:
    return f"{mu[(energy >= LINE[0]) & (energy <= LINE[1])].max():.2f}"


if __name__ == "__main__":
    main()
