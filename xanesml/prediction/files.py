"""The spectra that folders, patterns and names of files stand for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from xanesml.errors import SpectrumError

#: Suffixes of files that are no spectra, though they lie beside some.
_OTHERS = frozenset(
    [
        *(".json", ".md", ".rst", ".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svg", ".log", ".toml", ".yaml"),
        *(".yml", ".py", ".ipynb", ".sh", ".zip", ".tar", ".docx", ".xlsx", ".opj", ".partial", ".tmp"),
    ]
)
#: Tables that xanesml itself writes.
_OWN = ("predictions.csv", "exafs.csv")


def is_candidate(path: Path) -> bool:
    """Return whether a file of a folder may be a spectrum, by its name."""
    hidden = path.name.startswith((".", "~", "#")) or path.name.endswith("~")
    return not hidden and path.suffix.lower() not in _OTHERS and path.name not in _OWN


def spectra_of(wanted: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the files that names, folders and patterns stand for, each once, in their order.

    A folder stands for its files by name, without those of its folders and those that are no spectra by
    their suffix, such as .json and .png; a pattern such as "scan_*.xdi" for the files that fit it.
    A name that no file has is kept: it may name a spectrum in a file, as `file:2`, or be refused where it is read.

    Raises
    ------
    SpectrumError
        If a folder holds no such file, or no file fits a pattern.
    """
    found: list[Path] = []
    for one in wanted:
        path = Path(one)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and is_candidate(file))
            if not files:
                raise SpectrumError(f"{path} holds no spectra; give a folder of spectra, or files")
            found += files
        elif not path.exists() and has_magic(str(path)):
            files = sorted(file for file in map(Path, glob(str(path), recursive=True)) if file.is_file())  # noqa: PTH207 (absolute too)
            # `file:(if1+if2)/i0*2` is no pattern.
            if not files and ":" not in str(path):
                raise SpectrumError(f"no file fits {path}; check the pattern and its folder")
            found += files or [path]
        else:
            found.append(path)
    return list(dict.fromkeys(found))
