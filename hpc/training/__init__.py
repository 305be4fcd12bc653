"""Training: networks over ranks and devices."""
