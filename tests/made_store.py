"""Stores whose spectra are made up, without FEFF: a formula of the structure and the absorber."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file

EDGE = 11919.0


def spectrum(task: int, shift: float) -> StoredSpectrum:
    """A step with an oscillation of a bond shifted by so much; every task has a grid of its own."""
    energy = EDGE - 10.3 + 0.01 * (task % 7) + np.linspace(0, 70, 101) + 0.2 * np.sin(np.arange(101))
    wave = np.sqrt(np.maximum(energy - EDGE, 0.0) / 3.81)
    mu0 = (1.2 + 0.01 * (task % 5)) / (1 + np.exp((EDGE - energy) / 2))
    return StoredSpectrum(energy, mu0 * (1 + 0.1 * np.sin(2 * wave * (2.88 + shift))), mu0, EDGE)


def of_surroundings(positions: np.ndarray, absorber: int) -> StoredSpectrum:
    """A spectrum that depends on the distances from the absorber alone: alike on equivalent atoms, unlike on others."""
    distances = np.linalg.norm(np.delete(positions, absorber, axis=0) - positions[absorber], axis=1)
    energy = EDGE - 10.3 + 0.03 * np.exp(-0.1 * distances).sum() + np.linspace(0, 70, 101)
    wave = np.sqrt(np.maximum(energy - EDGE, 0.0) / 3.81)
    mu0 = (1.2 + 0.01 * np.exp(-0.2 * distances).sum()) / (1 + np.exp((EDGE - energy) / 2))
    chi = (np.sin(2 * wave[:, np.newaxis] * distances) / distances**2).sum(axis=1)
    return StoredSpectrum(energy, mu0 * (1 + 0.1 * chi), mu0, EDGE + 0.01 * len(distances[distances < 3]))


def made_store(
    path: Path,
    campaign: Campaign,
    *,
    missing: tuple[int, ...] = (),
    made: Callable[[np.ndarray, int], StoredSpectrum] | None = None,
) -> None:
    """Lay a store out and fill it, but for tasks that timed out; `made` takes positions and absorber."""
    table = expand(campaign)
    lay_out(path, campaign, table, "made up")
    delta = np.nan_to_num(table.delta)
    with open_store_file(path, mode="r+") as file:
        writer = RowWriter(file)
        for task in range(len(table)):
            lost = task in missing
            structure, absorber = int(table.structure[task]), int(table.absorber[task])
            if made is None:
                one = spectrum(task, float(delta[structure]) + 0.003 * (task % 11))
            else:
                one = made(np.asarray(table.positions[structure]), absorber)
            writer.write(
                Row(
                    task=task,
                    outcome=Outcome.TIMED_OUT if lost else Outcome.DONE,
                    finished=1.7e9,
                    host="node1",
                    spectrum=None if lost else one,
                )
            )
