"""Card sets of a pool: variants of its stores are worth as much as campaigns of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_store import of_surroundings

from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.pools.card import card
from xanesml.pools.card_sets import CardSet, card_sets, incomplete_variants, own_cards
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import PoolFile, Window
from xanesml.pools.trials import _nature
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, open_store_file

#: Other cards, and what they make of μ: larger oscillations, or others.
CARDS = {"hl": {"exchange": [0, 0.2, 0.5]}, "wide": {"fms_radius": 8.0}}
GAIN = {"": 1.0, "hl": 1.3, "wide": 0.8}
EVERY = "1::2"
WINDOW = Window(first=5.0, last=50.0, step=0.5)


def made(folder: Path, atoms: int, cards: str = "", *, variants: tuple[str, ...] = (), structures: int = 8) -> Path:
    """Make the output folder of a campaign of disordered structures, in its own cards or others."""
    feff = {"scf": False, "variants": {name: CARDS[name] | {"structures": EVERY} for name in variants}}
    asked = Campaign.model_validate(
        {
            "name": folder.name,
            "structure": {"atoms": atoms},
            "disorder": {"structures": structures, "sigma_minimum": 0.04, "sigma_maximum": 0.09},
            "feff": feff | CARDS.get(cards, {}),
        }
    )
    table = expand(asked)
    lay_out(folder / "store.h5", asked, table, "made up")
    with open_store_file(folder / "store.h5", mode="r+") as file:
        writer = RowWriter(file)
        for task, name in enumerate(table.columns()["variant"].tolist()):
            structure = int(table.structure[task])
            # In a campaign of its own, a card set has those of the structures that a variant chooses.
            if cards and structure % 2 == 0:
                continue
            one = of_surroundings(np.asarray(table.positions[structure]), int(table.absorber[task]))
            spectrum = one._replace(mu=one.mu0 + GAIN[name or cards] * (one.mu - one.mu0))
            writer.write(Row(task=task, outcome=Outcome.DONE, finished=1.7e9, host="node1", spectrum=spectrum))
    return folder


def pool_file(stores: list[Path], **more: object) -> PoolFile:
    return PoolFile(name="x", stores=stores, crystals=["crystal"], mixtures=400, window=WINDOW, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores with both variants, two without, and the same cards as campaigns of their own."""
    folder = tmp_path_factory.mktemp("pools")
    for kind, atoms in (("crystal", 55), ("particle", 13)):
        made(folder / "varied" / kind, atoms, variants=("hl", "wide"))
        made(folder / "plain" / kind, atoms)
        for name in CARDS:
            made(folder / f"{kind}-{name}", atoms, name)
    return folder


def test_variants_are_card_sets_like_campaigns_of_their_own(folder: Path) -> None:
    stores = {kind: [folder / kind / name for name in ("crystal", "particle")] for kind in ("varied", "plain")}
    listed = pool_file(
        stores["plain"], cards={name: [folder / f"{kind}-{name}" for kind in ("crystal", "particle")] for name in CARDS}
    )
    varied = pool_file(stores["varied"])
    assert card_sets(varied) == {name: CardSet(tuple(stores["varied"]), name) for name in CARDS}
    assert card_sets(pool_file(stores["plain"])) == {}
    for one, other in zip(card_sets(varied).values(), card_sets(listed).values(), strict=True):
        found, same = one.load(WINDOW), other.load(WINDOW)
        np.testing.assert_array_equal(found.mu, same.mu)
        np.testing.assert_array_equal(found.keys, same.keys)
    own, plain = (own_cards(asked).load(WINDOW) for asked in (varied, listed))
    np.testing.assert_array_equal(own.mu, plain.mu)
    pools = [Pool.make(asked) for asked in (varied, listed)]
    np.testing.assert_array_equal(pools[0].theory.size, pools[1].theory.size)
    assert pools[0].theory.by_cards == pools[1].theory.by_cards
    # A gain alone, which is taken off, would leave nothing.
    assert min(pools[0].theory.by_cards.values()) > 0.01
    np.testing.assert_array_equal(pools[0].mixtures.spectra, pools[1].mixtures.spectra)
    tried = [_nature(asked, "hl", 3) for asked in (varied, listed)]
    assert [set(pool.theory.by_cards) for pool, _ in tried] == [{"wide"}] * 2
    for one, other in zip(*(sessions for _, sessions in tried), strict=True):
        np.testing.assert_array_equal(one.sample.mu, other.sample.mu)
        np.testing.assert_array_equal(one.known, other.known)
    # A row for each store and each variant of it.
    sources = [(one["name"], one.get("variant"), one["done"]) for one in pools[0].sources]
    assert sources[0] == ("crystal", None, 8 * 13)
    assert sources[2] == ("crystal", "hl", 4 * 13)
    assert len(sources) == 6
    assert "| crystal, variant hl | `" in card(pools[0])


def test_card_sets_of_the_file_and_of_the_stores_are_joined(folder: Path) -> None:
    stores = [folder / "varied" / name for name in ("crystal", "particle")]
    own = [folder / f"{kind}-hl" for kind in ("crystal", "particle")]
    assert list(card_sets(pool_file(stores, cards={"third": own}))) == ["third", "hl", "wide"]
    with pytest.raises(StoreError, match=r"two card sets hl, one under \[cards\] and a variant of its stores"):
        card_sets(pool_file(stores, cards={"hl": own}))


def test_a_variant_of_crystals_or_particles_alone_is_no_card_set(folder: Path) -> None:
    mixed = pool_file([folder / "varied" / "crystal", folder / "plain" / "particle"])
    assert card_sets(mixed) == {}
    assert incomplete_variants(mixed) == dict.fromkeys(CARDS, (folder / "varied" / "crystal",))
    crystals = pool_file([folder / "varied" / "crystal"])
    assert (list(card_sets(crystals)), incomplete_variants(crystals)) == (["hl", "wide"], {})


def test_a_variant_that_was_not_run_is_said(folder: Path, tmp_path: Path) -> None:
    stores = [folder / "varied" / "crystal", made(tmp_path / "particle", 13)]
    asked = Campaign.model_validate({"name": "p", "structure": {"atoms": 13}, "disorder": {"structures": 2}})
    with pytest.raises(StoreError, match="has no variant 'hl'; it has none"):
        CardSet(tuple(stores), "hl").load(WINDOW)
    varied = asked.model_copy(update={"feff": asked.feff.model_validate({"variants": {"hl": CARDS["hl"]}})})
    lay_out(tmp_path / "left" / "store.h5", varied, expand(varied), "made up")
    with pytest.raises(StoreError, match="holds no finished run of the variant hl; complete it with"):
        CardSet((tmp_path / "left",), "hl").load(WINDOW)
