"""Athena projects of normalized spectra, which Athena and Larix open, by larch."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xanesml.errors import SpectrumError
from xanesml.files.whole import whole_file
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.measured.xraylarch import import_larch

#: Where larch writes an empty journal.
_EMPTY_JOURNAL = "@journal = ();"


@dataclass(frozen=True)
class ProjectGroup:
    """A group of a project.

    Attributes
    ----------
    label : str
        Its label, unique in the project.
    spectrum : NormalizedSpectrum
        Its energies, aligned with those of the others, and its normalized absorption.
    shift : float, eV
        What puts its energies on those of theory; kept as the group's energy shift.
    titles : tuple of str
        Lines about it.
    """

    label: str
    spectrum: NormalizedSpectrum
    shift: float
    titles: tuple[str, ...] = ()


def write_project(path: Path, groups: Sequence[ProjectGroup], journal: Iterable[str]) -> None:
    """Write an Athena project, whole or not at all.

    μ of each group is normalized, and marked so. Energies are those of the measurement, on one scale;
    the shift onto theory stands beside them, as Athena keeps a calibration.

    Parameters
    ----------
    path : Path
        The file, such as `series.prj`.
    groups : sequence of ProjectGroup
        At least one.
    journal : iterable of str
        Lines of the project's journal.

    Raises
    ------
    SpectrumError
        If there are no groups.
    EnvironmentProblem
        If xraylarch is not installed or the file cannot be written.
    """
    larch = import_larch()
    if not groups:
        raise SpectrumError(f"there are no spectra to write into {path}")
    from larch.io.athena_project import AthenaProject  # noqa: PLC0415 (slow)

    project = AthenaProject()
    for number, one in enumerate(groups):
        spectrum, label = one.spectrum, _plain(one.label)
        group = larch.Group(
            __name__=label,
            energy=spectrum.energy,
            mu=spectrum.mu,
            e0=spectrum.e0,
            edge_step=1.0,
            energy_shift=one.shift,
            id=f"x{number:04d}",
            atsym=spectrum.element,
            edge=spectrum.edge,
            filename=label,
        )
        if spectrum.ranges is not None:
            group.pre_edge_details = larch.Group(**spectrum.ranges.as_dict())
        project.add_group(group)
        arguments = project.groups[group.id].args
        # larch guesses the edge from its energy.
        arguments |= {"bkg_z": spectrum.element, "fft_edge": spectrum.edge.lower(), "is_nor": "1", "label": label}
        arguments["titles"] = [_plain(title) for title in one.titles]
    with whole_file(path) as partial:
        project.save(str(partial))
        lines = ", ".join(f"'{_plain(line)}'" for line in journal)
        text = gzip.decompress(partial.read_bytes()).decode("utf-8")
        text = text.replace(_EMPTY_JOURNAL, f"@journal = ({lines});")
        partial.write_bytes(gzip.compress(text.encode("utf-8")))


def _plain(text: str) -> str:
    """Return a text that may stand between quotes of Perl, and that larch's reader of Perl takes."""
    return text.replace("\\", "/").replace("'", "’").replace(";", ",")
