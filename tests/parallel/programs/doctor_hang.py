"""A joint check in which the last rank never meets the others: doctor_hang.py OUTPUT"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from unittest.mock import patch

from hpc.comm import world
from hpc.doctor import diagnose, driver
from hpc.doctor.findings import Setting
from hpc.doctor.joint import Findings, Hosts


def hang(hosts: Hosts, _setting: Setting) -> Findings:
    if hosts.comm.rank == hosts.comm.size - 1:
        time.sleep(100)
    hosts.comm.Barrier()
    return []


def main(output: Path) -> None:
    checks = (driver.CHECKS[0], driver.JointCheck("hanging", hang, limit=0.5))
    with patch.object(driver, "CHECKS", checks), patch.object(driver, "_MARGIN", 0.5):
        diagnose(world(), campaign=None, output=output, scratch=output, echo=lambda line: print(line, flush=True))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
