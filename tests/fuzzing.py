"""Readers and the files that they read, mutated: what a reader may do with bytes that nobody wrote.

A reader returns, or raises an error with a message for the user. Shared by tests/unit/test_fuzz.py and
benchmarks/fuzz.py.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import h5py
import numpy as np
from ase.build import bulk
from ase.cluster import Octahedron
from conftest import FAKE_CAMPAIGN, ROOT
from fms_run import phase_text
from small_tensors import write_small

from xanesml.campaign import Campaign, StructureSection
from xanesml.errors import NotApplicable, XanesmlError
from xanesml.fms.phases import read_phases

#: Longest time for one input, s.
LIMIT = 60

#: Bytes that have a meaning in some format, put anywhere.
WORDS = (
    *(
        b"\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x80",
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b"'",
        b'"',
        b"#",
        b",",
        b"=",
        b"*",
    ),
    *(b"nan", b"inf", b"-1", b"1e999", b"99999999999999999999", b"0", b"1e-320", b"\xc3\x28", b"\xef\xbb\xbf", b"%s"),
    *(b"../../etc/passwd", b"/dev/zero", b"<script>", b"\x1b[31m", b"[[[[[[[[", b"{{", b"$x_", b"Au", b"eV", b"keV"),
)


@dataclass(frozen=True)
class Target:
    """A reader with the files that mutations start from."""

    name: str
    suffix: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], object]
    #: Whether HDF5 reads the file, which may crash on it.
    hdf5: bool = False


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file with one to eight changes: bytes, words, stretches moved, doubled, cut out or cut off."""
    content = bytearray(data)
    for _ in range(1 + min(int(rng.expovariate(0.7)), 7)):
        size = max(1, len(content))
        where, length = rng.randrange(size), min(int(rng.expovariate(1 / 40)) + 1, 4096)
        match rng.randrange(9):
            case 0 | 1:
                content[where : where + 1] = bytes([rng.randrange(256)])
            case 2:
                content[where : where + 1] = bytes([content[where] ^ 1 << rng.randrange(8)] if content else b"x")
            case 3 | 4:
                word = rng.choice(WORDS)
                content[where : where + rng.choice((0, len(word)))] = word
            case 5:
                del content[where : where + length]
            case 6:
                content[where:where] = content[where : where + length] * rng.choice((1, 1, 2, 50))
            case 7:
                other = rng.randrange(size)
                content[where : where + length] = content[other : other + length]
            case 8:
                del content[where if rng.random() < 0.3 else max(0, size - length) :]
    return bytes(content[: 2 * len(data) + 2**16])


def fault(target: Target, data: bytes) -> str | None:
    """Let a target read some bytes; return what it does wrong, or None."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"input{target.suffix}"
        path.write_bytes(data)
        found = _apart(target, path) if target.hdf5 else _here(target, path)
        left = sorted(other.name for other in path.parent.iterdir())
        if found is None and left != [path.name]:
            return f"files left: {left}"
        if found is None and path.read_bytes() != data:
            return "the file is not as it was"
    return found


def _here(target: Target, path: Path) -> str | None:
    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT)
    try:
        target.read(path)
    except (XanesmlError, NotApplicable) as error:
        return None if str(error) and "\n" not in str(error) else f"not one line: {str(error)!r}"
    except BaseException as error:  # noqa: BLE001 (it is what is looked for)
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}:{last.lineno})"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return None


def _apart(target: Target, path: Path) -> str | None:
    """Read a file first as the child of `validate` does, where HDF5 may crash, and then as its parent does."""
    from xanesml.validation.conformity import examine_form
    from xanesml.validation.opening import extent, open_whole

    def probe() -> int:
        try:
            found = extent(path)
            with open_whole(found) as file:
                examine_form(file, found)
        except XanesmlError:
            pass
        return 0

    def read() -> int:
        said = _here(target, path)
        if said is not None:
            path.with_suffix(".said").write_text(said)
        return 0

    if _forked(probe):
        return None
    ended, said = _forked(read), path.with_suffix(".said")
    if ended:
        return f"dies with {ended} after the child has found it readable"
    if said.exists():
        text = said.read_text()
        said.unlink()
        return text
    return None


def _forked(work: Callable[[], int]) -> int:
    process = os.fork()
    if process == 0:
        # A crash of HDF5 prints a trace that is none of ours; an alarm without a handler ends a hang.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        try:
            os._exit(work())
        except BaseException:  # noqa: BLE001 (the exit status tells)
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def targets(*, measured: bool = True) -> list[Target]:
    """Return all targets, made from real small files."""
    with tempfile.TemporaryDirectory() as name:
        made = [_campaigns(), *_structures(Path(name)), _xmu(Path(name)), _phases(), *_hdf5(Path(name))]
        return made + (_measured(Path(name)) if measured else [])


def _campaigns() -> Target:
    files = [*(ROOT / "examples").glob("*.toml"), *(ROOT / "reference").glob("*.toml")]
    return Target("campaign", ".toml", (FAKE_CAMPAIGN.encode(), *(path.read_bytes() for path in files)), Campaign.load)


def _structures(folder: Path) -> list[Target]:
    from xanesml.structures import build_cluster

    def read(path: Path) -> object:
        return build_cluster(StructureSection(file=path, element="Au", radius=3.0 if path.suffix != ".xyz" else None))

    made = []
    for suffix, atoms in ((".xyz", Octahedron("Au", length=3, cutoff=1)), (".cif", bulk("Au", cubic=True))):
        atoms.write(folder / f"seed{suffix}")
        made.append(Target(f"structure {suffix}", suffix, ((folder / f"seed{suffix}").read_bytes(),), read))
    bulk("Au").write(folder / "seed.vasp")
    made.append(Target("structure .vasp", ".vasp", ((folder / "seed.vasp").read_bytes(),), read))
    return made


def _xmu(folder: Path) -> Target:
    from xanesml.feff.xmu import read_xmu
    from xanesml.store.plan import expand

    (folder / "fake.toml").write_text(FAKE_CAMPAIGN)
    (folder / "feff.inp").write_text(expand(Campaign.load(folder / "fake.toml")).inputs(3)[0])
    fake = [sys.executable, str(ROOT / "tests" / "fake_feff.py"), "succeed"]
    subprocess.run(fake, cwd=folder, check=True, capture_output=True)
    return Target("xmu.dat", ".dat", ((folder / "xmu.dat").read_bytes(),), read_xmu)


def _phases() -> Target:
    rng = np.random.default_rng(0)
    shifts = [rng.normal(size=(3, 3)) + 0j for _ in range(2)]
    text = phase_text(np.array([0.9 + 0.1j, 1.3, 1.7]), shifts)
    return Target("phase.bin", ".bin", (text.encode(),), read_phases)


def _hdf5(folder: Path) -> list[Target]:
    from xanesml.averages.reader import open_tensors
    from xanesml.store.reader import open_store
    from xanesml.validation import validate

    def read_store(path: Path) -> None:
        validate(path)
        with open_store(path) as store:
            repr(store)

    def read_tensors(path: Path) -> None:
        validate(path)
        with open_tensors(path) as tensors:
            repr(tensors)

    old = gzip.decompress((ROOT / "tests" / "data" / "store-version-2.h5.gz").read_bytes())
    from made_store import made_store

    text = FAKE_CAMPAIGN.replace("step = 0.05", "step = 0.15").replace(
        "structures = 2", "structures = 1\nabsorbers = [0]"
    )
    (folder / "small.toml").write_text(text)
    made_store(folder / "store.h5", Campaign.load(folder / "small.toml"))
    tensors = write_small(folder / "tensors.h5").read_bytes()
    return [
        Target("store", ".h5", ((folder / "store.h5").read_bytes(), old), read_store, hdf5=True),
        Target("tensors", ".h5", (tensors,), read_tensors, hdf5=True),
    ]


def _measured(folder: Path) -> list[Target]:
    from xanesml.measured import nexus, read_spectra

    # Shorter than a target's own limit: a file on which HDF5 never ends is an error in time.
    nexus.LIMIT = 5.0

    def read(path: Path) -> object:
        return read_spectra(path, element="Au", edge="L3", refuse=lambda _reason: None)

    foil = (ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi").read_bytes()
    rows = np.column_stack([np.linspace(11750, 12400, 80), np.linspace(0.5, 1.5, 80)])
    text = "# energy xmu\n" + "\n".join(f"{energy:.3f} {mu:.6f}" for energy, mu in rows)
    athena = {"_____header": ["Athena"], "a": [{"label": "a"}]}
    for name, column in (("x", rows[:, 0]), ("y", rows[:, 1])):
        athena["a"].append({name: column.tolist()})
    project = "# Athena project file\n$old_group = 'one';\n@args = ('label','one','datatype','xmu','bkg_eshift','0');\n"
    project += "".join(
        f"@{name} = ({','.join(repr(str(value)) for value in column.tolist())});\n"
        for name, column in (("x", rows[:, 0]), ("y", rows[:, 1]))
    )
    project += "[record]\n\n1;\n"
    with h5py.File(folder / "nexus.h5", "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"], entry["definition"] = "NXentry", "NXxas"
        entry["element"], entry["edge"], entry["intensity"] = "Au", "L3", rows[:, 1]
        entry["energy"] = rows[:, 0]
        entry["energy"].attrs["units"] = "eV"
    projects = gzip.compress(project.encode()), project.encode(), json.dumps(athena).encode()
    return [
        Target("XDI", ".xdi", (foil, foil[:6000]), read),
        Target("text", ".dat", (text.encode(), text.replace(" ", ",").encode()), read),
        Target("Athena", ".prj", projects, read),
        Target("NeXus", ".nxs", ((folder / "nexus.h5").read_bytes(),), read),
    ]
