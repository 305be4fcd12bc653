"""The disorder of a first shell by EXAFS: the oscillations of a spectrum, and a fit of FEFF's path to them."""

from xanesml.exafs.first_shell import fit_first_shell
from xanesml.exafs.fit import ExafsFit, FitChoices
from xanesml.exafs.oscillations import Oscillations, oscillations
from xanesml.exafs.paths import default_campaign, paths_of

__all__ = [
    "ExafsFit",
    "FitChoices",
    "Oscillations",
    "default_campaign",
    "fit_first_shell",
    "oscillations",
    "paths_of",
]
