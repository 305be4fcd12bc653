"""Broyden's mixing of densities."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats


class Broyden:
    """Mixing of input and output vectors that learns from all iterations before.

    Parameters
    ----------
    amount : float
        Part of the change that the first iteration takes over.

    References
    ----------
    G. P. Srivastava, J. Phys. A 17, L317 (1984).
    """

    def __init__(self, amount: float) -> None:
        self._amount = amount
        self._inputs: list[Floats] = []
        self._residuals: list[Floats] = []
        self._differences: list[Floats] = []
        self._updates: list[Floats] = []
        self._coefficients = np.zeros(0)

    def next(self, given: Floats, returned: Floats) -> Floats:
        """Return the next input.

        Parameters
        ----------
        given, returned : (N,) float
            Input and output of this iteration; no NaN.
        """
        residual = returned - given
        if self._inputs:
            difference = residual - self._residuals[-1]
            update = self._amount * difference + given - self._inputs[-1]
            self._differences.append(difference)
            coefficients = np.array([residual @ other / (other @ other) for other in self._differences])
            for change, other in zip(coefficients[:-1] - self._coefficients, self._updates, strict=True):
                update = update - change * other
            self._updates.append(update)
            self._coefficients = coefficients
        self._inputs.append(given)
        self._residuals.append(residual)
        result = given + self._amount * residual
        for coefficient, update in zip(self._coefficients, self._updates, strict=True):
            result = result - coefficient * update
        return result
