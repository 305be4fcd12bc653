"""The same training under Keras' JAX backend, in the environment without TensorFlow that tools/setup.sh makes."""

from __future__ import annotations

import ast
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from synthetic import campaign, write_tensors

from xanesml.learning.model import load_model
from xanesml.learning.trained_network import evaluate, load_networks

PROGRAMS = Path(__file__).parent / "programs"
JAX = ROOT / ".venv-jax" / "bin"
TRAINING = """
filters = [4]
kernel = 3
dense = [8]
dropout = 0.2
batch_size = {batch_size}
epochs = 2
learning_rate = 0.004
members = 1
modes = ["direct"]
"""


def start(*command: str | Path, backend: str = "jax", devices: int = 1) -> subprocess.Popen[str]:
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    words = [str(word) for word in command]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> None:
    _, complained = process.communicate(timeout=240)
    assert process.returncode == 0, complained


def train(folder: Path, *, batch_size: int = 32, devices: int = 1) -> subprocess.Popen[str]:
    """Start the command on tensors of its own."""
    folder.mkdir()
    file = folder / "synthetic.toml"
    file.write_text(f'name = "synthetic"\nseed = 7\n[distortion]\n[training]{TRAINING.format(batch_size=batch_size)}')
    write_tensors(folder / "tensors.h5", campaign())
    return start(JAX / "xanesml", "train", file, "--output", folder, devices=devices)


@pytest.mark.requires("jax", "tensorflow")
def test_a_step_has_the_same_loss_and_leaves_the_same_weights_on_both_backends(tmp_path: Path) -> None:
    pythons = {"tensorflow": sys.executable, "jax": JAX / "python"}
    started = [
        start(python, PROGRAMS / "one_step.py", tmp_path / f"{name}.npz", backend=name)
        for name, python in pythons.items()
    ]
    for process in started:
        ended(process)
    with np.load(tmp_path / "tensorflow.npz") as one, np.load(tmp_path / "jax.npz") as other:
        assert (one["backend"], other["backend"]) == ("tensorflow", "jax")
        np.testing.assert_allclose(other["losses"], one["losses"], rtol=1e-5)
        # Batch normalization's statistics are among the weights.
        arrays = sum(name.startswith("arr_") for name in one.files)
        for number in range(arrays):
            np.testing.assert_allclose(other[f"arr_{number}"], one[f"arr_{number}"], rtol=1e-5, atol=1e-6)
        for number in range(arrays // 2):
            assert np.abs(one[f"arr_{number + arrays // 2}"] - one[f"arr_{number}"]).max() > 1e-4


@pytest.mark.requires("jax")
def test_devices_train_together_as_one_does_and_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    folders = [tmp_path / str(devices) for devices in (1, 2)]
    started = []
    for devices, folder in enumerate(folders, start=1):
        folder.mkdir()
        write_tensors(folder / "tensors.h5", campaign())
        started.append(start(JAX / "python", PROGRAMS / "resumed.py", folder, devices=devices))
    for process in started:
        ended(process)
    one, two = (json.loads((folder / "found.json").read_text()) for folder in folders)
    assert (one["devices"], two["devices"]) == (1, 2)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-4)
    for told in (one, two):
        # Twelve steps, in each of which five errors are drawn and units dropped out once.
        assert (told["draws"], told["masks"]) == (60, 12)
        assert told["finished"] == [True, False, True]
        assert told["epochs"] == [4, 3, 4]
        assert told["same_losses"] and told["same_weights"]
        assert told["losses"][-1] < told["losses"][0]


@pytest.mark.requires("jax", "tensorflow")
def test_the_command_trains_on_two_devices_from_tensors_to_figures(tmp_path: Path) -> None:
    ended(train(tmp_path / "even", devices=2))
    model = tmp_path / "even" / "model"
    with (model / "history-direct-0.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert json.loads((model / "model.json").read_text())["versions"].get("tensorflow") is None
    assert list((model / "logs" / "direct-0").glob("events.*"))
    assert list((tmp_path / "even" / "figures").glob("*.png"))
    # The network as arrays, as Keras saved it under JAX and TensorFlow reads it.
    (arrays,), (network,) = (load_networks(model, "direct", [f"direct-0.{kind}"]) for kind in ("npz", "keras"))
    features = np.random.default_rng(0).standard_normal((9, load_model(model).mesh.size)).astype(np.float32)
    known, found = evaluate(network, features), evaluate(arrays, features)
    for name, answers in known.items():
        np.testing.assert_allclose(found[name], answers, rtol=0, atol=1e-6 * max(1.0, float(np.abs(answers).max())))


@pytest.mark.requires("jax")
def test_a_batch_that_devices_cannot_share_is_refused_in_one_line(tmp_path: Path) -> None:
    process = train(tmp_path / "odd", batch_size=25, devices=2)
    _, complained = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "2 devices cannot share a batch of 25 spectra evenly; make training.batch_size a multiple of 2" in complained
    assert "Traceback" not in complained


def test_the_science_does_not_know_the_backend() -> None:
    offenders = []
    for path in (ROOT / "xanesml").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Name):
                names = [node.id]
            if {name.split(".")[0] for name in names} & {"tensorflow", "tf", "jax", "jnp", "torch", "horovod"}:
                offenders.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert offenders == []
