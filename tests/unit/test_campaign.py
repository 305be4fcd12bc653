from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT

from xanesml.campaign import (
    NEUTRAL_KEYS,
    Campaign,
    DistortionSection,
    FeffSection,
    TrainingSection,
    VariantSection,
    digest_of,
)
from xanesml.errors import CampaignError

EXAMPLES = ROOT / "examples"

MINIMAL = 'name = "x"\n[distortion]\n'


def load(text: str, folder: Path) -> Campaign:
    path = folder / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    return Campaign.load(path)


def test_defaults_are_the_reference_case(tmp_path: Path) -> None:
    reference = Campaign.load(EXAMPLES / "au55-l3.toml")
    minimal = load(MINIMAL + "[disorder]\n", tmp_path)
    assert minimal.feff == reference.feff
    assert minimal.structure == reference.structure
    assert minimal.distortion == reference.distortion
    assert minimal.disorder == reference.disorder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[feff]\nscff = 1\n", "unknown key 'feff.scff'; accepted here: edge, scf"),
        (MINIMAL + "[feff.scf]\nradiu = 1\n", "unknown key 'feff.scf.radiu'; accepted here: radius"),
        (MINIMAL + "[fef]\n", "unknown key 'fef'; accepted here: name"),
        (MINIMAL + '[feff]\nfms_radius = "wide"\n', "feff.fms_radius: Input should be a valid number"),
        (MINIMAL + '[feff]\nedge = "Q9"\n', "FEFF does not know the edge 'Q9'; it knows K, L1"),
        (MINIMAL + '[feff]\nextra_cards = ["RESTART"]\n', "RESTART changes mu"),
        (MINIMAL + '[feff]\nextra_cards = ["EDGE K"]\n', "the card EDGE has its own key"),
        (MINIMAL + '[structure]\nelement = "Xx"\n', "'Xx' is not a chemical element"),
        (MINIMAL + "[structure]\natoms = 54\n", "54 is not a magic number; choose one of 13, 55"),
        (MINIMAL + "step = 0.04\n", "do not make a grid"),
        (MINIMAL + "minimum = 0.5\n", "do not make a grid"),
        (MINIMAL + '[engine]\nkind = "command"\n', "needs commands"),
        (MINIMAL + "[averaging]\nsigma = [0.2, 0.1]\n", "runs backwards"),
        (MINIMAL + 'absorbers = "site"\n', "distortion.absorbers: Input should be 'center' or 'sites' (got 'site')"),
        (
            MINIMAL + 'absorbers = "sites"\n[structure]\nradius = 8\n',
            "distortion.absorbers = 'sites' averages over a whole particle, but structure.radius cuts a sphere",
        ),
        (
            MINIMAL + '[structure]\nradius = 8\n[disorder]\nabsorbers = "all"\n',
            "disorder.absorbers = 'all' averages over a whole particle, but structure.radius cuts a sphere",
        ),
        (MINIMAL + '[disorder]\nabsorbers = "al"\n', "disorder.absorbers: 'al' names no absorbers; give 'first_shell'"),
        (MINIMAL + "[disorder]\nabsorbers = [3, -1]\n", "disorder.absorbers: [3, -1] names no absorbers; give"),
        ('name = "x"\n', "nothing to compute"),
        ("[distortion]\n", "name: Field required"),
        ('name = "a b"\n[distortion]\n', "name: String should match pattern"),
        ("name = \n", "is not valid TOML"),
    ],
)
def test_bad_input_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CampaignError) as caught:
        load(text, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


#: `[feff]` with variants of its cards.
VARIED = """
[feff]
exchange = [5, 1.0, -0.5]
scf = { radius = 4.0, iterations = 20 }
[feff.variants.exchange0]
exchange = [0, 1, -0.5]
structures = "::3"
[feff.variants.wide]
scf = { radius = 5.0 }
corval = false
"""


def test_a_variant_has_its_own_cards_and_for_the_rest_the_campaigns(tmp_path: Path) -> None:
    feff = load(MINIMAL + VARIED, tmp_path).feff
    own = feff.model_dump(exclude={"variants"})
    assert {name: one.structures for name, one in feff.variants.items()} == {"exchange0": "::3", "wide": ":"}
    assert feff.of_variant("exchange0").model_dump() == own | {"exchange": (0, 1.0, -0.5)}
    scf = own["scf"] | {"radius": 5.0}
    assert (scf["iterations"], scf["radius"]) == (20, 5.0)
    assert feff.of_variant("wide").model_dump() == own | {"scf": scf, "corval": None}
    assert not feff.of_variant("wide").variants


def test_variants_are_stored_alike_however_they_are_written(tmp_path: Path) -> None:
    campaign = load(MINIMAL + VARIED, tmp_path)
    assert Campaign.restored(campaign.resolved()) == campaign
    other = load(MINIMAL + VARIED.replace("[0, 1, -0.5]", "[0, 1.0, -0.50]"), tmp_path)
    assert other.digest() == campaign.digest()


def test_variants_are_checked_however_they_are_given() -> None:
    feff = FeffSection(variants={"x": VariantSection(s02=0.9)})
    assert feff == FeffSection.model_validate({"variants": {"x": {"s02": 0.9}}})
    with pytest.raises(ValueError, match=r"variants\.x\.s03 is no card"):
        FeffSection(variants={"x": VariantSection(s03=0.9)})


def test_a_campaign_without_variants_is_as_it_was_before_there_were_any(tmp_path: Path) -> None:
    campaign, varied = load(MINIMAL, tmp_path), load(MINIMAL + "[feff.variants.x]\ns02 = 0.9\n", tmp_path)
    assert "variants" not in json.loads(campaign.resolved())["feff"]
    assert campaign.digest() == digest_of(json.loads(campaign.resolved())) != varied.digest()
    # Averages and networks are of the campaign's own cards.
    assert campaign.digest("feff", "seed") == varied.digest("feff", "seed")


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            "[feff.variants.x]\nexchang = 1\n",
            "variants.x.exchang is no card; a variant takes structures, scf, corval, exc",
        ),
        ('[feff.variants.x]\nedge = "K"\n', "variants.x.edge is the same for all runs of a store; a variant takes"),
        ("[feff.variants.x]\nmax_points = 9\n", "variants.x.max_points is the same for all runs of a store"),
        ("[feff.variants.x.variants.y]\ns02 = 1\n", "variants.x.variants is the same for all runs of a store"),
        ("[feff.variants.x.y]\ns02 = 1\n", "variants.x.y is no card"),
        ("[feff.variants.x]\ns02 = 1\n", "variants.x has the cards of the campaign; give other cards, or remove it"),
        ('[feff.variants.x]\nstructures = "::2"\n', "variants.x has the cards of the campaign"),
        ("[feff.variants]\nx = { s02 = 0.9 }\ny = { s02 = 0.9 }\n", "variants.y has the cards of x; give other cards"),
        ('[feff.variants."a b"]\ns02 = 0.9\n', "variants: 'a b' is no name; give letters, digits, hyphens and unders"),
        ("[feff.variants.x]\ns02 = 0\n", "variants.x: s02: Input should be greater than 0 (got 0)"),
        ("[feff.variants.x.scf]\nradiu = 1\n", "variants.x: unknown key 'scf.radiu'; accepted here: radius, lfms"),
        ("[feff.variants.x.scf]\nmixing = 0.9\n", "FEFF10 refuses an SCF mixing of 0.9"),
        ("[feff.variants]\nx = 3\n", "feff.variants.x: Input should be a valid dictionary"),
        (
            '[feff.variants.x]\ns02 = 0.9\nstructures = "3"\n',
            "feff.variants.x.structures: '3' is no slice of structures",
        ),
        ("[feff]\nscff = 1\n[feff.variants.x]\ns02 = 0.9\n", "unknown key 'feff.scff'"),
    ],
)
def test_bad_variants_are_one_clear_line(variants: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CampaignError) as caught:
        load(MINIMAL + variants, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"none\.toml: No such file"):
        Campaign.load(tmp_path / "none.toml")


def test_a_structure_file_is_relative_to_the_campaign(tmp_path: Path) -> None:
    campaign = load(MINIMAL + '[structure]\nfile = "au.xyz"\n', tmp_path)
    assert campaign.structure.file == tmp_path.resolve() / "au.xyz"


def test_false_switches_cards_off(tmp_path: Path) -> None:
    campaign = load(MINIMAL + "[feff]\nscf = false\ncorval = false\n", tmp_path)
    assert campaign.feff.scf is None
    assert campaign.feff.corval is None


def test_the_resolved_campaign_reads_back_the_same(tmp_path: Path) -> None:
    campaign = load(MINIMAL + "[disorder]\nstructures = 7\n", tmp_path)
    assert Campaign.model_validate_json(campaign.resolved()) == campaign


def test_the_digest_follows_content_not_layout(tmp_path: Path) -> None:
    first = load(MINIMAL, tmp_path)
    same = load(
        "# comment\n[distortion]\nstep = 0.01\n[structure]\natoms = 55\n".replace("#", 'name = "x"\n#'), tmp_path
    )
    other = load(MINIMAL + "step = 0.05\n", tmp_path)
    assert first.digest() == same.digest() != other.digest()
    assert first.digest("feff") == other.digest("feff")


def test_neutral_keys_leave_the_identity_as_it_was() -> None:
    plain = Campaign(name="c", distortion=DistortionSection())
    content = plain.model_dump(mode="json")
    earlier = {
        name: {key: value for key, value in section.items() if key not in NEUTRAL_KEYS}
        if name in ("training", "tuning")
        else section
        for name, section in content.items()
    }
    assert len(earlier["training"]) == len(content["training"]) - len(NEUTRAL_KEYS)
    assert digest_of(earlier) == plain.digest()
    changed = Campaign(name="c", distortion=DistortionSection(), training=TrainingSection(l2=1e-4))
    assert changed.digest() != plain.digest()
    assert changed.digest("tuning") == plain.digest("tuning")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[training]\noptimizer = "adamw"',
            "training: the optimizer adamw is Adam with weight decay; give weight_decay",
        ),
        ('[training]\noptimizer = "lion"', "training.optimizer: Input should be 'adam', 'adamw', 'sgd' or 'rmsprop'"),
        ("[training]\nmomentum = 1", "training.momentum: Input should be less than 1"),
        ('[tuning]\noptimizer = ["adam", "adamw"]', "tuning.optimizer has adamw, which needs weight decay"),
        ("[tuning]\nl1 = [0, 1]", "tuning.l1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(f'name = "c"\n[distortion]\n{text}\n')
    with pytest.raises(CampaignError) as refused:
        Campaign.load(path)
    assert says in str(refused.value)
