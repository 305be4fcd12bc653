from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xanesml.campaign import FeffSection, ScfSection
from xanesml.errors import SpectrumError
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request
from xanesml.feff.verdict import judge, log_end, one_line
from xanesml.feff.xmu import HeaderCards, IncompleteSpectrum, read_xmu

HEADER = """\
# # Au13, Au L3 edge                                             FEFF 10.0.0
# # POT  SCF  30  4.6000   0, core-hole, AFOLP (folp(0)= 1.150)
# # Abs   Z=79 Rmt= 1.537 Rnm= 1.600 L3 shell
# #   RGRID 0.0300
# # Pot 1 Z=79 Rmt= 1.636 Rnm= 1.717
# # Gam_ch=5.284E+00 val=s+d  Vi= 5.000E-01 Vr= 2.000E-01
# # Mu=-1.142E-01eV kf=1.592E+00 Vint=-9.770E+00eV Rs_int= 2.278
# FMS rfms= 7.0000
#  S02=1.000  Temp=   0.00  Debye_temp=   0.00  Global_sig2= 0.00000
#  xsedge+ 50, used to normalize mu           1.0000E+00
#  -----------------------------------------------------------------------
#  omega    e    k    mu    mu0     chi     @#
"""
FEFF9_HEADER = """\
# Cu crystal                                                    FEFF 9.1
# POT  Non-SCF, core-hole, AFOLP (folp(0)= 1.150)
# Abs   Z=29 Rmt= 1.362 Rnm= 1.399 K  shell
# FMS rfms= 4.0000
#  omega    e    k    mu    mu0     chi     @#
"""
LOG = """\
Convergence reached in    8 iterations.
Done with module: potentials.
Done with module: cross-section and phases (XSPH).
Done with module: FMS.
Done with module: MKGTR.
Done with module: XAS spectra (FF2X: DW + final sum over paths).
"""
NAMES = ("TITLE", "EDGE", "EXCHANGE", "S02", "XANES", "FMS", "POTENTIALS", "ATOMS", "SCF", "CORVAL", "ABSOLUTE")
CARDS = HeaderCards(scf=(30, 4.6, 0), exchange="val=s+d", shifts=(0.2, 0.5), s02=1.0, step=1.0)
REQUEST = Request(79, "L3", True, 7.0, 3.7, 0.05, 150, CARDS, NAMES)
USED = "Using cards:   ATOMS EXCHANGE TITLE POTENTIALS XANES EDGE SCF FMS S02 ABSOLUTE CORVAL\n"
EDGE = 11918.6


def table(k, mu, mu0, edge=EDGE):
    """Rows as FEFF10 prints them, by a plain loop."""
    e = np.copysign(3.809982 * np.square(k), k)
    rows = zip(edge + e, e, k, mu, mu0, np.asarray(mu) - mu0, strict=True)
    return "".join(f" {w:20.10f}{a:20.10f}{b:20.10f}{c:20.10E}{d:20.10E}{x:20.10E}\n" for w, a, b, c, d, x in rows)


def good(edge=EDGE, k_max=3.7, count=100):
    k = np.concatenate((np.linspace(-1, -0.1, 10), np.linspace(0, k_max, count)))
    mu0 = 1e-4 * (0.55 + np.arctan(3 * k) / np.pi)
    return table(k, mu0 * (1 + 0.1 * np.sin(5 * k)), mu0, edge)


def folder_with(path, *, header=HEADER, rows=None, log=LOG):
    (path / "xmu.dat").write_text(header + (good() if rows is None else rows))
    (path / "run.log").write_text(log)
    return path


def test_read_xmu(tmp_path):
    spectrum = read_xmu(folder_with(tmp_path) / "xmu.dat")
    assert (spectrum.absorber_number, spectrum.shell, spectrum.scf, spectrum.fms_radius) == (79, "L3", True, 7.0)
    assert spectrum.cards == CARDS
    assert spectrum.edge == pytest.approx(EDGE, abs=1e-9)
    assert spectrum.energy.shape == spectrum.mu.shape == spectrum.mu0.shape == (110,)
    assert spectrum.energy[0] == pytest.approx(EDGE - 3.809982, abs=1e-9)


def test_edge_between_points_is_interpolated_in_k_squared(tmp_path):
    k = np.concatenate((np.linspace(-1.03, -0.13, 10), np.linspace(0.04, 3.7, 100)))
    spectrum = read_xmu(folder_with(tmp_path, rows=table(k, k * 0 + 1, k * 0 + 1)) / "xmu.dat")
    assert spectrum.edge == pytest.approx(EDGE, abs=1e-8)


def test_a_spectrum_that_begins_at_the_edge_is_exafs(tmp_path):
    k = np.linspace(0, 3.7, 100)
    rows = table(k, 1e-4 * (1 + k), 1e-4 * (1 + k))
    verdict = judge(folder_with(tmp_path, rows=rows), REQUEST, returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert verdict.message == "xmu.dat begins at 11918.6 eV, not below its edge at 11918.6 eV"
    exafs = dataclasses.replace(REQUEST, fms_radius=None)
    assert judge(folder_with(tmp_path, rows=rows), exafs, returncode=0).message.startswith("xmu.dat has the FMS radius")
    header = HEADER.replace("FMS rfms= 7.0000\n", "")
    assert judge(folder_with(tmp_path, rows=rows, header="# " + header), exafs, returncode=0).outcome is Outcome.DONE


def test_header_of_feff9(tmp_path):
    spectrum = read_xmu(folder_with(tmp_path, header=FEFF9_HEADER) / "xmu.dat")
    assert (spectrum.absorber_number, spectrum.shell, spectrum.scf, spectrum.fms_radius) == (29, "K", False, 4.0)
    assert spectrum.cards == HeaderCards()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    mu=st.lists(st.floats(0, 1e3) | st.floats(0, 1e-100), min_size=3, max_size=30),
    edge=st.floats(100, 120000),
    below=st.integers(1, 2),
)
def test_round_trip(tmp_path, mu, edge, below):
    mu = np.array(mu)
    k = np.linspace(-below, 3.5, len(mu)) + 0.0173
    text = table(k, mu, mu / 2, edge)
    read = read_xmu(folder_with(tmp_path, rows=text) / "xmu.dat")
    np.testing.assert_allclose(read.mu, mu, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(read.mu0, mu / 2, rtol=1e-9, atol=1e-300)
    assert read.edge == pytest.approx(edge, abs=1e-6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.data())
def test_a_cut_file_is_never_done(tmp_path, data):
    whole = HEADER + good()
    folder = folder_with(tmp_path)
    (folder / "xmu.dat").write_text(whole[: data.draw(st.integers(0, len(whole) - 1))])
    verdict = judge(folder, REQUEST, returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert verdict.message
    assert verdict.spectrum is None


def test_output_that_ends_early_is_incomplete(tmp_path):
    folder = folder_with(tmp_path)
    assert not judge(folder, REQUEST, returncode=0).incomplete
    (folder / "xmu.dat").write_text((HEADER + good())[:-20])
    assert judge(folder, REQUEST, returncode=0).incomplete
    (folder / "xmu.dat").unlink()
    assert judge(folder, REQUEST, returncode=0).incomplete
    assert judge(folder_with(tmp_path, log=""), REQUEST, returncode=0).incomplete
    assert not judge(
        folder_with(tmp_path, rows=good().replace(good().split()[3], "NaN")), REQUEST, returncode=0
    ).incomplete


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "xmu.dat").write_bytes(content)
    with pytest.raises(SpectrumError):
        read_xmu(tmp_path / "xmu.dat")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "********************", "1.0E"])
def test_rows_that_are_not_finite_numbers(tmp_path, number):
    lines = good().splitlines(keepends=True)
    lines[40] = "  ".join([*lines[40].split()[:3], number, *lines[40].split()[4:]]) + "\n"
    with pytest.raises(SpectrumError, match="expected six finite numbers"):
        read_xmu(folder_with(tmp_path, rows="".join(lines)) / "xmu.dat")


def test_exponents_without_a_letter(tmp_path):
    rows = good().replace(good().split()[3], "5.7500000000-101", 1)
    assert read_xmu(folder_with(tmp_path, rows=rows) / "xmu.dat").mu[0] == 5.75e-101


def test_missing_file_is_named(tmp_path):
    with pytest.raises(IncompleteSpectrum, match=r"cannot read xmu\.dat: No such file"):
        read_xmu(tmp_path / "xmu.dat")


def test_energies_must_rise(tmp_path):
    lines = good().splitlines(keepends=True)
    lines[50], lines[51] = lines[51], lines[50]
    with pytest.raises(SpectrumError, match="do not increase"):
        read_xmu(folder_with(tmp_path, rows="".join(lines)) / "xmu.dat")


def test_request_of_a_campaign():
    assert Request.of(FeffSection(), absorber_number=79) == REQUEST
    own = FeffSection(s02=0.05, exchange=(10, 0.0, 0.0), normalization="feff", corval=None)
    asked = Request.of(own, absorber_number=79, scale=0.9)
    assert asked.cards == HeaderCards(scf=(30, 4.14, 0), shifts=(0.0, 0.0))
    assert {"CORVAL", "ABSOLUTE"}.isdisjoint(asked.names)
    assert Request.of(FeffSection(extra_cards=["MBCONV"]), absorber_number=79).cards.s02 is None
    no_scf = Request.of(FeffSection(scf=None, radii="fixed"), absorber_number=78, scale=0.9)
    assert (no_scf.scf, no_scf.fms_radius, no_scf.absorber_number) == (False, 7.0, 78)
    assert Request.of(FeffSection(scf=ScfSection()), absorber_number=79, scale=0.9).fms_radius == 6.3


def test_done(tmp_path):
    verdict = judge(folder_with(tmp_path), REQUEST, returncode=0)
    assert (verdict.outcome, verdict.message) == (Outcome.DONE, "")
    assert verdict.spectrum is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SCF  30", "SCF 100", "SCF card (iterations, radius, lfms) (100, 4.6, 0), requested was (30, 4.6, 0)"),
        ("4.6000   0,", "4.6000   1,", "SCF card (iterations, radius, lfms) (30, 4.6, 1)"),
        ("val=s+d ", "H-L exch", "exchange model H-L exch, requested was val=s+d"),
        ("Vr= 2.000E-01", "Vr=-2.000E-01", "EXCHANGE shifts (real, imaginary) (-0.2, 0.5), requested was (0.2, 0.5)"),
        ("S02=1.000", "S02=0.900", "S02 0.9, requested was 1.0"),
        ("1.0000E+00", "2.5908E-04", "edge step of the ABSOLUTE card 0.00025908, requested was 1.0"),
    ],
)
def test_header_with_other_cards(tmp_path, old, new, message):
    assert old in HEADER
    verdict = judge(folder_with(tmp_path, header=HEADER.replace(old, new)), REQUEST, returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert message in verdict.message
    assert not verdict.incomplete


@pytest.mark.parametrize("line", ["# # Gam_ch", "#  S02=", "#  xsedge"])
def test_a_header_that_repeats_fewer_cards_is_accepted(tmp_path, line):
    header = "".join(kept for kept in HEADER.splitlines(keepends=True) if not kept.startswith(line))
    assert judge(folder_with(tmp_path, header=header), REQUEST, returncode=0).outcome is Outcome.DONE


def test_header_without_shifts_of_the_potential(tmp_path):
    folder = folder_with(tmp_path, header=HEADER.replace(" Vi= 5.000E-01 Vr= 2.000E-01", ""))
    spectrum = read_xmu(folder / "xmu.dat")
    assert (spectrum.cards.exchange, spectrum.cards.shifts) == ("val=s+d", None)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (USED.replace(" CORVAL", ""), "FEFF ran without the cards CORVAL; it used ATOMS EXCHANGE"),
        (" BANANA 3\n Keyword unrecognized.\n", "ignored a card: Keyword unrecognized.; check feff.extra_cards"),
        ("Ignoring CORVAL card without parameter corval_emin\n", "Ignoring CORVAL card"),
        ("EXCHANGE ignored for NRIXS calculation.\n", "EXCHANGE ignored for NRIXS"),
        (" Ignored PMBSE cards since TDLDA is present\n", "Ignored PMBSE cards"),
    ],
)
def test_cards_that_feff_ran_on_without(tmp_path, log, message):
    verdict = judge(folder_with(tmp_path, log=log + LOG), REQUEST, returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert message in verdict.message
    assert not verdict.incomplete


def test_a_spectrum_that_is_not_convolved_is_not_what_sfconv_asks_for(tmp_path):
    asked = Request.of(FeffSection(extra_cards=["SFCONV"]), absorber_number=79)
    request = dataclasses.replace(REQUEST, convolved=asked.convolved)
    verdict = judge(folder_with(tmp_path, log=LOG), request, returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert "before the end of 'many-body convolution (SFCONV)'" in verdict.message
    log = LOG + "Calculating S0^2 ...\nDone with module: S0^2.\n"
    assert judge(folder_with(tmp_path, log=log), request, returncode=0).outcome is Outcome.DONE


@pytest.mark.parametrize("log", [USED, USED.replace("POTENTIALS", "POTE"), " Too many title lines, title ignored\n"])
def test_lists_of_cards_that_are_in_order(tmp_path, log):
    assert judge(folder_with(tmp_path, log=log + LOG), REQUEST, returncode=0).outcome is Outcome.DONE


def test_feff9_module_numbers_are_understood(tmp_path):
    log = """ Done with module 1: potentials.
 Done with module 2: cross-section and phases...
 Done with module 3: FMS.
 Done with module 6: DW + final sum over paths.
"""
    request = Request(29, "K", False, 4.0, 3.7, 0.05, 150)
    folder = folder_with(tmp_path, header=FEFF9_HEADER, rows=good(edge=8988.4), log=log)
    assert judge(folder, request, returncode=0).outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"absorber_number": 78}, "xmu.dat has (Z, shell, SCF) = (79, 'L3', True), requested was (78, 'L3', True)"),
        ({"edge": "L2"}, "requested was (79, 'L2', True)"),
        ({"scf": False}, "requested was (79, 'L3', False)"),
        ({"fms_radius": 6.9}, "FMS radius 7.0 Å, requested was 6.9 Å"),
        ({"max_points": 109}, "110 energy points, the store has room for 109"),
        ({"k_max": 3.8}, "ends at k = 3.700 1/Å, requested was 3.8"),
    ],
)
def test_output_other_than_asked(tmp_path, changes, message):
    verdict = judge(folder_with(tmp_path), dataclasses.replace(REQUEST, **changes), returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert message in verdict.message


def test_grid_may_end_one_step_short(tmp_path):
    request = dataclasses.replace(REQUEST, k_max=3.749)
    assert judge(folder_with(tmp_path), request, returncode=0).outcome is Outcome.DONE


K = np.concatenate((np.linspace(-1, -0.1, 10), np.linspace(0, 3.7, 100)))
STEP = 1e-4 * (0.55 + np.arctan(3 * K) / np.pi)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (good(count=9), "19 energy points, fewer than 20"),
        (table(K, STEP - 6e-5, STEP), "mu is negative"),
        (table(K, STEP, 0 * STEP + 1e-4), "no edge step"),
        (good(edge=11850.0), "the edge is at 11850.0 eV, the table has 11919.0 eV"),
    ],
)
def test_unbelievable_spectra(tmp_path, rows, message):
    verdict = judge(folder_with(tmp_path, rows=rows), REQUEST, returncode=0)
    assert verdict.outcome is Outcome.BAD_OUTPUT
    assert message in verdict.message


def test_noise_below_zero_is_tolerated(tmp_path):
    mu = STEP.copy()
    mu[0] = -5e-8
    assert judge(folder_with(tmp_path, rows=table(K, mu, STEP)), REQUEST, returncode=0).outcome is Outcome.DONE


@pytest.mark.parametrize("shift", [-0.4, 50.0])
def test_real_edge_shifts_pass(tmp_path, shift):
    folder = folder_with(tmp_path, rows=good(edge=11919.0 + shift))
    assert judge(folder, REQUEST, returncode=0).outcome is Outcome.DONE


NOT_REACHED = LOG.replace(
    "Convergence reached in    8 iterations.",
    "New Fermi level:    mu=  -6.458 eV  Charge distance=  0.1479 (partial c.d.=  0.0594)\n"
    ":WARNING Convergence not reached; ran out of iterations.",
)
REFUSED = " Cannot calculate potentials, etc.\nRDINP-\n1\nFeffPipelineError: stage 'rdinp' failed (exit code: 1)\n"


@pytest.mark.parametrize(
    ("log", "returncode", "outcome", "message"),
    [
        (NOT_REACHED, 0, Outcome.SCF_NOT_CONVERGED, "last charge distance 0.1479"),
        (LOG.replace("Convergence reached", ""), 0, Outcome.SCF_NOT_CONVERGED, "SCF did not converge"),
        (LOG.replace("Done with module: FMS.", ""), 0, Outcome.BAD_OUTPUT, "'full multiple scattering'"),
        ("", 0, Outcome.BAD_OUTPUT, "before the end of 'potentials'; the log ends: (no output)"),
        (LOG + "out of memory\n", 3, Outcome.CRASHED, "return code 3; the log ends: Done with module: MKGTR. | "),
        (LOG, -11, Outcome.CRASHED, "signal SIGSEGV"),
        (LOG, -63, Outcome.CRASHED, "signal 63"),
        (":WARNING   Fatal error in subroutine corval. Try", 0, Outcome.CORVAL_FAILED, "corval"),
        (REFUSED, 1, Outcome.BAD_INPUT, "Cannot calculate potentials, etc. | RDINP- | 1"),
        (" Error reading input, bad line follows:\n FMS x\n", 0, Outcome.BAD_INPUT, "bad line follows: | FMS x"),
        ("FeffParseError: line 6: unrecognized keyword 'FMSX'\n", 1, Outcome.BAD_INPUT, "unrecognized keyword 'FMSX'"),
    ],
)
def test_logs_and_return_codes(tmp_path, log, returncode, outcome, message):
    verdict = judge(folder_with(tmp_path, log=log), REQUEST, returncode=returncode)
    assert verdict.outcome is outcome
    assert message in verdict.message
    assert verdict.spectrum is None


def test_time_out_comes_first(tmp_path):
    verdict = judge(folder_with(tmp_path, log=REFUSED), REQUEST, returncode=-9, timed_out=True)
    assert verdict.outcome is Outcome.TIMED_OUT


def test_feffs_own_logs_count(tmp_path):
    folder = folder_with(tmp_path, log="")
    (folder / "log1.dat").write_text(LOG)
    assert judge(folder, REQUEST, returncode=0).outcome is Outcome.DONE


@settings(deadline=None)
@given(st.text())
def test_messages_fit_the_store(text):
    message = one_line(text)
    assert len(message.encode()) <= 240
    assert message.isprintable()
    assert message == message.strip()


def test_messages_are_cut_between_characters():
    assert one_line("x" + "Å" * 200) == "x" + "Å" * 119


@settings(deadline=None)
@given(st.text(st.sampled_from("aÅ€😀 \n\t\x00\x1b")) | st.text(), st.integers(1, 400))
def test_ends_of_logs_fit_the_store(text, times):
    end = log_end(text * times)
    assert len(end.encode()) <= 1024
    assert all(character.isprintable() or character == "\n" for character in end)
    assert end == log_end(end)


def test_ends_of_logs_are_cut_at_the_front_and_keep_their_lines():
    assert log_end("\nDone\r\n with\tall \n\x1b[31mred\n\n") == "Done\n with   all\n[31mred"
    assert log_end("x" + "Å" * 600 + "\nend") == "Å" * 510 + "\nend"
