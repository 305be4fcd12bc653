"""A store opened to be read: its tasks, structures and spectra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_store import made_store, spectrum

from xanesml.campaign import Campaign, DisorderSection, DistortionSection, StructureSection
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.store.plan import expand, load_campaign
from xanesml.store.reader import Store, open_store

CAMPAIGN = Campaign(
    name="read",
    structure=StructureSection(atoms=13),
    distortion=DistortionSection(minimum=-0.1, maximum=0.1, step=0.1),
    disorder=DisorderSection(structures=2, sigma_minimum=0.05, absorbers=[6, 0]),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three distorted structures, and two disordered ones with two absorbers; tasks 1 and 5 timed out."""
    store = tmp_path_factory.mktemp("store") / "<store>.h5"
    made_store(store, CAMPAIGN, missing=(1, 5))
    return store


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(str(path)) as opened:
        yield opened


def test_it_prints_itself(store: Store, path: Path) -> None:
    assert repr(store).splitlines() == [
        f"Store {path}",
        f"  campaign:   read, digest {CAMPAIGN.digest()}",
        "  structures: 3 distorted, 2 disordered",
        "  atoms:      13 in each structure",
        "  tasks:      7: 5 done, 2 timed-out",
        "  engine:     made up",
    ]
    html = store._repr_html_()
    assert "&lt;store&gt;.h5" in html
    assert "<store>" not in html
    assert store.outcomes == {"done": 5, "timed-out": 2}
    assert store.campaign.digest() == CAMPAIGN.digest()
    assert len(store) == 7


def test_spectra_have_the_coordinates_of_their_tasks(store: Store) -> None:
    disordered = store.spectra("disordered")
    assert disordered.tasks.tolist() == [3, 4, 6]
    assert disordered.coordinates["structure"].tolist() == [3, 3, 4]
    assert disordered.coordinates["absorber"].tolist() == [6, 0, 0]
    assert disordered.coordinates["element"].tolist() == ["Au"] * 3
    assert disordered.coordinates["sigma"].tolist() == [0.05, 0.05, 0.14]
    assert np.isnan(disordered.coordinates["delta"]).all()
    np.testing.assert_array_equal(disordered.energy[1], spectrum(4, 0.0).energy)
    np.testing.assert_array_equal(disordered.mu[2], spectrum(6, 0.003 * 6).mu)
    np.testing.assert_array_equal(disordered.mu0[0], spectrum(3, 0.0).mu0)


def test_spectra_are_read_in_blocks_of_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xanesml.store.reader.BLOCK", 3)
    monkeypatch.setattr("xanesml.store.rows.BLOCK", 3)
    every = store.spectra()
    for row, task in enumerate(every.tasks.tolist()):
        np.testing.assert_array_equal(every.mu[row], store.file["spectra/mu"][task, :101])


def test_spectra_that_are_not_done_are_nan(store: Store) -> None:
    every = store.spectra(kind="distorted", done=False)
    assert every.coordinates["outcome"].tolist() == ["done", "timed-out", "done"]
    assert every.mu.shape == (3, 101)
    assert np.isnan(every.mu[1]).all()
    assert not np.isnan(every.mu[[0, 2]]).any()


def test_a_slice_is_in_the_order_of_the_tasks(store: Store) -> None:
    assert len(store.spectra()) == 5
    assert store.spectra()[::-2].tasks.tolist() == [0, 3, 6]
    assert store.spectra()[5:].mu.shape == (0, 0)
    assert store.spectra()[-1].mu.shape == (1, 101)
    assert [one.tasks.tolist() for one in store.spectra()] == [[0], [2], [3], [4], [6]]
    assert repr(store.spectra()[5:]).startswith("no spectra of")


@pytest.mark.requires("xarray")
def test_xarray_has_dimensions_coordinates_and_units(store: Store) -> None:
    dataset = store.spectra().to_xarray()
    assert dict(dataset.sizes) == {"task": 5, "energy_point": 101}
    assert dataset.energy.dims == dataset.mu.dims == ("task", "energy_point")
    assert (dataset.energy.units, dataset.delta.units, dataset.sigma.units, dataset.edge.units) == (
        "eV",
        "Å",
        "Å",
        "eV",
    )
    assert dataset.sel(task=6).absorber == 0
    assert dataset.attrs["engine"] == "made up"


def test_spectra_print_themselves_after_the_store_is_closed(path: Path) -> None:
    with open_store(path) as store:
        spectra = store.spectra()
    assert repr(spectra) == f"5 spectra of {path} (closed)"


@pytest.mark.requires("pandas")
def test_pandas_has_a_row_for_each_energy(store: Store) -> None:
    table = store.spectra(kind="distorted", done=False).to_pandas()
    assert len(table) == 2 * 101
    assert table["task"].unique().tolist() == [0, 2]
    assert table["delta"].unique().tolist() == [-0.1, 0.1]
    np.testing.assert_array_equal(table["mu"][:101], spectrum(0, -0.1).mu)
    assert table.attrs["units"] == {"delta": "Å", "sigma": "Å", "edge": "eV", "energy": "eV"}


@pytest.mark.requires("pandas")
def test_tasks_are_those_of_the_campaign(store: Store) -> None:
    read, planned = store.tasks(), expand(CAMPAIGN)
    assert read.to_pandas().equals(planned.to_pandas())
    assert read.to_pandas().index.name == "task"
    assert read.inputs(4) == planned.inputs(4)
    assert (
        repr(read)
        == repr(planned)
        == "7 tasks\n  structures: 3 distorted, 2 disordered\n  atoms:      13 in each structure"
    )


def test_structures_are_atoms_that_say_how_they_were_made(store: Store) -> None:
    atoms = store.structure(4)
    np.testing.assert_array_equal(atoms.positions, expand(CAMPAIGN).positions[4])
    assert atoms.info == {"structure": 4, "scale": 1.0, "kind": "disordered", "sigma": 0.14}
    assert store.structure(0).info["delta"] == -0.1
    with pytest.raises(StoreError, match=r"no structure 5; give 0 … 4"):
        store.structure(5)


def test_an_unknown_kind_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="the kind 'round' do not exist; give 'distorted' or 'disordered' or 'image'"):
        store.spectra("round")  # type: ignore[arg-type]


def test_a_damaged_row_is_named_and_the_others_are_read(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["spectra/mu"][3, 7] += 1e-6
    with open_store(copy) as store:
        with pytest.raises(StoreError, match=r"task 3 does not match the checksum; `xanesml validate .* --repair`"):
            _ = store.spectra().mu
        assert store.spectra("distorted").mu.shape == (2, 101)


def test_after_closing_what_was_read_stays(path: Path) -> None:
    with open_store(path) as store:
        read, unread = store.spectra(), store.spectra()
        assert read.mu.shape == (5, 101)
    assert read.mu.shape == (5, 101)
    assert repr(store) == f"Store {path} (closed)"
    for late in (lambda: unread.mu, lambda: store.outcomes, lambda: store.structure(0), store.spectra):
        with pytest.raises(StoreError, match="is closed; open it again"):
            late()


def test_a_missing_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_store(tmp_path / "none.h5")


@pytest.mark.parametrize(("library", "method"), [("pandas", "to_pandas"), ("xarray", "to_xarray")])
def test_without_the_extra_the_message_says_what_to_install(
    store: Store, monkeypatch: pytest.MonkeyPatch, library: str, method: str
) -> None:
    spectra = store.spectra()
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(EnvironmentProblem, match=rf'needs {library} .*; run `pip install "xanesml\[notebook\]"`'):
        getattr(spectra, method)()


@pytest.mark.requires("pandas")
def test_a_campaign_with_tasks_has_the_same_digest(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('name = "c"\n[distortion]\nstep = 0.45\n')
    by_text, by_path = load_campaign(str(file)), load_campaign(file)
    assert by_text == by_path
    assert by_text.digest() == Campaign.load(file).digest()
    assert by_text.tasks().to_pandas()["delta"].tolist() == [-0.45, 0.0, 0.45]


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path} is a folder; give the file in it"):
        open_store(tmp_path)


def test_a_store_whose_attributes_cannot_be_read_is_refused(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    # In the address of the text of `schema`, which lies in front of the next attribute's name.
    content[content.index(b"schema_version") - 21] = 0x6F
    copy = tmp_path / "store.h5"
    copy.write_bytes(content)
    with pytest.raises(StoreError, match=f"{copy} is damaged: .*; restore it from a copy"):
        open_store(copy)
