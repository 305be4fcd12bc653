"""No unit test starts MPI: launchers that are found on the PATH refuse, and name the test that started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

LAUNCHERS = ("mpirun", "mpiexec", "srun", "sbatch")

REFUSE = """#!/bin/sh
echo "$PYTEST_CURRENT_TEST: $0 $*" >>"{record}"
echo "tests/unit starts no MPI; put this test into tests/parallel" >&2
exit 1
"""


@pytest.fixture(scope="module", autouse=True)
def no_launchers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the module whose tests, or whose tests' programs, start a launcher."""
    folder: Path = tmp_path_factory.mktemp("no-launchers")
    record = folder / "started"
    for name in LAUNCHERS:
        (folder / name).write_text(REFUSE.format(record=record), encoding="utf-8")
        (folder / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield
    assert not record.exists(), f"tests/unit starts no MPI:\n{record.read_text()}"
