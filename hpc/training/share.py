"""A rank's share of the averages, their split, and the scaling that all ranks have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hpc.comm import Ranks, raise_first
from hpc.training.collective import Collective
from hpc.training.trainer import TRAINED_SECTIONS
from xanesml.campaign import Campaign, identity_of, without_variants
from xanesml.errors import StoreError
from xanesml.learning.dataset import Tensors, load_tensors, read_families
from xanesml.learning.network import answers_of
from xanesml.learning.scaling import SCALED_LABELS, FeatureSums, Scaling
from xanesml.learning.splits import Split, shard, split_by_family

#: Sections that the averages depend on; training on averages of another campaign is refused.
_AVERAGED_SECTIONS = tuple(section for section in TRAINED_SECTIONS if section != "training")


def read_split(campaign: Campaign, tensors: Path) -> tuple[int, Split]:
    """Return the number of statistical averages in a tensor file, and the campaign's split of them by family."""
    section, family = campaign.training, read_families(tensors)
    return len(family), split_by_family(
        family,
        validation=section.validation,
        calibration=section.calibration,
        test=section.test,
        seed=campaign.seed,
    )


def load_share(
    campaign: Campaign, tensors: Path, count: int, split: Split, comm: Ranks, collective: Collective
) -> tuple[Tensors, Split, Scaling]:
    """Read this rank's share of all `count` averages; collective over all ranks.

    Returns
    -------
    tensors, split, scaling : Tensors, Split, Scaling
        The share, the split of its rows, and the scaling, which is the same on all ranks.

    Raises
    ------
    StoreError
        If the file belongs to another campaign, or a rank would have nothing to train on.
    """
    rows = shard(count, collective.rank, collective.size)
    data = load_tensors(tensors, rows)
    local = split.within(rows)
    problem = _mismatch(campaign, data, tensors)
    if problem is None and not local.training.size:
        problem = StoreError(
            f"{split.training.size} training spectra do not suffice for groups of {collective.size} ranks; "
            "start fewer ranks, or raise averaging.families and run `xanesml average`"
        )
    raise_first(comm, problem)
    # The same in all groups, to the last bit.
    return data, local, comm.bcast(_scaling(campaign, data, local, collective))


def _scaling(campaign: Campaign, data: Tensors, split: Split, collective: Collective) -> Scaling:
    """Return the scaling of the training spectra of all ranks."""
    section, rows = campaign.training, split.training
    center = np.asarray(collective.bcast(data.spectra[rows[0]].astype(np.float64)))
    sums = FeatureSums(center, collective.sum(FeatureSums.of(data.spectra[rows], center).sums))
    scaled = [name for name in answers_of(section) if name in SCALED_LABELS]
    labels = {name: collective.extremes(getattr(data, name)[rows]) for name in scaled}
    return Scaling.fit(sums, labels, noise=section.noise)


def _mismatch(campaign: Campaign, data: Tensors, path: Path) -> StoreError | None:
    """Return why averages do not belong to a campaign, or None."""
    theirs: dict[str, Any] = json.loads(data.campaign)
    ours: dict[str, Any] = json.loads(campaign.resolved())
    if (theirs.get("structure") or {}).get("file_digest") is None:
        # Averaged by an xanesml that knew only the place.
        ours["structure"].pop("file_digest")
    theirs, ours = (without_variants(identity_of(one)) for one in (theirs, ours))
    section = next((section for section in _AVERAGED_SECTIONS if theirs.get(section) != ours[section]), None)
    if section is None:
        return None
    return StoreError(
        f"{path} was averaged for a campaign with another {section!r} ({theirs.get('name')!r}, "
        f"not {campaign.name!r} as it is now); run `xanesml average` again"
    )
