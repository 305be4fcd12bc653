"""Measured spectra as files hold them: XDI, Athena projects, NeXus, SPEC, text, and FEFF's xmu.dat."""

from xanesml.measured.normalization import Treatment
from xanesml.measured.reading import read_spectra, read_spectrum, spectrum_from_arrays
from xanesml.measured.spectrum import MeasuredSpectrum

__all__ = ["MeasuredSpectrum", "Treatment", "read_spectra", "read_spectrum", "spectrum_from_arrays"]
