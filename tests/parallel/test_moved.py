"""A campaign with all its files moves to another folder between each two stages, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.cluster import Octahedron
from conftest import FAKE_CAMPAIGN

from hpc.comm import Alone, Writer
from xanesml.campaign import Campaign
from xanesml.errors import CampaignError, StoreError

pytestmark = pytest.mark.requires("mpi", "keras", "sklearn", "optuna", "larch")

SMALL = (
    FAKE_CAMPAIGN.replace("atoms = 13", 'file = "cluster/au13.xyz"')
    .replace("step = 0.05", "step = 0.15")
    .replace("structures = 2", "structures = 2\nabsorbers = [0, 1]")
    .replace("sigma = [0.05, 0.1]\nfamilies = 300", "sigma = [0.08, 0.1]\nfamilies = 30\nmeans_per_family = 2")
    .replace("filters = [8]", "filters = [4]\ndense = [4]")
    + "\n[tuning]\ntrials = 1\nepochs = 1\nfilters = [[4]]\n"
)


class Place:
    """A folder with a campaign, its structure file and its output."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.moves = folder / "place-0", 0
        (self.folder / "cluster").mkdir(parents=True)
        (self.folder / "campaign.toml").write_text(SMALL, encoding="utf-8")
        Octahedron("Au", length=3, cutoff=1, latticeconstant=4.0782).write(self.folder / "cluster" / "au13.xyz")

    @property
    def campaign(self) -> Campaign:
        return Campaign.load(self.folder / "campaign.toml")

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def move(self) -> None:
        self.moves += 1
        self.folder = self.folder.rename(self.folder.with_name(f"place-{self.moves}"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_every_stage_goes_on_in_another_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from mpi4py import MPI

    from hpc.average import average
    from hpc.farming.simulate import simulate
    from hpc.training.train import train
    from hpc.tuning.tune import tune
    from xanesml.assessment.summary import write_summary
    from xanesml.averages.trace import trace_lines
    from xanesml.prediction.model import load_model
    from xanesml.store.export import chosen_tasks, export_xdi
    from xanesml.validation import validate

    said: list[str] = []

    def run_feff(mode: str) -> dict[str, int]:
        monkeypatch.setenv("FAKE_FEFF", mode)
        report = simulate(
            MPI.COMM_SELF,
            place.campaign,
            place.out / "store.h5",
            writer=Writer.root,
            scratch=place.folder,
            echo=said.append,
        )
        place.move()
        return report.outcomes

    digest = place.campaign.digest()
    some = run_feff("fail@2")["done"]
    assert 0 < some < 11
    assert run_feff("succeed") == {"done": 11}
    average(MPI.COMM_SELF, place.campaign, place.out / "store.h5", place.out / "tensors.h5", echo=said.append)
    place.move()
    assert tune(Alone(), place.campaign, place.out / "tensors.h5", place.out / "tuning", echo=said.append).complete
    place.move()
    assert tune(Alone(), place.campaign, place.out / "tensors.h5", place.out / "tuning", echo=said.append).trials == 1
    train(Alone(), place.campaign, place.out / "tensors.h5", place.out / "model", echo=said.append)
    place.move()
    store = place.out / "store.h5"
    export_xdi(store, place.out / "spectra", chosen_tasks(store, "3"), echo=said.append)
    place.move()
    load_model(place.out / "model").predict([place.out / "spectra" / "task-000003.xdi"]).write(place.out)
    place.move()
    text = write_summary(place.out, place.campaign, outcomes={})
    assert "task-000003.xdi" in text
    assert place.campaign.digest() == digest
    assert all(validate(place.out / name).ok for name in ("store.h5", "tensors.h5"))
    trace = "\n".join(trace_lines(place.out / "tensors.h5", 0, "statistical"))
    assert str(place.out / "store.h5") in trace
    assert place.moves == 7


def test_identity_is_the_content_of_the_structure_file(place: Place) -> None:
    from synthetic import write_tensors

    from hpc.training.train import train

    first = place.campaign
    write_tensors(place.folder / "tensors.h5", first)
    place.move()
    moved = place.campaign
    assert first.structure.file != moved.structure.file
    assert first.digest() == moved.digest()
    assert first.digest("structure") == moved.digest("structure")
    with (place.folder / "cluster" / "au13.xyz").open("a") as file:
        file.write("\n")
    assert place.campaign.digest() != moved.digest()
    with pytest.raises(StoreError, match="another 'structure'"):
        train(Alone(), place.campaign, place.folder / "tensors.h5", place.folder / "model", echo=print)


def test_a_campaign_may_state_the_hash_of_its_structure_file(place: Place) -> None:
    campaign = place.campaign
    text = (place.folder / "campaign.toml").read_text(encoding="utf-8")
    line = f'\nfile_digest = "{campaign.structure.file_digest}"'
    named = text.replace('au13.xyz"', f'au13.xyz"{line}')
    (place.folder / "campaign.toml").write_text(named, encoding="utf-8")
    assert place.campaign == campaign
    (place.folder / "cluster" / "au13.xyz").write_text("other")
    with pytest.raises(
        CampaignError, match=r"structure\.file_digest is '[0-9a-f]{32}', but .*au13\.xyz has [0-9a-f]{32};"
    ):
        _ = place.campaign
    # Without the file, as where only training runs, the statement counts.
    (place.folder / "cluster" / "au13.xyz").unlink()
    assert place.campaign.digest() == campaign.digest()


def test_averages_of_a_version_that_knew_only_the_place_are_compared_by_it(place: Place) -> None:
    from synthetic import write_tensors

    from hpc.training.share import _mismatch
    from xanesml.learning.dataset import load_tensors

    campaign = place.campaign
    write_tensors(place.folder / "tensors.h5", campaign)
    data = load_tensors(place.folder / "tensors.h5")
    content = json.loads(data.campaign)
    del content["structure"]["file_digest"]
    old = type(data)(**{**vars(data), "campaign": json.dumps(content)})
    assert _mismatch(campaign, old, Path("t.h5")) is None
    content["structure"]["file"] = "/elsewhere/au13.xyz"
    old = type(data)(**{**vars(data), "campaign": json.dumps(content)})
    assert "another 'structure'" in str(_mismatch(campaign, old, Path("t.h5")))
