"""The documentation: its reference is what the code makes, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest
import site_pages
from conftest import ROOT

from hpc.cli import app
from xanesml.campaign import ESSENTIAL, Campaign
from xanesml.pools.pool_file import PoolFile

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

LINK = re.compile(r"\]\(([^)\s]+)\)")

#: A file or folder of the repository, and a dotted name in one of its packages.
PATH = re.compile(r"(?<![\w/~.])(?:xanesml|hpc|tools|benchmarks|jobscripts|examples|tests|data_schema)/[\w./-]*\w")
NAME = re.compile(r"(?<![\w/.])(?:xanesml|hpc)(?:\.\w+)+")


#: Pages of the site that come from the code, where links may lead too.
MADE = {ROOT / "docs" / path for path in site_pages.pages()}


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("campaign_reference", ROOT / "tools" / "campaign_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_campaign_reference_is_what_the_models_say(reference: ModuleType) -> None:
    assert (ROOT / "docs" / "reference" / "campaign.md").read_text(encoding="utf-8") == reference.page(), (
        "run: tools/campaign_reference.py > docs/reference/campaign.md"
    )


@pytest.mark.parametrize(
    ("page", "names"), [("pools", ["exchange0", "shifts", "potentials"]), ("more-data", ["exchange0"])]
)
def test_variants_on_pages_are_those_of_campaigns(page: str, names: list[str], tmp_path: Path) -> None:
    (block,) = [one for one in toml_blocks(page) if "[feff.variants" in one]
    path = tmp_path / "campaign.toml"
    path.write_text(f'name = "page"\n[disorder]\n{block}', encoding="utf-8")
    feff = Campaign.load(path).feff
    assert list(feff.variants) == names
    assert feff.of_variant("exchange0").exchange[0] == 0


def test_the_pool_files_on_the_page_are_pool_files(tmp_path: Path) -> None:
    asked, cards = [one for one in toml_blocks("pools") if "[feff" not in one]
    path = tmp_path / "pool.toml"
    path.write_text(asked, encoding="utf-8")
    assert PoolFile.load(path).cards == {}
    path.write_text(asked + cards, encoding="utf-8")
    assert list(PoolFile.load(path).cards) == ["shifts"]


def toml_blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```toml\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(
    "row",
    [
        "| `name` | **matters** | text | – | required | Name of the campaign and of its output folder: "
        "letters, digits, dot, hyphen, underscore. |",
        "| `fms_radius` | **matters** | number > 0 | Å | `7.0` | "
        "Radius of the full-multiple-scattering cluster, Å (FMS). |",
        "| `mixing` | advanced | number > 0, ≤ 0.9 | – | `0.5` | Convergence accelerator ca1. |",
        "| `lfms` | advanced | `0` or `1` | – | `0` | 0 for solids, 1 for molecules. |",
        '| `feff.edge` | `"L3"` | The edge that you measured. |',
        "| `sigma` | **matters** | array of 2: number > 0 each | Å | `[0.02, 0.14]` | "
        "Range of the skew-normal scale σ, Å. |",
    ],
)
def test_rows_of_the_reference(reference: ModuleType, row: str) -> None:
    assert row in reference.page().splitlines()


def test_ten_keys_matter_and_exist(reference: ModuleType) -> None:
    marked = [row for row in reference.page().splitlines() if "| **matters** |" in row]
    assert len(ESSENTIAL) == len(marked) == 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [(page.parent / target).resolve() for target in targets if target and "://" not in target]
    assert [target for target in local if not target.exists() and target not in MADE] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_and_names_exist(page: Path) -> None:
    text = LINK.sub("](…)", page.read_text(encoding="utf-8"))
    assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == []
    for name in NAME.findall(text):
        pkgutil.resolve_name(name)


def test_the_choices_of_the_source_are_those_of_its_example() -> None:
    campaign = json.loads(Campaign.load(ROOT / "examples" / "source.toml").resolved())
    page = (ROOT / "docs" / "explanation" / "source.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)\.(\w+) = ([^`]+)`", page)
    assert len(named) >= 15
    for section, key, text in named:
        # A card that is left out is null.
        wanted = None if text == "false" else json.loads(text)
        assert json.dumps(campaign[section][key]) == json.dumps(wanted), f"{section}.{key}"
    default = json.loads(Campaign.model_validate({"name": "source", "distortion": {}, "disorder": {}}).resolved())
    assert [f"{section}.{key}" for section, key, _ in named if campaign[section][key] == default[section][key]] == []


def test_modules_named_by_their_file_lie_beside_the_path_before_them() -> None:
    rows = (ROOT / "docs" / "explanation" / "method.md").read_text(encoding="utf-8").splitlines()
    listed = [re.findall(r"`([\w/]+\.py)`", row) for row in rows if row.startswith("| ")]
    beside = [(Path(row[0]).parent / name) for row in listed for name in row if "/" not in name]
    assert len(beside) >= 5
    assert [path for path in beside if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "command",
    [command.name or command.callback.__name__ for command in app.registered_commands if command.callback],
)
def test_every_command_is_on_the_map_and_among_the_commands(command: str) -> None:
    assert f"`{command}`" in (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
    assert f"xanesml {command} " in (ROOT / "docs" / "reference" / "running.md").read_text(encoding="utf-8")
