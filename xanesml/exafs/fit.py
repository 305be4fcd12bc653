"""How a first shell is fitted, and the result of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as record

from xanesml.files.records import RECORD, FloatArray, Number


@dataclass(frozen=True)
class FitChoices:
    """How the first shell is fitted.

    Attributes
    ----------
    k_range : (float, float) or None
        First and last wavenumber, Å⁻¹. Default: 3 to 12, or to 0.5 before the spectrum's end.
    k_weights : tuple of int
        Powers of k that weigh the oscillations, fitted together. Default: 1, 2 and 3, as Artemis does.
    r_range : (float, float) or None
        Range of the transform, Å, without phase correction. Default: from 1.1 Å below the shortest path to
        0.45 Å above the longest.
    third_cumulant : bool
        Whether the third cumulant is fitted too: it goes with ΔR, and needs a long range in k.
    """

    k_range: tuple[float, float] | None = None
    k_weights: tuple[int, ...] = (1, 2, 3)
    r_range: tuple[float, float] | None = None
    third_cumulant: bool = False


@record(frozen=True, config=RECORD)
class ExafsFit:
    """A fit of the first shell. Each uncertainty is a standard one: of the fit, and of its choices, combined.

    Attributes
    ----------
    source, element, edge : str
        As in `MeasuredSpectrum`.
    neighbors : str
        What the paths lead to, such as "12 Au at 2.884 Å".
    sigma2, sigma2_error : float, Å²
        Mean squared displacement of absorber and neighbor along their bond, about its mean.
    length, length_error : float, Å
        Mean distance of the neighbors, and its uncertainty.
    shift : float, Å
        ΔR, that distance minus the paths' mean length.
    amplitude, amplitude_error : float
        S0² times the number of neighbors over that in the paths.
    e0, e0_error : float, eV
        Energy of the photoelectron's zero in FEFF's path, from the largest slope.
    third, third_error : float, Å³
        Third cumulant; NaN where it is not fitted.
    fit_error, choice_error : float, Å²
        The parts of `sigma2_error`: of the fit, and the root mean square change by other choices that are as good.
    amplitude_correlation : float
        Correlation of σ² and amplitude.
    r_factor : float
        Sum of squared differences over that of the data, in the range of R.
    k_range, r_range : (float, float), Å⁻¹ and Å
        Ranges of the fit.
    k_weights : tuple of int
        Powers of k.
    independent : float
        Number of independent points, 2 Δk ΔR / π + 1.
    doubts : tuple of str
        Reasons to doubt it, one sentence each.
    k, data_k, fit_k : ndarray, shape (K,), float64
        Wavenumbers, Å⁻¹, and data and fit as k²χ(k), Å⁻²; not in files.
    r, data_r, fit_r : ndarray, shape (R,), float64
        Distances, Å, and the magnitudes of their transforms, Å⁻³; not in files.
    """

    source: str
    element: str
    edge: str
    neighbors: str
    sigma2: float
    sigma2_error: float
    length: float
    length_error: float
    shift: float
    amplitude: float
    amplitude_error: float
    e0: float
    e0_error: float
    third: Number
    third_error: Number
    fit_error: float
    choice_error: float
    amplitude_correlation: float
    r_factor: float
    k_range: tuple[float, float]
    r_range: tuple[float, float]
    k_weights: tuple[int, ...]
    independent: float
    doubts: tuple[str, ...]
    k: Annotated[FloatArray, Field(exclude=True)]
    data_k: Annotated[FloatArray, Field(exclude=True)]
    fit_k: Annotated[FloatArray, Field(exclude=True)]
    r: Annotated[FloatArray, Field(exclude=True)]
    data_r: Annotated[FloatArray, Field(exclude=True)]
    fit_r: Annotated[FloatArray, Field(exclude=True)]

    def lines(self) -> list[str]:
        """Return the fit as text, a line each."""
        weights = ", ".join(map(str, self.k_weights))
        third = f", third cumulant {1e4 * self.third:.2f} ± {1e4 * self.third_error:.2f} × 10⁻⁴ Å³"
        return [
            f"{self.source}: first shell by EXAFS, {self.neighbors}",
            f"  σ² {1e3 * self.sigma2:.2f} ± {1e3 * self.sigma2_error:.2f} × 10⁻³ Å² "
            f"(fit {1e3 * self.fit_error:.2f}, its choices {1e3 * self.choice_error:.2f})",
            f"  R {self.length:.3f} ± {self.length_error:.3f} Å, ΔR {self.shift:+.3f} Å"
            + ("" if np.isnan(self.third) else third),
            f"  amplitude {self.amplitude:.2f} ± {self.amplitude_error:.2f}, "
            f"{self.amplitude_correlation:+.2f} correlated with σ²; E0 {self.e0:+.1f} ± {self.e0_error:.1f} eV",
            f"  k {self.k_range[0]:.1f} … {self.k_range[1]:.1f} 1/Å, weights {weights}; R {self.r_range[0]:.2f} … "
            f"{self.r_range[1]:.2f} Å; {self.independent:.1f} independent points; R factor {self.r_factor:.4f}",
            *(f"  doubt: {doubt}" for doubt in self.doubts),
        ]
