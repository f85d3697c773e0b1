"""The report's page in a real browser, as readers open it: from disk, wide and narrow, light and dark, on paper."""

import os
import shutil
from itertools import pairwise

import pytest
from playwright.sync_api import sync_playwright

from tests.helpers.planted import report, write_lock, write_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium; Debian has it: apt-get install chromium")
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA

# The least contrast of any text to what lies behind it, and that text. Text in drawings has the page's colours.
CONTRAST = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = parts(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (parts(colour).length === 3 || parts(colour)[3] === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let least = [21, ""];
  for (const node of document.querySelectorAll("body *:not(svg, svg *, style)")) {
    const own = [...node.childNodes].filter((child) => child.nodeType === 3 && child.data.trim());
    if (!own.length || !node.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, own[0].data.trim().slice(0, 60)];
  }
  return least;
}"""


# Links to a place on the page that is not there, tables wider than their box, drawings without words.
DANGLING = """() => [...document.querySelectorAll('a[href^="#"]')].map((link) => link.getAttribute("href").slice(1))
  .filter((id) => !document.getElementById(id))"""
CLIPPED = """() => [...document.querySelectorAll(".scroll")].filter((box) => box.checkVisibility())
  .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.getAttribute("aria-label"))"""
SILENT = """() => [...document.querySelectorAll("svg")].filter((svg) => svg.getAttribute("aria-label").length < 20)"""
LEVELS = """() => [...document.querySelectorAll("h1, h2, h3")].map((heading) => Number(heading.tagName[1]))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = write_study(tmp_path_factory.mktemp("study"))
    write_lock(root)
    return (report(root) / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium refuses to run as root with its own sandbox
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


def opened(browser, address, screen="desktop", scheme="light"):
    """The page, with all that it complains about and all that it asks for in ``complaints`` and ``requests``."""
    width, height = SCREENS[screen]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(address)
    return page


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_and_asks_for_nothing(browser, address, screen, scheme):
    page = opened(browser, address, screen, scheme)
    for _ in ("folded", "unfolded"):
        widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert widths[0] <= widths[1]
        contrast, text = page.evaluate(CONTRAST)
        assert contrast >= LEAST_CONTRAST, text
        unfold(page)
    assert page.complaints == []
    assert page.requests == [address]
    page.close()


def test_dark_is_dark(browser, address):
    for scheme, bright in (("light", True), ("dark", False)):
        page = opened(browser, address, scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) > 384) == bright
        page.close()


def test_the_trail_of_a_number_opens_on_click(browser, address):
    page = opened(browser, address)
    trail = page.locator("tr#P2 details.trail")
    step = trail.get_by_text("evaluate@rl-grpo-pear-token-1")
    assert not step.is_visible()
    trail.locator("summary").click()
    assert step.is_visible()
    assert trail.get_by_text("results/evals/rl-grpo-pear-token-1 md5").is_visible()
    assert trail.get_by_text("data/a md5").is_visible()
    page.close()


def test_wrong_answers_open_by_model_and_task(browser, address):
    page = opened(browser, address)
    of_model = page.locator("details.wrong", has=page.locator("summary", has_text="rl-grpo-nll-1"))
    row = of_model.locator("tbody tr").first
    assert not row.is_visible()
    of_model.locator("summary").first.click()
    of_model.locator("details summary", has_text="calc:").click()
    assert row.is_visible()
    assert [cell.inner_text() for cell in row.locator("td").all()][-2:] == ["ans 1", "wrong answer"]
    page.close()


def test_a_claim_at_a_glance_leads_to_its_row_and_folded_settings_open(browser, address):
    page = opened(browser, address, "phone")
    page.locator(".glance a", has_text="L11").click()
    assert page.evaluate("location.hash") == "#L11"
    settings = page.locator("details", has_text="L11 in").first
    settings.locator("summary").first.click()
    assert settings.locator("tr.setting").first.is_visible()
    page.close()


def test_headings_links_and_pictures_are_sound(browser, address):
    page = opened(browser, address)
    levels = page.evaluate(LEVELS)
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate(DANGLING) == []
    assert page.evaluate(SILENT) == []
    page.close()


def test_printed_it_is_a_pdf_of_several_pages_without_cut_tables(browser, address):
    page = opened(browser, address)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1047})  # A4 less margins of 1 cm, at 96 points per inch
    assert page.evaluate(CLIPPED) == []
    pdf = page.pdf(format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "1cm"))
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") > 3
    page.close()
