"""Files of ours hold their own data: whatever leads to another file is refused, and that file is not opened."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT
from small_tensors import write_small

from xanesml.averages.reader import open_tensors
from xanesml.errors import StoreError
from xanesml.files.layout import TENSORS
from xanesml.learning.dataset import load_tensors
from xanesml.store.convert import convert
from xanesml.validation import validate


def _external_link(file: h5py.File, secret: Path) -> None:
    del file["statistical/spectra"]
    file["statistical/spectra"] = h5py.ExternalLink(str(secret), "statistical/spectra")


def _external_group(file: h5py.File, secret: Path) -> None:
    del file["particle"]
    file["particle"] = h5py.ExternalLink(str(secret), "particle")


def _soft_link(file: h5py.File, _secret: Path) -> None:
    file.move("mesh/r", "elsewhere")
    file["mesh/r"] = h5py.SoftLink("/elsewhere")


def _external_storage(file: h5py.File, secret: Path) -> None:
    shape = file["statistical/msd"].shape
    del file["statistical/msd"]
    file.create_dataset("statistical/msd", shape, "<f8", external=[(str(secret), 0, 8 * shape[0])])


def _virtual(file: h5py.File, secret: Path) -> None:
    shape = file["statistical/msd"].shape
    del file["statistical/msd"]
    layout = h5py.VirtualLayout(shape, "<f8")
    layout[:] = h5py.VirtualSource(str(secret), "statistical/msd", shape)
    file.create_virtual_dataset("statistical/msd", layout)


WAYS = {
    "statistical/spectra": _external_link,
    "particle": _external_group,
    "mesh/r": _soft_link,
    "statistical/msd, raw": _external_storage,
    "statistical/msd, virtual": _virtual,
}


@pytest.mark.parametrize("name", WAYS)
def test_a_file_that_leads_to_another_is_refused(tmp_path: Path, name: str) -> None:
    secret = write_small(tmp_path / "secret.h5")
    path = write_small(tmp_path / "tensors.h5")
    with h5py.File(path, "r+") as file:
        WAYS[name](file, secret)
    # One that must not be opened: it would be read in vain for ever.
    secret.unlink()
    os.mkfifo(secret)
    what = name.split(",", maxsplit=1)[0]
    for read in (load_tensors, open_tensors):
        with pytest.raises(StoreError, match=rf"{what} leads to another file, which is not read"):
            read(path)
    problems = validate(path).problems
    assert problems[0] == f"{what} leads to another file, which is not read"


@pytest.mark.parametrize("where", ["/", "statistical"])
def test_a_link_that_is_not_of_the_format_is_not_followed(tmp_path: Path, where: str) -> None:
    path = write_small(tmp_path / "tensors.h5")
    os.mkfifo(tmp_path / "fifo")
    with h5py.File(path, "r+") as file:
        file[where]["more"] = h5py.ExternalLink(str(tmp_path / "fifo"), "/")
    load = validate(path).problems
    assert f"{'' if where == '/' else where + '/'}more is not part of the format" in load


def test_a_file_of_version_2_that_leads_to_another_is_not_converted(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress((ROOT / "tests" / "data" / "tensors-version-2.h5.gz").read_bytes()))
    os.mkfifo(tmp_path / "fifo")
    with h5py.File(path, "r+") as file:
        del file["series/mu"]
        file["series/mu"] = h5py.ExternalLink(str(tmp_path / "fifo"), "/mu")
    with pytest.raises(StoreError, match="series/mu leads to another file"):
        convert(path)


def test_files_of_ours_have_hard_links_only(tmp_path: Path) -> None:
    with h5py.File(write_small(tmp_path / "tensors.h5")) as file:
        for array in TENSORS.arrays:
            assert isinstance(file.get(array.path, getlink=True), h5py.HardLink)
        assert np.isfinite(file["mesh/energy"][:]).all()


def make_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


@pytest.mark.parametrize("make", [make_link, lambda path, target: os.link(target, path)])
def test_a_partial_file_of_another_goes_without_what_it_leads_to(
    tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    from xanesml.files.lock import WriteLock

    (tmp_path / "precious").write_text("text")
    make(tmp_path / ".tensors.h5~12ab.partial.h5", tmp_path / "precious")
    WriteLock(tmp_path / "tensors.h5").close()
    assert {path.name for path in tmp_path.iterdir()} == {"precious"}
    assert (tmp_path / "precious").read_text() == "text"


def test_a_damaged_file_shows_itself_in_a_notebook_and_says_what_to_do(tmp_path: Path) -> None:
    path = write_small(tmp_path / "tensors.h5")
    with h5py.File(path, "r+") as file:
        del file["statistical/spectra"]
    with open_tensors(path) as tensors:
        assert "cannot be read (" in repr(tensors)
        assert f"run `xanesml validate {path}`" in repr(tensors)
