"""Where FEFF's files go: never by accident where all hosts write."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_comm import run_ranks

from hpc.farming import scratch
from hpc.farming.scratch import given_folder, warn_of_network
from xanesml.errors import EnvironmentProblem


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_is_not_the_present_folder(text: str) -> None:
    with pytest.raises(EnvironmentProblem, match="--scratch is empty; name a folder on the node itself"):
        given_folder(text)
    assert given_folder(".") == Path()


@pytest.mark.parametrize(
    ("kind", "lines"), [("xfs", 0), ("fuseblk", 0), ("lustre", 1), ("nfs4", 1)], ids=["xfs", "unknown", "lustre", "nfs"]
)
def test_a_folder_that_the_hosts_share_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lines: int
) -> None:
    monkeypatch.setattr(scratch, "file_system", lambda _path: kind)
    said: list[str] = []
    run_ranks(3, lambda comm: warn_of_network(comm, tmp_path, said.append))
    assert len(said) == lines
    for line in said:
        assert line.startswith(
            f"warning: scratch folder {tmp_path} is on {kind}, which the hosts share, for 3 of 3 ranks"
        )
