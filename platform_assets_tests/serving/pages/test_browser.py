"""The pages in a real browser: readable on a phone and a desktop, light and dark, for everybody (axe), without scripts.

Debian's chromium, driven by Playwright; `make browser` installs it. Screenshots go to the test's folder, and to
$PLATFORM_SCREENSHOTS if that is set.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from platform_assets_tests.serving.pages.conftest import Shop
from platform_assets_tests.web_server import serving

pytestmark = pytest.mark.browser

DESKTOP: ViewportSize = {"width": 1366, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}
COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATHS = {"all": "/freshness", "table": "/freshness/gold.fact_orders", "error": "/freshness/gold.nothing"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on PATH: `make browser` (or `apt-get install chromium`) installs it")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found, headless=True, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        yield launched
        launched.close()


def width_of(page: Page) -> int:
    """How wide it is, whatever the window."""
    return int(page.evaluate("document.documentElement.scrollWidth"))


def shoot(page: Page, folder: Path, name: str) -> None:
    picture = folder / f"{name}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 5_000
    if kept := os.environ.get("PLATFORM_SCREENSHOTS"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, kept)


@pytest.mark.parametrize(("device", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_pages_are_accessible_and_fit_the_screen(
    browser: Browser, site: str, tmp_path: Path, device: str, size: ViewportSize
) -> None:
    with browser.new_context(viewport=size) as context:
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
        for name, path in PATHS.items():
            answer = page.goto(site + path)
            assert answer is not None
            assert answer.status == (404 if name == "error" else 200)
            for colours in COLOURS:
                page.emulate_media(color_scheme=colours)
                shoot(page, tmp_path, f"freshness-{name}-{device}-{colours}")
                found = Axe().run(page)
                assert found.violations_count == 0, found.generate_report()
            assert width_of(page) <= size["width"], path
        assert [text for text in refused if "404" not in text] == []  # nothing that the policy of the page forbids


def test_no_width_between_phone_and_desktop_needs_scrolling_sideways(browser: Browser, site: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(site + PATHS["all"])
        for width in (640, 760, 1320, 1340):  # where the layout changes; 1321 and a scroll bar
            page.set_viewport_size({"width": width, "height": 900})
            assert width_of(page) <= width


def test_an_analyst_finds_who_is_to_blame_without_any_script(browser: Browser, site: str) -> None:
    with browser.new_context(viewport=DESKTOP, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{site}/freshness")
        page.get_by_role("searchbox").fill("fact")
        page.locator("select[name=domain]").select_option("commerce")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(re.compile(r"\?q=fact&domain=commerce&"))
        expect(page.get_by_role("rowheader")).to_have_count(1)
        page.get_by_role("rowheader").get_by_role("link", name="gold.fact_orders", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("gold.fact_orders")
        page.get_by_role("paragraph").get_by_role("link", name="silver.orders").click()
        expect(page).to_have_url(f"{site}/freshness?table=silver.orders#silver.orders")
        expect(page.get_by_role("row").filter(has_text="itself")).to_be_in_viewport()
        page.get_by_role("link", name="Show the others too").click()
        page.get_by_role("columnheader", name="Complete").get_by_role("link").first.click()
        expect(page.get_by_role("columnheader", name="Complete")).to_have_attribute("aria-sort", "ascending")
        page.get_by_role("link", name="PASS").click()
        expect(page).to_have_url(f"{site}/freshness?state=PASS&sort=completeness")
        expect(page.get_by_role("rowheader")).to_have_count(4)


def test_a_platform_that_has_made_nothing_yet_is_readable_too(browser: Browser, empty: Shop, tmp_path: Path) -> None:
    with serving(empty.app()) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{url}/freshness")
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            shoot(page, tmp_path, f"freshness-nothing-{size['width']}")
            expect(page.get_by_text("Nothing has been materialised yet")).to_be_in_viewport()
            assert Axe().run(page).violations_count == 0
            assert width_of(page) <= size["width"]
