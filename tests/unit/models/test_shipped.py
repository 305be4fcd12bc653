"""The models that ship: whole, of the campaigns that the repository holds, found by name, and made by one program."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from ship_model import ship

import xanesml
from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.learning.model import complete_model, load_model, read_metadata
from xanesml.learning.predictor_files import save_baselines
from xanesml.learning.predictors import Trees
from xanesml.models import MANIFEST, Shipped, shipped_model, shipped_models, write_manifest

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"


@pytest.mark.parametrize("one", shipped_models(), ids=lambda one: one.name)
def test_a_shipped_model_is_whole_and_of_the_campaigns_of_the_repository(one: Shipped) -> None:
    assert one.damaged() == []
    assert {path.name for path in one.folder.iterdir()} == {MANIFEST, *one.manifest.files}
    assert (one.folder / "README.md").is_file()
    for name, digest in one.manifest.campaigns.items():
        assert Campaign.load(ROOT / "reference" / f"{name}.toml").digest() == digest, "run: make model"


@pytest.mark.parametrize(
    "one", [one for one in shipped_models() if one.manifest.kind == "network"], ids=lambda one: one.name
)
def test_shipped_networks_are_of_the_campaign_in_their_manifest(one: Shipped) -> None:
    metadata, _ = read_metadata(one.folder)
    assert {metadata.campaign.name: metadata.campaign.digest()} == one.manifest.campaigns
    assert metadata.campaign_digest == metadata.campaign.digest()
    assert (metadata.element, metadata.edge) == (one.manifest.element, one.manifest.edge)


def test_the_name_of_a_shipped_model_stands_for_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = shipped_model("au-l3")
    by_name, by_folder = xanesml.load_model("au-l3"), xanesml.load_model(one.folder)
    assert by_name.shipped == one
    assert by_folder.shipped is None
    assert by_name.predict(FOIL) == replace(by_folder.predict(FOIL))
    # A folder of that name is meant where there is one.
    (tmp_path / "au-l3").mkdir()
    with pytest.raises(StoreError, match=r"no au-l3/model\.json"):
        xanesml.load_model("au-l3")


def test_a_name_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(StoreError, match=r"no model 'au-l4': .* those that ship are .*au-l3.*`xanesml models`"):
        xanesml.load_model("au-l4")
    with pytest.raises(StoreError, match=r"there is no some/where/model\.json"):
        xanesml.load_model("some/where")


def test_files_that_are_not_those_shipped_are_named(tmp_path: Path) -> None:
    shutil.copytree(shipped_model("au-l3").folder, tmp_path / "au-l3")
    (tmp_path / "au-l3" / "series.npz").unlink()
    (tmp_path / "au-l3" / "README.md").write_text("changed", encoding="utf-8")
    (copy,) = shipped_models(tmp_path)
    assert copy.damaged() == ["README.md", "series.npz"]


def test_what_ships_needs_neither_keras_nor_scikit_learn_and_answers_the_same(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shipped_model("au-l3").folder, model)
    known = load_model(model)
    trees = Trees(np.zeros(110), np.zeros((1, 110)), np.zeros((1, 1), np.float32), np.zeros(1), 1, 1, np.zeros(1))
    save_baselines(model, {mode: {**some, "gradient_boosting": trees} for mode, some in known.baselines.items()})
    (model / "direct-0.keras").write_bytes(b"networks of Keras")
    metadata, listed = read_metadata(model)
    intervals = {
        mode: {**some, "gradient_boosting": some["mean"]} for mode, some in metadata.baseline_intervals.items()
    }
    files = [name for name in listed if name not in ("baselines.npz", "series.npz")]
    complete_model(model, replace(metadata, baseline_intervals=intervals), known.series, ["direct-0.keras", *files])

    (tmp_path / "models" / "gold").mkdir(parents=True)
    (tmp_path / "models" / "gold" / "of-another-model").touch()
    manifest = ship(model, tmp_path / "models" / "gold", "a test")
    (found,) = shipped_models(tmp_path / "models")
    assert (found.name, found.manifest, found.damaged()) == ("gold", manifest, [])
    assert {path.name for path in found.folder.iterdir()} == {MANIFEST, *manifest.files}
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["gold"]
    assert not any(name.endswith(".keras") for name in manifest.files)
    loaded = load_model(found.folder)
    assert "gradient_boosting" not in loaded.baselines["direct"]
    assert "gradient_boosting" not in loaded.metadata.baseline_intervals["direct"]
    spectra = known.mean_spectrum + np.random.default_rng(0).normal(0, 0.01, (5, 110))
    for mode in ("direct", "reference"):
        np.testing.assert_array_equal(loaded.predict(spectra, mode).msd, known.predict(spectra, mode).msd)


def test_a_model_for_keras_alone_does_not_ship(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shipped_model("au-l3").folder, model)
    known = load_model(model)
    for path in [*model.glob("direct-*.npz"), *model.glob("reference-*.npz")]:
        path.unlink()
    complete_model(model, known.metadata, known.series, ["report.json"])
    with pytest.raises(StoreError, match="no networks for NumPy; train again"):
        ship(model, tmp_path / "models" / "gold", "a test")
    assert not (tmp_path / "models" / "gold").exists()


def test_a_manifest_with_unknown_keys_is_refused(tmp_path: Path) -> None:
    shutil.copytree(shipped_model("au-l3").folder, tmp_path / "au-l3")
    path = tmp_path / "au-l3" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"licence": "none"}), encoding="utf-8")
    with pytest.raises(StoreError, match="licence"):
        shipped_models(tmp_path)


def test_models_of_another_kind_stand_beside_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models" / "cu-k"
    folder.mkdir(parents=True)
    (folder / "pool.h5").write_bytes(b"spectra")
    known = {"element": "Cu", "edge": "K", "msd": (0.001, 0.02), "campaigns": {"cu": "0" * 32}}
    manifest = write_manifest(folder, kind="pool", summary="beside references", **known)
    (found,) = shipped_models(tmp_path / "models")
    assert (found.manifest, found.size, found.damaged()) == (manifest, 7, [])
    assert str(found).startswith("cu-k: Cu K, MSD 0.0010 … 0.0200 Å²; beside references; campaign cu 00000000; ")
    monkeypatch.setattr("xanesml.prediction.model.shipped_model", lambda _: found)
    with pytest.raises(StoreError, match="cu-k is a pool, not networks"):
        xanesml.load_model("cu-k")
