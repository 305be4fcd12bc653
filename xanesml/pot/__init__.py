"""Self-consistent muffin-tin potentials, in place of FEFF's own stage between `atomic` and `xsph`."""

#: Increased whenever the solver's numbers change: part of a task's identity.
VERSION = 1
#: The same for the grid of the phase shifts.
GRID_VERSION = 1
