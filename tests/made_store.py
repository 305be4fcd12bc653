"""Stores whose spectra are made up, without FEFF: a formula of the structure and the absorber."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.store.create import lay_out
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file
from xanesml.store.tasks import expand

EDGE = 11919.0


def spectrum(task: int, shift: float) -> StoredSpectrum:
    """A step with an oscillation of a bond shifted by so much; every task has a grid of its own."""
    energy = EDGE - 10.3 + 0.01 * (task % 7) + np.linspace(0, 70, 101) + 0.2 * np.sin(np.arange(101))
    wave = np.sqrt(np.maximum(energy - EDGE, 0.0) / 3.81)
    mu0 = (1.2 + 0.01 * (task % 5)) / (1 + np.exp((EDGE - energy) / 2))
    return StoredSpectrum(energy, mu0 * (1 + 0.1 * np.sin(2 * wave * (2.88 + shift))), mu0, EDGE)


def made_store(path: Path, campaign: Campaign, *, missing: tuple[int, ...] = ()) -> None:
    """Lay a store out and fill it, but for tasks that timed out."""
    table = expand(campaign)
    lay_out(path, campaign, table, "made up")
    delta = np.nan_to_num(table.delta)
    with open_store_file(path, mode="r+") as file:
        writer = RowWriter(file)
        for task in range(len(table)):
            lost = task in missing
            shift = float(delta[table.structure[task]]) + 0.003 * (task % 11)
            writer.write(
                Row(
                    task=task,
                    outcome=Outcome.TIMED_OUT if lost else Outcome.DONE,
                    finished=1.7e9,
                    host="node1",
                    spectrum=None if lost else spectrum(task, shift),
                )
            )
