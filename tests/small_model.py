"""A model trained in seconds on averages of the reference store of 561 atoms; its numbers are worth nothing."""

from __future__ import annotations

from pathlib import Path

from conftest import ROOT

from hpc.average import average
from hpc.training.train import train
from xanesml.campaign import Campaign

STORE = ROOT / "reference" / "au561" / "store.h5"


def small_model(folder: Path) -> None:
    """Write `tensors.h5` and `model/` into a folder."""
    from mpi4py import MPI

    campaign = Campaign.load(ROOT / "reference" / "au561.toml")
    averaging = campaign.averaging.model_copy(update={"families": 40, "means_per_family": 8})
    quick = {"members": 1, "epochs": 1, "filters": [4], "kernel": 3, "dense": [4], "fine_tuning": 0}
    training = campaign.training.model_copy(update=quick)
    reduced = campaign.model_copy(update={"averaging": averaging, "training": training})
    average(MPI.COMM_SELF, reduced, STORE, folder / "tensors.h5", echo=lambda _: None)
    train(MPI.COMM_SELF, reduced, folder / "tensors.h5", folder / "model", echo=lambda _: None)
