from __future__ import annotations

import numpy as np
import pytest
from ase.cluster import Octahedron
from hypothesis import given, settings
from hypothesis import strategies as st

from xanesml.campaign import FeffSection
from xanesml.errors import StructureError
from xanesml.feff.cards import feff_input, fms_radius

AU13 = """\
TITLE Au13, Au L3 edge
EDGE L3
SCF 4.600000 0 30 0.5 1
CORVAL -120.0
EXCHANGE 5 0.2 0.5
S02 1.0
XANES 3.7 0.05 0.1
FMS 7.000000
ABSOLUTE
POTENTIALS
0 79 Au -1 -1 1
1 79 Au -1 -1 12
ATOMS
0.000000 0.000000 0.000000 0
-2.039100 -2.039100 0.000000 1
-2.039100 0.000000 -2.039100 1
-2.039100 0.000000 2.039100 1
-2.039100 2.039100 0.000000 1
0.000000 -2.039100 -2.039100 1
0.000000 -2.039100 2.039100 1
0.000000 2.039100 -2.039100 1
0.000000 2.039100 2.039100 1
2.039100 -2.039100 0.000000 1
2.039100 0.000000 -2.039100 1
2.039100 0.000000 2.039100 1
2.039100 2.039100 0.000000 1
END
"""


def au13():
    cluster = Octahedron("Au", 3, 1, latticeconstant=4.0782)
    distances = np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1)
    return cluster.numbers, cluster.positions, int(distances.argmin())


def text_of(feff=None, **changes):
    numbers, positions, absorber = au13()
    arguments = {"numbers": numbers, "positions": positions, "absorber": absorber, "feff": feff or FeffSection()}
    return feff_input(**{**arguments, **changes})


def test_reference_case_is_pinned():
    assert text_of() == AU13


@settings(deadline=None, max_examples=50)
@given(
    order=st.permutations(range(13)),
    shift=st.tuples(*[st.floats(-100, 100)] * 3),
    noise=st.integers(0, 2**32 - 1),
)
def test_same_physics_gives_same_text(order, shift, noise):
    numbers, positions, absorber = au13()
    moved = positions[order] + shift + np.random.default_rng(noise).uniform(-1e-12, 1e-12, (13, 3))
    assert text_of(numbers=numbers[order], positions=moved, absorber=order.index(absorber)) == AU13


def test_optional_cards():
    lean = FeffSection(scf=None, corval=None, normalization="feff", lmax=3, extra_cards=["RGRID 0.03"])
    lines = text_of(lean).splitlines()
    assert lines[1:9] == [
        "EDGE L3",
        "EXCHANGE 5 0.2 0.5",
        "S02 1.0",
        "XANES 3.7 0.05 0.1",
        "FMS 7.000000",
        "RGRID 0.03",
        "POTENTIALS",
        "0 79 Au 3 3 1",
    ]


def test_radii_follow_the_scale_only_when_scaled():
    scale = 0.84375
    scaled = text_of(scale=scale).splitlines()
    assert scaled[2] == "SCF 3.881250 0 30 0.5 1"
    assert scaled[7] == "FMS 5.906250"
    assert fms_radius(FeffSection(), scale) == 5.90625
    assert text_of(FeffSection(radii="fixed"), scale=scale) == AU13


def test_one_potential_per_element_sorted_by_atomic_number():
    positions = np.array([[1.0, 0, 0], [3.0, 0, 0], [1.0, 2.5, 0], [1.0, 0, -2.75]])
    text = text_of(numbers=np.array([78, 79, 29, 78]), positions=positions, absorber=0)
    potentials, atoms = text.split("POTENTIALS\n")[1].split("ATOMS\n")
    assert text.startswith("TITLE AuCuPt2, Pt L3 edge\n")
    assert potentials == "0 78 Pt -1 -1 1\n1 29 Cu -1 -1 1\n2 78 Pt -1 -1 1\n3 79 Au -1 -1 1\n"
    assert atoms == (
        "0.000000 0.000000 0.000000 0\n2.000000 0.000000 0.000000 3\n"
        "0.000000 2.500000 0.000000 1\n0.000000 0.000000 -2.750000 2\nEND\n"
    )


def test_no_negative_zero():
    positions = np.array([[0.0, 0, 0], [-1e-9, 2.5, -4e-7]])
    assert "-0.000000" not in text_of(numbers=np.array([79, 79]), positions=positions, absorber=0)


@pytest.mark.parametrize("absorber", [-1, 13])
def test_absorber_outside_the_cluster(absorber):
    with pytest.raises(StructureError, match=rf"absorber {absorber} is not in the cluster; .* 0 to 12"):
        text_of(absorber=absorber)


def test_positions_must_be_finite():
    numbers, positions, _ = au13()
    positions[3, 1] = np.nan
    with pytest.raises(StructureError, match="not finite"):
        text_of(numbers=numbers, positions=positions)
