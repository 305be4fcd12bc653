"""Farming: FEFF runs dispatched over MPI ranks into one store."""
