"""One page for a campaign: what its files hold at the time, as a single HTML file that asks for nothing else."""

from xanesml.page.write import PAGE_FILE, write_page

__all__ = ["PAGE_FILE", "write_page"]
