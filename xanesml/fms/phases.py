"""Reading phase.bin, FEFF's energies and phase shifts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Complexes, Floats
from xanesml.fms.pad import decode


@dataclass(frozen=True)
class Phases:
    """Energies and phase shifts of one run.

    Attributes
    ----------
    momentum : (E,) complex128
        The photoelectron's k, 1/bohr, with Im k ≥ 0; no NaN.
    shifts : tuple of (E, lmax + 1) complex128
        Phase shifts δ_l of each potential, rad, potential 0 being the absorber's; no NaN.
    """

    momentum: Complexes
    shifts: tuple[Complexes, ...]

    def scattering(self, potential: int, lmax: int) -> Complexes:
        """Return the scattering amplitudes of a potential, (E, lmax + 1) complex128, without NaN.

        They are t_l = (exp(2iδ_l) − 1) / 2i; beyond the phase shifts there is no scattering.
        """
        known = self.shifts[potential][:, : lmax + 1]
        result = np.zeros((len(known), lmax + 1), dtype=np.complex128)
        result[:, : known.shape[1]] = np.expm1(2j * known) / 2j
        return result


def read_phases(path: Path) -> Phases:
    """Read a phase.bin of FEFF10 without spin.

    Raises
    ------
    NotApplicable
        If the file is missing or incomplete, has two spins, or holds numbers that are not finite.
    """
    try:
        lines = iter(path.read_bytes().splitlines())
    except OSError as error:
        raise NotApplicable(f"cannot read {path.name}: {error.strerror}") from error
    try:
        spins, energies, _, _, last_potential, _, _, width = (int(word) for word in next(lines).split()[:8])
        if spins != 1:
            raise NotApplicable(f"{path.name} has {spins} spins; only 1 is solved here")
        _numbers(lines, 3, width)
        energy = _numbers(lines, 2 * energies, width).view(np.complex128)
        interstitial = _numbers(lines, 2 * energies, width).view(np.complex128)
        shifts = []
        for _ in range(last_potential + 1):
            lmax = int(next(lines).split()[0])
            both_kappas = _numbers(lines, 2 * energies * (2 * lmax + 1), width).view(np.complex128)
            shifts.append(both_kappas.reshape(energies, 2 * lmax + 1)[:, lmax:])
    except (ValueError, IndexError, StopIteration) as error:
        raise NotApplicable(f"{path.name} is not a complete phase.bin of FEFF10") from error
    momentum = np.sqrt(2 * (energy - interstitial))
    if not all(np.isfinite(numbers).all() for numbers in (momentum, *shifts)):
        raise NotApplicable(f"{path.name} holds numbers that are not finite")
    return Phases(momentum=momentum, shifts=tuple(shifts))


def _numbers(lines: Iterator[bytes], count: int, width: int) -> Floats:
    parts = []
    missing = count * width
    while missing > 0:
        # The first character tells real from complex numbers.
        parts.append(next(lines)[1:])
        missing -= len(parts[-1])
    numbers = decode(b"".join(parts), width)
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers where {count} were expected")
    return numbers
