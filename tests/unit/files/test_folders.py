"""A folder that takes the place of another: whole before and after, and nothing of the user's is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from xanesml.errors import EnvironmentProblem
from xanesml.files import folders
from xanesml.files.folders import replace_folder, resume_replacement

#: What lies in the earlier folder, and in the one that replaces it.
OLD = {"network": "old", "table": "old", "notes": "mine"}
NEW = {"network": "new", "report": "new"}
AFTER = NEW | {"notes": "mine"}


def ours(name: str) -> bool:
    return name != "notes"


def fill(folder: Path, content: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture(params=["exchanged", "renamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the file system can exchange names."""
    if request.param == "renamed":
        monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_folder_is_replaced_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    made, folder = fill(tmp_path / "made", NEW), fill(tmp_path / "model", OLD)
    replace_folder(made, folder, ours=ours)
    assert content(folder) == AFTER
    assert list(tmp_path.iterdir()) == [folder]
    replace_folder(fill(made, NEW | {"notes": "theirs"}), folder, ours=ours)
    assert content(folder) == NEW | {"notes": "theirs"}


def test_the_first_folder_gets_its_name(tmp_path: Path) -> None:
    replace_folder(fill(tmp_path / "made", NEW), tmp_path / "model", ours=ours)
    assert content(tmp_path / "model") == NEW
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("way")
def test_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    fill(tmp_path / "elsewhere" / "real", OLD)
    (tmp_path / "model").symlink_to("elsewhere/real")
    replace_folder(fill(tmp_path / "elsewhere" / "made", NEW), tmp_path / "model", ours=ours)
    assert (tmp_path / "model").is_symlink()
    assert content(tmp_path / "elsewhere" / "real") == AFTER


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_kill_anywhere_leaves_a_whole_folder(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    made, folder = fill(tmp_path / "made", NEW), fill(tmp_path / "model", OLD)
    rename, count = Path.rename, 0

    def rename_until(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count > steps:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_until)
    killed = False
    try:
        replace_folder(made, folder, ours=ours)
    except KeyboardInterrupt:
        killed = True
    monkeypatch.undo()
    assert killed == (steps < (1 if way == "exchanged" else 3))
    resume_replacement(folder, ours=ours)
    if made.exists() and "report" in content(made):
        # Nothing was replaced yet: once more.
        assert content(folder) == OLD
    if made.exists():
        fill_again = {"network": "new", "report": "new"}
        for name, text in fill_again.items():
            (made / name).write_text(text)
        (made / "table").unlink(missing_ok=True)
        replace_folder(made, folder, ours=ours)
    assert content(folder) == AFTER
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_renamed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> bool:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(folders, "_exchanged", refused)
    made, folder = fill(tmp_path / "made", NEW), fill(tmp_path / "model", OLD)
    with pytest.raises(EnvironmentProblem, match=rf"^cannot replace {folder}: Permission denied; check the folder$"):
        replace_folder(made, folder, ours=ours)
    assert (content(made), content(folder)) == (NEW, OLD)
