"""Variants of a campaign's cards: tasks behind the others in the same store, also of one that exists."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from conftest import ROOT
from made_store import of_surroundings

from xanesml.averages.particles import choose_particles
from xanesml.averages.sites import SeriesSites
from xanesml.averages.tensor_file import survey
from xanesml.campaign import Campaign
from xanesml.errors import CampaignError, StoreError, StructureError
from xanesml.feff.outcomes import Outcome
from xanesml.files.layout import STORE, fixed_arrays, row_arrays
from xanesml.page.runs import planned_section, progress_section, read_runs
from xanesml.store import extend as module
from xanesml.store.convert import convert
from xanesml.store.cost import table_seconds
from xanesml.store.create import continued, lay_out
from xanesml.store.export import chosen_tasks, export_extxyz, export_xdi
from xanesml.store.export_feff import export_feff
from xanesml.store.extend import extend
from xanesml.store.plan import expand
from xanesml.store.reader import open_store
from xanesml.store.rows import Row, RowWriter, copy_done_rows, open_store_file
from xanesml.store.stored import stored_campaign, stored_table
from xanesml.store.task_finder import TaskFinder
from xanesml.store.tasks import TaskTable
from xanesml.structures.feff_inp import parse_feff_input
from xanesml.validation import validate

ENGINE = "fake 1"

#: 3 distorted structures with one absorber, 4 disordered ones with two.
CONTENT = {
    "name": "varied",
    "structure": {"atoms": 13},
    "distortion": {"minimum": -0.01, "maximum": 0.01},
    "disorder": {"structures": 4, "absorbers": [0, 9]},
    "feff": {"scf": False, "potentials": "element"},
}
HL = {"exchange": [0, 0.2, 0.5], "structures": "::3"}
SHELLS = {"potentials": "coordination"}
OWN = 3 + 4 * 2


def campaign(cards: dict[str, object] | None = None, **variants: dict[str, object]) -> Campaign:
    feff = CONTENT["feff"] | (cards or {}) | ({"variants": variants} if variants else {})
    return Campaign.model_validate(CONTENT | {"feff": feff})


def filled(path: Path, asked: Campaign, *, done: bool = True) -> Path:
    """Lay out a store; spectra are made up of the surroundings, and other in each set of cards."""
    table = expand(asked)
    lay_out(path, asked, table, ENGINE)
    if done:
        fill(path, table)
    return path


def fill(path: Path, table: TaskTable) -> None:
    with open_store_file(path, mode="r+") as file:
        writer, outcomes = RowWriter(file), file["runs/outcome"][:]
        for number, (rows, part) in enumerate(table.card_sets):
            for task in range(rows.start, rows.stop):
                positions = np.asarray(table.positions[int(table.structure[task])])
                one = of_surroundings(positions, int(part.absorber[task - rows.start]))
                if outcomes[task] != Outcome.DONE:
                    spectrum = one._replace(mu=one.mu * (1 + 0.1 * number))
                    writer.write(Row(task=task, outcome=Outcome.DONE, finished=1.7e9, host="node1", spectrum=spectrum))


def extended(path: Path, asked: Campaign) -> dict[str, int]:
    with open_store_file(path) as file:
        cluster, view = continued(file, asked, ENGINE)
    return extend(path, asked, stored_table(cluster, asked.feff, view), ENGINE)


def content(path: Path, rows: slice = slice(None), *, columns: bool = True) -> dict[str, bytes]:
    arrays = [*(row_arrays(STORE) if columns else ()), *fixed_arrays(STORE)]
    with h5py.File(path) as file:
        return {
            array.path: file[array.path][rows if array.shape[0] == "task" else slice(None)].tobytes()
            for array in arrays
            if array.path in file
        }


def test_tasks_of_variants_follow_the_others_and_have_their_cards() -> None:
    table, own = expand(campaign(hl=HL, shells=SHELLS)), expand(campaign())
    assert len(own) == OWN
    assert table.variant_sizes == {"hl": 1 + 2 * 2, "shells": OWN}
    for name in ("structure", "absorber", "multiplicity"):
        np.testing.assert_array_equal(getattr(table, name)[:OWN], getattr(own, name))
    columns = table.columns()
    assert columns["variant"].tolist() == [""] * OWN + ["hl"] * 5 + ["shells"] * OWN
    assert columns["structure"][OWN : OWN + 5].tolist() == [0, 3, 3, 6, 6]
    assert columns["absorber"][OWN : OWN + 5].tolist() == [9, 0, 9, 0, 9]
    assert columns["variant"][[2, 12]].tolist() == table.columns(np.array([2, 12]))["variant"].tolist()
    alone = expand(campaign({"exchange": [0, 0.2, 0.5]}))
    for task, same in zip(range(OWN, OWN + 5), (0, 3, 4, 9, 10), strict=True):
        assert table.inputs(task) == alone.inputs(same)
        assert "EXCHANGE 0 0.2 0.5" in table.inputs(task)[0]
    for task in range(OWN):
        assert table.inputs(task) == own.inputs(task)
        assert table.potential_lines(OWN + 5 + task) == expand(campaign(SHELLS)).potential_lines(task)
    parts = [table_seconds(part) for _, part in table.card_sets]
    np.testing.assert_array_equal(table_seconds(table), np.concatenate(parts))
    assert parts[1].max() < parts[0].max(), "EXCHANGE 0 is the cheaper"
    np.testing.assert_array_equal(parts[0], table_seconds(own))
    assert "variants:   hl 5, shells 11" in str(table)


def test_a_variant_chooses_some_structures_of_all() -> None:
    with pytest.raises(CampaignError, match=r"feff\.variants\.hl\.structures = '70:' chooses none of the 7 structures"):
        expand(campaign(hl=HL | {"structures": "70:"}))
    backwards = expand(campaign(hl=HL | {"structures": "::-3"}))
    assert backwards.columns()["structure"][OWN:].tolist() == [0, 3, 3, 6, 6]


def test_a_variant_needs_its_spheres_in_the_crystal(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "au.xyz", ase.build.bulk("Au"), format="extxyz")
    feff = {"scf": False, "fms_radius": 4.0}
    asked = {
        "name": "x",
        "structure": {"file": str(tmp_path / "au.xyz"), "radius": 5.0},
        "disorder": {"absorbers": [0]},
    }
    expand(Campaign.model_validate(asked | {"feff": feff}))
    feff["variants"] = {"wide": {"fms_radius": 6.0}}
    with pytest.raises(StructureError, match=r"structure\.radius = 5\.0 Å cuts .* give 6\.00 Å or more"):
        expand(Campaign.model_validate(asked | {"feff": feff}))


def test_a_new_store_begins_as_one_without_variants(tmp_path: Path) -> None:
    own, varied = filled(tmp_path / "own.h5", campaign()), filled(tmp_path / "v.h5", campaign(hl=HL, shells=SHELLS))
    with h5py.File(own) as file, h5py.File(varied) as other:
        classes = file["tasks/representatives"].shape[1]
        np.testing.assert_array_equal(other["tasks/representatives"][:OWN, :classes], file["tasks/representatives"])
        assert (other["tasks/representatives"][:OWN, classes:] == -1).all()
        assert other["tasks/variant"][:].tolist() == [0] * OWN + [1] * 5 + [2] * OWN
        assert file.attrs["tasks_digest"] == other.attrs["tasks_digest"]
        named = json.loads(str(other.attrs["variants"]))
        assert named == [{"name": "hl", "classes": ["Au"]}, {"name": "shells", "classes": ["Au 5", "Au 12"]}]
        assert json.loads(str(file.attrs["classes"])) == ["Au"]
        assert other["variants/class"][1].tolist() == [int(atom == 9) for atom in range(13)]
    before, after = content(own), content(varied, slice(0, OWN))
    for path in before.keys() - {"tasks/representatives", "variants/class"}:
        assert before[path] == after[path], path
    hl = filled(tmp_path / "hl.h5", campaign({"exchange": [0, 0.2, 0.5]}), done=False)
    shells = filled(tmp_path / "shells.h5", campaign(SHELLS), done=False)
    with h5py.File(hl) as first, h5py.File(shells) as second, h5py.File(varied) as file:
        identities = [*first["tasks/identity"][[0, 3, 4, 9, 10]], *second["tasks/identity"]]
        assert file["tasks/identity"][OWN:].tolist() == identities
    assert validate(varied).lines()[-1].endswith("27 tasks (5 in hl, 11 in shells): 27 done")


def test_a_store_grows_by_variants_and_keeps_what_it_holds(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.h5", campaign())
    before = content(store)
    assert extended(store, campaign()) == {}
    assert content(store) == before
    assert extended(store, campaign(hl=HL)) == {"hl": 5}
    after = content(store, slice(0, OWN))
    assert {path: after[path] for path in before if path != "variants/class"} == {
        path: octets for path, octets in before.items() if path != "variants/class"
    }
    with open_store_file(store) as file:
        assert file["runs/outcome"][:].tolist() == [2] * OWN + [0] * 5
        assert stored_campaign(file).resolved() == campaign(hl=HL).resolved()
        assert file.attrs["campaign_digest"] == campaign(hl=HL).digest()
    fill(store, expand(campaign(hl=HL)))
    before = content(store)
    # A second variant, of more classes, whose name comes first in the alphabet.
    both = campaign(hl=HL, a_shells=SHELLS)
    assert extended(store, both) == {"a_shells": 11}
    after = content(store, slice(0, OWN + 5))
    wider = {"tasks/representatives", "variants/class"}
    assert all(after[path] == octets for path, octets in before.items() if path not in wider)
    assert validate(store).problems == ()
    fresh = filled(tmp_path / "fresh.h5", both, done=False)
    assert content(store, columns=False) == content(fresh, columns=False)
    with open_store_file(store) as file:
        cluster, view = continued(file, both, ENGINE)
        assert stored_table(cluster, both.feff, view).variant_sizes == {"hl": 5, "a_shells": 11}


@pytest.mark.parametrize("version", [4, 5])
def test_stores_of_earlier_versions_have_no_variants_and_take_them(tmp_path: Path, version: int) -> None:
    store = tmp_path / "store.h5"
    store.write_bytes(gzip.decompress((ROOT / "tests" / "data" / f"store-version-{version}.h5.gz").read_bytes()))
    octets, before = store.read_bytes(), content(store)
    with open_store(store) as opened:
        assert (opened.variants, set(opened.tasks().columns()["variant"])) == ((), {""})
        own, engine, count = opened.campaign, opened.engine, len(opened)
        assert len(opened.spectra()) == count - 1
    given = own.model_dump(mode="json")
    given["feff"]["variants"] = {"hl": {"exchange": [0, 0.2, 0.5]}}
    asked = Campaign.model_validate(given)
    with open_store_file(store) as file:
        cluster, view = continued(file, own, engine)
        continued(file, asked, engine)
    assert store.read_bytes() == octets
    assert extend(store, asked, stored_table(cluster, own.feff, view), engine) == {"hl": count}
    after = content(store, slice(0, count))
    assert before == {path: after[path] for path in before}
    assert validate(store).problems == ()
    assert convert(store) == f"{store}: xanesml-store version {STORE.version} already"


def test_a_store_that_cannot_be_extended_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "store.h5", campaign())
    before = store.read_bytes()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_variants", killed)
    with pytest.raises(KeyboardInterrupt):
        extended(store, campaign(hl=HL))
    assert [path.name for path in tmp_path.iterdir()] == ["store.h5"]
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        (campaign(hl=HL), campaign(), r"feff\.variants\.hl\.exchange is \[0, 0\.2, 0\.5\] there and not set here"),
        (campaign(hl=HL), campaign(hl=HL | {"structures": ":"}), r"variants\.hl\.structures is ::3 there and : here"),
        (campaign(hl=HL), campaign({"s02": 0.9}, hl=HL), r"feff\.s02 is 1\.0 there and 0\.9 here"),
        (campaign(), campaign({"s02": 0.9}, hl=HL), r"feff\.s02 is 1\.0 there and 0\.9 here"),
    ],
)
def test_other_changes_are_refused(tmp_path: Path, then: Campaign, now: Campaign, message: str) -> None:
    store = filled(tmp_path / "store.h5", then, done=False)
    with pytest.raises(StoreError, match=message):
        extended(store, now)


def test_finished_tasks_of_a_campaign_of_its_own_are_taken_over(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.h5", campaign())
    other = filled(tmp_path / "other.h5", campaign({"exchange": [0, 0.2, 0.5]}))
    extended(store, campaign(hl=HL))
    before = content(store, slice(0, OWN))
    with open_store_file(other) as source, open_store_file(store, mode="r+") as target:
        assert copy_done_rows(source, target) == 5
        assert copy_done_rows(source, target) == 0
        assert (target["spectra/mu"][OWN:] == source["spectra/mu"][:][[0, 3, 4, 9, 10]])[:, :50].all()
    assert content(store, slice(0, OWN)) == before


def test_variants_with_the_input_of_finished_tasks_take_their_spectra(tmp_path: Path) -> None:
    """As those of a crystal whose atoms are of one potential by either rule."""
    store = filled(tmp_path / "store.h5", campaign())
    other = filled(tmp_path / "other.h5", campaign())
    extended(store, campaign(hl=HL, shells=SHELLS))
    chosen = [0, 3, 4, 9, 10]
    with open_store_file(store, mode="r+") as file, open_store_file(other) as source:
        same = file["tasks/identity"][:OWN][chosen]
        file["tasks/identity"][OWN : OWN + 5] = same
        file["tasks/identity"][OWN + 5 : OWN + 7] = same[:2]
        assert copy_done_rows(file, file) == 7
        assert copy_done_rows(source, file) == 0
        assert (file["spectra/mu"][OWN : OWN + 5] == file["spectra/mu"][:OWN][chosen])[:, :50].all()


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("varied") / "store.h5", campaign(hl=HL, shells=SHELLS))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("own") / "store.h5", campaign())


def test_spectra_are_those_in_the_campaigns_own_cards_unless_asked(varied: Path, own: Path) -> None:
    with open_store(varied) as store, open_store(own) as plain:
        assert store.variants == ("hl", "shells")
        assert len(store) == 27
        np.testing.assert_array_equal(store.spectra().mu, plain.spectra().mu)
        assert len(store.spectra("disordered")) == 8
        hl = store.spectra(variant="hl")
        assert hl.tasks.tolist() == list(range(OWN, OWN + 5))
        np.testing.assert_allclose(hl.mu, 1.1 * plain.spectra().mu[[0, 3, 4, 9, 10]], rtol=1e-12)
        assert set(hl.coordinates["variant"]) == {"hl"}
        assert store.spectra("distorted", variant="hl").tasks.tolist() == [OWN]
        with pytest.raises(StoreError, match=r"has no variant 'h'; it has hl, shells$"):
            store.spectra(variant="h")
        with pytest.raises(StoreError, match=r"has no variant 'hl'; it has none$"):
            plain.spectra(variant="hl")
        assert "variants:   hl 5, shells 11" in str(store)


def test_averages_are_of_the_campaigns_own_cards(varied: Path, own: Path) -> None:
    asked = campaign()
    with open_store_file(varied) as file, open_store_file(own) as plain:
        np.testing.assert_array_equal(SeriesSites.of(file).tasks, SeriesSites.of(plain).tasks)
        done = np.ones(OWN, np.bool_)
        np.testing.assert_array_equal(
            choose_particles(file, done, asked).tasks, choose_particles(plain, done, asked).tasks
        )
        assert survey(file, range(OWN)).start == survey(plain, range(OWN)).start


def test_exports_are_of_one_set_of_cards(varied: Path, own: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert export_xdi(varied, tmp_path / "own", echo=said.append) == OWN
    assert export_xdi(varied, tmp_path / "hl", chosen_tasks(varied, None, "hl"), echo=said.append) == 5
    assert said == []
    assert "# Xanesml.variant: hl\n" in (tmp_path / "hl" / f"task-{OWN:06d}.xdi").read_text()
    assert "variant" not in (tmp_path / "own" / "task-000000.xdi").read_text()
    assert export_feff(varied, tmp_path / "feff", chosen_tasks(varied, None, "hl"), echo=said.append) == (5, 5)
    assert "EXCHANGE 0 " in (tmp_path / "feff" / f"task-{OWN:06d}" / "feff.inp").read_text()
    frames = []
    for store, variant in ((own, None), (varied, None), (varied, "hl")):
        assert export_extxyz(store, tmp_path / "s.xyz", chosen_tasks(store, None, variant), echo=said.append)
        frames.append((tmp_path / "s.xyz").read_text())
    assert frames[0] == frames[1]
    assert frames[2].count("tasks_done") == 3
    with pytest.raises(StoreError, match="give either --tasks or --variant"):
        chosen_tasks(varied, "1", "hl")
    assert chosen_tasks(varied, "1,12") == [1, 12]


def test_inputs_written_elsewhere_are_found_among_variants(varied: Path) -> None:
    table = expand(campaign(hl=HL, shells=SHELLS))
    finder = TaskFinder(table)
    for task in (4, OWN + 2, OWN + 5 + 4):
        assert finder.find(parse_feff_input(table.inputs(task)[0], varied), varied).task == task


def test_the_page_counts_variants(varied: Path) -> None:
    told = "27 of 27 FEFF runs (5 in hl, 11 in shells) are done."
    assert progress_section(read_runs(varied)).paragraphs == [told]
    assert planned_section(campaign(hl=HL)).paragraphs[0].startswith("16 FEFF runs (5 in hl) are planned")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda file: file["tasks/variant"].__setitem__(0, 2), "tasks/variant does not ascend from 0 to 2"),
        (lambda file: file["tasks/variant"].__setitem__(26, 3), "tasks/variant does not ascend from 0 to 2"),
        (lambda file: file.attrs.__setitem__("variants", "[1]"), "the root attribute variants cannot be read"),
        (lambda file: file.attrs.__setitem__("variants", '[{"name": "hl"}]'), "has 1 names for 2 variants"),
        (lambda file: file.attrs.__setitem__("campaign", campaign().resolved()), "lacks the variants hl, shells"),
        (lambda file: file["variants/class"].__setitem__((1, 1), 7), "do not match inputs_digest"),
    ],
)
def test_damaged_variants_are_found(varied: Path, tmp_path: Path, harm: object, message: str) -> None:
    store = Path(shutil.copy(varied, tmp_path / "store.h5"))
    with h5py.File(store, "r+") as file:
        harm(file)  # type: ignore[operator]
    assert any(message in problem for problem in validate(store).problems), validate(store).problems


def test_a_stored_campaign_has_its_variants_in_the_order_of_their_rows(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.h5", campaign(zinc=HL, ash=SHELLS), done=False)
    with open_store_file(path) as file:
        table = stored_campaign(file).tasks()
        assert list(table.variant_sizes) == ["zinc", "ash"]
        np.testing.assert_array_equal(table.structure, file["tasks/structure"][:])
