"""Self-consistent muffin-tin potentials, in place of FEFF's own stage between `atomic` and `xsph`."""

#: Increased whenever the solver's numbers change: part of a task's identity.
VERSION = 1


class PotNotApplicable(Exception):
    """A run that this solver leaves to FEFF's own stage; the message says why, in one line."""
