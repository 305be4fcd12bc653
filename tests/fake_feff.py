#!/usr/bin/env python3
"""A stand-in for FEFF: reads feff.inp in the working folder, writes xmu.dat and logs, at once.

    fake_feff.py [MODE]        or the environment variable FAKE_FEFF=MODE

Use it through the engine "command":

    commands = [[sys.executable, "/full/path/tests/fake_feff.py", "succeed"]]

Modes:
    succeed      a plausible xmu.dat that depends on every atom and card (the default)
    unconverged  as succeed, but the log says that SCF did not converge
    fail         half a log and a message, exit status 3
    crash        half a log, then ended by SIGSEGV
    corval       FEFF10's failure for short bonds: its message, exit status 1
    refuse       rdinp's words for a bad card, exit status 1
    hang         half a log, then sleeps for an hour, and so does a child of its own
                 that ignores SIGTERM; their process ids are in hang.pid
    truncate     as succeed, but xmu.dat is cut in the middle of a row
    nothing      exits with 0, having written nothing
    wrong-edge   as succeed, but of the K edge whatever was asked, as FEFF10 does for EDGE Q9
    deaf         as succeed, but FEFF lists no CORVAL among the cards that it used
    wrong-model  as succeed, but with the ground-state exchange model whatever was asked
    flaky        as fail at the first run in a folder, which FOLDER.tried beside it marks;
                 as succeed after that
    picky        as corval unless CORVAL is below -150, then as unconverged unless SCF mixes
                 less than 0.1 in 100 iterations; else as succeed

A mode followed by @N (such as fail@4) holds for about one input in N, always the
same ones by their text; the others succeed. FAKE_FEFF_SECONDS is the time a run
takes, s (default 0). Elements: those in EDGES below.
"""

import math
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

#: Edge energies, eV, by atomic number.
EDGES = {
    26: {"K": 7112.0},
    28: {"K": 8333.0},
    29: {"K": 8979.0, "L1": 1096.7, "L2": 952.3, "L3": 932.7},
    46: {"K": 24350.0},
    47: {"K": 25514.0},
    78: {"K": 78395.0, "L1": 13880.0, "L2": 13273.0, "L3": 11564.0},
    79: {"K": 80725.0, "L1": 14353.0, "L2": 13734.0, "L3": 11919.0},
}

MODULES = {
    1: "potentials",
    2: "cross-section and phases (XSPH)",
    3: "FMS",
    4: "pathfinder",
    5: "EXAFS parameters (GENFMT)",
    6: "XAS spectra (FF2X: DW + final sum over paths)",
}

#: FEFF10's names of the exchange models.
EXCHANGE = ("H-L exch", "D-H exch", "Gd state", "DH - HL ", "DH + HL ", "val=s+d ", "sigmd(r)", "sigmd=c ")

WRITING_MODES = ("succeed", "unconverged", "truncate", "wrong-edge", "deaf", "wrong-model")


class Cards:
    """What the fake needs to know of a feff.inp."""

    def __init__(self, text):
        cards = {line.split()[0].upper(): line.split()[1:] for line in text.splitlines() if line.strip()}
        self.names = [name for name in cards if name[0].isalpha() and name != "END"]
        self.edge = cards["EDGE"][0]
        self.corval = float(cards.get("CORVAL", ["-70"])[0])
        self.exchange = [float(word) for word in cards["EXCHANGE"][:3]]
        self.s02 = float(cards["S02"][0])
        self.scf = cards.get("SCF")
        self.absolute = "ABSOLUTE" in cards
        self.k_max, self.k_step = float(cards["XANES"][0]), float(cards["XANES"][1])
        self.fms_radius = float(cards["FMS"][0])
        self.number = int(re.search(r"^0 +(\d+) ", text, re.MULTILINE)[1])
        atoms = text.split("ATOMS", 1)[1].split("END")[0].split("\n")
        self.atoms = [[float(word) for word in line.split()[:3]] for line in atoms if line.strip()]
        # A card without a part of its own in the spectrum still moves it a little.
        self.nudge = 1 + 1e-3 * zlib.crc32(text.split("ATOMS", 1)[0].encode()) / 2**32


def spectrum(cards, edge):
    """Return rows (omega, e, k, mu, mu0, chi): a broadened step and single scattering from every atom."""
    energy_0 = EDGES[cards.number][edge]
    radii = [math.dist(atom, cards.atoms[0]) for atom in cards.atoms[1:]]
    radii = [r for r in radii if r <= cards.fms_radius]
    size = 1e-4 if cards.absolute else 1.0
    count = round(cards.k_max / cards.k_step)
    grid = [-1 + 0.1 * i for i in range(10)] + [i * cards.k_step for i in range(count + 1)]
    rows = []
    for k in grid:
        e = math.copysign(3.80998 * k * k, k)
        mu0 = size * (0.55 + math.atan(e / 2.7) / math.pi)
        wave = abs(k) + 0.8
        chi = cards.nudge * sum(math.sin(2 * wave * r + 0.5) / (wave * r * r) for r in radii) / (4 + 0.2 * len(radii))
        chi *= mu0 / 4
        rows.append((energy_0 + e, e, k, mu0 + chi, mu0, chi))
    return rows


def header(cards, edge, model):
    """Return the header of xmu.dat, as FEFF10 writes it."""
    real, imaginary = cards.exchange[1:]
    step = 1.0 if cards.absolute else 2.5e-4
    pot = f"SCF{int(cards.scf[2]):4d}{float(cards.scf[0]):8.4f}{int(cards.scf[1]):4d}" if cards.scf else "Non-SCF"
    return [
        "# # fake                                                     FEFF 10.0.0 ",
        f"# # POT  {pot.lstrip()}, core-hole, AFOLP (folp(0)= 1.150)",
        f"# # Abs   Z={cards.number:2d} Rmt= 1.537 Rnm= 1.600 {edge:2s} shell",
        f"# # Gam_ch=5.284E+00 {EXCHANGE[model]} Vi={imaginary:10.3E} Vr={real:10.3E}",
        f"# FMS rfms={cards.fms_radius:7.4f}",
        f"#  S02={cards.s02:5.3f}  Temp=   0.00  Debye_temp=   0.00  Global_sig2= 0.00000",
        f"#  xsedge+ 50, used to normalize mu {step:20.4E}",
        "#  -----------------------------------------------------------------------",
        "#  omega    e    k    mu    mu0     chi     @#",
    ]


def write_log(number, lines):
    """Write log<number>.dat and say the same."""
    text = "".join(f"{line}\n" for line in lines)
    Path(f"log{number}.dat").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    sys.stdout.flush()


def hang():
    """Sleep for an hour together with a child that ignores SIGTERM."""
    ready = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"
    child = subprocess.Popen([sys.executable, "-c", ready], stdout=subprocess.PIPE)
    child.stdout.readline()
    unfinished = Path("hang.pid.part")
    unfinished.write_text(f"{os.getpid()} {child.pid}\n", encoding="utf-8")
    unfinished.rename("hang.pid")
    time.sleep(3600)


def settle(mode, cards):
    """Return what a mode that depends on the cards or on earlier runs comes to in this run."""
    if mode == "flaky":
        tried = Path.cwd().with_name(Path.cwd().name + ".tried")
        first = not tried.exists()
        tried.touch()
        return "fail" if first else "succeed"
    if mode == "picky":
        if cards.corval > -150:
            return "corval"
        if float(cards.scf[3]) > 0.1 or int(cards.scf[2]) < 100:
            return "unconverged"
        return "succeed"
    return mode


def stop_early(mode):
    """Do what the modes that write no spectrum do, and return the exit status."""
    if mode == "nothing":
        return 0
    if mode == "refuse":
        write_log("", [" Error reading input, bad line follows:", " FMS banana", "RDINP fatal error."])
        return 1
    if mode == "corval":
        words = [":WARNING   Fatal error in subroutine corval. Try to reduce ca1 in the SCF card.", "CORVAL-1"]
        write_log(1, words)
        return 1
    write_log(1, ["Calculating SCF potentials ..."])
    if mode == "hang":
        hang()
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    sys.stderr.write("fake FEFF fails as asked\n")
    return 3


def main():
    """Run as the mode says."""
    text = Path("feff.inp").read_text(encoding="utf-8")
    mode = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FAKE_FEFF", "succeed")
    mode, _, share = mode.partition("@")
    if share and zlib.crc32(text.encode()) % int(share):
        mode = "succeed"
    time.sleep(float(os.environ.get("FAKE_FEFF_SECONDS", "0")))
    cards = Cards(text) if "EDGE" in text else None
    mode = settle(mode, cards)
    if mode in ("nothing", "refuse", "corval", "hang", "crash", "fail"):
        return stop_early(mode)
    if mode not in WRITING_MODES:
        sys.exit(f"fake_feff.py: unknown mode {mode!r}")
    edge = "K" if mode == "wrong-edge" else cards.edge
    model = 2 if mode == "wrong-model" else int(cards.exchange[0])
    used = [name for name in cards.names if not (mode == "deaf" and name == "CORVAL")]
    write_log("", [f"Using cards:   {' '.join(used)}"])
    scf = []
    if cards.scf:
        reached = ":WARNING Convergence not reached; ran out of iterations."
        scf = [reached if mode == "unconverged" else "Convergence reached in    8 iterations."]
    for number, module in MODULES.items():
        write_log(number, [*(scf if number == 1 else []), f"Done with module: {module}.", ""])
    rows = [
        f" {w:20.10f}{e:20.10f}{k:20.10f}{mu:20.10E}{mu0:20.10E}{chi:20.10E}"
        for w, e, k, mu, mu0, chi in spectrum(cards, edge)
    ]
    content = "\n".join([*header(cards, edge, model), *rows]) + "\n"
    Path("xmu.dat").write_text(content[: -len(content) // 3] if mode == "truncate" else content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
