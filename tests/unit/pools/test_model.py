"""The file of a pool: kept whole, read back, refused when it is something else; and the file that asks for one."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from xanesml.errors import CampaignError, StoreError
from xanesml.pools.model import POOL_FILE, Pool
from xanesml.pools.pool_file import PoolFile

REFERENCE = Path(__file__).parents[3] / "reference"
ASKED = 'name = "series"\nstores = ["au55"]\ncrystals = ["au55"]\nmixtures = 300\n[window]\nfirst = 10\nlast = 50\n'


def asked(folder: Path, text: str = ASKED) -> Path:
    (folder / "au55").symlink_to(REFERENCE / "au55")
    (folder / "pool.toml").write_text(text)
    return folder / "pool.toml"


def test_a_pool_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    pool = Pool.make(PoolFile.load(asked(tmp_path)).model_copy(update={"spread": 0.003}))
    assert pool.save(tmp_path / "out") == tmp_path / "out" / POOL_FILE
    again = Pool.load(tmp_path / "out")
    assert (again.name, again.element, again.shell, again.edge) == ("series", "Au", "L3", pool.edge)
    np.testing.assert_array_equal(again.energy, np.arange(again.energy[0], 50.1, 0.5))
    np.testing.assert_array_equal(again.mixtures.labels, pool.mixtures.labels)
    np.testing.assert_allclose(again.mixtures.spectra, pool.mixtures.spectra, atol=1e-6)
    assert (again.window, again.errors, again.sources) == (pool.window, pool.errors, pool.sources)
    np.testing.assert_array_equal(again.theory.size, pool.theory.size)
    assert (again.theory.length, again.theory.by_cards) == (8.0, {})
    assert again.spread == 0.003
    assert pool.sources[0]["done"] == 91
    assert [one.name for one in (tmp_path / "out").iterdir()] == [POOL_FILE]


def test_a_file_without_a_spread_has_the_default(tmp_path: Path) -> None:
    file = Pool.make(PoolFile.load(asked(tmp_path))).save(tmp_path / "out")
    with h5py.File(file, "r+") as opened:
        del opened.attrs["spread"]
    assert Pool.load(file).spread == 0.004


def test_what_is_no_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"pool\.h5 does not exist; make it by `xanesml pool`"):
        Pool.load(tmp_path)
    with pytest.raises(StoreError, match="is no pool"):
        Pool.load(REFERENCE / "au55" / "store.h5")
    (tmp_path / POOL_FILE).write_text("pool")
    with pytest.raises(StoreError, match="cannot be read as a pool"):
        Pool.load(tmp_path)
    with h5py.File(tmp_path / POOL_FILE, "w") as file:
        file.attrs["format"], file.attrs["schema_version"] = "xanesml pool", 99
    with pytest.raises(StoreError, match="has version 99"):
        Pool.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('crystals = ["au55"]', 'crystals = ["au56"]', "crystals names au56, which is not among the stores au55"),
        ("last = 50", "last = 12", "holds fewer than 10 steps"),
        ("mixtures = 300", "mixture = 300", "mixture: Extra inputs"),
        ('stores = ["au55"]', "stores = []", "stores: List should have at least 1 item"),
        ("name =", "name", "is not TOML"),
    ],
)
def test_a_file_that_asks_for_something_else(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(CampaignError, match=message):
        PoolFile.load(asked(tmp_path, ASKED.replace(old, new)))
