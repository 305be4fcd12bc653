"""What is wrong with a store or a tensor file, and mending what can be mended."""

from xanesml.validation.report import ValidationReport
from xanesml.validation.validate import validate

__all__ = ["ValidationReport", "validate"]
