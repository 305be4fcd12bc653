"""The campaign: one TOML file with the settings of every step, from structures to training.

The description of a field gives its unit and default. Unknown keys are refused. Every
output file holds the resolved campaign.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from ase.data import atomic_numbers, reference_states
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from xanesml.errors import CampaignError
from xanesml.extra_cards import cards, refusal, short

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from typing_extensions import Self

#: Absorption edges that FEFF's EDGE card understands by name.
EDGES = ("K", *(f"{shell}{i}" for shell, n in zip("LMNOP", (3, 5, 7, 7, 3), strict=True) for i in range(1, n + 1)))

#: Largest SCF mixing (ca1) that FEFF10 takes.
FEFF10_MIXING = 0.5

#: Magic numbers of cuboctahedron and icosahedron, the first of them by the number of shells from 1.
MAGIC_NUMBERS = tuple((10 * n**3 + 15 * n**2 + 11 * n + 3) // 3 for n in range(1, 16))

#: Names of the numbers that size a particle in `ase.cluster`, for the shapes that `structure.size` sizes.
SIZES = {"octahedron": ("length", "cutoff"), "decahedron": ("p", "q", "r")}

#: Keys of the structure that a file replaces.
_REPLACED_BY_FILE = {"shape", "atoms", "size", "surfaces", "lattice_constant"}

#: Lattice constant of gold, Å; for other elements it is ase's.
_GOLD = 4.0782

#: The ten keys to think about for every campaign, and why. The defaults of all others suit most campaigns.
ESSENTIAL = {
    "name": "Names the output folder.",
    "structure.element": "The absorber.",
    "structure.atoms": "Size of the particle.",
    "structure.lattice_constant": "The undistorted bond length, times √2.",
    "structure.file": "Your own structure, in place of the particle.",
    "disorder.structures": "Particles to test the averages on: most of the FEFF runs, one for each absorber.",
    "feff.edge": "The edge that you measured.",
    "feff.fms_radius": "Reach of multiple scattering: a larger one is more accurate and slower.",
    "averaging.sigma": "Range of disorder that the model learns; it must contain that of your samples.",
    "averaging.families": "Size of the training set: `families` × `means_per_family` spectra.",
}

#: Keys that were added to sections after files had been written, with the values that say how those were made.
EARLIER_VALUES: dict[str, dict[str, Any]] = {
    "feff": {"potentials": "element", "representative": "nearest", "stoichiometry": "feff"},
    "engine": {"pot": "feff", "pot_grid": "feff"},
}

#: Keys of two sections that change nothing at their defaults: there they are no part of a campaign's identity, and
#: files made without them have the same one.
NEUTRAL_KEYS = (
    *("block_dropout", "activation", "pooling", "stride", "initial_weights", "optimizer", "momentum"),
    *("weight_decay", "l1", "l2"),
)

#: Cards of `[feff]` that a variant may have of its own. The others are of all rows of a store: what is computed, how it
#: is normalized, and the room for it.
VARIED = (
    *("scf", "corval", "exchange", "s02", "xanes", "fms_radius", "lmax", "radii"),
    *("potentials", "representative", "stoichiometry", "extra_cards"),
)

#: Name of a variant: a bare key of TOML.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"

#: Variants that one store has codes for.
MOST_VARIANTS = 99

# The context in which pydantic checks a campaign that files were made with.
_RESTORED = {"restored": True}

#: What a network is made of, and how it is trained; names of Keras.
Activation = Literal["relu", "leaky_relu", "elu", "selu", "silu", "gelu", "tanh"]
Pooling = Literal["max", "average", "none"]
InitialWeights = Literal["he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]

#: How spectra are measured: alone, or with a reference of known disorder.
Mode = Literal["direct", "reference"]

Item = TypeVar("Item")


def _false_is_off(value: Any) -> Any:
    return None if value is False else value


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[1] < value[0]:
        raise ValueError(f"the range {list(value)} runs backwards; give [smallest, largest]")
    return value


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Choices = Annotated[list[Item], Field(min_length=1)]
Range = Annotated[tuple[Item, Item], AfterValidator(_ordered)]
#: A value that `false` switches off.
OrFalse = Annotated[Item | None, BeforeValidator(_false_is_off)]


def as_made(content: Any) -> Any:
    """Return the content of a campaign, its keys that were added later with the values that say how it was made."""
    if not isinstance(content, dict):
        return content
    sections = {name: content.get(name) for name in EARLIER_VALUES}
    return content | {
        name: EARLIER_VALUES[name] | section for name, section in sections.items() if isinstance(section, dict)
    }


def without_variants(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a campaign's content without the variants of its cards, of which no average and no network is made."""
    feff = content.get("feff")
    own = {"feff": {key: value for key, value in feff.items() if key != "variants"}} if isinstance(feff, dict) else {}
    return {**content, **own}


def index_slice(text: str, of: str = "images") -> slice:
    """Return a choice of images or structures, such as ``::10`` or ``-5:``, as a slice.

    Raises
    ------
    ValueError
        If the text is not a slice of whole numbers.
    """
    parts = text.split(":")
    try:
        if not 2 <= len(parts) <= 3:
            raise ValueError
        chosen = slice(*(int(part) if part.strip() else None for part in parts))
        range(0)[chosen]
    except ValueError:
        raise ValueError(f"{text!r} is no slice of {of}; give first:last:step, such as '::10' or '100:'") from None
    return chosen


def miller_indices(text: str) -> tuple[int, int, int]:
    """Return the Miller indices of a face, such as ``111`` or ``1-10``; ValueError where they are none."""
    found = re.fullmatch(r"(-?\d)(-?\d)(-?\d)", text)
    if found is None or text.strip("-0") == "":
        raise ValueError(f"{text!r} are no Miller indices of a face; give three digits, such as '111'")
    first, second, third = map(int, found.groups())
    return first, second, third


def _lattice_constant(element: str, shape: str | None) -> float | None:
    """Return the lattice constant of a particle, Å; None for an element without one that ase knows."""
    if element == "Au":
        return _GOLD
    state: dict[str, Any] = reference_states[atomic_numbers.get(element, 0)] or {}
    known = state.get("symmetry") == "fcc" or (shape == "wulff" and state.get("symmetry") in ("bcc", "sc"))
    return float(state["a"]) if known else None


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class StructureSection(_Section):
    """The undistorted cluster: a particle of a shape, or any file that ase reads."""

    element: str = "Au"
    """Chemical symbol of the particle's atoms, and of the absorber in a file. Default Au."""
    shape: Literal["cuboctahedron", "icosahedron", "decahedron", "octahedron", "wulff"] = "cuboctahedron"
    """Shape of the particle, as `ase.cluster` makes it: fcc, but `wulff` in the element's own structure.
    Default cuboctahedron."""
    atoms: PositiveInt | None = None
    """Number of atoms: 13, 55, 147, 309, 561, 923, … for cuboctahedron and icosahedron; for `wulff` the nearest
    possible one. Default: 55; `size` gives it for the other shapes."""
    size: list[Annotated[int, Field(ge=0)]] | None = None
    """For `octahedron` ase's [length, cutoff], for `decahedron` its [p, q, r]; required there. Default none."""
    surfaces: dict[str, Positive] | None = None
    """For `wulff` the relative energies of the faces, such as { 111 = 1.0, 100 = 1.15 }; required there.
    Default none."""
    lattice_constant: Positive | None = None
    """Lattice constant of the particle, Å. Default: 4.0782 for gold, for other fcc elements ase's."""
    file: Path | None = None
    """Structure file that ase reads, relative to the campaign file; replaces the particle. Default none."""
    images: str | None = None
    """Images of `file` that are the disordered structures, as ase writes a slice, such as `"::10"`. The file's first
    image is then the undistorted cluster, and without `images` its last. Default none."""
    file_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """BLAKE2b of the structure file (`b2sum -l 128`), which identifies it wherever it lies. Default: found from it."""
    radius: Positive | None = None
    """Radius of the sphere cut from a periodic file around the absorber, Å.
    Default: none, required unless the file is of one particle with vacuum around it."""
    absorber: int | None = Field(default=None, ge=0)
    """Index of the central absorber in the file, from 0. Default: the atom of `element` nearest to the center of
    mass of the connected particle."""
    first_shell: Literal["any", "element"] = "any"
    """First neighbors of the absorber: atoms of `any` element, or of its own, such as palladium's in a hydride.
    Default any."""
    first_shell_cutoff: Positive | None = None
    """Largest bond length of the first shell, Å. Default: inside the first gap between the absorber's distances."""
    occupancy: Literal["random"] | None = None
    """`random` fills shared and partly empty sites by the campaign's seed, once for all structures. Default: a file
    with such sites is refused."""
    minimum_distance: Positive = 0.5
    """Smallest distance accepted between two atoms, Å. Default 0.5."""

    @field_validator("element")
    @classmethod
    def _known_element(cls, value: str) -> str:
        if value not in atomic_numbers or value == "X":
            raise ValueError(f"{value!r} is not a chemical element; give its symbol, such as 'Au'")
        return value

    @field_validator("images")
    @classmethod
    def _slice_of_images(cls, value: str | None) -> str | None:
        if value is not None:
            index_slice(value)
        return value

    @field_validator("surfaces")
    @classmethod
    def _miller_indices(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for name in value or {}:
            miller_indices(name)
        return value

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_shape(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("file") is not None:
            return content
        content = dict(content)
        if content.get("atoms") is None and content.get("shape") not in SIZES:
            content["atoms"] = 55
        if content.get("lattice_constant") is None:
            content["lattice_constant"] = _lattice_constant(content.get("element", "Au"), content.get("shape"))
        return content

    @model_validator(mode="after")
    def _whole_particle(self) -> StructureSection:
        if self.file is not None:
            if self.images is not None and self.occupancy is not None:
                raise ValueError(
                    "images and occupancy do not go together; give files in which every site holds one atom"
                )
            return self
        for name in ("images", "occupancy"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} needs a structure file; give file, or remove {name}")
        for name, wanted in (("size", self.shape in SIZES), ("surfaces", self.shape == "wulff")):
            if (getattr(self, name) is not None) != wanted:
                raise ValueError(f"the shape {self.shape} {'needs' if wanted else 'does not take'} {name}")
        match self.shape:
            case "cuboctahedron" | "icosahedron":
                if self.atoms not in MAGIC_NUMBERS:
                    raise ValueError(
                        f"atoms: {self.atoms} is not a magic number; choose one of {', '.join(map(str, MAGIC_NUMBERS))}"
                    )
            case "octahedron" | "decahedron":
                self._check_size()
        if self.lattice_constant is None:
            raise ValueError(
                f"{self.element} is not fcc, and the shape {self.shape} is an fcc particle; give the lattice_constant "
                "of an fcc one, or a structure file"
            )
        return self

    def _check_size(self) -> None:
        names, size = SIZES[self.shape], self.size or []
        if self.atoms is not None:
            raise ValueError(f"atoms follows from the size of the shape {self.shape}; remove atoms")
        if len(size) != len(names):
            raise ValueError(f"size of the shape {self.shape} is [{', '.join(names)}]; {size} is not")
        if self.shape == "octahedron" and size[0] < 2 * size[1] + 1:
            raise ValueError(
                f"size {size}: an octahedron of length {size[0]} has a cutoff of at most {(size[0] - 1) // 2}"
            )
        if self.shape == "decahedron" and min(size[:2]) < 1:
            raise ValueError(f"size {size}: p and q of a decahedron are 1 or more")


class DistortionSection(_Section):
    """The isotropic series: the first shell shifted by δ = minimum … maximum."""

    minimum: float = -0.45
    """Smallest shift δ of the first shell, Å. Default −0.45."""
    maximum: float = 0.45
    """Largest shift δ of the first shell, Å. Default +0.45."""
    step: Positive = 0.01
    """Step of δ, Å. Default 0.01: 91 structures."""
    length: Literal["first_shell", "lattice_constant"] = "first_shell"
    """Length that δ is added to. `lattice_constant` shifts the first shell by δ/√2. Default first_shell."""
    absorbers: Literal["center", "sites"] = "center"
    """Absorbers of a distorted structure: the center, or one atom for each class of equivalent sites, so that the
    series is of the whole particle. Default center."""

    @model_validator(mode="after")
    def _ordered(self) -> DistortionSection:
        steps = (self.maximum - self.minimum) / self.step
        if self.maximum <= self.minimum or abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"minimum {self.minimum}, maximum {self.maximum} and step {self.step} do not make a grid; "
                "the maximum must lie a whole number of steps above the minimum"
            )
        return self


class DisorderSection(_Section):
    """Disordered structures: every atom displaced by N(0, σ), with several absorbers each."""

    structures: PositiveInt = 1000
    """Number of disordered structures. Default 1000."""
    sigma_minimum: Positive = 0.02
    """Displacement σ of the first structure, Å. Default 0.02."""
    sigma_maximum: Positive = 0.14
    """Displacement σ of the last structure, Å; the others are evenly spaced in between. Default 0.14."""
    directions: Literal["sphere", "uniform_angles"] = "sphere"
    """Distribution of the displacements' directions; `uniform_angles` favors the poles. Default sphere."""
    absorbers: Literal["first_shell", "all", "sample"] | list[Annotated[int, Field(ge=0)]] = "first_shell"
    """Absorbers of the particle average: the center and its first neighbors, all atoms of the element, some of them
    drawn at random, the same in all structures, or atom indices. Default first_shell."""
    sample: PositiveInt = 13
    """For `sample`: how many atoms are drawn, by the campaign's seed. Default 13."""

    @field_validator("absorbers", mode="before")
    @classmethod
    def _known_absorbers(cls, value: Any) -> Any:
        listed = isinstance(value, list) and all(isinstance(one, int) and one >= 0 for one in value)
        if not listed and value not in ("first_shell", "all", "sample"):
            raise ValueError(
                f"{value!r} names no absorbers; give 'first_shell', 'all', 'sample', or a list of atoms from 0"
            )
        return value

    @model_validator(mode="after")
    def _ordered(self) -> DisorderSection:
        if self.sigma_maximum < self.sigma_minimum:
            raise ValueError(f"sigma_maximum {self.sigma_maximum} is below sigma_minimum {self.sigma_minimum}")
        if isinstance(self.absorbers, list) and len(set(self.absorbers)) != len(self.absorbers):
            raise ValueError("absorbers lists an atom twice")
        if self.absorbers != "sample" and self.sample != type(self).model_fields["sample"].default:
            raise ValueError(f"sample is of no use with absorbers = {self.absorbers!r}; remove it, or set 'sample'")
        return self


class ScfSection(_Section):
    """FEFF's SCF card."""

    radius: Positive = 4.6
    """Radius of the self-consistency cluster, Å. Default 4.6."""
    lfms: Literal[0, 1] = 0
    """0 for solids, 1 for molecules. Default 0."""
    iterations: Annotated[int, Field(ge=1, le=100)] = 30
    """Largest number of iterations. Default 30."""
    mixing: Annotated[float, Field(gt=0, le=0.9)] = 0.5
    """Convergence accelerator ca1. Default 0.5."""
    mixing_iterations: Annotated[int, Field(ge=0, le=10)] = 1
    """Mixing steps before Broyden's algorithm, nmix. Default 1."""


class VariantSection(_Section):
    """Runs of some of the structures in other cards, beside those in the campaign's own; NAME is a name of yours."""

    # The cards that differ are extra keys, which `FeffSection` checks and completes.
    model_config = ConfigDict(extra="allow")

    structures: str = ":"
    """Structures that are run in these cards too, counted from 0 through all of the campaign, as ase writes a slice:
    `"::3"` is every third. Default: all."""

    @field_validator("structures")
    @classmethod
    def _slice_of_structures(cls, value: str) -> str:
        index_slice(value, "structures")
        return value

    @property
    def cards(self) -> dict[str, Any]:
        """The cards that differ from the campaign's, by their keys in `[feff]`, as they stand in JSON."""
        return self.model_extra or {}


class FeffSection(_Section):
    """FEFF's cards. The defaults are those of `examples/au55-l3.toml`."""

    edge: str = "L3"
    """Absorption edge. Default L3."""
    scf: OrFalse[ScfSection] = ScfSection()
    """The SCF card; `scf = false` computes without self-consistency. Default: the card with its own defaults."""
    corval: OrFalse[float] = -120.0
    """Lower end of the core-valence search window, eV (CORVAL). Default −120; `corval = false` leaves the card out."""
    exchange: tuple[Annotated[int, Field(ge=0)], float, float] = (5, 0.2, 0.5)
    """EXCHANGE: model, and the real and imaginary shift of the potential, eV. Default [5, 0.2, 0.5]."""
    s02: Positive = 1.0
    """Amplitude reduction factor S02. Default 1."""
    xanes: tuple[Positive, Positive, Positive] = (3.7, 0.05, 0.1)
    """XANES: largest k (Å⁻¹), its step (Å⁻¹), the step near the edge (eV). Default [3.7, 0.05, 0.1]."""
    fms_radius: Positive = 7.0
    """Radius of the full-multiple-scattering cluster, Å (FMS). Default 7."""
    lmax: Annotated[int, Field(ge=-1, le=8)] = -1
    """Largest angular momentum of the scattering matrices (POTENTIALS); −1 lets FEFF choose, 3 from carbon on: too few
    for gold beyond 45 eV from the edge. FEFF's phase shifts end at 0.7 R_mt k, or at 5 if that is more. Default −1."""
    radii: Literal["scaled", "fixed"] = "scaled"
    """`scaled`: SCF and FMS radii grow with the distortion, so that all runs see the same atoms. Default scaled."""
    potentials: Literal["element", "coordination", "shell"] = "coordination"
    """Which atoms share a potential: those of an element, or of an element and a number of first neighbors, or of an
    element and a shell around the center. At most nine, besides the absorber's. Default coordination."""
    representative: Literal["typical", "nearest"] = "typical"
    """Atom from whose surroundings a potential is computed: `typical`, the one whose surroundings are nearest to the
    mean of its class; `nearest`, the one nearest to the absorber, as FEFF takes it by itself. Default typical."""
    stoichiometry: Literal["cluster", "feff"] = "cluster"
    """Atoms that each potential counts for in the Fermi level: `cluster`, those of the cluster; `feff`, FEFF's own
    0.01 for the absorber and 1 for each other potential. Default cluster."""
    normalization: Literal["absolute", "feff"] = "absolute"
    """`absolute`: ABSOLUTE card, normalized once after averaging. `feff`: each run to its own edge step."""
    extra_cards: list[str] = []
    """Further lines of feff.inp, copied as they are before POTENTIALS; FEFF10 runs the stages that they need.
    Default none."""
    max_points: PositiveInt = 150
    """Largest number of energy points in a spectrum: the room in the store. Default 150."""
    variants: Annotated[dict[str, VariantSection], Field(max_length=MOST_VARIANTS)] = {}
    """Variants of these cards, by name; the runs in them follow the others in the same store. Default none."""

    @model_validator(mode="before")
    @classmethod
    def _complete_variants(cls, content: Any) -> Any:
        """Check the cards of variants, and write them as they stand in a resolved campaign."""
        given = content.get("variants") if isinstance(content, dict) else None
        if not isinstance(given, dict):
            return content
        given = {name: one.model_dump() if isinstance(one, VariantSection) else one for name, one in given.items()}
        if not all(isinstance(one, dict) for one in given.values()):
            return content
        try:
            own = cls.model_validate({key: value for key, value in content.items() if key != "variants"})
        except ValidationError:
            # Of a card, which is told as without variants.
            return content
        seen = {"the campaign": own}
        completed = {}
        for name, one in given.items():
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"variants: {name!r} is no name; give letters, digits, hyphens and underscores")
            cards = own._varied(name, one)
            if alike := next((other for other, its in seen.items() if its == cards), None):
                raise ValueError(f"variants.{name} has the cards of {alike}; give other cards, or remove it")
            seen[name] = cards
            stored = cards.model_dump(mode="json")
            completed[name] = {key: stored.get(key, value) for key, value in one.items()}
        return content | {"variants": completed}

    @model_serializer(mode="wrap")
    def _without_no_variants(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A campaign without variants is that of an xanesml that did not know them.
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if key != "variants" or value}

    def _varied(self, name: str, given: dict[str, Any]) -> FeffSection:
        """Return all cards of a variant as it is given; ValueError where they are none."""
        if other := next((key for key in given if key not in ("structures", *VARIED)), None):
            why = "is the same for all runs of a store" if other in type(self).model_fields else "is no card"
            raise ValueError(f"variants.{name}.{other} {why}; a variant takes structures, {', '.join(VARIED)}")
        cards = {key: value for key, value in given.items() if key in VARIED}
        if self.scf is not None and isinstance(cards.get("scf"), dict):
            cards["scf"] = self.scf.model_dump() | cards["scf"]
        try:
            return FeffSection.model_validate(self.model_dump(mode="json", exclude={"variants"}) | cards)
        except ValidationError as error:
            raise ValueError(f"variants.{name}: {first_problem(error, FeffSection)}") from error

    def of_variant(self, name: str) -> FeffSection:
        """Return all cards of a variant: its own, and for the rest the campaign's."""
        return self._varied(name, self.variants[name].cards)

    @field_validator("edge")
    @classmethod
    def _known_edge(cls, value: str) -> str:
        if value not in EDGES:
            raise ValueError(f"FEFF does not know the edge {value!r}; it knows {', '.join(EDGES)}")
        return value

    @field_validator("extra_cards")
    @classmethod
    def _cards_of_their_own(cls, value: list[str]) -> list[str]:
        # By the letters that FEFF reads. HOLE is another name of EDGE.
        owned = {"EDGE", "HOLE", "SCF", "CORV", "EXCH", "S02", "XANE", "FMS", "ABSO", "POTE", "ATOM", "END"}
        for name, _ in cards(value):
            if short(name) in owned:
                raise ValueError(f"the card {name} has its own key; set it there, not in extra_cards")
            if short(name) == "REST":
                raise ValueError("RESTART changes mu by more than a 0.01 Å distortion does; remove it")
        return value


class RetrySection(_Section):
    """Retries of a failed run. Every change of a card is recorded with the row."""

    repeats: Annotated[int, Field(ge=0, le=3)] = 1
    """Repeats, with the same cards, of a run that crashed or stopped early. Default 1."""
    mixing: list[Annotated[float, Field(gt=0, le=0.9)]] = [0.2, 0.05]
    """SCF mixing (ca1) of the retries after a run without self-consistency. Default [0.2, 0.05]."""
    corval: list[float] = [-120.0, -200.0]
    """Lower ends of the core-valence search window (CORVAL) of the retries after that search failed, eV.
    Default [−120, −200]."""


class EngineSection(_Section):
    """The program that runs FEFF."""

    kind: Literal["feff10", "command"] = "feff10"
    """`feff10`: the feff10-rs wheel; `command`: a FEFF installed at your site. Default feff10."""
    commands: list[list[str]] = []
    """For `command`: argument vectors, run in order in the run's folder: one for a monolithic FEFF, or one a module."""
    version: str | None = None
    """For `command`, required there: the version to record, such as 'FEFF 9.6.4'."""
    fms: Literal["native", "feff"] = "native"
    """For `feff10`: solver of the full multiple scattering; `native`, xanesml's, leaves to FEFF what it cannot solve.
    Default native."""
    pot: Literal["native", "feff"] = "native"
    """For `feff10`: solver of the self-consistent potentials; `native`, xanesml's, leaves to FEFF what it cannot solve.
    Default native."""
    pot_grid: Literal["smooth", "feff"] = "smooth"
    """For `feff10`: radial grid of the phase shifts; `smooth` moves with the absorber's muffin-tin sphere. With `feff`
    spectra jump where the radius of the sphere passes a point. Default smooth."""
    timeout: Positive = 1800.0
    """Time limit of a run, s; a run that exceeds it is killed with all its children. Default 1800."""
    max_failed: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Largest share of the tasks that may fail; after more, `simulate` starts no further run. Default 0.1."""
    retry: RetrySection = RetrySection()
    """Retries of a failed run."""

    @model_validator(mode="after")
    def _complete(self) -> EngineSection:
        if self.kind == "command" and not (self.commands and all(self.commands) and self.version):
            raise ValueError("the engine 'command' needs commands (a list of argument vectors) and version")
        if self.kind == "feff10" and (self.commands or self.version):
            raise ValueError("commands and version belong to the engine 'command'; remove them or set kind")
        return self

    @property
    def takes_representatives(self) -> bool:
        """Whether FEFF can be told which atom stands for a potential: it runs module by module."""
        return self.kind == "feff10" or self.potentials_commands() is not None

    def potentials_commands(self) -> tuple[int, int] | None:
        """Return the first and the last of `commands` that compute potentials, FEFF's atomic (if any) and pot.

        None where no command runs pot alone, or none before it rdinp.
        """
        modules = [{Path(word).stem for word in command} for command in self.commands]
        place = {name: n for name in ("rdinp", "atomic", "pot") for n, words in enumerate(modules) if name in words}
        first = place.get("atomic", place.get("pot", -1))
        return (first, place["pot"]) if "pot" in place and place.get("rdinp", first) < first <= place["pot"] else None


class AveragingSection(_Section):
    """Skew-normal averages over the distorted spectra, and particle averages."""

    families: PositiveInt = 1250
    """Number of distribution shapes (σ, α), the families; a split never divides one. Default 1250."""
    means_per_family: PositiveInt = 16
    """Number of locations μ for each family; families × means spectra in all. Default 16."""
    sigma: Range[Positive] = (0.02, 0.14)
    """Range of the skew-normal scale σ, Å. Default [0.02, 0.14]."""
    location: Range[float] = (-0.1, 0.1)
    """Range of the skew-normal location μ, Å. Default [−0.1, 0.1]."""
    alpha: Range[float] = (-5.0, 5.0)
    """Range of the skew-normal shape α. Default [−5, 5]; [0, 0] for Gaussians."""
    sampler: Literal["sobol", "random", "grid"] = "sobol"
    """Sampling of (μ, σ, α). Default sobol."""
    grid: tuple[PositiveInt, PositiveInt] | None = None
    """For the sampler `grid`: numbers of σ and of α, evenly spaced, both ends included; their product is `families`."""
    truncation_limit: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Largest share of a distribution that may lie outside the series. Default 0.01."""
    mesh_step: Positive = 0.5
    """Step of the common energy mesh, eV. Default 0.5."""
    interpolation: Literal["linear", "pchip"] = "linear"
    """Interpolation of spectra onto the mesh, never beyond their ends. Default linear."""
    smoothing: Literal[0] | Annotated[int, Field(ge=5)] = 0
    """Window of the cubic smoothing of the series along δ, an odd number of points; 0 for none. Default 0."""
    r_step: Positive = 0.02
    """Bin width of the distribution of bond lengths, a label, Å. Default 0.02."""
    keep_weights: bool = True
    """Write the weights over the series of every statistical average. Default true."""
    multiplicity: list[Positive] | None = None
    """Weights of the absorbers in a particle average, in the order of the tasks. Default: all equal."""
    missing_absorbers: Annotated[int, Field(ge=0)] = 0
    """Largest number of absorbers that a particle average may lack. Default 0."""
    accept_changed: bool = False
    """Accept runs that succeeded only in a retry with changed cards. Default false."""

    @field_validator("smoothing")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value and value % 2 == 0:
            raise ValueError(f"a window of {value} points has no middle; give an odd number, or 0 for none")
        return value

    @model_validator(mode="before")
    @classmethod
    def _families_of_the_grid(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("sampler") == "grid" and "families" not in content:
            match content.get("grid"):
                case [int() as scales, int() as alphas]:
                    return content | {"families": scales * alphas}
        return content

    @model_validator(mode="after")
    def _whole_grid(self) -> AveragingSection:
        if (self.sampler == "grid") != (self.grid is not None):
            raise ValueError("the sampler grid and the key grid = [numbers of σ, of α] go together; give both or none")
        if self.grid is not None and self.families != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"a grid of {self.grid[0]} × {self.grid[1]} is not {self.families} families; leave families out"
            )
        return self


class TrainingSection(_Section):
    """The networks and how they are trained."""

    filters: list[PositiveInt] = [16, 32, 64]
    """Filters of each convolution block. Default [16, 32, 64]."""
    kernel: PositiveInt = 7
    """Width of the convolutions, mesh points. Default 7."""
    dense: list[PositiveInt] = [64]
    """Units of the dense layers before the outputs. Default [64]."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate before the dense layers. Default 0.1."""
    block_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout rate after each convolution block. Default 0."""
    batch_normalization: bool = True
    """Batch normalization after each convolution. Default true."""
    activation: Activation = "relu"
    """Activation of the convolutions and dense layers. Default relu."""
    pooling: Pooling = "max"
    """Pooling by two at the end of each block; `none` leaves it out. Default max."""
    stride: PositiveInt = 1
    """Step of the convolutions, mesh points. Default 1."""
    initial_weights: InitialWeights = "he_normal"
    """Distribution of the initial weights before an activation; before an output it is Glorot's uniform one.
    Default he_normal."""
    heads: list[Literal["mean_shift", "skewness", "distribution"]] = ["mean_shift", "skewness", "distribution"]
    """Outputs of the network besides the MSD. Default ["mean_shift", "skewness", "distribution"]."""
    head_weight: NonNegative = 0.1
    """Weight of each of these outputs in the loss; that of the MSD is 1. Default 0.1."""
    members: PositiveInt = 4
    """Networks of the ensemble, trained independently and in parallel on groups of ranks. Default 4."""
    modes: Choices[Mode] = ["direct", "reference"]
    """`direct`: predict from a spectrum alone; `reference`: from its difference to one of known MSD. Default both."""
    batch_size: PositiveInt = 128
    """Spectra per step on each rank. Default 128."""
    epochs: PositiveInt = 50
    """Passes over the training split. Default 50."""
    optimizer: Optimizer = "adam"
    """Optimizer; `adamw` is Adam with `weight_decay`. Default adam."""
    momentum: Share = 0.9
    """Momentum of `sgd`. Default 0.9."""
    learning_rate: Positive = 1e-3
    """Learning rate for one rank; scaled by the number of ranks that share a network. Default 1e-3."""
    warmup_epochs: NonNegative = 2
    """Epochs over which the learning rate rises to its value. Default 2."""
    weight_decay: NonNegative = 0.0
    """Share of the kernels taken off in each step, in units of the learning rate, beside the gradient; 0 is off.
    Default 0."""
    l1: NonNegative = 0.0
    """Penalty on the sum of the kernels' absolute values, in the loss; 0 is off. Default 0."""
    l2: NonNegative = 0.0
    """Penalty on the sum of the kernels' squares, in the loss; 0 is off. Default 0."""
    source: Literal["tensors", "on_the_fly"] = "tensors"
    """`tensors`: train on the stored averages; `on_the_fly`: on new ones in every step, on the GPU if there is one.
    Default tensors."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the families held out to choose the epoch. Default 0.1."""
    calibration: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the families held out to calibrate intervals. Default 0.1."""
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the families held out for the reported errors. Default 0.1."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the spectra whose interval should contain the MSD. Default 0.9."""
    noise: NonNegative = 0.003
    """Counting noise: standard deviation at each point, edge steps; 0 is off. Default 0.003."""
    energy_shift: NonNegative = 0.5
    """Largest error of the energy axis, either way, eV; 0 is off. Default 0.5."""
    broadening: NonNegative = 0.5
    """Largest standard deviation of the Gaussian broadening, eV; 0 is off. Default 0.5."""
    step_error: NonNegative = 0.005
    """Relative standard deviation of the edge step's error; 0 is off. Default 0.005."""
    slope: NonNegative = 0.005
    """Standard deviation of the background's slope, edge steps per 50 eV; 0 is off. Default 0.005."""
    drift: NonNegative = 0.05
    """For `reference`: largest shift between sample and reference, either way, eV; 0 is off. Default 0.05."""
    amplitude: NonNegative = 0.05
    """For `reference`: relative standard deviation of the amplitude of differences; 0 is off. Default 0.05."""
    fine_tuning: Annotated[int, Field(ge=0)] = 0
    """Epochs of fine-tuning on particle averages; 0 for none. Default 0."""
    particle_test: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the disordered structures that fine-tuning never sees. Default 0.5."""
    particle_calibration: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of these that calibrates the intervals of measured spectra; the others are the test. Default 0.5."""

    @field_validator("heads", "modes")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError(f"{', '.join(value)} has a repeat; give each once")
        return value

    @model_validator(mode="after")
    def _adamw_decays(self) -> TrainingSection:
        if self.optimizer == "adamw" and not self.weight_decay:
            raise ValueError("the optimizer adamw is Adam with weight decay; give weight_decay, such as 0.004, or adam")
        return self


#: Training settings that tuning searches; both sections use these names.
SEARCHED = (
    *("learning_rate", "batch_size", "filters", "kernel", "dense", "dropout", "head_weight"),
    *NEUTRAL_KEYS,
)


class TuningSection(_Section):
    """The search for better training settings; `false` keeps the value of `[training]`."""

    trials: PositiveInt = 12
    """Number of settings tried, the campaign's own included. Default 12."""
    epochs: PositiveInt = 10
    """Epochs of each trial, in place of `training.epochs`. Default 10."""
    learning_rate: OrFalse[Range[Positive]] = (3e-4, 5e-3)
    """Range of the learning rate, on a logarithmic scale. Default [3e-4, 5e-3]."""
    batch_size: OrFalse[Choices[PositiveInt]] = [64, 128, 256]
    """Batch sizes to choose from. Default [64, 128, 256]."""
    filters: OrFalse[Choices[list[PositiveInt]]] = [[8, 16, 32], [16, 32, 64], [32, 64, 128], [16, 32, 64, 64]]
    """Lists of filters to choose from: width and depth of the network."""
    kernel: OrFalse[Choices[PositiveInt]] = [5, 7, 11]
    """Widths of the convolutions to choose from, mesh points. Default [5, 7, 11]."""
    dense: OrFalse[Choices[list[PositiveInt]]] = [[32], [64], [128], [64, 64]]
    """Lists of dense units to choose from. Default [[32], [64], [128], [64, 64]]."""
    dropout: OrFalse[Range[Share]] = (0.0, 0.3)
    """Range of the dropout rate. Default [0, 0.3]."""
    head_weight: OrFalse[Range[Positive]] = (0.03, 1.0)
    """Range of the weight of the outputs besides the MSD, on a logarithmic scale. Default [0.03, 1]."""
    block_dropout: OrFalse[Range[Share]] = None
    """Range of the dropout rate after each block, such as [0, 0.3]. Default: not searched."""
    activation: OrFalse[Choices[Activation]] = None
    """Activations to choose from. Default: not searched."""
    pooling: OrFalse[Choices[Pooling]] = None
    """Poolings to choose from. Default: not searched."""
    stride: OrFalse[Choices[PositiveInt]] = None
    """Steps of the convolutions to choose from, mesh points. Default: not searched."""
    initial_weights: OrFalse[Choices[InitialWeights]] = None
    """Distributions of the initial weights to choose from. Default: not searched."""
    optimizer: OrFalse[Choices[Optimizer]] = None
    """Optimizers to choose from; `adamw` needs weight decay. Default: not searched."""
    momentum: OrFalse[Range[Share]] = None
    """Range of the momentum of `sgd`, such as [0, 0.99]. Default: not searched."""
    weight_decay: OrFalse[Range[Positive]] = None
    """Range of the weight decay, on a logarithmic scale, such as [1e-5, 0.1]. Default: not searched."""
    l1: OrFalse[Range[Positive]] = None
    """Range of the penalty L1, on a logarithmic scale, such as [1e-7, 1e-4]. Default: not searched."""
    l2: OrFalse[Range[Positive]] = None
    """Range of the penalty L2, on a logarithmic scale, such as [1e-6, 1e-3]. Default: not searched."""

    @model_validator(mode="after")
    def _something_to_search(self) -> TuningSection:
        if not self.searched():
            raise ValueError(f"nothing to search: give a range or choices for one of {', '.join(SEARCHED)}")
        return self

    def searched(self) -> dict[str, Any]:
        """Return the range or list of choices of every searched setting, by its name in the training section."""
        given = {name: getattr(self, name) for name in SEARCHED}
        return {name: value for name, value in given.items() if value is not None}


class Campaign(_Section):
    """A campaign: two keys, and a section for every step."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the campaign and of its output folder: letters, digits, dot, hyphen, underscore."""
    seed: Annotated[int, Field(ge=0)] = 20250101
    """Seed of every random draw. Default 20250101."""
    structure: StructureSection = StructureSection()
    """The undistorted cluster."""
    distortion: DistortionSection | None = None
    """The isotropic series; not computed without this section."""
    disorder: DisorderSection | None = None
    """The disordered structures; not computed without this section."""
    feff: FeffSection = FeffSection()
    """The FEFF cards."""
    engine: EngineSection = EngineSection()
    """The program that runs FEFF."""
    averaging: AveragingSection = AveragingSection()
    """From spectra to training tensors."""
    training: TrainingSection = TrainingSection()
    """The network."""
    tuning: TuningSection = TuningSection()
    """The search for better training settings."""

    @model_validator(mode="before")
    @classmethod
    def _images_are_disordered_structures(cls, content: Any) -> Any:
        structure = content.get("structure") if isinstance(content, dict) else None
        if isinstance(structure, dict) and structure.get("images") is not None and content.get("disorder") is None:
            return content | {"disorder": {}}
        return content

    @model_validator(mode="after")
    def _images_or_random_displacements(self) -> Campaign:
        if self.structure.images is not None and self.disorder is not None:
            for name in sorted(set(DisorderSection.model_fields) - {"absorbers", "sample"}):
                if getattr(self.disorder, name) != DisorderSection.model_fields[name].default:
                    raise ValueError(
                        f"disorder.{name} does not go with structure.images, which are the disordered structures; "
                        "remove either"
                    )
        return self

    @model_validator(mode="after")
    def _something_to_do(self) -> Campaign:
        if self.distortion is None and self.disorder is None:
            raise ValueError("nothing to compute: give a [distortion] section, a [disorder] section or both")
        return self

    @model_validator(mode="after")
    def _whole_particles(self) -> Campaign:
        asked = {
            "distortion.absorbers": self.distortion.absorbers if self.distortion else None,
            "disorder.absorbers": self.disorder.absorbers if self.disorder else None,
        }
        for key, value in asked.items():
            if self.structure.radius is not None and value in ("sites", "all"):
                raise ValueError(
                    f"{key} = {value!r} averages over a whole particle, but structure.radius cuts a sphere from a "
                    "crystal, whose outer atoms lack neighbors; leave the key out"
                )
        return self

    @model_validator(mode="after")
    def _multiplicity_of_every_absorber(self) -> Campaign:
        given, absorbers = self.averaging.multiplicity, self.disorder.absorbers if self.disorder else None
        if given is not None and isinstance(absorbers, list) and len(given) != len(absorbers):
            raise ValueError(
                f"averaging.multiplicity has {len(given)} weights for {len(absorbers)} disorder.absorbers; "
                "give one for each"
            )
        return self

    @model_validator(mode="after")
    def _adamw_with_weight_decay(self) -> Campaign:
        if "adamw" in (self.tuning.optimizer or ()) and not self.training.weight_decay and not self.tuning.weight_decay:
            raise ValueError(
                "tuning.optimizer has adamw, which needs weight decay; give tuning.weight_decay a range, such as "
                "[1e-5, 0.1], or training.weight_decay a value"
            )
        return self

    @model_validator(mode="after")
    def _mixing_that_feff10_takes(self) -> Campaign:
        if self.engine.kind == "feff10":
            given = [*(one.scf.mixing for one in self._card_sets() if one.scf is not None), *self.engine.retry.mixing]
            if max(given, default=0.0) > FEFF10_MIXING:
                raise ValueError(f"FEFF10 refuses an SCF mixing of {max(given)}; give at most {FEFF10_MIXING}")
        return self

    @model_validator(mode="after")
    def _representatives_that_the_engine_can_take(self) -> Campaign:
        typical = any(one.representative == "typical" for one in self._card_sets())
        if typical and not self.engine.takes_representatives:
            raise ValueError(
                "feff.representative = 'typical' needs a command for each of FEFF's modules, rdinp and pot among "
                "engine.commands; a FEFF in one program takes the nearest atom: set feff.representative = 'nearest'"
            )
        return self

    @model_validator(mode="after")
    def _cards_that_feff10_honors(self, info: ValidationInfo) -> Campaign:
        # What a store was computed with is told as it is.
        if self.engine.kind == "feff10" and info.context != _RESTORED:
            for name, one in zip(("", *self.feff.variants), self._card_sets(), strict=True):
                if why := refusal(one.extra_cards, one.exchange[0]):
                    raise ValueError(f"{f'feff.variants.{name}' if name else 'feff.extra_cards'}: {why}")
        return self

    def _card_sets(self) -> list[FeffSection]:
        """Return the campaign's cards and those of its variants."""
        return [self.feff, *map(self.feff.of_variant, self.feff.variants)]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read and check a campaign file, `structure.file` made absolute and hashed; see `xanesml.load_campaign`."""
        path = Path(path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CampaignError(f"cannot read the campaign {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CampaignError(f"{path} is not valid TOML: {error}") from error
        structure = content.get("structure")
        if isinstance(structure, dict) and isinstance(structure.get("file"), str):
            structure["file"] = str((path.parent / structure["file"]).resolve())
            _identify(structure, path)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise CampaignError(f"{path}: {first_problem(error, cls)}") from error

    @classmethod
    def restored(cls, text: str) -> Self:
        """Return a campaign from the JSON that `resolved` wrote, in this or an earlier version of xanesml.

        A key that the text lacks gets the value of `EARLIER_VALUES`, not its default.

        Raises
        ------
        ValueError
            If the text is not JSON, or not a campaign (pydantic.ValidationError).
        """
        return cls.model_validate_json(json.dumps(as_made(json.loads(text))), context=_RESTORED)

    def resolved(self) -> str:
        """Return the campaign with all defaults filled in, as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    def digest(self, *sections: str) -> str:
        """Return a hash of the resolved campaign, or of some of its sections; see `identity_of`.

        Parameters
        ----------
        *sections : str
            Names of top-level fields, without `without_variants`' variants; all of the campaign when none is given.

        Returns
        -------
        str
            32 hexadecimal digits (BLAKE2b, 16 bytes).
        """
        content = self.model_dump(mode="json", include=set(sections) or None)
        return digest_of(without_variants(content) if sections else content)


def digest_of(content: Mapping[str, Any]) -> str:
    """Return a hash of a campaign's content as it stands in JSON; see `Campaign.digest`."""
    return hashlib.blake2b(json.dumps(identity_of(content), sort_keys=True).encode(), digest_size=16).hexdigest()


def identity_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a campaign's content as it stands in JSON: a structure file's hash, not its place.

    The place stays where the hash is unknown, as in files of version 2 of their format. `NEUTRAL_KEYS` at their
    defaults are left out, and so is FEFF's own grid, which all runs had before it could be chosen.
    """
    identity = dict(content)
    engine = identity.get("engine")
    if isinstance(engine, dict) and engine.get("pot_grid") == EARLIER_VALUES["engine"]["pot_grid"]:
        identity["engine"] = {key: value for key, value in engine.items() if key != "pot_grid"}
    for name, model in (("training", TrainingSection), ("tuning", TuningSection)):
        if isinstance(section := identity.get(name), dict):
            neutral = {key: model.model_fields[key].default for key in NEUTRAL_KEYS}
            identity[name] = {
                key: value for key, value in section.items() if key not in neutral or value != neutral[key]
            }
    structure = content.get("structure")
    if isinstance(structure, dict):
        known = structure.get("file_digest") is not None
        left_out = "file" if known else "file_digest"
        identity["structure"] = {key: value for key, value in structure.items() if key != left_out}
    return identity


def _identify(structure: dict[str, Any], campaign: Path) -> None:
    """Add the hash of a structure file that can be read; those who need the file say why it cannot."""
    digest = hashlib.blake2b(digest_size=16)
    path = Path(structure["file"])
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError:
        return
    found = structure.setdefault("file_digest", digest.hexdigest())
    if found != digest.hexdigest():
        raise CampaignError(
            f"{campaign}: structure.file_digest is {found!r}, but {path} has {digest.hexdigest()}; "
            "restore the file, or remove the key"
        )


def task_differences(stored: Campaign, campaign: Campaign) -> list[str]:
    """List the settings by which FEFF runs of a store are not those of a campaign; a structure file is not compared.

    Variants that only the campaign has change no run of the store.

    Parameters
    ----------
    stored, campaign : Campaign
        The campaign of a store, and another.

    Returns
    -------
    list of str
        Such as ``feff.fms_radius is 7.0 there and 6.0 here``; empty if all runs are the same.
    """
    drawn = campaign.disorder is not None or campaign.structure.occupancy is not None
    sections = {"structure", "distortion", "disorder", "feff"} | ({"seed"} if drawn else set())
    # What a file replaces makes no difference beside it.
    both_files = stored.structure.file is not None and campaign.structure.file is not None
    left_out = {"file", "file_digest"} | (_REPLACED_BY_FILE if both_files else set())
    there, here = (
        _flat(one.model_dump(mode="json", include=sections, exclude={"structure": left_out}))
        for one in (stored, campaign)
    )
    added = tuple(f"feff.variants.{name}." for name in campaign.feff.variants.keys() - stored.feff.variants.keys())
    here = {name: value for name, value in here.items() if not name.startswith(added)}
    names = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    return [f"{name} is {there.get(name, 'not set')} there and {here.get(name, 'not set')} here" for name in names]


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first problem of a file's content in one line.

    Parameters
    ----------
    error : ValidationError
        The problems that pydantic found.
    model : type of BaseModel
        The model that refused the content.

    Returns
    -------
    str
        The first offending key, what was received and what is accepted.
    """
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("function-"))
    if problem["type"] == "extra_forbidden":
        for part in problem["loc"][:-1]:
            annotation = model.model_fields[str(part)].annotation
            candidates = [annotation, *getattr(annotation, "__args__", ())]
            model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
        return f"unknown key '{where}'; accepted here: {', '.join(model.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    received = "" if problem["type"] in ("value_error", "missing") else f" (got {problem['input']!r})"
    return f"{where + ': ' if where else ''}{message}{received}"
