"""FEFF: input, runs, and verdicts on the output."""
