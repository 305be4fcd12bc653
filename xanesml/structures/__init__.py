"""Structures: the cluster of a campaign and its absorbers, distortion and disorder, and the check for overlaps."""

from xanesml.structures.absorbers import Sites, absorbers, describe_sites, series_sites, sites
from xanesml.structures.build import build_cluster
from xanesml.structures.cluster import Cluster, first_neighbors
from xanesml.structures.displacement import deltas, disorder, distort, sigmas
from xanesml.structures.overlap import check_overlap, check_overlaps
from xanesml.structures.shapes import describe
from xanesml.structures.trajectory import Trajectory, read_trajectory

__all__ = [
    "Cluster",
    "Sites",
    "Trajectory",
    "absorbers",
    "build_cluster",
    "check_overlap",
    "check_overlaps",
    "deltas",
    "describe",
    "describe_sites",
    "disorder",
    "distort",
    "first_neighbors",
    "read_trajectory",
    "series_sites",
    "sigmas",
    "sites",
]
