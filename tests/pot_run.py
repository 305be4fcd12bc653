"""The cards and atoms of a run as FEFF10's stages rdinp and atomic leave them, with made-up numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.cluster import Octahedron

from xanesml.pot.files import ORBITALS, SERIES, Potentials
from xanesml.pot.inputs import PotInput
from xanesml.pot.radial import ATOMIC

BOHR = 0.529177249

POT_INP = """\
mpot, nph, ntitle, ihole, ipr1, iafolp, ixc,ispec, iscfxc
   1   1   1   4   0   0   5   1  11
nmix, nohole, jumprm, inters, nscmt, icoul, lfms1, iunf
   1  -1   0   0  30   0   0   0
Au55, Au L3 edge
gamach, rgrd, ca1, ecv, totvol, rfms1, corval_emin
      5.28418      0.03000      0.50000    -40.00000      0.00000      4.60000   -120.00000
 iz, lmaxsc, xnatph, xion, folp
   79    2        1.0000000000        0.0000000000        1.1500000000
   79    2      100.0000000000        0.0000000000        1.1500000000
ExternalPot switch, StartFromFile switch
 F F
OVERLAP option: novr(iph)
   0   0
 iphovr  nnovr rovr
ChSh_Type:
   0
ConfigType:
   1
Temperature (in eV):
  0.000000000000000E+000           1
scf_th,  xntol,  nmu
           2  1.000000000000000E-004         100
negrid,  emaxscf
         400   5.00000000000000
FiniteNucleus, WarnIon
 F F
ramp_scf  rfms_start  nramp
 F  0.0000000E+00           1
tolmu, tolq, tolqp
      0.00100      0.00100      0.00020
"""

GLOBAL_INP = """\
 nabs, iphabs - CFAVERAGE data
       1       0 100000.00000
 ipol, ispin, le2, elpty, angks, l2lp, do_nrixs, ldecmx, lj
    0    0    0      0.0000      0.0000    0    0   -1   -1
"""


def gold(shells: int = 2) -> np.ndarray:
    """Return the atoms of a cuboctahedron, Å, the middle first."""
    positions = Octahedron("Au", length=2 * shells + 1, cutoff=shells, latticeconstant=4.0782).positions
    positions = positions - positions.mean(axis=0)
    return positions[np.argsort(np.linalg.norm(positions, axis=1), kind="stable")]


def make_run(folder: Path, *, old: str = "", new: str = "", positions: np.ndarray | None = None) -> Path:
    """Write the input files, pot.inp with one text replaced by another."""
    assert not old or POT_INP.count(old) == 1
    positions = gold() if positions is None else positions
    (folder / "pot.inp").write_text(POT_INP.replace(old, new) if old else POT_INP)
    (folder / "global.inp").write_text(GLOBAL_INP)
    (folder / ".dimensions.dat").write_text(f"{len(positions)} 3 1 1\n")
    rows = (
        f"{place:4d} {x:12.5f} {y:12.5f} {z:12.5f} {int(place > 1)} 1\n"
        for place, (x, y, z) in enumerate(positions, start=1)
    )
    (folder / "geom.dat").write_text("nat, nph =\n    1    2\n iat\n -------------\n" + "".join(rows))
    return folder


def cluster(positions: np.ndarray | None = None, **changed: object) -> PotInput:
    """Return the cluster of an absorber among equal atoms."""
    positions = gold() if positions is None else positions
    potentials = (np.arange(len(positions)) > 0).astype(np.intp)
    values: dict[str, object] = {
        "title": "Au55",
        "exchange": 5,
        "step": 0.03,
        "iterations": 30,
        "plain_iterations": 0,
        "mixing": 0.5,
        "separation": -1.47,
        "search_from": -4.41,
        "radius": 4.6 / BOHR,
        "tolerances": np.array([1e-3, 1e-3, 2e-4]),
        "volume": 0.0,
        "charges": np.array([79, 79]),
        "lmax": np.array([2, 2]),
        "multiplicities": np.array([1.0, 100.0]),
        "overlaps": np.array([1.15, 1.15]),
        "momenta": 4,
        "largest_cluster": len(positions),
        "positions": positions / BOHR,
        "potentials": potentials,
        "representatives": np.array([0, 1]),
    }
    return PotInput(**(values | changed))  # type: ignore[arg-type]


def random_potentials(count: int, seed: int = 0) -> Potentials:
    """Return potentials with random numbers."""
    rng = np.random.default_rng(seed)
    grid = (count, ATOMIC.size)
    whole = {
        "muffin_tin_points": (count,),
        "norman_points": (count,),
        "charges": (count,),
        "kappas": (ORBITALS,),
        "last_orbitals": (count, 10),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "scalars": (13,),
        "hole_large": grid[1:],
        "hole_small": grid[1:],
        "large": (count, ORBITALS, ATOMIC.size),
        "small": (count, ORBITALS, ATOMIC.size),
        "large_series": (count, ORBITALS, SERIES),
        "small_series": (count, ORBITALS, SERIES),
        "valence": (count, ORBITALS),
        "energies": (ORBITALS,),
        "counts": (count, 4),
    }
    shapes |= dict.fromkeys(("density", "coulomb", "total", "valence_density", "valence_total", "magnetization"), grid)
    shapes |= dict.fromkeys(
        (
            "muffin_tin_radii",
            "norman_radii",
            "overlaps",
            "largest_overlaps",
            "multiplicities",
            "ionicities",
            "norman_charges",
        ),
        (count,),
    )
    values = {name: rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6, shape) for name, shape in shapes.items()}
    numbers = {name: rng.integers(-5, 90, shape) for name, shape in whole.items()}
    return Potentials(numbers=(-1, 4, 0, 0, 0, 0), titles=("Au55", " POT  SCF"), **(values | numbers))
