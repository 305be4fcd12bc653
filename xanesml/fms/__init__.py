"""Full multiple scattering: the absorber's Green's function from FEFF's phase shifts, in place of FEFF's own stage."""

#: Increased whenever the solver's numbers change: part of a task's identity.
VERSION = 1
