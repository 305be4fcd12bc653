"""The fit of FEFF's first-shell paths to the oscillations of a spectrum, by larch's feffit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from xanesml.errors import SpectrumError
from xanesml.exafs.fit import ExafsFit, FitChoices
from xanesml.exafs.oscillations import K_SQUARED, R_BACKGROUND, Oscillations
from xanesml.feff.paths import FeffPath
from xanesml.files.arrays import Floats
from xanesml.measured.xraylarch import import_larch

#: Default range of the fit in k, Å⁻¹, and how far before the spectrum's end it ends.
_FIRST_K, _LAST_K, _BEFORE_END = 3.0, 12.0, 0.5
#: Default range in R: from this far below the shortest path to this far above the longest, Å. The maximum of the
#: transform lies 0.3 … 0.5 Å below the path's length, and heavy scatterers split it in two.
_BELOW, _ABOVE = 1.1, 0.45
#: Window of the transform, and the width of its ends, Å⁻¹.
_WINDOW, _SILL = "hanning", 1.0
#: Largest distance of energies in k, Å⁻¹: half of what an oscillation of a path of 4 Å needs.
_COARSE = 0.2
#: Values that are doubtful: of E0, eV, ΔR, Å, amplitude and R factor.
_DOUBTFUL_E0, _DOUBTFUL_SHIFT, _DOUBTFUL_AMPLITUDE, _DOUBTFUL_MISFIT = 10.0, 0.15, (0.3, 1.2), 0.05
#: Power of k that weighs what is drawn, and the largest distance drawn, Å.
_DRAWN, _LAST_R = 2, 6.0
#: Other choices of the fit that are as good, whose results show what depends on the choice: the range in k cut by
#: this at either end, Å⁻¹, and another distance of the background, Å.
_CUT, _OTHER_BACKGROUND = 1.0, 1.2


class _Fitted(NamedTuple):
    values: dict[str, float]
    errors: dict[str, float]
    correlation: float
    r_factor: float
    independent: float
    model: Floats


#: Names of the parameters in larch.
_AMPLITUDE, _E0, _SHIFT, _SIGMA2, _THIRD = "amplitude", "e0", "shift", "sigma2", "third"


def fit_first_shell(found: Oscillations, paths: Sequence[FeffPath], choices: FitChoices | None = None) -> ExafsFit:
    """Fit amplitude, E0, ΔR and σ² of the first shell to the oscillations of a spectrum.

    All paths of the first shell share these four. The fit is to the transforms in R with all powers of k together.

    Parameters
    ----------
    found : Oscillations
        From `oscillations`.
    paths : sequence of FeffPath
        The paths to the first shell, and those near it, which are told; see `xanesml.exafs.paths_of`.
    choices : FitChoices, optional
        Ranges and powers of k, and whether the third cumulant is fitted.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    SpectrumError
        If the ranges do not lie in the spectrum or hold too few independent points, or the fit finds no
        uncertainties.

    References
    ----------
    M. Newville, J. Synchrotron Rad. 8, 322 (2001); J. J. Rehr and R. C. Albers, Rev. Mod. Phys. 72, 621 (2000).
    """
    near = [path for path in paths if not path.first_shell]
    paths = [path for path in paths if path.first_shell]
    choices = _complete(found, paths, choices or FitChoices())
    best = _fit(found, paths, choices)
    others = [_fit(data, paths, other).values for data, other in _other_choices(found, choices)]
    spread = {name: _rms([one[name] - value for one in others]) for name, value in best.values.items()}
    error = {name: float(np.hypot(best.errors[name], spread[name])) for name in best.values}
    length = _mean_length(paths) + best.values[_SHIFT]
    r, data_r = _transformed(found, found.chi, choices)
    kept = found.k <= _given(choices.k_range)[1] + _SILL
    squared = found.k[kept] ** _DRAWN
    return ExafsFit(
        source=found.source,
        element=found.element,
        edge=found.edge,
        neighbors=_neighbors(paths),
        sigma2=best.values[_SIGMA2],
        sigma2_error=error[_SIGMA2],
        length=length,
        length_error=error[_SHIFT],
        shift=best.values[_SHIFT],
        amplitude=best.values[_AMPLITUDE],
        amplitude_error=error[_AMPLITUDE],
        e0=best.values[_E0],
        e0_error=error[_E0],
        third=best.values.get(_THIRD, np.nan),
        third_error=error.get(_THIRD, np.nan),
        fit_error=best.errors[_SIGMA2],
        choice_error=spread[_SIGMA2],
        amplitude_correlation=best.correlation,
        r_factor=best.r_factor,
        k_range=_given(choices.k_range),
        r_range=_given(choices.r_range),
        k_weights=choices.k_weights,
        independent=best.independent,
        doubts=(*found.doubts, *_doubts(best, near)),
        k=found.k[kept],
        data_k=squared * found.chi[kept],
        fit_k=squared * best.model[kept],
        r=r,
        data_r=data_r,
        fit_r=_transformed(found, best.model, choices)[1],
    )


def _given(values: tuple[float, float] | None) -> tuple[float, float]:
    assert values is not None  # noqa: S101 (_complete has filled it in)
    return values


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values else 0.0


def _mean_length(paths: Sequence[FeffPath]) -> float:
    return float(np.average([path.length for path in paths], weights=[path.degeneracy for path in paths]))


def _neighbors(paths: Sequence[FeffPath]) -> str:
    return ", ".join(f"{path.degeneracy:g} {chemical_symbols[path.number]} at {path.length:.3f} Å" for path in paths)


def _complete(found: Oscillations, paths: Sequence[FeffPath], choices: FitChoices) -> FitChoices:
    """Return choices with their ranges, or refuse them."""
    end = float(found.k[-1])
    k_range = choices.k_range or (_FIRST_K, min(_LAST_K, end - _BEFORE_END))
    r_range = choices.r_range or (paths[0].length - _BELOW, paths[-1].length + _ABOVE)
    if not (0 < k_range[0] < k_range[1] <= end) or not 0 < r_range[0] < r_range[1]:
        raise SpectrumError(
            f"{found.source} has oscillations up to k = {end:.2f} 1/Å, which does not hold a fit from {k_range[0]:g} "
            f"to {k_range[1]:g} 1/Å and {r_range[0]:g} to {r_range[1]:g} Å; give ranges from small to large within it"
        )
    if not choices.k_weights or min(choices.k_weights) < 0:
        raise SpectrumError(f"the weights {choices.k_weights} are no powers of k; give whole numbers, such as 1, 2, 3")
    above = found.energy[found.energy > found.e0] - found.e0
    k = np.sqrt(above / K_SQUARED)
    gaps = np.diff(k[(k >= k_range[0]) & (k <= k_range[1])])
    if gaps.size == 0 or gaps.max() > _COARSE:
        widest = float(gaps.max()) if gaps.size else np.inf
        raise SpectrumError(
            f"{found.source} has energies up to {widest:.2f} 1/Å apart in the range of the fit, too coarse for EXAFS: "
            f"measure in steps of {_COARSE:g} 1/Å or less"
        )
    independent = 2 * (k_range[1] - k_range[0]) * (r_range[1] - r_range[0]) / np.pi + 1
    unknown = 5 if choices.third_cumulant else 4
    if independent < unknown + 1:
        raise SpectrumError(
            f"a fit of {found.source} from {k_range[0]:g} to {k_range[1]:g} 1/Å and {r_range[0]:.2f} to "
            f"{r_range[1]:.2f} Å has {independent:.1f} independent points for {unknown} unknowns; give wider ranges"
        )
    return replace(choices, k_range=k_range, r_range=r_range)


def _other_choices(found: Oscillations, choices: FitChoices) -> Iterator[tuple[Oscillations, FitChoices]]:
    """Yield other choices that are as good: each power of k alone, a shorter range, another background."""
    if len(choices.k_weights) > 1:
        for weight in choices.k_weights:
            yield found, replace(choices, k_weights=(weight,))
    first, last = _given(choices.k_range)
    yield found, replace(choices, k_range=(first + _CUT / 2, last))
    yield found, replace(choices, k_range=(first, last - _CUT))
    yield found.with_background(_OTHER_BACKGROUND * R_BACKGROUND), choices


def _transform(choices: FitChoices, weights: Any) -> Any:
    (first_k, last_k), (first_r, last_r) = _given(choices.k_range), _given(choices.r_range)
    return import_larch().xafs.feffit_transform(
        kmin=first_k, kmax=last_k, kweight=weights, dk=_SILL, window=_WINDOW, rmin=first_r, rmax=last_r
    )


def _fit(found: Oscillations, paths: Sequence[FeffPath], choices: FitChoices) -> _Fitted:
    larch = import_larch()
    from larch.fitting import guess, param_group  # noqa: PLC0415 (see import_larch)

    start = {_AMPLITUDE: 0.8, _E0: 0.0, _SHIFT: 0.0, _SIGMA2: 0.007}
    if choices.third_cumulant:
        start[_THIRD] = 0.0
    parameters = param_group(**{name: guess(value) for name, value in start.items()})
    expressions = {"s02": _AMPLITUDE, "e0": _E0, "deltar": _SHIFT, "sigma2": _SIGMA2}
    if choices.third_cumulant:
        expressions["third"] = _THIRD
    data = larch.Group(k=found.k, chi=found.chi)
    with tempfile.TemporaryDirectory(prefix="xanesml-exafs-") as folder:
        files = [Path(folder, f"feff{number:04d}.dat") for number in range(1, len(paths) + 1)]
        for file, path in zip(files, paths, strict=True):
            file.write_text(path.text, encoding="utf-8")
        groups = [larch.xafs.feffpath(str(file), **expressions) for file in files]
    weights = choices.k_weights if len(choices.k_weights) > 1 else choices.k_weights[0]
    dataset = larch.xafs.feffit_dataset(data=data, paths=groups, transform=_transform(choices, weights))
    result = larch.xafs.feffit(parameters, dataset)
    values = {name: float(result.params[name].value) for name in start}
    errors = {name: result.params[name].stderr for name in start}
    settled = all(error is not None and np.isfinite(error) for error in errors.values())
    if not settled or not np.isfinite([*values.values()]).all():
        raise SpectrumError(
            f"the first shell of {found.source} cannot be fitted: the data do not settle all of "
            f"{', '.join(start)}; measure further, or check that the structure is that of the sample"
        )
    correlations = result.params[_SIGMA2].correl or {}
    model = np.interp(found.k, dataset.model.k, dataset.model.chi)
    return _Fitted(
        values,
        {name: float(error) for name, error in errors.items()},
        float(correlations.get(_AMPLITUDE, 0.0)),
        float(result.rfactor),
        float(result.n_independent),
        np.asarray(model, dtype=np.float64),
    )


def _transformed(found: Oscillations, chi: Floats, choices: FitChoices) -> tuple[Floats, Floats]:
    """Return distances, Å, and the magnitude of the transform of some oscillations."""
    larch = import_larch()
    first, last = _given(choices.k_range)
    group = larch.Group(k=found.k, chi=chi)
    larch.xafs.xftf(group, kmin=first, kmax=last, kweight=_DRAWN, dk=_SILL, window=_WINDOW, rmax_out=_LAST_R)
    return np.asarray(group.r, dtype=np.float64), np.asarray(group.chir_mag, dtype=np.float64)


def _doubts(best: _Fitted, near: Sequence[FeffPath]) -> Iterator[str]:
    if near:
        yield f"{_neighbors(near)} are near the first shell and count as part of it in the range of the fit"
    values = best.values
    low, high = _DOUBTFUL_AMPLITUDE
    if values[_SIGMA2] <= 0:
        yield f"σ² is {values[_SIGMA2]:.4f} Å², and a displacement's square is positive"
    if abs(values[_E0]) > _DOUBTFUL_E0:
        yield f"E0 lies {values[_E0]:+.1f} eV from the largest slope, more than {_DOUBTFUL_E0:g} eV"
    if abs(values[_SHIFT]) > _DOUBTFUL_SHIFT:
        yield (
            f"the bonds differ by {values[_SHIFT]:+.3f} Å from the structure's, more than {_DOUBTFUL_SHIFT:g} Å: "
            "is it that of the sample?"
        )
    if not low <= values[_AMPLITUDE] <= high:
        yield f"the amplitude {values[_AMPLITUDE]:.2f} is not between {low:g} and {high:g}"
    if best.r_factor > _DOUBTFUL_MISFIT:
        yield f"the fit leaves {best.r_factor:.1%} of the data, more than {_DOUBTFUL_MISFIT:.0%}"
