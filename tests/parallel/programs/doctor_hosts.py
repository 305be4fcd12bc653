"""Make the joint checks with every rank as a host of its own: doctor_hosts.py OUTPUT"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import patch

from mpi4py import MPI

from hpc.comm import world
from hpc.doctor import joint
from hpc.doctor.findings import Setting


def main(output: Path) -> None:
    comm = world()
    ranks = joint.Hosts(comm, MPI.COMM_SELF, comm)
    setting = Setting(None, output, Path("/tmp"), comm.size, comm.size, 1, frozenset())
    # The clock of the last rank is a minute ahead.
    ahead = 60.0 if comm.rank == comm.size - 1 else 0.0
    real = joint.time.time
    with (
        patch.object(joint.socket, "gethostname", lambda: f"n{comm.rank}"),
        patch.object(joint.time, "time", lambda: real() + ahead),
    ):
        checks = (joint.clocks, joint.output_folder, joint.file_locking, joint.parallel_hdf5)
        found = {check.__name__: check(ranks, setting) for check in checks}
    if comm.rank == 0:
        told = {name: [(host, f.mark.label, f.text, f.value) for host, f in each] for name, each in found.items()}
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
