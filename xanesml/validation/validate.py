"""Validation of a store or a tensor file, from its form to its last row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from xanesml.campaign import Campaign
from xanesml.errors import StoreError
from xanesml.files.apart import crash
from xanesml.files.arrays import Integers
from xanesml.files.hdf5 import unreadable
from xanesml.files.layout import STORE, fixed_arrays
from xanesml.files.lock import WriteLock, unused
from xanesml.files.rows_text import about
from xanesml.files.whole import reason
from xanesml.store.create import inputs_digest, tasks_digest
from xanesml.store.kinds import Kind
from xanesml.store.variants import card_set_rows, in_variants, variant_names, variant_sizes
from xanesml.validation.conformity import Form, attribute, campaign_problems, examine_form
from xanesml.validation.opening import Extent, end_of, extent, open_whole
from xanesml.validation.repair import repair_store
from xanesml.validation.rows import RowFindings, examine_rows
from xanesml.validation.tensors import tensor_problems


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """The problems of a file.

    Attributes
    ----------
    path : Path
        The file.
    content : str
        Its format and content, such as ``xanesml-store version 3, 7 tasks: 5 done, 2 pending``;
        empty where they are not known.
    problems : tuple of str
        The problems, each in one line; after a repair, those that remain.
    torn : ndarray, shape (n,), int64
        Rows of a store that must be run again, or marked; increasing; after a repair, those that remain.
    repairs : tuple of str
        The repairs, each in one line.
    """

    path: Path
    content: str = ""
    problems: tuple[str, ...] = ()
    torn: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    repairs: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem remains."""
        return not self.problems

    def lines(self) -> list[str]:
        """Return the repairs, the problems, and the verdict with the counts, in this order."""
        found = [f"{self.path}: {text}" for text in (*(f"repaired: {text}" for text in self.repairs), *self.problems)]
        count = len(self.problems)
        verdict = "valid" if self.ok else f"not valid, {count} problem{'s' if count > 1 else ''}"
        return [*found, f"{self.path}: {verdict}{': ' if self.content else ''}{self.content}"]


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
        If there is no such file, or a driver is writing it.
    EnvironmentProblem
        If the system cannot read the file, of whose content nothing is then known, or cannot write the repair.
    """
    if not path.is_file():
        raise StoreError(f"{path} does not exist; give a store or a tensor file")
    if apart and (problem := crash("xanesml.validation.probe", path)):
        return ValidationReport(path=path, problems=(problem,))
    repairs: list[str] = []
    with unused(path):
        found, form, rows = _examine(path)
    if repair and _repairable(found, form, rows):
        with WriteLock(path):
            # Again, as a driver may have written in between.
            found, form, rows = _examine(path)
            if rows is not None and _repairable(found, form, rows):
                repairs = repair_store(found, rows)
                found, form, rows = _examine(path)
    return ValidationReport(
        path=path,
        content=form.content,
        problems=tuple(form.problems),
        torn=np.empty(0, np.int64) if rows is None else rows.suspect,
        repairs=tuple(repairs),
    )


def _repairable(found: Extent, form: Form, rows: RowFindings | None) -> bool:
    return rows is not None and not form.attributes_lost and (rows.repairable or found.truncated)


def _examine(path: Path) -> tuple[Extent, Form, RowFindings | None]:
    found = extent(path)
    try:
        file = open_whole(found)
    except StoreError as error:
        return found, Form(problems=[str(error)]), None
    rows = None
    with file:
        form = examine_form(file, found)
        try:
            if form.layout is STORE:
                rows = _store(file, found, form)
            elif form.layout is not None:
                _tensors(file, found, form)
        except OSError as error:
            # The missing part of a truncated file cannot be read either.
            if not found.truncated and (problem := unreadable(path, error)):
                raise problem from error
            form.problems.append(f"cannot be read to its end ({reason(error)})")
    return found, form, rows


def _store(file: h5py.File, found: Extent, form: Form) -> RowFindings | None:
    problems, campaign = campaign_problems(file)
    form.problems += problems
    if max(end_of(file[array.path]) for array in fixed_arrays(STORE) if array.path in file) > found.size:
        form.problems.append(
            "structures or tasks are lost, and with them all spectra; run `xanesml simulate` for a new store"
        )
        return None
    try:
        variant_names(file)
    except (ValueError, LookupError, TypeError):
        # Which rows are of which cards is then not known.
        form.problems.append("the root attribute variants cannot be read")
        return None
    form.problems += _inputs(file) + _variants(file, campaign) + _multiplicities(file, campaign)
    rows = examine_rows(file, found.size)
    form.problems += rows.problems(truncated=found.truncated)
    form.content += f", {len(file['runs/outcome'])} tasks{in_variants(variant_sizes(file))}: {rows.counts()}"
    return rows


def _variants(file: h5py.File, campaign: Campaign | None) -> list[str]:
    """Check that the rows of variants follow each other, and that the campaign has them."""
    if "tasks/variant" not in file:
        return []
    names, count = variant_names(file), len(file["variants/class"])
    problems, codes = [], file["tasks/variant"][:].astype(np.int64)
    if len(names) != count:
        problems.append(f"the root attribute variants has {len(names)} names for {count} variants")
    if (np.diff(codes) < 0).any() or codes.max(initial=0) > len(names):
        problems.append(f"tasks/variant does not ascend from 0 to {len(names)}")
    if campaign is not None and (unknown := sorted(set(names) - campaign.feff.variants.keys())):
        problems.append(f"the root attribute campaign lacks the variants {', '.join(unknown)}")
    return problems


def _inputs(file: h5py.File) -> list[str]:
    problems = []
    tasks_match = tasks_digest(file) == attribute(file, "tasks_digest")
    if attribute(file, "inputs_digest") not in (None, inputs_digest(file)):
        where = "structures or tasks" if tasks_match else "task identities, and perhaps structures,"
        problems.append(
            f"{where} do not match inputs_digest, which cannot be repaired; make a new store with `xanesml simulate "
            f"CAMPAIGN --output NEW --reuse {file.filename}`, which keeps all tasks that can be recognized"
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


def _multiplicities(file: h5py.File, campaign: Campaign | None) -> list[str]:
    """Check that the absorbers of every distorted structure stand for as many atoms as the campaign says."""
    path = "tasks/multiplicity"
    own, numbers = card_set_rows(file), file["structures/numbers"][:]
    multiplicity, structure = file[path][own], file["tasks/structure"][own]
    distorted = np.flatnonzero(file["structures/kind"][:] == Kind.DISTORTED)
    single = np.ones(len(multiplicity), np.bool_)
    sites = campaign is not None and campaign.distortion is not None and campaign.distortion.absorbers == "sites"
    if sites:
        single = ~np.isin(structure, distorted)
    bad = np.flatnonzero(np.where(single, multiplicity != 1, multiplicity < 1))
    if len(bad):
        return [f"{path}: {about(bad, 'is|are no number of atoms that an absorber stands for')}"]
    central = attribute(file, "central_absorber")
    if not sites or not 0 <= central < len(numbers) or (structure < 0).any():
        return []
    absorbing = np.count_nonzero(numbers == numbers[central])
    sums = np.bincount(structure, weights=multiplicity, minlength=distorted.max(initial=0) + 1)[distorted]
    off = distorted[sums != absorbing]
    what = f"does|do not stand for all {absorbing} absorbing atoms"
    return [f"{path}: {about(off, what, noun='structure')}"] if len(off) else []


def _tensors(file: h5py.File, found: Extent, form: Form) -> None:
    if found.truncated:
        form.problems[-1] += "; run `xanesml average CAMPAIGN` again"
        return
    problems, campaign = campaign_problems(file)
    form.problems += problems + tensor_problems(file, campaign)
    sizes = [len(file[path]) for path in ("mesh/energy", "series/delta", "statistical/family", "particle/structure")]
    form.content += (
        f", {sizes[0]} mesh points, series of {sizes[1]}, {sizes[2]} statistical and {sizes[3]} particle averages"
    )
