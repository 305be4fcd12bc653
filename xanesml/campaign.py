"""The campaign: one TOML file that says what is computed, from structures to training.

Every field has a unit and a default in its description; unknown keys are refused.
The resolved campaign is written into every file that comes out of it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from xanesml.errors import CampaignError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Absorption edges that FEFF's EDGE card understands by name.
EDGES = ("K", *(f"{shell}{i}" for shell, n in zip("LMNOP", (3, 5, 7, 7, 3), strict=True) for i in range(1, n + 1)))

#: Largest SCF mixing (ca1) that FEFF10 takes.
FEFF10_MIXING = 0.5

#: Magic numbers of the fcc cuboctahedron, one to five shells.
CUBOCTAHEDRA = (13, 55, 147, 309, 561)

Item = TypeVar("Item")

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Choices = Annotated[list[Item], Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class StructureSection(_Section):
    """The undistorted cluster: an fcc cuboctahedron, or any file that ase reads."""

    element: str = "Au"
    """Chemical symbol of the cuboctahedron's atoms, and of the absorber in a file. Default Au."""
    atoms: int = 55
    """Number of atoms of the cuboctahedron: 13, 55, 147, 309 or 561. Default 55."""
    lattice_constant: Positive = 4.0782
    """fcc lattice constant of the cuboctahedron, Å. Default 4.0782 (gold)."""
    file: Path | None = None
    """Structure file that ase reads, relative to the campaign file; replaces the cuboctahedron. Default none."""
    radius: Positive | None = None
    """Radius of the sphere cut from a periodic file around the absorber, Å. Required for periodic files."""
    absorber: int | None = Field(default=None, ge=0)
    """Index of the central absorber, from 0. Default: the atom of `element` nearest to the centroid."""
    first_shell_cutoff: Positive | None = None
    """Largest bond length of the first shell, Å. Default: 1.2 times the absorber's shortest bond."""
    minimum_distance: Positive = 0.5
    """Atoms closer than this overlap and are refused, Å. Default 0.5."""

    @field_validator("element")
    @classmethod
    def _known_element(cls, value: str) -> str:
        if value not in atomic_numbers or value == "X":
            raise ValueError(f"{value!r} is not a chemical element; give its symbol, such as 'Au'")
        return value

    @field_validator("atoms")
    @classmethod
    def _magic_number(cls, value: int) -> int:
        if value not in CUBOCTAHEDRA:
            raise ValueError(f"{value} is not a magic number; choose one of {', '.join(map(str, CUBOCTAHEDRA))}")
        return value


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
    """Displacement σ of the last structure, Å; the others lie evenly between. Default 0.14."""
    directions: Literal["sphere", "uniform_angles"] = "sphere"
    """Distribution of the displacements' directions; `uniform_angles` favors the poles. Default sphere."""
    absorbers: Literal["first_shell"] | list[Annotated[int, Field(ge=0)]] = "first_shell"
    """Absorbers of the particle average: the center and its first neighbors, or atom indices. Default first_shell."""

    @model_validator(mode="after")
    def _ordered(self) -> DisorderSection:
        if self.sigma_maximum < self.sigma_minimum:
            raise ValueError(f"sigma_maximum {self.sigma_maximum} is below sigma_minimum {self.sigma_minimum}")
        if isinstance(self.absorbers, list) and len(set(self.absorbers)) != len(self.absorbers):
            raise ValueError("absorbers lists an atom twice")
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


class FeffSection(_Section):
    """The FEFF cards. The defaults are those of the reference case."""

    edge: str = "L3"
    """Absorption edge. Default L3."""
    scf: ScfSection | None = ScfSection()
    """The SCF card; `scf = false` computes without self-consistency. Default: the card with its own defaults."""
    corval: float | None = -120.0
    """Lower end of the core-valence search window, eV (CORVAL). Default −120; `corval = false` leaves the card out."""
    exchange: tuple[Annotated[int, Field(ge=0)], float, float] = (5, 0.2, 0.5)
    """EXCHANGE: model, and the real and imaginary shift of the potential, eV. Default [5, 0.2, 0.5]."""
    s02: Positive = 1.0
    """Amplitude reduction factor S02. Default 1."""
    xanes: tuple[Positive, Positive, Positive] = (3.7, 0.05, 0.1)
    """XANES: largest k (Å⁻¹), its step (Å⁻¹), the step near the edge (eV). Default [3.7, 0.05, 0.1]."""
    fms_radius: Positive = 7.0
    """Radius of the full-multiple-scattering cluster, Å (FMS). Default 7."""
    lmax: Annotated[int, Field(ge=-1, le=4)] = -1
    """Largest angular momentum of the scattering matrices (POTENTIALS); −1 lets FEFF choose. Default −1."""
    radii: Literal["scaled", "fixed"] = "scaled"
    """Whether SCF and FMS radii follow the distortion, so that all runs see the same atoms. Default scaled."""
    normalization: Literal["absolute", "feff"] = "absolute"
    """`absolute`: ABSOLUTE card, normalized once after averaging. `feff`: each run to its own edge step."""
    extra_cards: list[str] = []
    """Further lines of feff.inp, as they are, before POTENTIALS. Default none."""
    max_points: PositiveInt = 150
    """Energy points that the store keeps room for in every spectrum. Default 150."""

    @field_validator("edge")
    @classmethod
    def _known_edge(cls, value: str) -> str:
        if value not in EDGES:
            raise ValueError(f"FEFF does not know the edge {value!r}; it knows {', '.join(EDGES)}")
        return value

    @field_validator("scf", "corval", mode="before")
    @classmethod
    def _false_is_off(cls, value: Any) -> Any:
        return None if value is False else value

    @field_validator("extra_cards")
    @classmethod
    def _cards_of_their_own(cls, value: list[str]) -> list[str]:
        owned = {"EDGE", "SCF", "CORVAL", "EXCHANGE", "S02", "XANES", "FMS", "ABSOLUTE", "POTENTIALS", "ATOMS", "END"}
        for line in value:
            name = line.split()[0].upper() if line.split() else ""
            if name in owned:
                raise ValueError(f"the card {name} has its own field; set it there, not in extra_cards")
            if name == "RESTART":
                raise ValueError("RESTART moves mu by more than a 0.01 Å distortion does and is refused")
        return value


class RetrySection(_Section):
    """What is tried again before a run counts as failed. Every change of a card is recorded with the row."""

    repeats: Annotated[int, Field(ge=0, le=3)] = 1
    """How often a run that crashed or stopped early is repeated as it is. Default 1."""
    mixing: list[Annotated[float, Field(gt=0, le=0.9)]] = [0.2, 0.05]
    """SCF mixing (ca1) of the further tries when self-consistency is not reached. Default [0.2, 0.05]."""
    corval: list[float] = [-120.0, -200.0]
    """Lower ends of the core-valence search window (CORVAL), eV, tried when that search fails. Default [−120, −200]."""


class EngineSection(_Section):
    """The program that runs FEFF."""

    kind: Literal["feff10", "command"] = "feff10"
    """`feff10`: the feff10-rs wheel; `command`: a FEFF of the site's. Default feff10."""
    commands: list[list[str]] = []
    """For `command`: argument vectors run in order in the run's folder: one for a monolithic FEFF, or one a module."""
    version: str | None = None
    """For `command`: the version to record, such as 'FEFF 9.6.4'. Required there."""
    fms: Literal["native", "feff"] = "native"
    """For `feff10`, who solves the full multiple scattering: xanesml where it applies, or FEFF. Default native."""
    timeout: Positive = 1800.0
    """A run that takes longer is killed with all its children, s. Default 1800."""
    retry: RetrySection = RetrySection()
    """The ladder of further tries."""

    @model_validator(mode="after")
    def _complete(self) -> EngineSection:
        if self.kind == "command" and not (self.commands and all(self.commands) and self.version):
            raise ValueError("the engine 'command' needs commands (a list of argument vectors) and version")
        if self.kind == "feff10" and (self.commands or self.version):
            raise ValueError("commands and version belong to the engine 'command'; remove them or set kind")
        return self


class AveragingSection(_Section):
    """Skew-normal averages over the distorted spectra, and particle averages."""

    families: PositiveInt = 1250
    """Number of distribution shapes (σ, α); a family never lies on two sides of a split. Default 1250."""
    means_per_family: PositiveInt = 16
    """Number of positions μ each shape is placed at; families × means spectra in all. Default 16."""
    sigma: tuple[Positive, Positive] = (0.02, 0.14)
    """Range of the skew-normal scale σ, Å. Default [0.02, 0.14]."""
    location: tuple[float, float] = (-0.1, 0.1)
    """Range of the skew-normal location μ, Å. Default [−0.1, 0.1]."""
    alpha: tuple[float, float] = (-5.0, 5.0)
    """Range of the skew-normal shape α. Default [−5, 5]; [0, 0] for Gaussians."""
    sampler: Literal["sobol", "random", "grid"] = "sobol"
    """How (μ, σ, α) are chosen. Default sobol."""
    grid: tuple[PositiveInt, PositiveInt] | None = None
    """For the sampler `grid`: numbers of σ and of α, evenly spaced, both ends included; their product is `families`."""
    truncation_limit: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Largest mass of a distribution that may fall outside the series. Default 0.01."""
    mesh_step: Positive = 0.5
    """Step of the common energy mesh, eV. Default 0.5."""
    interpolation: Literal["linear", "pchip"] = "linear"
    """How spectra are brought onto the mesh; never beyond their ends. Default linear."""
    smoothing: Literal[0] | Annotated[int, Field(ge=5)] = 0
    """Points, an odd number, of a window in which the series is smoothed along δ by cubics; 0 for none. Default 0."""
    r_step: Positive = 0.02
    """Width of the bins in which the distribution of bond lengths is given as a label, Å. Default 0.02."""
    keep_weights: bool = True
    """Whether the weights over the series are written for every statistical average. Default true."""
    multiplicity: list[Positive] | None = None
    """Weights of the absorbers in a particle average, in the order of the tasks. Default: all alike."""
    missing_absorbers: Annotated[int, Field(ge=0)] = 0
    """Absorbers that may be missing from a particle average. Default 0."""
    accept_changed: bool = False
    """Whether runs count that were done only after a card was changed by the ladder of tries. Default false."""

    @field_validator("sigma", "location", "alpha")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[1] < value[0]:
            raise ValueError(f"the range {list(value)} runs backwards; give [smallest, largest]")
        return value

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
                f"a grid of {self.grid[0]} × {self.grid[1]} is not {self.families} families; leave them out"
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
    batch_normalization: bool = True
    """Batch normalization after each convolution. Default true."""
    heads: list[Literal["mean_shift", "skewness", "distribution"]] = ["mean_shift", "skewness", "distribution"]
    """What the network answers beside the MSD. Default ["mean_shift", "skewness", "distribution"]."""
    head_weight: NonNegative = 0.1
    """Weight of each of these in the loss, against 1 of the MSD. Default 0.1."""
    members: PositiveInt = 4
    """Networks of an ensemble, trained apart from each other, on groups of ranks side by side. Default 4."""
    modes: Annotated[list[Literal["direct", "reference"]], Field(min_length=1)] = ["direct", "reference"]
    """`direct`: for spectra as they are; `reference`: for differences from a reference. Default both."""
    batch_size: PositiveInt = 128
    """Spectra per step on each rank. Default 128."""
    epochs: PositiveInt = 50
    """Passes over the training split. Default 50."""
    learning_rate: Positive = 1e-3
    """Adam's learning rate for one rank; scaled by the number of ranks that share a network. Default 1e-3."""
    warmup_epochs: NonNegative = 2
    """Epochs over which the learning rate rises to its value. Default 2."""
    source: Literal["tensors", "on_the_fly"] = "tensors"
    """Train on the stored averages, or on ever new ones made in the step, on the GPU if any. Default tensors."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the families held out to choose the epoch. Default 0.1."""
    calibration: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the families held out to calibrate intervals. Default 0.1."""
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the families held out for the reported errors. Default 0.1."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of spectra whose MSD is to lie in the interval. Default 0.9."""
    noise: NonNegative = 0.003
    """Counting noise: standard deviation at each point, edge steps; 0 is off. Default 0.003."""
    energy_shift: NonNegative = 0.5
    """Largest error of the energy axis, either way, eV; 0 is off. Default 0.5."""
    broadening: NonNegative = 0.5
    """Largest standard deviation of a Gaussian that spectra are broadened by, eV; 0 is off. Default 0.5."""
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

    @field_validator("heads", "modes")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError(f"{', '.join(value)} names one twice; give each once")
        return value


#: Training settings that tuning searches, by the names that they have in both sections.
SEARCHED = ("learning_rate", "batch_size", "filters", "kernel", "dense", "dropout", "head_weight")


class TuningSection(_Section):
    """The search for better training settings; `false` leaves one as `[training]` has it."""

    trials: PositiveInt = 12
    """Settings that are tried, the campaign's own among them. Default 12."""
    epochs: PositiveInt = 10
    """Epochs of each, in place of the campaign's. Default 10."""
    learning_rate: tuple[Positive, Positive] | None = (3e-4, 5e-3)
    """Range of the learning rate, on a logarithmic scale. Default [3e-4, 5e-3]."""
    batch_size: Choices[PositiveInt] | None = [64, 128, 256]
    """Batch sizes to choose from. Default [64, 128, 256]."""
    filters: Choices[list[PositiveInt]] | None = [[8, 16, 32], [16, 32, 64], [32, 64, 128], [16, 32, 64, 64]]
    """Convolution blocks to choose from, each given by its filters: width and depth of the network."""
    kernel: Choices[PositiveInt] | None = [5, 7, 11]
    """Widths of the convolutions to choose from, mesh points. Default [5, 7, 11]."""
    dense: Choices[list[PositiveInt]] | None = [[32], [64], [128], [64, 64]]
    """Dense layers to choose from, each given by its units. Default [[32], [64], [128], [64, 64]]."""
    dropout: tuple[Share, Share] | None = (0.0, 0.3)
    """Range of the dropout rate. Default [0, 0.3]."""
    head_weight: tuple[Positive, Positive] | None = (0.03, 1.0)
    """Range of the weight of the answers beside the MSD, on a logarithmic scale. Default [0.03, 1]."""

    @field_validator(*SEARCHED, mode="before")
    @classmethod
    def _false_is_off(cls, value: Any) -> Any:
        return None if value is False else value

    @field_validator("learning_rate", "dropout", "head_weight")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[1] < value[0]:
            raise ValueError(f"the range {list(value)} runs backwards; give [smallest, largest]")
        return value

    @model_validator(mode="after")
    def _something_to_search(self) -> TuningSection:
        if not self.searched():
            raise ValueError(f"nothing to search: give a range or choices for one of {', '.join(SEARCHED)}")
        return self

    def searched(self) -> dict[str, Any]:
        """Return the settings that are searched by their names in the training section, each a range or a list."""
        given = {name: getattr(self, name) for name in SEARCHED}
        return {name: value for name, value in given.items() if value is not None}


class Campaign(_Section):
    """A whole campaign. Sections left out have their defaults, or where marked optional are not run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the campaign and of its output folder: letters, digits, dot, hyphen, underscore."""
    seed: Annotated[int, Field(ge=0)] = 20250101
    """Seed of every random draw. Default 20250101."""
    structure: StructureSection = StructureSection()
    """The undistorted cluster."""
    distortion: DistortionSection | None = None
    """The isotropic series; none without this section."""
    disorder: DisorderSection | None = None
    """The disordered structures; none without this section."""
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

    @model_validator(mode="after")
    def _something_to_do(self) -> Campaign:
        if self.distortion is None and self.disorder is None:
            raise ValueError("nothing to compute: give a [distortion] section, a [disorder] section or both")
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
    def _mixing_that_feff10_takes(self) -> Campaign:
        if self.engine.kind == "feff10":
            given = [*(() if self.feff.scf is None else (self.feff.scf.mixing,)), *self.engine.retry.mixing]
            if max(given, default=0.0) > FEFF10_MIXING:
                raise ValueError(f"FEFF10 refuses an SCF mixing of {max(given)}; give at most {FEFF10_MIXING}")
        return self

    def resolved(self) -> str:
        """Return the campaign with all defaults filled in, as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    def digest(self, *sections: str) -> str:
        """Return a hash of the resolved campaign, or of some of its sections.

        Parameters
        ----------
        *sections : str
            Names of top-level fields; all when none is given.

        Returns
        -------
        str
            32 hexadecimal digits (BLAKE2b, 16 bytes).
        """
        content = self.model_dump(mode="json", include=set(sections) or None)
        text = json.dumps(content, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def task_differences(stored: Campaign, campaign: Campaign) -> list[str]:
    """List what makes the FEFF runs of two campaigns differ, apart from the content of a structure file.

    Parameters
    ----------
    stored, campaign : Campaign
        The campaign that a store was laid out for, and another.

    Returns
    -------
    list of str
        Such as ``feff.fms_radius is 7.0 there and 6.0 here``; empty where all runs are the same.
    """
    sections = {"structure", "distortion", "disorder", "feff"} | ({"seed"} if campaign.disorder else set())
    there, here = (
        _flat(one.model_dump(mode="json", include=sections, exclude={"structure": {"file"}}))
        for one in (stored, campaign)
    )
    names = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    return [f"{name} is {there.get(name, 'not set')} there and {here.get(name, 'not set')} here" for name in names]


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def load_campaign(path: Path) -> Campaign:
    """Read and check a campaign file.

    Parameters
    ----------
    path : Path
        A TOML file. Paths inside it are taken relative to its folder.

    Returns
    -------
    Campaign
        The validated campaign, `structure.file` absolute.

    Raises
    ------
    CampaignError
        If the file cannot be read, is not TOML, or does not validate; the message
        names the first offending key and what is accepted there.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CampaignError(f"cannot read the campaign {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CampaignError(f"{path} is not valid TOML: {error}") from error
    structure = content.get("structure")
    if isinstance(structure, dict) and isinstance(structure.get("file"), str):
        structure["file"] = str((path.parent / structure["file"]).resolve())
    try:
        return Campaign.model_validate(content)
    except ValidationError as error:
        raise CampaignError(f"{path}: {first_problem(error, Campaign)}") from error


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Tell in a line what is wrong with the content of a file.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    model : type of BaseModel
        What the content was to be.

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
