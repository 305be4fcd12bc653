"""Averages: the distorted series, distributions, statistical and particle averages, the tensor file."""
