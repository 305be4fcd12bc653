"""Validation of a store or a tensor file, from its form to its last row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from xanesml.errors import StoreError
from xanesml.files.hdf5 import content_digest
from xanesml.files.layout import STORE, fixed_arrays
from xanesml.files.lock import WriteLock, unused
from xanesml.files.rows_text import about
from xanesml.files.whole import reason
from xanesml.store.create import inputs_digest
from xanesml.validation.conformity import attribute, campaign_problems, examine_form
from xanesml.validation.opening import Extent, end_of, extent, open_whole
from xanesml.validation.probe import crash
from xanesml.validation.repair import repair_store
from xanesml.validation.report import ValidationReport
from xanesml.validation.rows import RowFindings, examine_rows
from xanesml.validation.tensors import tensor_problems


def validate(path: Path, *, repair: bool = False, apart: bool = False) -> ValidationReport:
    """Check a store or a tensor file, and repair a store's rows on request.

    The whole file is read once, in blocks. Of a truncated file, the missing part counts
    as never written.

    Parameters
    ----------
    path : Path
        The file.
    repair : bool
        Whether to give a truncated store its full length, mark rows that are complete,
        and set rows that cannot be trusted back to pending. Tensor files are not changed.
    apart : bool
        Whether to read the file's structure in a process of its own first, so that a crash
        of HDF5 on it becomes a report. Takes a second.

    Returns
    -------
    ValidationReport
        What is wrong with the file as it is left.

    Raises
    ------
    StoreError
        If the file cannot be read, or a driver is writing it.
    EnvironmentProblem
        If the repair cannot be written.
    """
    if not path.is_file():
        raise StoreError(f"{path} does not exist; give a store or a tensor file")
    if apart and (report := crash(path)):
        return report
    repairs: list[str] = []
    with unused(path):
        findings = _examine(path)
    if repair and findings.repairable:
        with WriteLock(path):
            # Again, as a driver may have written in between.
            findings = _examine(path)
            if findings.repairable and findings.rows is not None:
                repairs = repair_store(path, findings.extent, findings.rows)
                findings = _examine(path)
    return ValidationReport(
        path=path,
        content=findings.content,
        problems=tuple(findings.problems),
        torn=np.empty(0, np.int64) if findings.rows is None else findings.rows.suspect,
        repairs=tuple(repairs),
    )


@dataclass
class _Findings:
    path: Path
    extent: Extent
    content: str = ""
    problems: list[str] = field(default_factory=list)
    rows: RowFindings | None = None
    lasting: bool = False

    @property
    def repairable(self) -> bool:
        return self.rows is not None and not self.lasting and (self.rows.repairable or self.extent.truncated)


def _examine(path: Path) -> _Findings:
    findings = _Findings(path, extent(path))
    try:
        file = open_whole(path, findings.extent)
    except StoreError as error:
        findings.problems.append(str(error))
        return findings
    with file:
        form = examine_form(file, findings.extent, str(path))
        findings.content, findings.problems, findings.lasting = form.content, form.problems, form.attributes_lost
        if form.layout is None:
            return findings
        try:
            (_store if form.layout is STORE else _tensors)(file, findings)
        except OSError as error:
            findings.rows = None
            findings.problems.append(f"cannot be read to its end ({reason(error)}); check the disk")
    return findings


def _store(file: h5py.File, findings: _Findings) -> None:
    problems = findings.problems
    problems += campaign_problems(file)[0]
    if max(end_of(file[array.path]) for array in fixed_arrays(STORE)) > findings.extent.size:
        problems.append(
            "structures or tasks are lost, and with them all spectra; run `xanesml simulate` for a new store"
        )
        return
    problems += _inputs(file, findings.path)
    rows = findings.rows = examine_rows(file, findings.extent.size)
    problems += rows.problems(truncated=findings.extent.truncated)
    findings.content += f", {len(file['runs/outcome'])} tasks: {rows.counts()}"


def _inputs(file: h5py.File, path: Path) -> list[str]:
    problems = []
    tasks_match = content_digest(file, ["tasks/identity"]) == attribute(file, "tasks_digest")
    if attribute(file, "inputs_digest") not in (None, inputs_digest(file)):
        where = "structures or tasks" if tasks_match else "task identities, and perhaps structures,"
        problems.append(
            f"{where} do not match inputs_digest, which cannot be repaired; make a new store with `xanesml simulate "
            f"CAMPAIGN --output NEW --reuse {path}`, which keeps all tasks that can be recognized"
        )
    elif not tasks_match and attribute(file, "tasks_digest") is not None:
        problems.append("the root attribute tasks_digest does not match the task identities")
    structures, atoms = file["structures/positions"].shape[:2]
    for name, count in (("structure", structures), ("absorber", atoms)):
        index = file[f"tasks/{name}"][:]
        bad = np.flatnonzero((index < 0) | (index >= count))
        if len(bad):
            problems.append(f"tasks/{name}: {about(bad, f'is|are out of range (0 … {count - 1})')}")
    central = attribute(file, "central_absorber")
    if not (isinstance(central, np.integer) and 0 <= central < atoms):
        problems.append(f"the root attribute central_absorber is {central!r}, not 0 … {atoms - 1}")
    return problems


def _tensors(file: h5py.File, findings: _Findings) -> None:
    if findings.extent.truncated:
        findings.problems[-1] += "; run `xanesml average CAMPAIGN` again"
        return
    problems, campaign = campaign_problems(file)
    findings.problems += problems + tensor_problems(file, campaign)
    sizes = [len(file[path]) for path in ("mesh/energy", "series/delta", "statistical/family", "particle/structure")]
    findings.content += (
        f", {sizes[0]} mesh points, series of {sizes[1]}, {sizes[2]} statistical and {sizes[3]} particle averages"
    )
