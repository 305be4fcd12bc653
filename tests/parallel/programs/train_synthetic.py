"""Train the network of a campaign file, as `xanesml train` does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hpc.train import train
from xanesml.campaign import Campaign
from xanesml.errors import XanesmlError

tensors, folder, hide_horovod = Path(sys.argv[1]), Path(sys.argv[2]), "--no-horovod" in sys.argv
if hide_horovod:
    sys.modules["horovod"] = None  # type: ignore[assignment]
campaign = Campaign.model_validate_json((tensors.parent / "campaign.json").read_text())
try:
    report = train(campaign, tensors, folder, echo=[].append)
except XanesmlError as error:
    sys.exit(f"{type(error).__name__}: {error}")
(folder / f"returned-{report.rank}.json").write_text(json.dumps(report.to_dict()))
