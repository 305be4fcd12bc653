"""Figures, each drawn at the width of one or two journal columns and written as PNG and as PDF beside it."""

from xanesml.plots.exafs import exafs_figure
from xanesml.plots.first_shell import first_shell_figure
from xanesml.plots.measured import measured_against_simulated, msd_overview, msd_series
from xanesml.plots.mixtures import mixtures_figure
from xanesml.plots.teaching import shell_figure
from xanesml.plots.tensors import averaging_figures, comparison_figures
from xanesml.plots.training import training_figures

__all__ = [
    "averaging_figures",
    "comparison_figures",
    "exafs_figure",
    "first_shell_figure",
    "measured_against_simulated",
    "mixtures_figure",
    "msd_overview",
    "msd_series",
    "shell_figure",
    "training_figures",
]
