"""Job scripts: templates filled in with the settings of a site file."""

from hpc.jobscripts.lines import Work
from hpc.jobscripts.scripts import write_jobs, write_unfilled
from hpc.jobscripts.site import PRESETS, Site, load_site

__all__ = ["PRESETS", "Site", "Work", "load_site", "write_jobs", "write_unfilled"]
