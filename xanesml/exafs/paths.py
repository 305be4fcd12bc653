"""FEFF's paths for a campaign's undistorted structure, or for the plain crystal of an element."""

from __future__ import annotations

from xanesml.campaign import Campaign
from xanesml.errors import CampaignError
from xanesml.feff.paths import FeffPath, first_shell_paths
from xanesml.structures import build_cluster

#: Atoms of the cuboctahedron in place of a campaign: the first shell's own neighbors are complete.
_ATOMS = 147


def default_campaign(element: str, edge: str) -> Campaign:
    """Return a campaign of the fcc crystal of an element, for a spectrum without one.

    Raises
    ------
    CampaignError
        If the element is not fcc, or FEFF does not know the edge.
    """
    try:
        return Campaign.model_validate(
            {
                "name": f"{element}-{edge}",
                "structure": {"element": element, "atoms": _ATOMS},
                "distortion": {},
                "feff": {"edge": edge},
            }
        )
    except ValueError as error:
        raise CampaignError(
            f"there is no default structure for {element} {edge}: the crystals that are known are fcc; "
            "name a campaign with your structure"
        ) from error


def paths_of(campaign: Campaign) -> list[FeffPath]:
    """Calculate the paths to the first shell of a campaign's undistorted structure.

    Raises
    ------
    StructureError
        If the structure cannot be built.
    EngineError
        If FEFF is not installed or its run fails.
    """
    return first_shell_paths(build_cluster(campaign.structure, campaign.seed), campaign.feff, campaign.engine)
