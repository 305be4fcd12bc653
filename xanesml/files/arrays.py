"""Types of arrays, named once; shapes and units are in the docstrings that use them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Double precision: energies, positions, spectra as FEFF printed them, labels.
Floats = NDArray[np.float64]
#: Single precision: training spectra and features.
Singles = NDArray[np.float32]
#: Either precision.
Reals = NDArray[np.floating[Any]]
Complexes = NDArray[np.complex128]
#: Complex numbers of either precision.
Complex = NDArray[np.complexfloating[Any, Any]]
#: Whole numbers of 64 bits, and what numpy indexes with.
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]
#: Whole numbers of any width.
Wholes = NDArray[np.integer[Any]]
Booleans = NDArray[np.bool_]
