"""Every name in the HDF5 files, with shape, dtype, unit and meaning, in one place.

`data_schema/` holds the same definition for readers in other languages; a test
compares the two. Dimensions have names, which xarray and netCDF show; their sizes are given when a
file is laid out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from xanesml.files.plots import ROOT_ATTRIBUTES, STORE_PLOTS, TENSOR_PLOTS, Plot

#: Versions of both formats that `xanesml convert` brings to the present one.
CONVERTIBLE = (2, 3, 4, 5)

#: Those of them that are read and written as they are: the first lacks plots, and the mean spectra that they draw; both
#: lack a store's variants.
UNPLOTTED, UNVARIED = 4, 5

#: Dimensions of the same size in every file.
SIZES = {"xyz": 3}


@dataclass(frozen=True)
class Array:
    """One dataset.

    Attributes
    ----------
    path : str
        Full name in the file.
    shape : tuple of str
        Names of the dimensions.
    dtype : str
        numpy dtype string, little-endian.
    units : str
        Unit, or `""` for a dimensionless quantity.
    description : str
        Meaning, in one sentence.
    fill : float
        Value of rows that hold no data.
    coordinates : str
        Datasets of the same group that describe the axes, separated by spaces, as in netCDF's CF
        conventions.
    """

    path: str
    shape: tuple[str, ...]
    dtype: str
    units: str
    description: str
    fill: float = 0
    coordinates: str = ""


@dataclass(frozen=True)
class Layout:
    """A file format: its name, version, dimensions, root attributes, datasets and plots.

    A dataset of one dimension that has the dimension's name holds the values along it. A dimension
    without one is a dataset of that name in the root, which holds nothing. Either is an HDF5
    dimension scale.
    """

    schema: str
    version: int
    dimensions: dict[str, str]
    attributes: dict[str, str]
    arrays: tuple[Array, ...] = field(default=())
    plots: tuple[Plot, ...] = ()

    def __getitem__(self, path: str) -> Array:
        return next(array for array in self.arrays if array.path == path)

    @property
    def scales(self) -> dict[str, str]:
        """Paths of the dimension scales, by the dimension's name."""
        values = {array.shape[0]: array.path for array in self.arrays if array.shape == (array.path.split("/")[1],)}
        return {name: values.get(name, name) for name in self.dimensions}

    @property
    def links(self) -> dict[str, str]:
        """Further names of datasets: a group has the values along all its dimensions, where there are any."""
        used = {(array.path.split("/")[0], name) for array in self.arrays for name in array.shape}
        own = {f"{group}/{name}": self.scales[name] for group, name in sorted(used)}
        return {link: path for link, path in own.items() if "/" in path and link != path}

    def of_version(self, version: object) -> Layout | None:
        """Return the same format in a version that is read and written as it is; None for any other."""
        if version == self.version:
            return self
        if version not in (UNPLOTTED, UNVARIED):
            return None
        unplotted = version == UNPLOTTED
        lacking = {VARIANT, *VARIANTS, *(ROOT_ATTRIBUTES if unplotted else ()), *(MEANS if unplotted else ())}
        return replace(
            self,
            version=int(version),
            dimensions={name: text for name, text in self.dimensions.items() if name not in lacking},
            attributes={name: text for name, text in self.attributes.items() if name not in lacking},
            arrays=tuple(array for array in self.arrays if array.path not in lacking),
            plots=() if unplotted else self.plots,
        )


def row_arrays(layout: Layout) -> list[Array]:
    """Return the columns that a run writes, in the order of writing and of the checksum."""
    return [array for array in layout.arrays if array.path.startswith(("spectra/", "runs/"))]


def fixed_arrays(layout: Layout) -> list[Array]:
    """Return the datasets of a store that are written when it is laid out and never change."""
    return [array for array in layout.arrays if array.path.startswith(("structures/", "tasks/", "variants/"))]


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
} | ROOT_ATTRIBUTES

#: What stores of earlier versions lack: a dimension and attribute, and datasets.
VARIANT, VARIANTS = "variant", ("variants", "tasks/variant", "variants/class")

STORE = Layout(
    schema="xanesml-store",
    version=6,
    dimensions={
        "structure": "structures",
        "atom": "atoms of a structure",
        "xyz": "Cartesian coordinates",
        "task": "tasks; one task is one FEFF run",
        "energy_point": "room for energy points in a spectrum",
        "potential": "potentials besides the absorber's, one for each class of atoms",
        "variant": "variants of the campaign's cards",
    },
    attributes=_COMMON_ATTRIBUTES
    | {
        "tasks_digest": "BLAKE2b of the identities of the tasks in the campaign's own cards",
        "inputs_digest": "BLAKE2b of the structures and tasks, which never change",
        "engine": "engine and version that computed the spectra",
        "classes": "names of the classes of atoms, JSON",
        "variants": "names of the variants and of their classes of atoms, in the order of the rows, JSON",
        "central_absorber": "index of the central atom",
        "first_shell": "length of the first shell in the undistorted cluster, Å",
        "first_shell_cutoff": "largest bond length of the first shell in the undistorted cluster, Å",
        "radius": "radius of the sphere cut from a periodic structure, Å; NaN for a whole particle",
    },
    arrays=(
        Array("structures/numbers", ("atom",), "<i4", "", "atomic numbers, the same in every structure"),
        Array("structures/undistorted", ("atom", "xyz"), "<f8", "Å", "positions in the undistorted cluster"),
        Array(
            "structures/coordination",
            ("atom",),
            "<i4",
            "",
            "first-shell neighbors of each atom in the undistorted, uncut structure, periodic images counted",
        ),
        Array(
            "structures/positions",
            ("structure", "atom", "xyz"),
            "<f8",
            "Å",
            "positions",
            coordinates="numbers kind delta sigma image scale",
        ),
        Array(
            "structures/kind",
            ("structure",),
            "|u1",
            "",
            "0 isotropically distorted, 1 disordered at random, 2 an image of a trajectory",
        ),
        Array(
            "structures/delta",
            ("structure",),
            "<f8",
            "Å",
            "the campaign's δ, by default the shift of the first shell; NaN where not distorted",
            NAN,
        ),
        Array(
            "structures/sigma", ("structure",), "<f8", "Å", "displacement σ; NaN where not disordered at random", NAN
        ),
        Array(
            "structures/image",
            ("structure",),
            "<i4",
            "",
            "index of the image in the structure file; −1 for other kinds",
            -1,
        ),
        Array("structures/scale", ("structure",), "<f8", "", "factor of an isotropic distortion, 1 for other kinds", 1),
        Array(
            "structures/class",
            ("structure", "atom"),
            "|u1",
            "",
            "class of each atom, counting in the attribute `classes`; all atoms of a class share a potential",
        ),
        Array("tasks/structure", ("task",), "<i4", "", "index of the structure"),
        Array("tasks/absorber", ("task",), "<i4", "", "index of the absorbing atom"),
        Array(
            "tasks/representatives",
            ("task", "potential"),
            "<i4",
            "",
            "atom from whose surroundings FEFF computes the potential of each class; −1 where there is none",
            -1,
        ),
        Array(
            "tasks/multiplicity",
            ("task",),
            "<i4",
            "",
            "atoms of the structure that the absorber stands for, itself included",
            1,
        ),
        Array("tasks/identity", ("task",), "|S32", "", "BLAKE2b of what determines the FEFF input, and of the engine"),
        Array(
            "tasks/variant",
            ("task",),
            "|u1",
            "",
            "0 in the campaign's own cards, which come first, else the number of the variant, from 1; ascending",
        ),
        Array(
            "variants/class",
            ("variant", "atom"),
            "|u1",
            "",
            "class of each atom in a variant, counting in its classes in the attribute `variants`",
        ),
        Array("spectra/energy", ("task", "energy_point"), "<f8", "eV", "photon energies; NaN beyond `points`", NAN),
        Array(
            "spectra/mu",
            ("task", "energy_point"),
            "<f8",
            "",
            "absorption μ as FEFF printed it; NaN beyond `points`",
            NAN,
            "energy",
        ),
        Array(
            "spectra/mu0",
            ("task", "energy_point"),
            "<f8",
            "",
            "atomic background μ0 as FEFF printed it; NaN beyond `points`",
            NAN,
            "energy",
        ),
        Array("spectra/points", ("task",), "<i4", "", "number of energy points"),
        Array("spectra/edge", ("task",), "<f8", "eV", "photon energy at which the photoelectron's k is 0", NAN),
        Array("runs/seconds", ("task",), "<f8", "s", "wall time of the task's FEFF runs, all tries together", NAN),
        Array("runs/cpu_seconds", ("task",), "<f8", "s", "processor time of the task's FEFF runs", NAN),
        Array(
            "runs/memory",
            ("task",),
            "<f4",
            "MiB",
            "largest resident memory of a FEFF process, or of the rank that started it where that is larger",
            NAN,
        ),
        Array("runs/finished", ("task",), "<f8", "s", "end of the run, seconds since 1970 UTC", NAN),
        Array("runs/host", ("task",), "|S64", "", "host that the run was on"),
        Array("runs/tries", ("task",), "|u1", "", "FEFF runs that the task took"),
        Array("runs/changes", ("task",), "|S120", "", "cards that differ from the task's in the run that counts"),
        Array("runs/solver", ("task",), "|S80", "", "what solved the full multiple scattering, and how"),
        Array("runs/message", ("task",), "|S240", "", "why the run is not done; empty where it is"),
        Array(
            "runs/log",
            ("task",),
            "|S1024",
            "",
            "end of FEFF's log where the run is not done; of an imported run, where it comes from",
        ),
        Array("runs/checksum", ("task",), "<u4", "", "CRC-32 of the row's spectra and runs, outcome included"),
        Array("runs/outcome", ("task",), "|u1", "", "outcome code, written last"),
    ),
    plots=STORE_PLOTS,
)

#: Spectra of a tensor file that a plot draws and nothing else reads.
MEANS = ("statistical/mean_spectrum", "particle/mean_spectrum")

TENSORS = Layout(
    schema="xanesml-tensors",
    version=5,
    dimensions={
        "energy": "points of the common energy mesh",
        "r": "bins of the bond length",
        "delta": "distortions in the series",
        "site": "absorbers of a distorted structure: the center, or one for each class of equivalent sites",
        "average": "statistical averages",
        "weighted": "statistical averages whose weights are kept: all, or none",
        "structure": "structures with a particle average",
        "absorber": "absorbers of a structure",
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
        "first_shell": "length of the first shell in the undistorted cluster, Å",
        "refused": "structures without a particle average and why, JSON",
        "complete": "1 once all averages are written, 0 before",
    },
    arrays=(
        Array("mesh/energy", ("energy",), "<f8", "eV", "common photon energies"),
        Array("mesh/r", ("r",), "<f8", "Å", "centers of the bins of the bond length, evenly spaced"),
        Array("series/delta", ("delta",), "<f8", "Å", "first-shell shift of each distorted spectrum"),
        Array(
            "series/mu",
            ("delta", "energy"),
            "<f8",
            "",
            "distorted spectra on the mesh, means over the sites, smoothed if asked, not normalized",
        ),
        Array("series/edge_step", ("delta",), "<f8", "", "edge step of each distorted spectrum, mean over the sites"),
        Array(
            "series/task",
            ("delta", "site"),
            "<i4",
            "",
            "rows of the store that each distorted spectrum is the mean of",
            -1,
        ),
        Array(
            "series/multiplicity",
            ("site",),
            "<i4",
            "",
            "atoms that each site stands for, the weights of this mean",
            1,
        ),
        Array(
            "series/roughness",
            ("delta",),
            "<f8",
            "",
            "largest second difference along δ before smoothing, edge steps; NaN at both ends",
            NAN,
        ),
        Array(
            "statistical/spectra", ("average", "energy"), "<f4", "", "skew-normal averages, normalized to the edge step"
        ),
        Array("statistical/family", ("average",), "<i4", "", "distribution shape (σ, α) of the spectrum"),
        Array("statistical/location", ("average",), "<f8", "Å", "skew-normal location μ"),
        Array("statistical/scale", ("average",), "<f8", "Å", "skew-normal scale σ"),
        Array("statistical/alpha", ("average",), "<f8", "", "skew-normal shape α"),
        Array("statistical/weights", ("weighted", "delta"), "<f4", "", "weights over the series; rows sum to 1"),
        Array("statistical/msd", ("average",), "<f8", "Å²", "label: mean squared displacement"),
        Array("statistical/mean_shift", ("average",), "<f8", "Å", "label: mean first-shell shift"),
        Array("statistical/skewness", ("average",), "<f8", "", "label: skewness of the distribution"),
        Array("statistical/kurtosis", ("average",), "<f8", "", "label: excess kurtosis of the distribution"),
        Array(
            "statistical/coordination",
            ("average",),
            "<f8",
            "",
            "label: mean number of first neighbors of the atoms that the series stands for; NaN where not known",
            NAN,
        ),
        Array(
            "statistical/distribution",
            ("average", "r"),
            "<f4",
            "",
            "label: share of the first shell in each bin; sums to 1",
        ),
        Array("statistical/truncated", ("average",), "<f8", "", "mass of the distribution outside the series"),
        Array(
            "particle/spectra",
            ("structure", "energy"),
            "<f4",
            "",
            "means over the absorbers, normalized to the edge step",
        ),
        Array("particle/structure", ("structure",), "<i4", "", "index of the structure in the store"),
        Array("particle/absorbers", ("structure",), "<i4", "", "number of absorbers averaged"),
        Array(
            "particle/task",
            ("structure", "absorber"),
            "<i4",
            "",
            "rows of the store averaged; −1 where one is missing",
            -1,
        ),
        Array("particle/msd", ("structure",), "<f8", "Å²", "label: mean squared displacement of the bonds"),
        Array(
            "particle/mean_shift",
            ("structure",),
            "<f8",
            "Å",
            "label: mean bond length minus that of the undistorted cluster",
        ),
        Array("particle/skewness", ("structure",), "<f8", "", "label: skewness of the bond lengths"),
        Array("particle/kurtosis", ("structure",), "<f8", "", "label: excess kurtosis of the bond lengths"),
        Array(
            "particle/coordination", ("structure",), "<f8", "", "label: mean number of first neighbors of the absorbers"
        ),
        Array("particle/distribution", ("structure", "r"), "<f4", "", "label: share of the bonds in each bin"),
        Array(
            "particle/weights",
            ("structure", "delta"),
            "<f8",
            "",
            "bonds shared out linearly over the series; the statistical average of these weights is the comparison",
        ),
        Array("particle/outside", ("structure",), "<f8", "", "share of the bonds outside the series"),
        Array("statistical/mean_spectrum", ("energy",), "<f8", "", "mean of all statistical averages", NAN),
        Array(
            "particle/mean_spectrum",
            ("energy",),
            "<f8",
            "",
            "mean of all particle averages; NaN where there are none",
            NAN,
        ),
    ),
    plots=TENSOR_PLOTS,
)

LAYOUTS = {layout.schema: layout for layout in (STORE, TENSORS)}
