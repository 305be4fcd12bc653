"""Files open with a plot in viewers of NeXus files, at any stage."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import small_tensors as small
from made_store import EDGE, spectrum
from requirements import require
from synthetic import campaign, write_tensors

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.files.layout import LAYOUTS, STORE, Layout
from xanesml.files.plots import Member
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, open_store_file
from xanesml.validation import validate

#: A series of 5 about 0, its undistorted structure the third task, and 2 disordered structures.
SMALL = {
    "name": "small",
    "structure": {"atoms": 13},
    "distortion": {"minimum": -0.02, "maximum": 0.02},
    "disorder": {"structures": 2},
    "feff": {"scf": False},
}


@cache
def laid_out(changes: str) -> tuple[bytes, Campaign]:
    """Return the store of the small campaign with changes given as JSON, and the campaign."""
    chosen = Campaign.model_validate(SMALL | json.loads(changes))
    with TemporaryDirectory() as folder:
        lay_out(Path(folder) / "store.h5", chosen, expand(chosen), "made up")
        return (Path(folder) / "store.h5").read_bytes(), chosen


def store(folder: Path, **changes: object) -> tuple[Path, Campaign]:
    content, chosen = laid_out(json.dumps(changes))
    (folder / "store.h5").write_bytes(content)
    return folder / "store.h5", chosen


def write(path: Path, *tasks: int) -> None:
    with open_store_file(path, mode="r+") as file:
        for task in tasks:
            RowWriter(file).write(
                Row(task=task, outcome=Outcome.DONE, finished=1.7e9, host="node1", spectrum=spectrum(task, 0.0))
            )


class Shown(NamedTuple):
    """A plot as silx reads it."""

    title: str
    signal: np.ndarray
    axes: list[np.ndarray | None]
    labels: list[str]
    auxiliary: list[np.ndarray]
    interpretation: str


def silx_plots(path: Path) -> dict[str, Shown]:
    """Return the plots as silx finds them: the default one first; any issue of silx fails."""
    require("silx")
    from silx.io import nxdata

    shown = {}
    with h5py.File(path) as file:
        default = nxdata.get_default(file, validate=True).group
        for group in (default, *file["entry"].values()):
            data = nxdata.NXdata(group)
            assert data.is_valid, data.issues
            shown[group.name.split("/")[-1]] = Shown(
                data.title,
                data.signal[...],
                [axis if axis is None else axis[...] for axis in data.axes],
                data.axes_names,
                [signal[...] for signal in data.auxiliary_signals],
                data.interpretation,
            )
    return shown


def test_an_empty_store_opens_with_a_plot_of_nothing(tmp_path: Path) -> None:
    path, _ = store(tmp_path)
    plots = silx_plots(path)
    first = plots["undistorted"]
    assert list(plots) == ["undistorted", "series", "tasks"]
    assert first.title == "Spectrum of the undistorted structure"
    assert np.isnan(first.signal).all()


def test_a_store_under_way_shows_what_has_run_and_nothing_was_copied(tmp_path: Path) -> None:
    path, _ = store(tmp_path)
    before = path.stat().st_size
    write(path, 2, 4, 7)
    plots = silx_plots(path)
    expected = spectrum(2, 0.0)
    points = len(expected.energy)
    first = plots["undistorted"]
    np.testing.assert_array_equal(first.signal[:points], expected.mu)
    np.testing.assert_array_equal(first.axes[0][:points], expected.energy)
    np.testing.assert_array_equal(first.auxiliary[0][:points], expected.mu0)
    assert np.isnan(first.signal[points:]).all()
    assert first.labels == ["photon energy (eV)"]
    assert first.interpretation == "spectrum"
    series = plots["series"]
    np.testing.assert_allclose(series.axes[0], [-0.02, -0.01, 0, 0.01, 0.02])
    assert np.isfinite(series.signal[:, 0]).tolist() == [False, False, True, False, True]
    np.testing.assert_array_equal(series.signal[4, :points], spectrum(4, 0.0).mu)
    np.testing.assert_array_equal(series.axes[1][:points], expected.energy)
    tasks = plots["tasks"]
    assert tasks.signal.shape[0] == len(expand(Campaign.model_validate(SMALL)))
    np.testing.assert_array_equal(tasks.signal[7, :points], spectrum(7, 0.0).mu)
    assert path.stat().st_size == before


def test_of_several_sites_the_series_shows_the_first(tmp_path: Path) -> None:
    path, chosen = store(tmp_path, distortion={"minimum": -0.02, "maximum": 0.02, "absorbers": "sites"}, disorder=None)
    sites = len(expand(chosen).site_multiplicity)
    assert sites > 1
    write(path, *range(5 * sites))
    plots = silx_plots(path)
    np.testing.assert_array_equal(plots["undistorted"].signal[:101], spectrum(2 * sites, 0.0).mu)
    for row in range(5):
        np.testing.assert_array_equal(plots["series"].signal[row, :101], spectrum(row * sites, 0.0).mu)


def test_a_store_without_a_series_shows_its_first_task(tmp_path: Path) -> None:
    path, _ = store(tmp_path, distortion=None)
    write(path, 0, 1)
    plots = silx_plots(path)
    assert plots.keys() == {"undistorted", "tasks"}
    np.testing.assert_array_equal(plots["undistorted"].signal[:101], spectrum(0, 0.0).mu)
    assert validate(path).problems == ()


def test_a_tensor_file_shows_means_the_series_and_the_averages(tmp_path: Path) -> None:
    path = tmp_path / "tensors.h5"
    write_tensors(path, campaign(), families=40, members=2)
    plots = silx_plots(path)
    name, first = next(iter(plots.items()))
    with h5py.File(path) as file:
        assert name == "mean"
        np.testing.assert_allclose(first.signal, file["statistical/spectra"][:].mean(axis=0, dtype=float))
        np.testing.assert_allclose(first.auxiliary[0], file["particle/spectra"][:].mean(axis=0, dtype=float))
        assert file["entry/series/mu"] == file["series/mu"]
        assert plots["series"].labels == ["δ (Å)", "photon energy (eV)"]
        assert file["entry/averages/spectra"] == file["statistical/spectra"]
        np.testing.assert_array_equal(plots["averages"].axes[0], file["statistical/msd"][:])
        assert file["entry/averages/msd"].attrs["units"] == "Å²"
        assert {plot.interpretation for plot in plots.values()} == {"spectrum"}


@pytest.mark.requires("nexusformat")
@pytest.mark.parametrize("made", ["store", "tensors"])
def test_nexusformat_finds_the_same_plot(tmp_path: Path, made: str) -> None:
    from nexusformat.nexus import nxload

    path = store(tmp_path)[0] if made == "store" else small.write_small(tmp_path / "tensors.h5")
    if made == "store":
        write(path, 2)
    with nxload(str(path)) as root:
        data = root.get_default()
        assert (data.nxclass, data.nxname) == ("NXdata", "undistorted" if made == "store" else "mean")
        assert data.nxsignal.ndim == 1
        assert [axis.nxname for axis in data.nxaxes] == ["energy"]
        assert data.nxaxes[0].attrs["units"] == "eV"
        assert np.atleast_1d(data.attrs["auxiliary_signals"]).tolist() == ["mu0" if made == "store" else "particle"]
        if made == "store":
            np.testing.assert_array_equal(data.nxsignal.nxdata[:101], spectrum(2, 0.0).mu)
            assert np.nanmin(np.abs(data.nxaxes[0].nxdata - EDGE)) < 1
        for plot in root["entry"].NXdata:
            assert plot.nxsignal.nxdata.shape == tuple(len(axis) for axis in plot.nxaxes)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_dataset_has_one_label_and_every_plot_its_members(layout: Layout) -> None:
    members = [member for plot in layout.plots for member in plot.members]
    hard = {(member.path, member.label) for member in members if not member.rows}
    assert len({path for path, _ in hard}) == len(hard)
    for plot in layout.plots:
        shown = {member.name: member for member in plot.members}
        assert len(shown) == len(plot.members)
        assert {plot.signal, *plot.auxiliary, *plot.axes} - {"."} == shown.keys()
        dimensions = _dimensions(layout, shown[plot.signal])
        assert len(plot.axes) == len(dimensions)
        assert all(_dimensions(layout, shown[name]) == dimensions for name in plot.auxiliary)
        assert all(len(_dimensions(layout, shown[name])) == 1 for name in plot.axes if name != ".")


def _dimensions(layout: Layout, member: Member) -> tuple[str, ...]:
    shape = layout[member.path].shape
    return {"undistorted": shape[1:], "": shape}.get(member.rows, (member.rows, *shape[1:]))


def test_plots_lie_in_front_of_all_rows(tmp_path: Path) -> None:
    path, _ = store(tmp_path)
    content = path.read_bytes()
    with h5py.File(path) as file:
        first = min(file[array.path].id.get_offset() for array in STORE.arrays if file[array.path].size)
    # Their attributes, and the rows that they are links to.
    assert max(content.rfind(b"NXdata"), content.rfind(b"/spectra/mu0"), content.rfind(b"auxiliary")) < first


def _elsewhere(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout(file["entry/undistorted/mu"].shape, "<f8")
    layout[...] = h5py.VirtualSource(str(secret), "/spectra/mu", file["spectra/mu"].shape)[0]
    del file["entry/undistorted/mu"]
    file["entry/undistorted"].create_virtual_dataset("mu", layout)


def _external(file: h5py.File, secret: Path) -> None:
    del file["entry"]
    file["entry"] = h5py.ExternalLink(str(secret), "entry")


def _other(file: h5py.File, _secret: Path) -> None:
    del file["entry/tasks/mu"]
    file["entry/tasks/mu"] = file["spectra/mu0"]


def _more(file: h5py.File, _secret: Path) -> None:
    file["entry/tasks/note"] = 1


def _signal(file: h5py.File, _secret: Path) -> None:
    file["entry/series"].attrs["signal"] = "delta"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_elsewhere, "entry/undistorted/mu is no link to spectra/mu"),
        (_external, "the group entry of plots is missing"),
        (_other, "entry/tasks/mu is no link to spectra/mu"),
        (_more, "entry/tasks/note is not part of the format"),
        (_signal, "entry/series has another attribute signal than the format"),
        (lambda file, _: file["entry"].__delitem__("undistorted"), "entry/undistorted is missing"),
    ],
)
def test_what_departs_from_the_plots_is_named(tmp_path: Path, change: object, problem: str) -> None:
    assert callable(change)
    path, _ = store(tmp_path)
    assert validate(path).problems == ()
    with h5py.File(path, "r+", libver=("earliest", "v110")) as file:
        change(file, tmp_path / "secret.h5")
    assert problem in " ".join(validate(path).problems)


def test_a_mean_that_is_not_that_of_its_averages_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tensors.h5"
    write_tensors(path, campaign(), families=40, members=2)
    with h5py.File(path, "r+") as file:
        file["particle/mean_spectrum"][3] += 1e-6
    assert validate(path).problems == ("particle/mean_spectrum is not the mean of particle/spectra",)
