"""Run folders as FEFF10's stages rdinp to xsph leave them, with made-up numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOHR = 0.529177249


def packed(number: float, width: int = 8) -> str:
    """Write a number in FEFF's packed ASCII form."""
    exponent = math.floor(math.log10(abs(number))) + 1 if number else 0
    digits = round(abs(number) / 10.0**exponent * 90 ** (width - 1) / 2)
    if 2 * digits >= 90 ** (width - 1):
        exponent, digits = exponent + 1, round(digits / 10)
    codes = []
    for _ in range(width - 2):
        digits, code = divmod(digits, 90)
        codes.append(code)
    codes += [2 * digits + (number > 0), exponent + 45]
    return "".join(chr(code + 37) for code in reversed(codes))


def packed_lines(numbers: ArrayLike, width: int = 8) -> Iterable[str]:
    """Yield lines of packed numbers as FEFF writes them, at most 82 characters after the first."""
    values = np.asarray(numbers).ravel()
    mark, parts = ("$", 2) if np.iscomplexobj(values) else ("!", 1)
    per_line = 82 // (parts * width)
    plain = values.astype(complex).view(float) if parts == 2 else values
    for start in range(0, len(values), per_line):
        some = plain[parts * start : parts * (start + per_line)]
        yield mark + "".join(packed(float(number), width) for number in some)


def phase_text(
    momentum: NDArray[np.complex128], shifts: list[NDArray[np.complex128]], *, spins: int = 1, width: int = 8
) -> str:
    """Return a phase.bin; `shifts` are (E, lmax + 1) for each potential."""
    count = len(momentum)
    interstitial = np.full(count, -0.3 + 0.01j)
    lines = [f" {spins:4d} {count:4d} {count:4d} {0:4d} {len(shifts) - 1:4d} {4:4d} {1:4d} {width:4d}    8    8    1"]
    lines += packed_lines([2.5, -0.2, 400.0], width)
    lines += packed_lines(momentum**2 / 2 + interstitial, width)
    lines += packed_lines(interstitial, width)
    for potential, shift in enumerate(shifts):
        lmax = shift.shape[1] - 1
        lines.append(f" {lmax:3d} {29 + potential:3d} Cu    ")
        # Those of negative kappa are of no use without spin.
        lines += packed_lines(np.concatenate([np.full((count, lmax), 9.0 + 9j), shift], axis=1), width)
    lines += packed_lines(np.zeros(8 * count, dtype=complex), width)
    return "\n".join(lines) + "\n"


def write_run(
    folder: Path,
    *,
    positions: ArrayLike,
    potentials: ArrayLike,
    lmax: ArrayLike,
    momentum: NDArray[np.complex128],
    shifts: list[NDArray[np.complex128]],
    radius: float = 50.0,
    switches: dict[str, int] | None = None,
    sigma2: float = 0.0,
) -> None:
    """Write the files that the FMS stage reads; positions in Å, `lmax` by potential."""
    switches = {
        "mfms": 1, "idwopt": -1, "minv": 0, "ispin": 0, "do_nrixs": 0, "ispace": 1, "i_hubbard": 1, "spins": 1,
        "max_atoms": len(np.atleast_1d(potentials)), "lx": int(np.max(lmax)), "slice": 0,
    } | (switches or {})  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".dimensions.dat").write_text(
        f" {switches['max_atoms']} {switches['lx']} {len(np.atleast_1d(lmax))} {switches['spins']}\n"
    )
    limits = [f"{value:4d}" for value in np.atleast_1d(lmax)]
    rows = ["".join(limits[start : start + 20]) for start in range(0, len(limits), 20)]
    (folder / "fms.inp").write_text(
        "\n".join(
            [
                "mfms, idwopt, minv",
                f"{switches['mfms']:4d}{switches['idwopt']:4d}{switches['minv']:4d}",
                "rfms2, rdirec, toler1, toler2",
                f"{radius:13.5f}{2 * radius:13.5f}      0.00100      0.00100",
                "tk, thetad, sig2g",
                f"      0.00000      0.00000{sigma2:13.5f}",
                " lmaxph(0:nph)",
                *rows,
                " the number of decomposi",
                "   -1",
                " save_gg_slice",
                " T" if switches["slice"] else " F",
                "do_fms",
                "   1",
            ]
        )
        + "\n"
    )
    atoms = "\n".join(
        f"{index:4d} {x:12.5f} {y:12.5f} {z:12.5f} {potential:3d}   1"
        for index, ((x, y, z), potential) in enumerate(
            zip(np.asarray(positions), np.atleast_1d(potentials), strict=True), start=1
        )
    )
    (folder / "geom.dat").write_text(
        f"nat, nph = {len(rows):5d}{1:5d}\n    1    2\n iat     x       y        z       iph  \n {'-' * 71}\n{atoms}\n"
    )
    (folder / "global.inp").write_text(
        " nabs, iphabs - CFAVERAGE data\n       1       0 100000.00000\n ipol, ispin, le2, elpty\n"
        f"    0{switches['ispin']:5d}    0      0.0000      0.0000    0{switches['do_nrixs']:5d}   -1   -1\n"
    )
    (folder / "reciprocal.inp").write_text(f"ispace\n{switches['ispace']:4d}\n")
    (folder / "hubbard.inp").write_text(f"i_hubbard mldos_hubb U_hubbard\n{switches['i_hubbard']:12d}   1  0.0E+000\n")
    (folder / "phase.bin").write_text(phase_text(momentum, shifts))
