"""Make all checks and print their lines, and the verdict of every rank: doctor.py OUTPUT SCRATCH [CAMPAIGN]"""

from __future__ import annotations

import sys
from pathlib import Path

from hpc.comm import world
from hpc.doctor import diagnose
from xanesml.campaign import Campaign


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(output: Path, scratch: Path, campaign: Path | None) -> None:
    comm = world(check=False)
    verdict = diagnose(
        comm,
        campaign=None if campaign is None else Campaign.load(campaign),
        output=output,
        scratch=scratch,
        echo=say,
    )
    verdicts = comm.gather(verdict)
    if comm.rank == 0:
        say(f"verdicts: {verdicts}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
