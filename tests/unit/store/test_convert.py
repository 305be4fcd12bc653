from __future__ import annotations

import fcntl
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT

from xanesml.campaign import Campaign, digest_of
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files.hdf5 import content_digest, open_file
from xanesml.files.layout import LAYOUTS, STORE, TENSORS, Layout, fixed_arrays
from xanesml.files.lock import WriteLock
from xanesml.store import convert as module
from xanesml.store.convert import convert
from xanesml.store.create import continued
from xanesml.store.rows import torn_rows
from xanesml.validation import validate

#: Files as earlier xanesml wrote them, with the version of their format: 13 atoms, a series of 9 with
#: `distortion.reference = "lattice_constant"`, 3 disordered structures, one task timed out; and its averages.
FROZEN = [*((STORE, version) for version in (2, 3, 4, 5)), *((TENSORS, version) for version in (2, 3, 4))]

#: Those that are read as they are.
READ_AS_THEY_ARE = (4, 5)

#: What earlier versions lack.
ADDED = {
    "structures/coordination",
    "structures/class",
    "tasks/representatives",
    "structures/image",
    "tasks/multiplicity",
    "tasks/variant",
    "variants/class",
    "series/multiplicity",
    "statistical/coordination",
    "statistical/mean_spectrum",
    "particle/mean_spectrum",
}

#: Reads a file by the function of this name.
READ = """
import sys
from pathlib import Path
from xanesml.store.convert import convert
from xanesml.validation import validate
{"convert": convert, "validate": validate}[sys.argv[1]](Path(sys.argv[2]))
"""


def frozen(layout: Layout, version: int) -> bytes:
    name = layout.schema.removeprefix("xanesml-")
    return gzip.decompress((ROOT / "tests" / "data" / f"{name}-version-{version}.h5.gz").read_bytes())


@pytest.fixture(params=FROZEN, ids=lambda one: f"{one[0].schema} {one[1]}")
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "old.h5"
    path.write_bytes(frozen(*request.param))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.h5"
    path.write_bytes(frozen(STORE, 2))
    return path


def test_an_old_file_is_read_or_refused_with_the_command_that_converts_it(old: Path) -> None:
    with h5py.File(old) as file:
        layout, version = LAYOUTS[file.attrs["schema"]], file.attrs["schema_version"]
    if version in READ_AS_THEY_ARE:
        open_file(old, layout).close()
        assert validate(old).problems == ()
        return
    message = (
        f"{old} is {layout.schema} version {version}, but {layout.schema} version {layout.version} is needed; "
        f"run `xanesml convert {old}`"
    )
    with pytest.raises(StoreError) as caught:
        open_file(old, layout)
    assert str(caught.value) == message
    remedy = f"run `xanesml convert {old}`"
    assert validate(old).problems == (f"has version {version} of its format, not {layout.version}; {remedy}",)


def test_a_converted_file_holds_the_same_bits_under_its_own_names(old: Path, tmp_path: Path) -> None:
    before = old.read_bytes()
    line = convert(old, tmp_path / "new")
    assert old.read_bytes() == before
    new = tmp_path / "new" / "old.h5"
    with h5py.File(old) as then, h5py.File(new) as now:
        layout = LAYOUTS[then.attrs["schema"]]
        version = then.attrs["schema_version"]
        assert line == f"{new}: converted from {layout.schema} version {version} to version {layout.version}"
        for array in layout.arrays:
            if array.path not in ADDED:
                older = array.path.replace("structures/undistorted", "structures/reference") if version == 2 else ""
                source = then[older or array.path]
                assert now[array.path].dtype == source.dtype
                assert now[array.path][...].tobytes() == source[...].tobytes(), array.path
        names = then.attrs.keys() - {"schema_version", "campaign", "campaign_digest", "inputs_digest"}
        assert now.attrs.keys() == layout.attributes.keys()
        assert now.attrs.get("complete") == (1 if "complete" in layout.attributes else None)
        for name in names:
            np.testing.assert_equal(now.attrs[name], then.attrs[name], name)
        assert now.attrs["schema_version"] == layout.version
        campaign = json.loads(then.attrs["campaign"])
        if version == 2:
            campaign["distortion"]["length"] = campaign["distortion"].pop("reference")
        assert campaign["distortion"]["length"] == "lattice_constant"
        campaign["feff"] |= {"potentials": "element", "representative": "nearest", "stoichiometry": "feff"}
        campaign["engine"] |= {"pot": "feff", "pot_grid": "feff"}
        assert json.loads(now.attrs["campaign"]) == campaign
    assert validate(new).problems == ()


def test_absorbers_of_an_old_file_stand_for_themselves_and_its_series_for_the_center(old: Path) -> None:
    convert(old)
    with h5py.File(old) as file:
        if file.attrs["schema"] == STORE.schema:
            assert file["tasks/multiplicity"][:].tolist() == [1] * len(file["tasks/absorber"])
            assert file["structures/image"][:].tolist() == [-1] * len(file["structures/kind"])
            return
        assert file["series/task"][:].tolist() == [[task] for task in range(9)]
        assert file["series/multiplicity"][:].tolist() == [1]
        assert set(file["statistical/coordination"][:]) == {12.0}


@pytest.mark.parametrize(
    ("key", "value", "coordination"),
    [
        ("first_shell_cutoff", 3.5, 12),
        ("first_shell_cutoff", 4.2, None),
        ("file", "x.xyz", None),
        ("absorber", 4, None),
    ],
)
def test_the_coordination_of_an_old_file_is_known_at_the_center_of_a_cuboctahedron(
    tmp_path: Path, key: str, value: object, coordination: int | None
) -> None:
    path = tmp_path / "tensors.h5"
    path.write_bytes(frozen(TENSORS, 3))
    with h5py.File(path, "r+") as file:
        campaign = json.loads(file.attrs["campaign"])
        campaign["structure"][key] = value
        file.attrs["campaign"] = json.dumps(campaign)
        file.attrs["campaign_digest"] = digest_of(campaign)
    convert(path)
    with h5py.File(path) as file:
        found = file["statistical/coordination"][:]
    assert np.isnan(found).all() if coordination is None else (found == coordination).all()
    assert validate(path).problems == ()


def test_damaged_structures_do_not_match_their_digest_after_conversion(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["structures/positions"][2, 3, 1] += 0.01
    convert(store)
    (problem,) = validate(store).problems
    assert problem.startswith("structures or tasks do not match inputs_digest")


def test_a_converted_store_says_how_feff_chose_and_goes_on(old: Path) -> None:
    with h5py.File(old) as file:
        if file.attrs["schema"] != STORE.schema:
            return
    convert(old)
    with open_file(old, STORE) as file:
        campaign = Campaign.restored(str(file.attrs["campaign"]))
        # The identities of its tasks are those that this xanesml computes.
        continued(file, campaign, str(file.attrs["engine"]))
        assert json.loads(file.attrs["classes"]) == ["Au"]
        assert np.isnan(file.attrs["radius"])
        assert sorted(file["structures/coordination"][:].tolist()) == [5] * 12 + [12]
        assert not file["structures/class"][...].any()
        absorber, structure = file["tasks/absorber"][:], file["tasks/structure"][:]
        for task, (chosen,) in enumerate(file["tasks/representatives"][:]):
            positions = file["structures/positions"][structure[task]]
            distance = np.linalg.norm(positions - positions[absorber[task]], axis=1)
            distance[absorber[task]] = np.inf
            assert distance[chosen] == pytest.approx(distance.min(), abs=1e-6)


def test_digests_and_checksums_hold_after_conversion(store: Path) -> None:
    convert(store)
    with open_file(store, STORE) as file:
        assert content_digest(file, ["tasks/identity"]) == file.attrs["tasks_digest"].decode()
        fixed = [array.path for array in fixed_arrays(STORE)]
        assert content_digest(file, fixed) == file.attrs["inputs_digest"].decode()
        assert torn_rows(file).size == 0


def test_a_file_is_converted_in_place_and_once(old: Path) -> None:
    convert(old)
    assert list(old.parent.iterdir()) == [old]
    once = old.read_bytes()
    with h5py.File(old) as file:
        schema = file.attrs["schema"]
    assert convert(old) == f"{old}: {schema} version {LAYOUTS[schema].version} already"
    assert old.read_bytes() == once


def test_damaged_rows_stay_as_they_are(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["spectra/mu"][3, 2] = 0.5
    convert(store)
    with open_file(store, STORE) as file:
        assert torn_rows(file).tolist() == [3]
        assert file["spectra/mu"][3, 2] == 0.5


def test_a_file_in_use_is_refused(old: Path) -> None:
    before = old.read_bytes()
    with WriteLock(old):
        for folder in (None, old.parent / "new"):
            with pytest.raises(StoreError, match="is being written by this very process"):
                convert(old, folder)
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _version(path: Path, version: int) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = version


def _damage_attribute(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # In the address of the text of `schema`, which lies in front of the next attribute's name.
    content[content.index(b"schema_version") - 21] = 0x6F
    path.write_bytes(content)


def _lack(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cut, "is truncated: 468567 of 468568 bytes are there; restore it from a copy, or repair it with"),
        (lambda path: _version(path, 1), "is xanesml-store version 1, and only versions 2, 3, 4, 5 can be converted"),
        (lambda path: _version(path, 9), "is xanesml-store version 9, and only versions 2, 3, 4, 5 can be converted"),
        (_damage_attribute, "is damaged and cannot be converted: "),
        (lambda path: _lack(path, "runs/log"), "is damaged and cannot be converted: "),
        (lambda path: path.write_text("no HDF5"), "is not a readable HDF5 file"),
        (lambda path: h5py.File(path, "w").close(), "is no file of xanesml; give a store or a tensor file"),
        (Path.unlink, "does not exist; give a store or a tensor file"),
    ],
)
def test_what_cannot_be_converted_stays_and_is_named(store: Path, change: object, message: str) -> None:
    assert callable(change)
    change(store)
    before = store.read_bytes() if store.exists() else None
    with pytest.raises(StoreError) as caught:
        convert(store)
    assert str(caught.value).startswith(f"{store} {message}")
    assert "\n" not in str(caught.value)
    assert before is None or store.read_bytes() == before
    assert len(list(store.parent.iterdir())) == (before is not None)


def test_a_full_disk_leaves_the_old_file(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    before = store.read_bytes()
    # The first thing that happens once a block is written.
    monkeypatch.setattr(module, "content_digest", full)
    with pytest.raises(EnvironmentProblem, match=rf"cannot write {store}: No space left on device"):
        convert(store)
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def test_a_file_that_cannot_be_read_to_its_end_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(source: h5py.Dataset) -> Iterator[tuple[int, list[np.ndarray]]]:
        yield 0, [source[:1]]
        raise OSError(5, os.strerror(5))

    before = store.read_bytes()
    monkeypatch.setattr(module, "blocks", failing)
    with pytest.raises(EnvironmentProblem, match=rf"cannot read {store}: Input/output error; this tells nothing"):
        convert(store)
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def test_a_file_that_may_not_be_read_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("xanesml.files.hdf5.h5py.File", denied)
    monkeypatch.setattr("xanesml.files.hdf5.full_size", denied)
    monkeypatch.setattr(module, "full_size", denied)
    monkeypatch.setattr("xanesml.validation.opening.full_size", denied)
    for read in (convert, validate, lambda path: open_file(path, STORE)):
        with pytest.raises(EnvironmentProblem, match=rf"cannot read {store}: Permission denied; this tells nothing"):
            read(store)


@pytest.mark.requires("linux")
def test_a_file_that_another_program_locks_is_not_told_as_damaged(store: Path) -> None:
    # HDF5 locks files where its variable says so, whatever the program asks for.
    environment = os.environ | {"HDF5_USE_FILE_LOCKING": "TRUE"}
    with store.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for command in ("convert", "validate"):
            words = [sys.executable, "-c", READ, command, str(store)]
            ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
            assert "EnvironmentProblem" in ended.stderr
            assert f"{store} is locked by a program that has it open" in ended.stderr
            assert "restore" not in ended.stderr


def test_a_structure_on_which_hdf5_dies_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program := store.with_name("killer")).write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    before = store.read_bytes()
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(StoreError, match=r"HDF5 crashes on it \(SIGSEGV\); restore it from a copy"):
        convert(store, apart=True)
    assert store.read_bytes() == before
    monkeypatch.undo()
    assert "converted" in convert(store, apart=True)


def test_a_copy_that_reads_back_otherwise_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.read_bytes()
    monkeypatch.setattr(module, "blocks", lambda _source: ())
    with pytest.raises(StoreError, match="did not read back as it was written"):
        convert(store)
    assert store.read_bytes() == before


def test_nothing_in_the_output_folder_is_replaced(store: Path) -> None:
    folder = store.parent / "new"
    convert(store, folder)
    with pytest.raises(StoreError, match=rf"{folder}/store.h5 exists already; give another --output folder"):
        convert(store, folder)


def test_large_datasets_are_copied_in_blocks(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xanesml.files.hdf5.BLOCK_BYTES", 2000)
    with h5py.File(store) as file:
        expected = file["spectra/mu"][...]
    convert(store)
    with open_file(store, STORE) as file:
        np.testing.assert_array_equal(file["spectra/mu"][...], expected)
