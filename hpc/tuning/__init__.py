"""Tuning: a search for better training settings, over ranks."""
