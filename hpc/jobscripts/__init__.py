"""Job scripts: what a site differs in is read from one file and filled into the scripts."""

from hpc.jobscripts.scripts import Work, write_jobs, write_unfilled
from hpc.jobscripts.site import PRESETS, Site, load_site

__all__ = ["PRESETS", "Site", "Work", "load_site", "write_jobs", "write_unfilled"]
