"""Card sets of a pool: where its environments come from, and those that other cards make of some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xanesml.errors import StoreError
from xanesml.pools.environments import Environments, load_environments, open_folder
from xanesml.pools.pool_file import PoolFile, Window


@dataclass(frozen=True)
class CardSet:
    """Runs of one set of cards.

    Attributes
    ----------
    stores : tuple of Path
        Output folders of campaigns, or their stores.
    variant : str or None
        Variant of their cards, which all of them have; None for the campaigns' own.
    """

    stores: tuple[Path, ...]
    variant: str | None = None

    def load(self, window: Window) -> Environments:
        """Read the environments onto a window's mesh; see `load_environments`."""
        return load_environments(self.stores, variant=self.variant, last=window.last, step=window.step)


def own_cards(asked: PoolFile) -> CardSet:
    """Return the runs that a pool's mixtures are made of."""
    return CardSet(tuple(asked.stores))


def card_sets(asked: PoolFile) -> dict[str, CardSet]:
    """Return the card sets of a pool, by name: those of its file, then the variants of its stores.

    A variant is a card set if a crystal's store has it and, where the pool has particles, a particle's.

    Raises
    ------
    StoreError
        If a store cannot be read, or a card set of the file has the name of a variant.
    """
    listed = {name: CardSet(tuple(stores)) for name, stores in asked.cards.items()}
    varied = {name: CardSet(stores, name) for name, stores in _variants(asked).items() if _complete(asked, stores)}
    if both := sorted(listed.keys() & varied.keys()):
        raise StoreError(
            f"the pool {asked.name} has two card sets {both[0]}, one under [cards] and a variant of its stores; "
            "rename or remove the one under [cards]"
        )
    return listed | varied


def incomplete_variants(asked: PoolFile) -> Mapping[str, tuple[Path, ...]]:
    """Return the variants that are no card sets, as only crystals or only particles have them, with their stores."""
    return {name: stores for name, stores in _variants(asked).items() if not _complete(asked, stores)}


def _variants(asked: PoolFile) -> dict[str, tuple[Path, ...]]:
    """Return the stores that have each variant."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in asked.stores:
        with open_folder(path) as store:
            for name in store.variants:
                found[name] = (*found.get(name, ()), path)
    return found


def _complete(asked: PoolFile, stores: tuple[Path, ...]) -> bool:
    """Return whether there are crystals among some stores of a pool and, where it has any, particles."""
    kinds = [{path.name in asked.crystals for path in some} for some in (stores, asked.stores)]
    return kinds[0] == kinds[1]
