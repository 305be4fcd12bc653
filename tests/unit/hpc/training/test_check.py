"""`xanesml train --check`: what it says of a training that can learn, and of ones that cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from requirements import require
from synthetic import campaign, write_tensors
from typer.testing import CliRunner

from hpc.cli import app
from hpc.comm import Alone
from hpc.training import check
from hpc.training.collective import Collective
from hpc.training.share import load_share, read_split

require("keras")

SMALL: dict[str, Any] = {
    "filters": [4],
    "kernel": 3,
    "dense": [16],
    "heads": [],
    "modes": ["direct"],
    "batch_size": 32,
    "learning_rate": 0.005,
}


def checks(folder: Path, **changes: Any) -> check._Checks:
    """Return the checks of a made-up campaign."""
    made_for = campaign(**SMALL | changes)
    count, split = read_split(made_for, folder / "tensors.h5")
    data, split, scaling = load_share(made_for, folder / "tensors.h5", count, split, Alone(), Collective())
    return check._Checks(made_for, data, split, scaling)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_tensors(folder / "tensors.h5", campaign(**SMALL))
    return folder


def test_a_network_that_can_learn_passes_and_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_STEPS", 20)
    values = (f"{key} = {value!r}".replace("'", '"') for key, value in SMALL.items())
    head = 'name = "synthetic"\nseed = 7\n[distortion]\n[training]\n'
    (folder / "campaign.toml").write_text(head + "\n".join(values) + "\n")
    found = CliRunner().invoke(app, ["train", str(folder / "campaign.toml"), "-o", str(folder), "--check"])
    assert found.exit_code == 0, (found.output, found.exception)
    lines = found.output.splitlines()
    names = ["one batch", "ten spectra", "right labels", "shuffled labels"]
    assert [line[:25].split(maxsplit=1) for line in lines[:4]] == [["ok", name.ljust(16)] for name in names]
    # Kernel of the convolution, batch normalization with its statistics, 16 pooled points of 4 to 16 units, one answer.
    assert f"it reaches all {12 + 16 + 16 * 64 + 16 + 17:,} weights" in lines[0]
    assert "learned by heart: 10 spectra" in lines[1]
    assert lines[4].startswith("check passed in ")
    assert sorted(path.name for path in folder.iterdir()) == ["campaign.toml", "tensors.h5"]


def test_ten_spectra_that_are_not_learned_are_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_MOST_LOOKS", 1)
    finding = checks(folder, learning_rate=1e-9).ten_spectra()
    assert finding.line().startswith("problem  ten spectra      not learned by heart: 10 spectra, MAE ")
    assert "after 50 steps" in finding.text


def test_labels_that_were_not_shuffled_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_STEPS", 20)
    # A shuffle that shuffles nothing: what is learned then is learned from the labels themselves.
    monkeypatch.setattr(check, "generator", lambda *_: SimpleNamespace(permutation=lambda rows: rows))
    right, shuffled = checks(folder).shuffled_labels()
    assert (right.ok, shuffled.ok) == (True, False)
    assert "a label stands in the spectra" in shuffled.text


def test_what_is_not_finite_is_named(folder: Path) -> None:
    sound = checks(folder)
    finding = replace(sound, data=replace(sound.data, spectra=np.full_like(sound.data.spectra, np.inf))).one_batch()
    assert not finding.ok
    assert "not finite in convolution_1/kernel" in finding.text


def test_what_the_gradient_does_not_reach_is_named(folder: Path) -> None:
    finding = checks(folder, heads=["skewness"], head_weight=0.0).one_batch()
    assert not finding.ok
    assert "the gradient does not reach skewness/kernel, skewness/bias; give" in finding.text


@pytest.mark.parametrize("passed", [True, False])
def test_the_exit_status_tells_the_verdict(folder: Path, passed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "check_training", lambda *_, **__: passed)
    (folder / "small.toml").write_text('name = "x"\n[distortion]\n')
    found = CliRunner().invoke(app, ["train", str(folder / "small.toml"), "-o", str(folder), "--check"])
    (folder / "small.toml").unlink()
    assert found.exit_code == (0 if passed else 3)
    assert f"check {'passed' if passed else 'failed'} in " in found.output
