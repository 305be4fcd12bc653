"""Every name in the HDF5 files, with shape, dtype, unit and meaning, in one place.

`data_schema/` holds the same definition for readers in other languages; a test
compares the two. Dimensions are letters, resolved when a file is laid out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

STORE_SCHEMA = "xanesml-store"
STORE_VERSION = 2
TENSORS_SCHEMA = "xanesml-tensors"
TENSORS_VERSION = 2


@dataclass(frozen=True)
class Array:
    """One dataset.

    Attributes
    ----------
    path : str
        Full name in the file.
    shape : tuple of str
        Dimension letters.
    dtype : str
        numpy dtype string, little-endian.
    units : str
        Unit, or `""` for a dimensionless quantity.
    description : str
        Meaning, in one sentence.
    fill : float
        Value of rows that hold no data.
    """

    path: str
    shape: tuple[str, ...]
    dtype: str
    units: str
    description: str
    fill: float = 0


@dataclass(frozen=True)
class Layout:
    """A file format: its name, version, dimensions, root attributes and datasets."""

    schema: str
    version: int
    dimensions: dict[str, str]
    attributes: dict[str, str]
    arrays: tuple[Array, ...] = field(default=())

    def __getitem__(self, path: str) -> Array:
        return next(array for array in self.arrays if array.path == path)


def row_arrays(layout: Layout) -> list[Array]:
    """Return the columns that a run writes, in the order in which they are written and checksummed."""
    return [array for array in layout.arrays if array.path.startswith(("spectra/", "runs/"))]


def fixed_arrays(layout: Layout) -> list[Array]:
    """Return the datasets of a store that are written when it is laid out and never change."""
    return [array for array in layout.arrays if array.path.startswith(("structures/", "tasks/"))]


def text_width(path: str) -> int:
    """Return the room that a column of text in a store has, bytes of UTF-8."""
    return int(STORE[path].dtype.removeprefix("|S"))


NAN = float("nan")

_COMMON_ATTRIBUTES = {
    "schema": "name of the format",
    "schema_version": "version of the format",
    "campaign": "resolved campaign, JSON",
    "campaign_digest": "BLAKE2b of the resolved campaign, 32 hexadecimal digits",
    "versions": "versions of xanesml and of the packages that made the file, JSON",
}

STORE = Layout(
    schema=STORE_SCHEMA,
    version=STORE_VERSION,
    dimensions={
        "S": "structures",
        "A": "atoms of a structure",
        "T": "tasks; one task is one FEFF run",
        "E": "room for energy points in a spectrum",
    },
    attributes=_COMMON_ATTRIBUTES
    | {
        "tasks_digest": "BLAKE2b of all task identities",
        "inputs_digest": "BLAKE2b of the structures and tasks, which never change",
        "engine": "engine and version that computed the spectra",
        "central_absorber": "index of the central atom",
        "first_shell": "reference length of the first shell, Å",
        "first_shell_cutoff": "largest bond length of the first shell on the reference cluster, Å",
    },
    arrays=(
        Array("structures/numbers", ("A",), "<i4", "", "atomic numbers, the same in every structure"),
        Array("structures/reference", ("A", "3"), "<f8", "Å", "positions in the undistorted cluster"),
        Array("structures/positions", ("S", "A", "3"), "<f8", "Å", "positions"),
        Array("structures/kind", ("S",), "|u1", "", "0 isotropically distorted, 1 disordered"),
        Array(
            "structures/delta",
            ("S",),
            "<f8",
            "Å",
            "the campaign's δ, by default the shift of the first shell; NaN where disordered",
            NAN,
        ),
        Array("structures/sigma", ("S",), "<f8", "Å", "displacement σ; NaN where distorted", NAN),
        Array("structures/scale", ("S",), "<f8", "", "factor of an isotropic distortion, 1 where disordered", 1),
        Array("tasks/structure", ("T",), "<i4", "", "index of the structure"),
        Array("tasks/absorber", ("T",), "<i4", "", "index of the absorbing atom"),
        Array("tasks/identity", ("T",), "|S32", "", "BLAKE2b of what determines the FEFF input, and of the engine"),
        Array("spectra/energy", ("T", "E"), "<f8", "eV", "photon energies; NaN beyond `points`", NAN),
        Array("spectra/mu", ("T", "E"), "<f8", "", "absorption μ as FEFF printed it; NaN beyond `points`", NAN),
        Array(
            "spectra/mu0", ("T", "E"), "<f8", "", "atomic background μ0 as FEFF printed it; NaN beyond `points`", NAN
        ),
        Array("spectra/points", ("T",), "<i4", "", "number of energy points"),
        Array("spectra/edge", ("T",), "<f8", "eV", "photon energy at which the photoelectron's k is 0", NAN),
        Array("runs/seconds", ("T",), "<f8", "s", "wall time of the task's FEFF runs, all tries together", NAN),
        Array("runs/cpu_seconds", ("T",), "<f8", "s", "processor time of the task's FEFF runs", NAN),
        Array(
            "runs/memory",
            ("T",),
            "<f4",
            "MiB",
            "largest resident memory of a FEFF process, or of the rank that started it where that is larger",
            NAN,
        ),
        Array("runs/finished", ("T",), "<f8", "s", "end of the run, seconds since 1970 UTC", NAN),
        Array("runs/host", ("T",), "|S64", "", "host that the run was on"),
        Array("runs/tries", ("T",), "|u1", "", "FEFF runs that the task took"),
        Array("runs/changes", ("T",), "|S120", "", "cards that differ from the campaign's in the run that counts"),
        Array("runs/solver", ("T",), "|S80", "", "what solved the full multiple scattering, and how"),
        Array("runs/message", ("T",), "|S240", "", "why the run is not done; empty where it is"),
        Array("runs/log", ("T",), "|S1024", "", "end of FEFF's log where the run is not done"),
        Array("runs/checksum", ("T",), "<u4", "", "CRC-32 of the row's spectra and runs, outcome included"),
        Array("runs/outcome", ("T",), "|u1", "", "outcome code, written last"),
    ),
)

TENSORS = Layout(
    schema=TENSORS_SCHEMA,
    version=TENSORS_VERSION,
    dimensions={
        "M": "points of the common energy mesh",
        "R": "bins of the bond length",
        "D": "distortions in the series",
        "N": "statistical averages",
        "W": "statistical averages whose weights are kept: all, or none",
        "P": "particle averages",
        "B": "absorbers of a structure",
    },
    attributes=_COMMON_ATTRIBUTES
    | {
        "store": "path of the store that was averaged",
        "tasks_digest": "tasks_digest of that store",
        "edge": "photon energy of the edge that the mesh refers to, eV",
        "interpolation": "how spectra were brought onto the mesh: linear or pchip",
        "smoothing": "points of the window in which the series was smoothed along δ; 0 where it was not",
        "normalization": "absolute: normalized once after averaging; feff: each run to its own edge step",
        "normalization_energy": "photon energy at which μ0 gives the edge step, eV",
        "first_shell": "reference length of the first shell, Å",
        "refused": "structures without a particle average and why, JSON",
    },
    arrays=(
        Array("mesh/energy", ("M",), "<f8", "eV", "common photon energies"),
        Array("mesh/r", ("R",), "<f8", "Å", "centers of the bins of the bond length, evenly spaced"),
        Array("series/delta", ("D",), "<f8", "Å", "first-shell shift of each distorted spectrum"),
        Array("series/mu", ("D", "M"), "<f8", "", "distorted spectra on the mesh, smoothed if asked, not normalized"),
        Array("series/edge_step", ("D",), "<f8", "", "edge step of each distorted spectrum"),
        Array("series/task", ("D",), "<i4", "", "row of the store that each distorted spectrum comes from"),
        Array(
            "series/roughness",
            ("D",),
            "<f8",
            "",
            "largest second difference along δ before smoothing, edge steps; NaN at both ends",
            NAN,
        ),
        Array("statistical/spectra", ("N", "M"), "<f4", "", "skew-normal averages, normalized to the edge step"),
        Array("statistical/family", ("N",), "<i4", "", "distribution shape (σ, α) of the spectrum"),
        Array("statistical/location", ("N",), "<f8", "Å", "skew-normal location μ"),
        Array("statistical/scale", ("N",), "<f8", "Å", "skew-normal scale σ"),
        Array("statistical/alpha", ("N",), "<f8", "", "skew-normal shape α"),
        Array("statistical/weights", ("W", "D"), "<f4", "", "weights over the series; rows sum to 1"),
        Array("statistical/msd", ("N",), "<f8", "Å²", "label: mean squared displacement"),
        Array("statistical/mean_shift", ("N",), "<f8", "Å", "label: mean first-shell shift"),
        Array("statistical/skewness", ("N",), "<f8", "", "label: skewness of the distribution"),
        Array("statistical/kurtosis", ("N",), "<f8", "", "label: excess kurtosis of the distribution"),
        Array(
            "statistical/distribution", ("N", "R"), "<f4", "", "label: share of the first shell in each bin; sums to 1"
        ),
        Array("statistical/truncated", ("N",), "<f8", "", "mass of the distribution outside the series"),
        Array("particle/spectra", ("P", "M"), "<f4", "", "means over the absorbers, normalized to the edge step"),
        Array("particle/structure", ("P",), "<i4", "", "index of the structure in the store"),
        Array("particle/absorbers", ("P",), "<i4", "", "number of absorbers averaged"),
        Array("particle/task", ("P", "B"), "<i4", "", "rows of the store averaged; −1 where one is missing", -1),
        Array("particle/msd", ("P",), "<f8", "Å²", "label: mean squared displacement of the bonds"),
        Array("particle/mean_shift", ("P",), "<f8", "Å", "label: mean bond length minus the reference"),
        Array("particle/skewness", ("P",), "<f8", "", "label: skewness of the bond lengths"),
        Array("particle/kurtosis", ("P",), "<f8", "", "label: excess kurtosis of the bond lengths"),
        Array("particle/coordination", ("P",), "<f8", "", "label: mean number of first neighbors of the absorbers"),
        Array("particle/distribution", ("P", "R"), "<f4", "", "label: share of the bonds in each bin"),
        Array(
            "particle/weights",
            ("P", "D"),
            "<f8",
            "",
            "bonds shared out linearly over the series; the statistical average of these weights is the comparison",
        ),
        Array("particle/outside", ("P",), "<f8", "", "share of the bonds outside the series"),
    ),
)
