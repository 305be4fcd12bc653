"""The page in a browser: what it draws, asks for and says, by mouse, by keyboard and without script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from campaign_folder import averaged, half_simulated, predicted, small, trained
from requirements import require

from xanesml.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.requires("browser")

SCHEMES = ("light", "dark")
WIDTHS = (1280, 400)

CHECKS = Path(__file__).with_name("checks.js").read_text(encoding="utf-8").rstrip().removesuffix(";")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require("browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # As root, as in a container, Chromium has no sandbox.
        opened = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    half_simulated(folder, small())
    averaged(folder)
    trained(folder)
    predicted(folder, {}, {"source": "b.dat", "name": "b", "msd": 0.02, "warnings": ["the noise is large"]})
    return write_page(folder, small())


def opened(browser: Browser, path: Path, **options: Any) -> tuple[Page, list[str]]:
    """Open the page; return it and a list that gathers errors of its console and requests beside its own."""
    page = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options)).new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda request: request.url == path.as_uri() or faults.append(f"request: {request.url}"))
    page.goto(path.as_uri())
    return page, faults


def check(page: Page, what: str) -> Any:
    """Return what a function of `checks.js` finds."""
    return page.evaluate(f"{CHECKS}.{what}()")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_in_both_themes_at_both_widths(
    browser: Browser, report: Path, scheme: Any, width: int
) -> None:
    page, faults = opened(browser, report, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert page.locator("figure").count() > 15
    assert check(page, "empty") == []
    contrast = check(page, "contrast")
    assert contrast["seen"] > 200
    assert contrast["low"] == []
    assert check(page, "curves") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 20, 25)")
    assert faults == []
    page.context.close()


def test_everything_has_a_name_and_is_reached_by_the_keyboard(browser: Browser, report: Path) -> None:
    page, faults = opened(browser, report)
    assert check(page, "nameless") == []
    reached = set()
    wanted = page.locator("svg.chart").count()
    for _ in range(400):
        page.keyboard.press("Tab")
        focused = page.evaluate("[document.activeElement.tagName, document.activeElement.id]")
        reached.add(tuple(focused))
        if focused[0] == "BODY":
            break
    assert len({one for one in reached if one[0] == "svg"}) == wanted
    assert ("INPUT", "spectra-by-delta-pick") in reached
    assert page.evaluate("getComputedStyle(document.querySelector('svg.chart')).outlineStyle") == "none"
    page.locator("#seconds").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert faults == []
    page.context.close()


def test_values_are_read_by_mouse_and_by_keyboard(browser: Browser, report: Path) -> None:
    page, faults = opened(browser, report)
    chart, said = page.locator("#readings-msd"), page.locator("#readings-msd-readout")
    chart.focus()
    page.keyboard.press("ArrowRight")
    assert said.inner_text() == "MSD with its interval: spectrum 1, MSD (10⁻³ Å²) 9.50"
    page.keyboard.press("ArrowRight")
    assert said.inner_text() == "MSD with its interval: spectrum 2, MSD (10⁻³ Å²) 20.00"
    page.keyboard.press("ArrowDown")
    assert said.inner_text() == "nearest simulated spectrum: spectrum 2, MSD (10⁻³ Å²) 9.10"
    page.locator("#weights").scroll_into_view_if_needed()
    box = page.locator("#weights .frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "δ (Å)" in page.locator("#weights-readout").inner_text()
    assert faults == []
    page.context.close()


def test_a_figure_is_zoomed_and_shown_whole_again(browser: Browser, report: Path) -> None:
    page, faults = opened(browser, report)
    chart = page.locator("#spectra-by-delta")
    chart.scroll_into_view_if_needed()
    ticks = "[...document.querySelectorAll('#spectra-by-delta .ticks text')].map((one) => one.textContent)"
    view = "document.querySelector('#spectra-by-delta .plot').getAttribute('viewBox')"
    whole, before = page.evaluate(view), page.evaluate(ticks)
    box = page.locator("#spectra-by-delta .frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.75, steps=3)
    page.mouse.up()
    left, top, width, height = map(float, page.evaluate(view).split())
    first = [float(one) for one in whole.split()]
    assert width == pytest.approx(first[2] / 2, rel=0.02)
    assert height == pytest.approx(first[3] / 2, rel=0.02)
    assert left == pytest.approx(first[0] + first[2] / 4, rel=0.02)
    assert top == pytest.approx(first[1] + first[3] / 4, rel=0.05)
    assert page.evaluate(ticks) != before
    page.get_by_role("button", name="Show whole: Distorted series").click()
    assert page.evaluate(view) == whole
    # The script's ticks are those that the page came with.
    assert page.evaluate(ticks) == before
    chart.focus()
    page.keyboard.press("+")
    assert page.evaluate(view) != whole
    page.keyboard.press("0")
    assert page.evaluate(view) == whole
    assert faults == []
    page.context.close()


def test_a_delta_is_picked_and_its_weights_are_told(browser: Browser, report: Path) -> None:
    page, faults = opened(browser, report)
    slider = page.get_by_label("δ (Å)", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    picked = float(page.locator("#spectra-by-delta-picked").inner_text().replace("−", "-"))
    assert page.locator("#spectra-by-delta .picked").count() == 1
    label = page.locator("#spectra-by-delta .picked").get_attribute("data-label")
    assert label is not None
    assert float(label.removeprefix("δ = ").removesuffix(" Å").replace("−", "-")) == pytest.approx(picked, abs=0.006)
    said = page.locator("#weights-readout").inner_text()
    assert said.startswith(f"Weights at {str(picked).replace('-', '−')} Å: MSD ")
    assert said.count(";") == page.locator("#weights path[data-label]").count() - 1
    assert page.locator("#weights .picked-at").count() == 1
    assert faults == []
    page.context.close()


def test_without_script_the_same_figures_are_there(browser: Browser, report: Path) -> None:
    page, faults = opened(browser, report, java_script_enabled=False)
    assert page.locator("figure svg").count() > 15
    assert page.locator("figure svg path.line, figure svg path.dots, figure svg path.steps").count() > 50
    assert page.locator("button:visible, input:visible").count() == 0
    assert faults == []
    page.context.close()


def test_a_page_on_paper_is_light_and_opens_its_logs(browser: Browser, report: Path) -> None:
    page, faults = opened(browser, report, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("button:visible, input:visible, nav:visible").count() == 0
    assert len(page.pdf()) > 20_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert faults == []
    page.context.close()
