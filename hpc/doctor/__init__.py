"""The doctor: checks the hosts, the software and the file systems of a job before it runs."""

from hpc.doctor.driver import diagnose

__all__ = ["diagnose"]
