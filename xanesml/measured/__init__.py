"""Measured spectra as files hold them: XDI, Athena projects, NeXus, text, and FEFF's xmu.dat."""

from xanesml.measured.reading import read_spectra, read_spectrum
from xanesml.measured.spectrum import MeasuredSpectrum, import_larch

__all__ = ["MeasuredSpectrum", "import_larch", "read_spectra", "read_spectrum"]
