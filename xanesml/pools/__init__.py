"""Pools of environments: any set of runs with their bonds, and what a linear regression on them reads."""
