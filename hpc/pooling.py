"""Pools on the command line: made from stores, and measured spectra read with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpc.exafs import Disorder, Shell, fit_reference
from hpc.pool_choice import ChosenPool
from xanesml.averages.mesh import NORMALIZATION_OFFSET
from xanesml.errors import SpectrumError
from xanesml.exafs import FitChoices
from xanesml.files.table import write_csv
from xanesml.files.whole import write_text
from xanesml.measured import Treatment
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.card import card
from xanesml.pools.card_sets import incomplete_variants
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import PoolFile
from xanesml.pools.reading import KnownSample, Reader, Reading
from xanesml.pools.trials import TESTED, calibrated
from xanesml.prediction.files import spectra_of
from xanesml.prediction.reference import Wanted

#: Standard uncertainty of an MSD by EXAFS, where none is given, Å².
USUAL_ERROR = 5e-4
#: An uncertainty of the number of first neighbors that only a pool without other numbers gives.
_NO_SPREAD = 1e-3
#: A shift onto the reference that is told, eV.
LARGE_SHIFT = 1.0
#: A misfit from which a spectrum is told to lie outside the pool.
UNLIKE = 1.5

_COLUMNS = (
    *("source", "msd", "msd_error", "msd_low", "msd_high", "bond_minus_reference", "bond_error"),
    *("coordination", "coordination_error", "shift_eV", "misfit"),
)


def make_pool(path: Path, output: Path | None, echo: Callable[[str], object]) -> Path:
    """Make the pool that a file asks for, print what it holds, and return its folder."""
    asked = PoolFile.load(path)
    pool = calibrated(asked)
    written = pool.save(output or Path(asked.name))
    write_text(written.with_name("README.md"), card(pool))
    labels, crystal = pool.mixtures.labels, pool.mixtures.crystal
    runs = sum(one["done"] for one in pool.sources)
    stores = {one["name"] for one in pool.sources}
    echo(f"{written}: {len(labels)} mixtures of {runs} runs in {len(stores)} stores, {pool.element} {pool.shell}")
    for name, rows in (("crystal", crystal), ("samples", ~crystal)):
        (msd, bond, number) = ((column.min(), column.max()) for column in labels[rows].T)
        echo(
            f"  {name}: MSD {msd[0]:.4f} … {msd[1]:.4f} Å², bonds {bond[0]:.3f} … {bond[1]:.3f} Å, "
            f"{number[0]:.1f} … {number[1]:.1f} neighbors"
        )
    for name, size in pool.theory.by_cards.items():
        echo(f"  cards {name}: {size:.0%} of a difference, root mean square over the window")
    for name, paths in incomplete_variants(asked).items():
        told = ", ".join(path.name for path in paths)
        echo(f"  no card set: the variant {name}, which only {told} has; it needs a crystal's store and a particle's")
    if set(pool.widening) != {1.0}:
        factors = ", ".join(f"{factor:.2f}" for factor in pool.widening)
        echo(f"  uncertainties of MSD, bond and neighbors times {factors}, as cards left out show")
    return written.parent


def predict_beside(
    chosen: ChosenPool,
    spectra: Sequence[Path],
    references: Sequence[tuple[Path, Disorder | None]],
    *,
    element: str | None,
    edge: str | None,
    treatment: Treatment,
    output: Path,
    echo: Callable[[object], None],
    **others: Any,
) -> list[str]:
    """Read spectra beside references as the command line asks for it; see `read_beside`."""
    if chosen.shipped is not None:
        echo(f"model {chosen.shipped}")
    if chosen.instead:
        echo(
            f"beside references the pool errs less than the networks of {chosen.instead}; --with network asks for these"
        )
    pool = Pool.load(chosen.folder)
    shell = Shell(None, FitChoices(), treatment)
    known = []
    for path, stated in references:
        of = {"element": element or pool.element, "edge": edge or pool.shell}
        found = stated or fit_reference(shell, path, **of, folder=output / "reference", echo=echo)
        known.append((path, *found))
    return read_beside(
        pool, spectra, known, element=element, edge=edge, treatment=treatment, output=output, echo=echo, **others
    )


def read_beside(
    pool: Pool,
    spectra: Sequence[Path],
    references: Sequence[tuple[Path, float, float | None]],
    *,
    crystal: bool,
    element: str | None,
    edge: str | None,
    signal: str | None,
    treatment: Treatment,
    output: Path,
    figures: bool | None,
    echo: Callable[[str], object],
) -> list[str]:
    """Read spectra beside references, print and write the readings; return the refusals, a line each.

    Raises
    ------
    SpectrumError
        If a reference, or every spectrum, cannot be used.
    """
    wanted = Wanted(pool.element, pool.shell, NORMALIZATION_OFFSET)
    known = [
        KnownSample(
            wanted.normalized(wanted.read(path, element, edge, None)[0], treatment),
            msd,
            USUAL_ERROR if error is None else error,
        )
        for path, msd, error in references
    ]
    reader = Reader(pool, known, crystal=crystal)
    readings: list[Reading] = []
    samples: list[NormalizedSpectrum] = []
    refused: list[str] = []
    for path in spectra_of(spectra):
        try:
            found = wanted.read(path, element, edge, signal, lambda line: refused.append(str(line)))
            for measured in found:
                sample = wanted.normalized(measured, treatment)
                readings += reader.read([sample])
                samples.append(sample)
        except SpectrumError as error:
            refused.append(str(error))
    if not readings:
        raise SpectrumError("; ".join(refused) or "no spectrum was found")
    held = pool.mixtures.labels[~pool.mixtures.crystal, 0]
    warnings = [
        _warnings(sample, one, (float(held.min()), float(held.max())))
        for sample, one in zip(samples, readings, strict=True)
    ]
    for one, warned in zip(readings, warnings, strict=True):
        echo(_line(one, crystal=crystal))
        for warning in warned:
            echo(f"  warning: {warning}")
    if len(pool.theory.by_cards) < TESTED:
        echo(
            f"warning: the pool {pool.name} has no card sets that its uncertainties were tested by; "
            f"the error of theory, {pool.errors.theory:.0%} of a difference, is assumed"
        )
    for doubt in (*reader.calibration.doubts, *(line for one in known for line in one.spectrum.doubts)):
        echo(f"warning: the reference: {doubt}")
    write_csv(output / "readings.csv", _COLUMNS, [_row(one) for one in readings])
    content = {
        "pool": {
            "name": pool.name,
            "sources": pool.sources,
            "errors": pool.errors.model_dump(),
            "widening": pool.widening,
        },
        "crystal": crystal,
        "references": [{"source": one.spectrum.source, "msd": one.msd, "msd_error": one.error} for one in known],
        "readings": [
            asdict(one) | {"neighbors": _neighbors(one, crystal=crystal), "warnings": told}
            for one, told in zip(readings, warnings, strict=True)
        ],
        "refused": refused,
    }
    write_text(output / "readings.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if figures is not False:
        from xanesml.plots.readings import draw_readings  # noqa: PLC0415 (slow)

        draw_readings(readings, known, output / "figures" / "readings.png")
    echo(f"table: {output / 'readings.csv'}")
    return refused


def _row(one: Reading) -> tuple[str | float, ...]:
    return (
        *(one.source, one.msd, one.msd_error, *one.interval, one.bond, one.bond_error),
        *(one.coordination, one.coordination_error, one.shift, one.misfit),
    )


def _neighbors(one: Reading, *, crystal: bool) -> str:
    """Return the number of first neighbors as text; empty if it is not read."""
    if one.coordination_error < _NO_SPREAD:
        return ""
    if crystal:
        return f"{one.coordination:.1f} ± {one.coordination_error:.1f}"
    return f"{one.coordination:+.1f} ± {one.coordination_error:.1f}"


def _line(one: Reading, *, crystal: bool) -> str:
    """Return what is told of a reading."""
    told = "first neighbors are not read, as the pool has one number of them"
    if neighbors := _neighbors(one, crystal=crystal):
        told = f"{neighbors} first neighbors{'' if crystal else ' against the reference'}"
    return (
        f"{one.source}: MSD {one.msd:.4f} Å², 90 % in {one.interval[0]:.4f} … {one.interval[1]:.4f}; "
        f"bonds {one.bond:+.3f} ± {one.bond_error:.3f} Å against the reference; {told}; shifted {one.shift:+.2f} eV"
    )


def _warnings(sample: NormalizedSpectrum, one: Reading, held: tuple[float, float]) -> list[str]:
    """Return the reasons to doubt a reading; `held` is the range of the MSD of the pool's mixtures, Å²."""
    doubts = []
    if not held[0] <= one.interval[0] <= one.interval[1] <= held[1]:
        doubts.append(
            f"the interval reaches beyond the {held[0]:.4f} … {held[1]:.4f} Å² of the pool's mixtures; "
            "make a pool of warmer or colder structures"
        )
    if abs(one.shift) > LARGE_SHIFT:
        doubts.append(
            f"its edge lay {-one.shift:+.2f} eV from the reference's, drift of the energies or chemistry; "
            "it was aligned by its shape, which takes a chemical shift away too"
        )
    if one.misfit > UNLIKE:
        doubts.append(
            f"it lies {one.misfit:.1f} standard deviations outside what the pool and its errors allow: "
            "another phase, another element, or a fault of the spectrum; its interval does not hold"
        )
    return [*doubts, *sample.doubts]
