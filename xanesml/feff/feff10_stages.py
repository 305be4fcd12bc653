"""Run stages of FEFF10 in a folder that holds feff.inp: feff10_stages.py FOLDER STAGE [STAGE ...].

A program of its own, started by path, so that it imports nothing but feff10.
"""

from __future__ import annotations

import sys
from pathlib import Path

import feff10


def main(folder: str, *names: str) -> int:
    """Run the stages in order.

    Parameters
    ----------
    folder : str
        The run's folder.
    *names : str
        Names of FEFF10's stages, such as rdinp or pot.

    Returns
    -------
    int
        0 when every stage exited with 0, which does not make the run done; else 1.
    """
    stages = [feff10.Stage.from_name(name) for name in names]
    try:
        config = feff10.FeffConfig.from_file(folder, str(Path(folder, "feff.inp")), stages=stages)
        feff10.FeffPipeline(config).run()
    except feff10.FeffError as error:
        # Its further lines repeat a file that FEFF writes on every start.
        sys.stderr.write(f"{type(error).__name__}: {str(error).splitlines()[0]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
