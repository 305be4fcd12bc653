"""The file that asks for a pool: which stores, which of them crystals, and what errors to allow for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xanesml.errors import CampaignError

#: The file of a pool that is ready to read.
POOL_FILE = "pool.h5"

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Positive = Annotated[float, Field(gt=0)]

#: How much more or less disordered than the reference samples are, where a pool does not say it, Å².
SPREAD = 4e-3


class Window(BaseModel):
    """Energies that are read, eV from the edge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: float = 15.0
    last: Positive = 80.0
    step: Positive = 0.5

    @model_validator(mode="after")
    def _forwards(self) -> Window:
        if self.last - self.first < 10 * self.step:
            raise ValueError(f"the window {self.first} … {self.last} eV holds fewer than 10 steps of {self.step} eV")
        return self


class Errors(BaseModel):
    """Standard deviations of what a measurement and theory get wrong of a difference of two spectra."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    theory: Positive = 0.3
    """Relative error of theory, the same for all samples of a session, where no card sets tell it."""
    theory_length: Positive = 8.0
    """Energy over which it is the same, eV, where no card sets tell it."""
    noise: Positive = 0.006
    """Errors of a difference from point to point, edge steps; the noise that spectra show is added."""
    noise_length: Positive = 1.0
    """Energy over which most of them are the same, eV."""
    gain: Positive = 0.01
    """Relative error of normalization."""
    slope: Positive = 0.01
    """Error of the slope of the background, edge steps in 50 eV."""
    offset: Positive = 0.01
    """Error of the background, edge steps."""
    shift: Positive = 0.15
    """Error of the alignment, eV."""


class PoolFile(BaseModel):
    """A pool as it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Names the output folder."""
    stores: Annotated[list[Path], Field(min_length=1)]
    """Output folders of campaigns, relative to this file."""
    crystals: Annotated[list[str], Field(min_length=1)]
    """Names of the folders among them that hold a crystal: what a foil is."""
    cards: dict[str, list[Path]] = {}
    """Output folders of campaigns with other cards, by a name for the cards; they tell the error of theory, as do the
    variants of the cards that the stores have, see `xanesml.pools.card_sets`."""
    mixtures: Annotated[int, Field(ge=200, le=100_000)] = 4000
    """Number of mixtures."""
    seed: Annotated[int, Field(ge=0)] = 20250101
    """Seed of the mixtures."""
    spread: Positive = SPREAD
    """How much more or less disordered than the reference a sample may be before it is read, standard deviation of its
    MSD, Å²."""
    window: Window = Window()
    errors: Errors = Errors()

    @model_validator(mode="after")
    def _known(self) -> PoolFile:
        names = [path.name for path in self.stores]
        if len(set(names)) != len(names):
            raise ValueError("stores has two folders of one name")
        if unknown := sorted(set(self.crystals) - set(names)):
            raise ValueError(f"crystals names {', '.join(unknown)}, which is not among the stores {', '.join(names)}")
        return self

    @classmethod
    def load(cls, path: Path) -> PoolFile:
        """Read and check a TOML file.

        Raises
        ------
        CampaignError
            If it cannot be read, is not TOML, or does not validate.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CampaignError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CampaignError(f"{path} is not TOML: {error}") from error
        try:
            pool = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise CampaignError(f"{path}: {where}: {first['msg']}") from error
        beside = {"stores": [path.parent / one for one in pool.stores]}
        cards = {name: [path.parent / one for one in stores] for name, stores in pool.cards.items()}
        return pool.model_copy(update=beside | {"cards": cards})
