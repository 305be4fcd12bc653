#!/usr/bin/env python3
"""Copy a trained model into the package, where `xanesml predict NAME` finds it: ship_model.py MODEL NAME SUMMARY.

Kept is what a prediction needs without TensorFlow and scikit-learn: the networks as arrays, the series, the
linear baselines, the report and the model card. The folder of that name is replaced as a whole.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import xanesml
from xanesml.assessment.report import REPORT_FILE
from xanesml.errors import StoreError
from xanesml.learning.model import complete_model, load_model, read_metadata
from xanesml.learning.predictor_files import save_baselines
from xanesml.learning.predictors import Trees
from xanesml.models import Manifest, write_manifest
from xanesml.pools.model import POOL_FILE, Pool

CARD = "README.md"


def ship(model: Path, target: Path, summary: str) -> Manifest:
    """Copy a model in compact form.

    Parameters
    ----------
    model : Path
        Folder that `xanesml train` wrote.
    target : Path
        Folder that is made, or replaced.
    summary : str
        What the model reads off what, in one line.

    Raises
    ------
    StoreError
        If the folder holds no model, or one without networks for NumPy.
    """
    trained = load_model(model)
    metadata, listed = read_metadata(model)
    networks = [name for name in listed if name.endswith(".npz") and name.partition("-")[0] in trained.ensembles]
    if not networks:
        raise StoreError(f"{model} holds no networks for NumPy; train again with `xanesml train`")
    kept = {
        mode: {name: one for name, one in some.items() if not isinstance(one, Trees)}
        for mode, some in trained.baselines.items()
    }
    intervals = {
        mode: {name: one for name, one in some.items() if name in kept[mode]}
        for mode, some in metadata.baseline_intervals.items()
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        folder = Path(made) / target.name
        folder.mkdir()
        for name in (*networks, REPORT_FILE, CARD):
            shutil.copyfile(model / name, folder / name)
        save_baselines(folder, kept)
        complete_model(
            folder, replace(metadata, baseline_intervals=intervals), trained.series, [REPORT_FILE, *networks]
        )
        manifest = write_manifest(
            folder,
            kind="network",
            summary=summary,
            element=metadata.element,
            edge=metadata.edge,
            msd=metadata.scaling.ranges["msd"],
            campaigns={metadata.campaign.name: metadata.campaign_digest},
        )
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return manifest


def ship_pool(made: Path, target: Path, summary: str) -> Manifest:
    """Copy a pool; the arguments are as of `ship`.

    Raises
    ------
    StoreError
        If the folder holds no pool.
    """
    pool = Pool.load(made)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:
        folder = Path(beside) / target.name
        folder.mkdir()
        for name in (POOL_FILE, CARD):
            shutil.copyfile(made / name, folder / name)
        msd = pool.mixtures.labels[:, 0]
        manifest = write_manifest(
            folder,
            kind="pool",
            summary=summary,
            element=pool.element,
            edge=pool.shell,
            msd=(float(msd.min()), float(msd.max())),
            campaigns={f"pools/{one['name']}": one["campaign_digest"] for one in pool.sources},
        )
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return manifest


def main() -> None:
    """Copy the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that `xanesml train` or `xanesml pool` wrote")
    parser.add_argument("name", help="name of the model, such as au-l3")
    parser.add_argument("summary", help="what it reads off what, in one line")
    options = parser.parse_args()
    target = Path(xanesml.__file__).parent / "models" / options.name
    copy = ship_pool if (options.model / POOL_FILE).exists() else ship
    manifest = copy(options.model, target, options.summary)
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {len(manifest.files) + 1} files, {size / 1e6:.1f} MB, of campaign {manifest.campaigns}")


if __name__ == "__main__":
    main()
