"""The file of fitted baselines: what is read answers as what was written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from requirements import require

from xanesml.assessment.baselines import Regressions, fit_edge_slope, fit_mean
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.learning.predictor_files import BASELINES_FILE, load_baselines, save_baselines
from xanesml.learning.predictors import Constant, Predictor
from xanesml.learning.scaling import Scaling

POINTS = 12
MESH = 11910.0 + np.arange(POINTS)


def features(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, POINTS)).astype(np.float32)


@pytest.fixture(scope="module")
def baselines() -> dict[str, Predictor]:
    """One of each, fitted to labels that all of them find something in."""
    require("sklearn")
    x = features(120, 1)
    shift = 0.01 * x[:, 0].astype(np.float64)
    msd = 0.01 + 0.002 * np.abs(x[:, 1]).astype(np.float64) - shift**2
    regressions = Regressions(x, msd, shift, np.repeat(np.arange(12), 10))
    scaling = Scaling(np.linspace(0, 1, POINTS), np.full(POINTS, 0.1), {"msd": (0.0, 0.02)})
    return {
        "mean": fit_mean(msd),
        "edge_slope": fit_edge_slope(x, msd, scaling, MESH, 11914.0),
        "ridge": regressions.ridge(),
        "pca_ridge": regressions.pca_ridge(),
        "gradient_boosting": regressions.boosting(seed=1),
        "moments": regressions.moments(),
    }


def test_what_is_read_answers_as_what_was_written_to_the_last_bit(
    tmp_path: Path, baselines: dict[str, Predictor]
) -> None:
    save_baselines(tmp_path, {"direct": baselines, "reference": {"mean": Constant(0.1 + 0.2)}})
    read = load_baselines(tmp_path)
    assert list(read) == ["direct", "reference"]
    assert list(read["direct"]) == list(baselines)
    new = features(50, 2)
    for name, baseline in baselines.items():
        np.testing.assert_array_equal(read["direct"][name](new), baseline(new))
        assert type(read["direct"][name]) is type(baseline)
        assert read["direct"][name](new[:0]).shape == (0,)
    answers = [baseline(new) for baseline in baselines.values()]
    assert len({tuple(answer) for answer in answers}) == len(baselines)
    assert read["reference"]["mean"] == Constant(0.1 + 0.2)
    assert [path.name for path in tmp_path.iterdir()] == [BASELINES_FILE]


def test_only_boosted_trees_take_scikit_learn(tmp_path: Path, baselines: dict[str, Predictor]) -> None:
    save_baselines(tmp_path, {"direct": baselines})
    program = f"""
import sys
from pathlib import Path
import numpy as np
from xanesml.learning.predictor_files import load_baselines
baselines = load_baselines(Path({str(tmp_path)!r}))["direct"]
trees = baselines.pop("gradient_boosting")
for baseline in (*baselines.values(), trees):
    assert not any(name.split(".")[0] in ("sklearn", "tensorflow", "keras", "mpi4py") for name in sys.modules)
    print(baseline(np.ones((1, {POINTS}), np.float32))[0].hex())
"""
    found = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr
    one = np.ones((1, POINTS), np.float32)
    order = sorted(baselines, key=lambda name: name == "gradient_boosting")
    assert found.stdout.split() == [float(baselines[name](one)[0]).hex() for name in order]


def test_a_file_half_written_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_baselines(tmp_path, {"direct": {"mean": Constant(1.0)}})

    def full_disk(path: Path, **_: Any) -> None:
        path.write_bytes(b"PK")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full_disk)
        with pytest.raises(EnvironmentProblem, match=r"baselines\.npz: No space left on device; check the folder"):
            save_baselines(tmp_path, {"direct": {"mean": Constant(2.0)}})
    assert load_baselines(tmp_path) == {"direct": {"mean": Constant(1.0)}}
    assert [path.name for path in tmp_path.iterdir()] == [BASELINES_FILE]
    save_baselines(tmp_path, {"direct": {"mean": Constant(2.0)}})
    assert load_baselines(tmp_path) == {"direct": {"mean": Constant(2.0)}}
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        save_baselines(tmp_path / BASELINES_FILE / "folder", {})


def test_no_file_and_files_of_something_else_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / BASELINES_FILE
    with pytest.raises(StoreError, match=r"there is no .*baselines\.npz; .*xanesml train"):
        load_baselines(tmp_path)
    save_baselines(tmp_path, {"direct": {"mean": Constant(1.0)}})
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="is damaged"):
            load_baselines(tmp_path)
    for key in ("direct/mean/Unknown/value", "direct/mean/Constant/other", "mean"):
        with path.open("wb") as file:
            np.savez(file, **{key: np.array(1.0)})
        with pytest.raises(StoreError, match=f"unknown baseline: {key.rpartition('/')[0]}; train again"):
            load_baselines(tmp_path)


def test_no_object_is_made_of_what_a_file_says(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path / "sprung").touch, ()

    with (tmp_path / BASELINES_FILE).open("wb") as file:
        np.savez(file, **{"direct/mean/Constant/value": np.array(Trap(), dtype=object)})
    with pytest.raises(StoreError, match="is damaged"):
        load_baselines(tmp_path)
    assert not (tmp_path / "sprung").exists()
