"""Train the network of a campaign file, as `xanesml train` does."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from hpc.comm import world_or_alone
from hpc.drain import RESUBMIT
from hpc.training.train import train
from xanesml.campaign import Campaign
from xanesml.errors import XanesmlError
from xanesml.files.records import write_record

# After so many looks the training is stopped.
looks = iter(range(int(sys.argv[sys.argv.index("--stop") + 1]))) if "--stop" in sys.argv else itertools.count()
tensors, folder, hide_horovod = Path(sys.argv[1]), Path(sys.argv[2]), "--no-horovod" in sys.argv
if hide_horovod:
    sys.modules["horovod"] = None  # type: ignore[assignment]
campaign = Campaign.model_validate_json((tensors.parent / "campaign.json").read_text())

try:
    comm = world_or_alone()
    report = train(comm, campaign, tensors, folder, echo=print, stop=lambda: next(looks, None) is None)
except XanesmlError as error:
    sys.exit(f"{type(error).__name__}: {error}")
if report is None:
    sys.exit(RESUBMIT)
write_record(folder / f"returned-{comm.rank}.json", report)
