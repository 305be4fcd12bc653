"""Structures: the cluster of a campaign and its absorbers, distortion and disorder, and the check for overlaps."""

from xanesml.structures.absorbers import Sites, absorbers, series_sites, sites
from xanesml.structures.build import build_cluster
from xanesml.structures.cluster import Cluster, first_neighbors
from xanesml.structures.displacement import deltas, disorder, distort, sigmas
from xanesml.structures.overlap import check_overlap, check_overlaps

__all__ = [
    "Cluster",
    "Sites",
    "absorbers",
    "build_cluster",
    "check_overlap",
    "check_overlaps",
    "deltas",
    "disorder",
    "distort",
    "first_neighbors",
    "series_sites",
    "sigmas",
    "sites",
]
