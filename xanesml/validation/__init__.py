"""Checks stores and tensor files, and repairs the rows of stores."""

from xanesml.validation.report import ValidationReport
from xanesml.validation.validate import validate

__all__ = ["ValidationReport", "validate"]
