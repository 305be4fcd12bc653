"""What others need to build, cite and install: one version everywhere, and recipes that their tools accept."""

from __future__ import annotations

import configparser
import re
from importlib.metadata import version
from typing import Any

import pytest
from conftest import ROOT
from requirements import require

CFG = configparser.ConfigParser()
CFG.read(ROOT / "setup.cfg", encoding="utf-8")
VERSION = CFG["metadata"]["version"]


def yaml(path: str) -> Any:
    require("mkdocs")
    import yaml as library

    return library.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_version_is_that_of_setup_cfg_everywhere() -> None:
    assert version("xanesml") == VERSION
    assert yaml("CITATION.cff")["version"] == VERSION
    assert yaml("conda/recipe.yaml")["context"]["version"] == VERSION
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert released[:1] in ([], [VERSION])


def test_the_citation_has_what_the_format_requires_and_a_way_to_each_work() -> None:
    citation = yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "license", "abstract", "keywords", "version"} <= set(citation)
    assert citation["license"] == CFG["metadata"]["license"]
    for work in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(work), work
        ways = ({"doi"}, {"url"}, {"journal", "volume", "start"}, {"thesis-type", "institution"})
        assert any(way <= set(work) for way in ways), work["title"]


@pytest.mark.requires("rattler-build")
def test_conda_takes_the_recipe_with_the_requirements_of_setup_cfg() -> None:
    import rattler_build

    recipe = rattler_build.Stage0Recipe.from_yaml((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    lowest = CFG["options"]["python_requires"].removeprefix(">=")
    (rendered,) = recipe.render(rattler_build.VariantConfig({"python_min": [lowest]}))
    made = rendered.recipe.to_dict()
    assert made["package"] == {"name": "xanesml", "version": VERSION}
    assert made["build"]["python"]["entry_points"] == [CFG["options.entry_points"]["console_scripts"].strip()]
    wanted = [line.partition(";")[0].strip() for line in CFG["options"]["install_requires"].split("\n") if line]
    of_conda = {f"{name} >={least}" for name, least in (one.split(">=") for one in wanted) if name != "feff10-rs"}
    assert set(made["requirements"]["run"]) == of_conda | {f"python >={lowest}"}


@pytest.mark.parametrize("recipe", ["tools/Dockerfile", "tools/xanesml.def"])
def test_recipes_of_containers_build_what_set_up_builds(recipe: str) -> None:
    text = " ".join((ROOT / recipe).read_text(encoding="utf-8").replace("\\\n", " ").split())
    setup = " ".join((ROOT / "tools" / "setup.sh").read_text(encoding="utf-8").replace("\\\n", " ").split())
    for flags in ("HOROVOD_WITH_TENSORFLOW=1", "HOROVOD_WITHOUT_GLOO=1", "HDF5_PKGCONFIG_NAME=hdf5-openmpi"):
        assert flags in text
        assert flags in setup
    (horovod,) = re.findall(
        r"^horovod==.*$", (ROOT / "tools/constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert horovod in text


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name
)
def test_forms_for_issues_are_what_github_takes(form: Any) -> None:
    content = yaml(str(form.relative_to(ROOT)))
    if form.name == "config.yml":
        assert isinstance(content["blank_issues_enabled"], bool)
        return
    assert {"name", "description", "body"} <= set(content)
    ids = [field["id"] for field in content["body"]]
    assert len(ids) == len(set(ids))
    for field in content["body"]:
        assert field["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert field["attributes"]["label"]
