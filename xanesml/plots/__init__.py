"""Figures, each drawn at the width of one or two journal columns and written as PNG and as PDF beside it."""

from xanesml.plots.averages import comparison, comparison_rms, differences, disordered, distribution
from xanesml.plots.distorted import roughness, series, weightings
from xanesml.plots.measured import measured_against_simulated, msd_overview
from xanesml.plots.tensors import Drawn, averaging_figures, comparison_figures
from xanesml.plots.training import MOST_POINTS, learning_curves, parity, sensitivity_curves, training_figures

__all__ = [
    "MOST_POINTS",
    "Drawn",
    "averaging_figures",
    "comparison",
    "comparison_figures",
    "comparison_rms",
    "differences",
    "disordered",
    "distribution",
    "learning_curves",
    "measured_against_simulated",
    "msd_overview",
    "parity",
    "roughness",
    "sensitivity_curves",
    "series",
    "training_figures",
    "weightings",
]
