"""The expected output of a run, and the check of its spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from ase.data import chemical_symbols
from scipy.constants import angstrom, elementary_charge, hbar, m_e

from xanesml.campaign import FeffSection
from xanesml.extra_cards import stages_needed
from xanesml.feff.cards import card_names, fms_radius, scf_radius
from xanesml.feff.xmu import HeaderCards, Spectrum
from xanesml.files.arrays import Floats

#: Fewest energy points of a plausible XANES spectrum.
MIN_POINTS = 20

#: Most negative μ that counts as numerical noise, in units of the largest μ.
NEGATIVE_NOISE = 1e-3

#: Smallest edge step: largest μ0 over μ0 at the first point, less 1. The broad K edge of gold has 0.8.
MIN_EDGE_STEP = 0.05

#: Largest distance of FEFF's edge from the tabulated one: the larger of eV and a share of the energy.
#: FEFF lies 19 eV (0.26 %) above the table at iron's K edge, 183 eV (0.23 %) at gold's. Edges of
#: one element closer than this are distinguished by the shell in the header.
EDGE_TOLERANCE = (25.0, 0.005)

#: Largest difference of the radii, Å, and of S02; the header has four and three decimals.
RADIUS_TOLERANCE = 1e-3

#: Largest relative difference of the potential's shifts; the header has four digits.
SHIFT_TOLERANCE = 1e-3

#: Smallest S02 that FEFF accepts; below, it computes its own.
MIN_S02 = 0.1

#: FEFF's names of the exchange models, by their numbers on the EXCHANGE card (src/COMMON/head.f90).
EXCHANGE_MODELS = ("H-L exch", "D-H exch", "Gd state", "DH - HL", "DH + HL", "val=s+d", "sigmd(r)", "sigmd=c")

# Energy of a free electron over its wave number squared, eV Å².
_FREE_ELECTRON = hbar**2 / (2 * m_e) / elementary_charge / angstrom**2


def wave_number(energy: Floats) -> Floats:
    """Return a free electron's wave number, Å⁻¹, at energies relative to the edge, eV; with the sign of the energy."""
    return np.asarray(np.sign(energy) * np.sqrt(np.abs(energy) / _FREE_ELECTRON), dtype=np.float64)


@dataclass(frozen=True)
class Request:
    """The expected output of a run.

    Attributes
    ----------
    absorber_number : int
        Atomic number of the absorber.
    edge : str
        Absorption edge, such as `"L3"`.
    scf : bool
        Whether the potentials are self-consistent.
    fms_radius : float or None
        Radius on the FMS card, Å; None for EXAFS, which has no such card and begins at the edge.
    k_max, k_step : float
        Largest k of the spectrum and its step, Å⁻¹.
    max_points : int
        Largest number of energy points: the room in the store.
    cards : HeaderCards
        Further cards, as the header of xmu.dat should repeat them. One that is None, or
        missing in the header, is not checked. `step` is 1 with the ABSOLUTE card, else None.
    names : tuple of str
        Cards that FEFF should list as used, if it lists any.
    convolved : bool
        Whether FEFF's last module should have convolved the spectrum with a spectral function (SFCONV).
    """

    absorber_number: int
    edge: str
    scf: bool
    fms_radius: float | None
    k_max: float
    k_step: float
    max_points: int
    cards: HeaderCards = field(default_factory=HeaderCards)
    names: tuple[str, ...] = ()
    convolved: bool = False

    @classmethod
    def of(cls, feff: FeffSection, *, absorber_number: int, scale: float = 1.0) -> Request:
        """Return the expected output for the input that `feff_input` makes of the same arguments."""
        model, real, imaginary = feff.exchange
        radius = scf_radius(feff, scale)
        # With MBCONV, as with an S02 near 0, FEFF computes its own S02.
        own_s02 = feff.s02 <= MIN_S02 or any(card.upper().startswith("MBCO") for card in feff.extra_cards)
        return cls(
            absorber_number=absorber_number,
            edge=feff.edge,
            scf=feff.scf is not None,
            fms_radius=fms_radius(feff, scale),
            k_max=feff.xanes[0],
            k_step=feff.xanes[1],
            max_points=feff.max_points,
            cards=HeaderCards(
                scf=None if feff.scf is None or radius is None else (feff.scf.iterations, radius, feff.scf.lfms),
                exchange=EXCHANGE_MODELS[model] if model < len(EXCHANGE_MODELS) else None,
                shifts=(real, imaginary),
                s02=None if own_s02 else feff.s02,
                step=1.0 if feff.normalization == "absolute" else None,
            ),
            names=card_names(feff),
            convolved="sfconv" in stages_needed(feff.extra_cards),
        )


def problems(spectrum: Spectrum, request: Request) -> Iterator[str]:
    """Yield the faults of a spectrum, one line each: it differs from the request or is implausible."""
    got = (spectrum.absorber_number, spectrum.shell, spectrum.scf)
    asked = (request.absorber_number, request.edge, request.scf)
    if got != asked:
        yield f"xmu.dat has (Z, shell, SCF) = {got}, requested was {asked}; check the cards"
    if not _same_radius(spectrum.fms_radius, request.fms_radius):
        yield f"xmu.dat has the FMS radius {spectrum.fms_radius} Å, requested was {request.fms_radius} Å"
    if request.fms_radius is not None and not spectrum.energy[0] < spectrum.edge:
        yield f"xmu.dat begins at {spectrum.energy[0]:.1f} eV, not below its edge at {spectrum.edge:.1f} eV"
    yield from _other_cards(spectrum.cards, request.cards)
    points = len(spectrum.energy)
    if points < MIN_POINTS:
        yield f"xmu.dat has {points} energy points, fewer than {MIN_POINTS}; take finer steps (feff.xanes)"
    if points > request.max_points:
        yield f"xmu.dat has {points} energy points, the store has room for {request.max_points}; raise feff.max_points"
    k_end = float(np.sqrt((spectrum.energy[-1] - spectrum.edge) / _FREE_ELECTRON))
    if k_end < request.k_max - request.k_step:
        yield f"xmu.dat ends at k = {k_end:.3f} 1/Å, requested was {request.k_max}; take coarser steps (feff.xanes)"
    if spectrum.mu.min() < -NEGATIVE_NOISE * spectrum.mu.max():
        yield f"mu is negative, {spectrum.mu.min():.3e} where its largest value is {spectrum.mu.max():.3e}"
    if spectrum.mu0.max() < (1 + MIN_EDGE_STEP) * spectrum.mu0[0]:
        yield f"there is no edge step: mu0 starts at {spectrum.mu0[0]:.3e} and reaches {spectrum.mu0.max():.3e}"
    import xraydb  # noqa: PLC0415 (slow to import)

    tabulated = xraydb.xray_edge(chemical_symbols[request.absorber_number], request.edge)
    # Shells missing in the table are checked by the header alone.
    if tabulated is not None:
        absolute, relative = EDGE_TOLERANCE
        if abs(spectrum.edge - tabulated.energy) > max(absolute, relative * tabulated.energy):
            yield f"the edge is at {spectrum.edge:.1f} eV, the table has {tabulated.energy:.1f} eV; check the cards"


def _same_radius(got: float | None, asked: float | None) -> bool:
    return got is asked if got is None or asked is None else abs(got - asked) <= RADIUS_TOLERANCE


def _other_cards(got: HeaderCards, asked: HeaderCards) -> Iterator[str]:
    pairs = (
        ("SCF card (iterations, radius, lfms)", got.scf, asked.scf, RADIUS_TOLERANCE, 0.0),
        ("exchange model", got.exchange, asked.exchange, 0.0, 0.0),
        ("EXCHANGE shifts (real, imaginary)", got.shifts, asked.shifts, 1e-6, SHIFT_TOLERANCE),
        ("S02", got.s02, asked.s02, RADIUS_TOLERANCE, 0.0),
        ("edge step of the ABSOLUTE card", got.step, asked.step, 0.0, 0.0),
    )
    for name, printed, wanted, absolute, relative in pairs:
        if printed is None or wanted is None:
            continue
        same = (
            printed == wanted
            if isinstance(wanted, str)
            else np.allclose(np.array(printed), np.array(wanted), atol=absolute, rtol=relative)
        )
        if not same:
            yield f"xmu.dat has the {name} {printed}, requested was {wanted}; check the cards"
