"""Which models ship, and the folder of each. What reads a folder is said by its manifest, not known here."""

from __future__ import annotations

import json
from dataclasses import dataclass as plain_dataclass
from pathlib import Path

from pydantic.dataclasses import dataclass

from xanesml.errors import StoreError
from xanesml.files.digest import file_digest
from xanesml.files.records import RECORD, plain, read_json, record_of
from xanesml.files.whole import write_text

#: The file of a shipped model that says what it is.
MANIFEST = "manifest.json"

_FOLDER = Path(__file__).parent
_REMEDY = "install xanesml again"


@dataclass(frozen=True, config=RECORD)
class Manifest:
    """What a shipped model is; kept in `manifest.json`.

    Attributes
    ----------
    kind : str
        What reads the folder: `network` for what `xanesml train` makes.
    summary : str
        What it reads off what, in one line.
    element, edge : str
        Absorber and edge, such as `Au` and `L3`.
    msd : (float, float), Å²
        Smallest and largest mean squared displacement that it was trained on.
    campaigns : dict of str to str
        Digests of the campaigns that it was trained on, by their names.
    files : dict of str to str
        Digests of the other files of the folder, by their names.
    """

    kind: str
    summary: str
    element: str
    edge: str
    msd: tuple[float, float]
    campaigns: dict[str, str]
    files: dict[str, str]


@plain_dataclass(frozen=True)
class Shipped:
    """A shipped model.

    Attributes
    ----------
    name : str
        Its name, such as `au-l3`.
    folder : Path
        Its files.
    manifest : Manifest
        What it is.
    """

    name: str
    folder: Path
    manifest: Manifest

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.files)

    def damaged(self) -> list[str]:
        """Return the names of files that are missing or are not those that were shipped."""
        return [
            name
            for name, digest in self.manifest.files.items()
            if not (self.folder / name).is_file() or file_digest(self.folder / name) != digest
        ]

    def __str__(self) -> str:
        low, high = self.manifest.msd
        trained = ", ".join(f"{name} {digest[:8]}" for name, digest in self.manifest.campaigns.items())
        return (
            f"{self.name}: {self.manifest.element} {self.manifest.edge}, MSD {low:.4f} … {high:.4f} Å²; "
            f"{self.manifest.summary}; campaign {trained}; {self.size / 1e6:.1f} MB"
        )


def write_manifest(
    folder: Path,
    *,
    kind: str,
    summary: str,
    element: str,
    edge: str,
    msd: tuple[float, float],
    campaigns: dict[str, str],
) -> Manifest:
    """Write the manifest of a folder that holds all other files of a model; the arguments are as in `Manifest`.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    manifest = Manifest(kind, summary, element, edge, msd, campaigns, files)
    write_text(folder / MANIFEST, json.dumps(plain(manifest), indent=1, ensure_ascii=False) + "\n")
    return manifest


def shipped_models(folder: Path = _FOLDER) -> list[Shipped]:
    """Return the models that ship, by their names.

    Parameters
    ----------
    folder : Path, optional
        The folder of all. Default: that of the package.

    Raises
    ------
    StoreError
        If a manifest cannot be read.
    """
    return [
        Shipped(path.parent.name, path.parent, record_of(Manifest, read_json(path, _REMEDY), path, _REMEDY))
        for path in sorted(folder.glob(f"*/{MANIFEST}"))
    ]


def shipped_model(name: str, folder: Path = _FOLDER) -> Shipped:
    """Return a model that ships, by its name.

    Raises
    ------
    StoreError
        If none has that name; the message names those there are.
    """
    found = {one.name: one for one in shipped_models(folder)}
    if name not in found:
        raise StoreError(
            f"there is no model {name!r}: no folder of that name, and none that ships; those that ship are "
            f"{', '.join(found) or 'none'} (`xanesml models`), and `xanesml train` makes others"
        )
    return found[name]
