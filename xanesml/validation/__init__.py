"""Checks stores and tensor files, and repairs the rows of stores."""

from xanesml.validation.validate import ValidationReport, validate

__all__ = ["ValidationReport", "validate"]
