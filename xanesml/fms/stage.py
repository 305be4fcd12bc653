"""FEFF's FMS stage, between its stages xsph and mkgtr: from the files of a run's folder to gg.bin and log3.dat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from xanesml.errors import NotApplicable
from xanesml.fms.dense import solve_dense
from xanesml.fms.green import feff_convention, green_text
from xanesml.fms.inputs import FmsInput, read_input
from xanesml.fms.phases import Phases, read_phases
from xanesml.fms.solve import Solution, residual_limit

Precision = Literal["single", "double"]
Method = Literal["auto", "lu", "ldl", "symmetric"]


@dataclass(frozen=True, kw_only=True)
class StageReport(Solution):
    """A solution, with the number of orbitals of the cluster and the wall time, s."""

    size: int
    seconds: float

    @property
    def solver(self) -> str:
        """One line of ASCII that says how gg.bin was made, short enough for `runs/solver` of a store."""
        detail = f" in blocks up to {self.largest}" if self.method == "symmetric" else ""
        detail += f", {self.by_lu} by lu" if self.by_lu else ""
        return f"xanesml fms: {self.method}, {self.size}{detail}"


def solve_stage(folder: Path, *, precision: Precision = "single", method: Method = "auto") -> StageReport:
    """Solve full multiple scattering in a run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder, in which FEFF's stages rdinp to xsph have run.
    precision : {"single", "double"}, optional
        Precision of the factorization. FEFF's own is single.
    method : {"auto", "lu", "ldl", "symmetric"}, optional
        LU with pivoting; LDLᵀ without, replaced by LU if its residual is large; or the cluster's point
        group. `auto` takes the point group if there is one, else LDLᵀ.

    Raises
    ------
    NotApplicable
        If the run needs a method that is not implemented here, lacks a file, or has no
        finite solution. Nothing is written then.

    References
    ----------
    A. L. Ankudinov, B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998).
    """
    started = time.perf_counter()
    cluster = read_input(folder)
    phases = read_phases(folder / "phase.bin")
    if len(phases.shifts) <= cluster.potentials.max():
        raise NotApplicable(f"phase.bin has {len(phases.shifts)} potentials, geom.dat has more")
    try:
        # An overflow leaves a result that is not finite, which is checked below.
        with np.errstate(all="ignore"):
            solution = _solve(cluster, phases, method, np.complex64 if precision == "single" else np.complex128)
            green = feff_convention(solution.blocks)
            # In the precision in which mkgtr will read it. An infinite number in between may leave a finite result,
            # but no finite residual.
            finite = np.isfinite(green.astype(np.complex64)).all() and np.isfinite(solution.residual)
    except np.linalg.LinAlgError as error:
        raise NotApplicable(f"the equations have no solution: {error}") from error
    if not finite:
        raise NotApplicable("the Green's function is not finite at every energy")
    size, seconds = int(((cluster.lmax + 1) ** 2).sum()), time.perf_counter() - started
    report = StageReport(**vars(solution), size=size, seconds=seconds)
    (folder / "gg.bin").write_text(green_text(green), encoding="ascii")
    (folder / "log3.dat").write_text(_log(report, len(cluster.positions)), encoding="ascii")
    return report


def _solve(cluster: FmsInput, phases: Phases, method: Method, dtype: npt.DTypeLike) -> Solution:
    if method in ("auto", "symmetric"):
        # Imported here: the other methods do not need it.
        from xanesml.fms.reduced import solve_symmetric  # noqa: PLC0415

        solution = solve_symmetric(cluster, phases, dtype=dtype)
        # A residual that is NaN fails this comparison too.
        good = (
            solution is not None and solution.residual <= residual_limit(dtype) and np.isfinite(solution.blocks).all()
        )
        if solution is not None and (method == "symmetric" or good):
            return solution
        if method == "symmetric":
            why = "the cluster has no symmetry about the absorber" if solution is None else "no finite solution"
            raise NotApplicable(why)
    return solve_dense(cluster, phases, pivoting=method == "lu", dtype=dtype)


def _log(report: StageReport, atoms: int) -> str:
    return (
        f"FMS calculation of full Green's function ...\n"
        f"{report.solver}\n"
        f"FMS for a cluster of {atoms} atoms, {len(report.blocks)} energy points\n"
        f"largest residual {report.residual:.1e}, {report.seconds:.2f} s\n"
        "Done with module: FMS.\n\n"
    )
