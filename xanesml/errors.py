"""Errors that a user can cause and fix.

The command line prints such an error as one line and exits with status 2; any
other exception is a defect and keeps its traceback.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text without control characters but line breaks and tabs, each written as Python writes it.

    Names and messages come from files, and a terminal would obey what they say.
    """
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


class XanesmlError(Exception):
    """Base of all errors with a message meant for the user.

    In one line, the message names the fault, the value received, what is accepted and
    the next step.

    Attributes
    ----------
    collective : bool
        Whether every rank raises the same error; then one rank reports it.
    """

    collective = False


class CampaignError(XanesmlError):
    """A campaign file that cannot be read or does not validate."""


class StructureError(XanesmlError):
    """A structure that cannot be read or that FEFF cannot use."""


class EngineError(XanesmlError):
    """A FEFF engine that is not installed or not configured."""


class StoreError(XanesmlError):
    """A store or tensor file that does not fit the request."""


class SpectrumError(XanesmlError):
    """A measured or simulated spectrum that cannot be used."""


class EnvironmentProblem(XanesmlError):
    """A missing library or permission on this machine."""


class NotApplicable(Exception):
    """What a native solver leaves to FEFF's own stage; the message says why, in one line."""
