#!/usr/bin/env python3
"""Draw the figures of the method from the reference data, and write docs/figures.md, which shows them.

    python tools/figures.py LARGE SMALL [--folder FOLDER] [--measured FOLDER] [--only NAME …]

LARGE is the output folder of a campaign with averages and a trained model, SMALL that of one with a smaller
cluster, averaged only. `FIGURES` lists the figures in their order. One whose data are not there is left out and named.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from method_figures import ROOT, NotThere, Numbers, Sources, limits, of_a_stage, overview, pair, readings

from xanesml.errors import XanesmlError
from xanesml.files.whole import write_text

PAGE = ROOT / "docs" / "figures.md"

INTRODUCTION = """\
<!-- Made by `make figures`; edit tools/figures.py. -->

# Figures of the method

Drawn by `make figures` from the spectra in `reference/`, the model that `make model` trains on them, and the measured
spectra in `examples/`. Numbers in the captions are those of the run that drew them."""


@dataclass(frozen=True)
class Entry:
    """A figure of the page.

    Attributes
    ----------
    name : str
        Name of its file, without the suffix.
    title : str
        Its heading on the page.
    draw : Callable
        Draws it from the sources into a PNG file, and returns the numbers of its caption.
    caption : str
        What it shows, and where it shows a flaw of the method, which; numbers in braces.
    """

    name: str
    title: str
    draw: Callable[[Sources, Path], Numbers]
    caption: str

    def markdown(self, numbers: Numbers) -> str:
        """Return the part of the page with this figure."""
        caption = " ".join(self.caption.split()).format_map(numbers)
        return f"## {self.title}\n\n![{self.title}](figures/{self.name}.png)\n\n{caption}"


#: Every figure of the page, in its order. A further one is a further line here.
FIGURES = (
    Entry(
        "overview",
        "The method in one picture",
        overview,
        """FEFF spectra of clusters whose first shell is shifted by δ; weights over them, which stand for a
        distribution of bond lengths and give a spectrum with a known MSD; and a measured foil over the average of its
        MSD by EXAFS. **A flaw of the method:** the two differ by {apart} · 10⁻³ edge steps RMS, the error of theory,
        which is much larger than what disorder changes; hence the wide interval of the reading by itself. Beside
        another beamline's foil the pool that ships reads what EXAFS has.""",
    ),
    Entry(
        "distorted",
        "Distorted series",
        of_a_stage("series"),
        """Gold L3 spectra of a 561-atom cluster, colored by the shift δ of the first shell; all other distances
        change in proportion. Longer bonds move the maxima to lower energies.""",
    ),
    Entry(
        "weightings",
        "Weightings",
        of_a_stage("weightings"),
        """Weights over the series, skew-normal, colored by their MSD; dashed where they are skewed. Each gives one
        training spectrum, and its variance is the label.""",
    ),
    Entry(
        "pair",
        "Bulk and nanoparticle, simulated and measured",
        pair,
        """Left, averages of the series with the MSD of a gold foil and of a gold colloid by EXAFS; right, the two
        measured. The measured difference is {measured} · 10⁻³ edge steps RMS, the simulated one {simulated}, and the
        two are correlated {correlated}. **A flaw of the method:** a particle differs from the foil by its size,
        surface and contraction too, and a series in which all shells scale together holds none of them.""",
    ),
    Entry(
        "limits",
        "Sizes of the cluster, and the foil",
        limits,
        """Averages of clusters of 55 and of 561 atoms with the foil's MSD, and the measured foil; right, their
        differences beside ten times that which 2.1 · 10⁻³ Å² of disorder makes. **A flaw of the method:** the error
        of theory is tens of times the signal, so a direct reading is not a measurement.""",
    ),
    Entry(
        "comparison",
        "Particle against statistical average",
        of_a_stage("comparison"),
        """Averages over the 13 absorbers of the least and the most disordered structure, and the statistical average
        with the same bond lengths; dotted, the undistorted spectrum. Below, the differences. **A flaw of the method:**
        at high disorder, in the first 10 eV, the two averages differ by more than the disorder changes the spectrum,
        because in the series all shells scale together.""",
    ),
    Entry(
        "comparison_rms",
        "The same, for every structure",
        of_a_stage("comparison_rms"),
        """RMS difference of particle and statistical average against the MSD, beside that of the particle average
        from the undistorted spectrum. The closer the two lie, the less of the disorder a statistical average
        describes.""",
    ),
    Entry(
        "distribution",
        "Distribution of bond lengths",
        of_a_stage("distribution"),
        """g(r) of the bonds of the structures of lowest, middle and highest MSD, with the undistorted bond
        length.""",
    ),
    Entry(
        "learning_curves",
        "Learning curves",
        of_a_stage("learning_curves"),
        """Training loss and validation error of the networks of both modes against the epoch.""",
    ),
    Entry(
        "parity-direct",
        "Parity, direct",
        of_a_stage("parity-direct"),
        """Predicted against true MSD of statistical averages that no choice has seen, with errors of measurement
        added; right, the residuals with the calibrated intervals. The spectra are simulated: this figure says nothing
        of the error of theory.""",
    ),
    Entry(
        "parity-reference",
        "Parity, with a reference",
        of_a_stage("parity-reference"),
        """The same for differences from a reference. The errors are larger, because the errors of two spectra add;
        in exchange, what theory and measurement differ by in both cancels.""",
    ),
    Entry(
        "readings",
        "Readings of measured samples against EXAFS",
        readings,
        """Readings of {samples} gold nanoparticle samples against EXAFS, with intervals of 90 %. Directly: {direct}.
        Beside the foil: {beside}. **A flaw of the method** where readings lie off the line: the training spectra
        hold disorder, not the size and the surface of the samples.""",
    ),
)


def main() -> int:
    """Draw all figures, or some, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("large", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("--folder", type=Path, default=PAGE.with_suffix(""), help="folder of the figures")
    parser.add_argument("--measured", type=Path, default=ROOT / "examples" / "measured")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in FIGURES], help="draw these, write no page")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in FIGURES if not options.only or one.name in options.only]
    parts: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "page").mkdir()
        sources = Sources(options.large, options.small, options.measured, Path(folder))
        for one in wanted:
            try:
                # A figure is a PNG and a PDF; the page takes the PNG.
                drawn = Path(folder) / "page" / f"{one.name}.png"
                parts.append(one.markdown(one.draw(sources, drawn)))
                shutil.copy(drawn, options.folder)
                print(parts[-1], end="\n\n")
            except (NotThere, XanesmlError) as error:
                sys.stderr.write(f"left out {one.name}: {error}\n")
    complete = len(parts) == len(wanted)
    if complete and not options.only:
        write_text(PAGE, "\n\n".join([INTRODUCTION, *parts]) + "\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
