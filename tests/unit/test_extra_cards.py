from __future__ import annotations

import json
from pathlib import Path

import pytest

from xanesml.campaign import Campaign
from xanesml.errors import CampaignError
from xanesml.extra_cards import BEFORE_PHASES, LAST, cards, stages_needed


def load(folder: Path, feff: str, engine: str = "") -> Campaign:
    path = folder / "campaign.toml"
    path.write_text(f'name = "x"\n[distortion]\n[feff]\n{feff}\n{engine}', encoding="utf-8")
    return Campaign.load(path)


@pytest.mark.parametrize(
    ("lines", "stages"),
    [
        ([], ()),
        # FEFF reads four letters of a name in any case, words between blanks, tabs and commas, and no comments.
        (["COREHOLE RPA"], ("screen",)),
        (["core\trpa"], ("screen",)),
        (["Corehole, RPA"], ("screen",)),
        (["NOGEOM\n  NOHOLE 2"], ("screen",)),
        (["* COREHOLE RPA", "; MPSE", "TITLE COREHOLE RPA", "SCREEN rfms 4"], ()),
        (["NOHOLE"], ()),
        (["COREHOLE FSR"], ()),
        (["COREHOLE NONE"], ()),
        (["MPSE 2", "OPCONS"], ("opconsat",)),
        (["PLASMON", "OPCONS"], ("opconsat",)),
        (["MPSE 0", "OPCONS"], ()),
        (["OPCONS", "NUMDENS 1 0.02", "PREPS"], ()),
        (["SFCONV"], ("sfconv",)),
        (["SO2CONV"], ("sfconv",)),
        (["SFSE 1.0", "SELF"], ()),
        # Densities of states change no spectrum by themselves.
        (["LDOS -20 20 0.1"], ()),
        (["LDOS -20 20 0.1", "HUBBARD 6 1 0 2"], ("ldos",)),
        (["SFCONV", "OPCONS", "MPSE", "CRPA 2 2.0", "COREHOLE RPA", "HUBBARD 6 1 0 2"], (*BEFORE_PHASES, *LAST)),
    ],
)
def test_stages_that_cards_need(lines: list[str], stages: tuple[str, ...]) -> None:
    assert stages_needed(lines) == stages
    atoms = ["POTENTIALS", "0 29 Cu 3 3 1.0", "ATOMS", "0.0 0.0 0.0 0", "END"]
    assert stages_needed([*lines, *atoms]) == stages


def test_cards_are_read_as_feff_reads_them() -> None:
    assert cards(["mpse 1,  4", "", "# SFCONV\nEGRID\n e_grid -5 5 0.1"]) == [
        ("MPSE", ["1", "4"]),
        ("EGRID", []),
        ("E_GRID", ["-5", "5", "0.1"]),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["MPSE 1", "OPCONS"], "FEFF ignores MPSE with EXCHANGE 5; set feff.exchange = [0, ...], or remove MPSE"),
        (["COREHOLE RPA"], "FEFF cannot screen the core hole (COREHOLE RPA) with EXCHANGE 5, and spectra are NaN; set"),
        (["SCREEN rfms 5"], "FEFF ignores SCREEN without COREHOLE RPA; add that, or remove SCREEN"),
        (["EPS0 2"], "FEFF ignores EPS0 without MPSE; add that, or remove EPS0"),
        (["egap 1.0"], "FEFF ignores EGAP without MPSE"),
        (["HUBBARD 6 1 0 2"], "HUBBARD needs the card LDOS"),
        (["DEBYE 300 315 5 feff.dym 6 0 1"], "reads a file (a dynamical matrix) that no run has; remove it, or run a"),
        (["DEBYE 300 315 4"], "DEBYE 300 315 4 reads a file (sig2.dat) that no run has"),
        (["DEBYE 300 315 2"], "reads a file (spring.inp)"),
        (["EGRID 2 grid.dat"], "EGRID 2 grid.dat reads a file (a grid of energies)"),
        (["CONFIG file"], "CONFIG file reads a file (config.inp)"),
        (["EXTPOT"], "EXTPOT reads a file (potentials)"),
        (["include cards.inp"], "INCLUDE cards.inp reads a file (cards)"),
        (["PMBSE 2 1 0 0"], "PMBSE 2 1 0 0 reads a file (listedges.pmbse)"),
        (["RIXS 0.1 0.1"], "RIXS asks for a program that feff10-rs does not have; remove it"),
        (["XES"], "XES asks for another spectrum than XANES; remove it"),
        (["COMPTON"], "COMPTON asks for densities in place of the spectrum"),
        (["CFAVERAGE 0 1 5"], "CFAVERAGE asks for absorbers, which disorder.absorbers chooses"),
        (["CONTROL 1 1 1 1 1 0"], "CONTROL 1 1 1 1 1 0 leaves out stages"),
        (["EXCH 0 0 0"], "the card EXCH has its own key"),
        (["hole 4 1.0"], "the card HOLE has its own key"),
        (["RGRID 0.03\nedge K"], "the card EDGE has its own key"),
        (["restart"], "RESTART changes mu"),
    ],
)
def test_a_card_that_a_run_would_not_honor_is_refused_in_one_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(CampaignError) as caught:
        load(tmp_path, f"extra_cards = {json.dumps(lines)}")
    assert str(caught.value).startswith(f"{tmp_path}/campaign.toml: feff.extra_cards: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_many_pole_self_energy_needs_a_loss_function(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="MPSE reads a loss function that no run has; add the card OPCONS"):
        load(tmp_path, 'exchange = [0, 0, 0]\nextra_cards = ["MPSE 2"]')


def test_a_variant_is_judged_by_all_of_its_cards(tmp_path: Path) -> None:
    variant = '[feff.variants.screened]\nextra_cards = ["COREHOLE RPA"]\n'
    with pytest.raises(CampaignError, match=r"feff\.variants\.screened: FEFF cannot screen the core hole"):
        load(tmp_path, variant)
    assert load(tmp_path, variant + "exchange = [0, 0.2, 0.5]\n").feff.of_variant("screened").exchange[0] == 0


@pytest.mark.parametrize(
    "lines",
    [
        ["LDOS -20 20 0.1"],
        ["OPCONS"],
        ["MPSE 0"],
        ["SELF", "SFSE 1.0"],
        ["COREHOLE NONE"],
        ["DEBYE 300 315"],
        ["DEBYE 300 315 3"],
        ["EGRID", "e_grid -10 30 1.0"],
        ["CONFIG feff7"],
        ["CONTROL 1 1 1 1 1 1"],
        ["PRINT 1 0 0 0 0 0"],
        ["SFCONV"],
        ["NRIXS 1 0 0 1.0"],
    ],
)
def test_other_cards_are_taken(tmp_path: Path, lines: list[str]) -> None:
    assert load(tmp_path, f"extra_cards = {json.dumps(lines)}").feff.extra_cards == lines


def test_a_feff_of_ones_own_may_have_the_files_and_programs(tmp_path: Path) -> None:
    engine = '[engine]\nkind = "command"\ncommands = [["feff"]]\nversion = "FEFF 9.6"\n'
    lines = ["MPSE 1", "DEBYE 300 315 5", "RIXS 0.1 0.1"]
    assert (
        load(tmp_path, f'representative = "nearest"\nextra_cards = {json.dumps(lines)}', engine).feff.extra_cards
        == lines
    )


def test_what_a_store_was_made_with_is_read_as_it_is(tmp_path: Path) -> None:
    text = load(tmp_path, 'extra_cards = ["LDOS -20 20 0.1"]').resolved().replace("LDOS -20 20 0.1", "DEBYE 300 315 4")
    assert Campaign.restored(text).feff.extra_cards == ["DEBYE 300 315 4"]
