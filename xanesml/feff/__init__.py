"""FEFF: its input, its runs and the judgement of its output."""
