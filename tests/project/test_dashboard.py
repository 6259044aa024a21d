"""The site in a browser that reaches nothing but this machine: seen, drawn, folded and walked by keyboard."""

import itertools
import shutil
import struct

import pytest

from tests.tools.helpers import JIT_OFF

pytest.importorskip("asv", reason="asv makes half of the site")
pytest.importorskip("selenium", reason="selenium drives the browser")
if JIT_OFF:
    pytest.skip("nothing here is compiled", allow_module_level=True)
for tool in ("npm", "chromium", "chromedriver"):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed", allow_module_level=True)

from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from asv_bench.site import publish
from tests.tools import measured, screenshots
from tests.tools.browser import chromium, prefer, requests, resize, served

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where a server serves from; the site lies below a path."""
    config = measured.project(tmp_path_factory.mktemp("project"))
    root = tmp_path_factory.mktemp("served")
    site = root / "some" / "path"
    publish.publish(site, config)
    publish.publish(site, config)  # over the first
    return root


@pytest.fixture(scope="module")
def address(root):
    with served(root) as address:
        yield f"{address}/some/path/"


@pytest.fixture(scope="module")
def driver(address, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def overview(driver, address):
    prefer(driver, "light")
    resize(driver, 1200, 800)
    driver.get("about:blank")
    driver.get(address)
    return driver


@pytest.fixture(autouse=True)
def _quiet_and_local(driver, address):
    """Nothing leaves this machine and the console stays empty, whatever a test does."""
    driver.get("about:blank")
    requests(driver), driver.get_log("browser")
    yield
    host = address.removesuffix("some/path/")
    assert [url for url in requests(driver) if not url.startswith((host, "data:", "about:"))] == []
    assert driver.get_log("browser") == []


def test_tables_and_charts(overview):
    text = overview.find_element("css selector", "table").text
    assert "ONNX Runtime" in text
    assert "100, 64, 512, 512" in text
    captions = [each.text for each in overview.find_elements("css selector", "figcaption")]
    assert captions[0] == "Times faster by the number of hidden units"
    assert captions[1].startswith("Times faster than the oracle, commit by commit")
    points = overview.find_elements("css selector", "figure .panels .point")
    rows = overview.find_elements("css selector", "figure details tbody tr")
    assert len(points) == len(rows) > 90
    assert all(point.find_elements("css selector", "title") for point in points)
    width = "return arguments[0].getBoundingClientRect().width"
    assert all(overview.execute_script(width, point) > 4 for point in points)


def test_structure(overview):
    """Landmarks, headings that leave out no level, a caption for each table, and a language."""
    assert overview.find_element("css selector", "html").get_attribute("lang") == "en"
    for landmark in ("header", "nav[aria-label]", "main", "footer"):
        assert len(overview.find_elements("css selector", landmark)) == 1
    levels = [int(each.tag_name[1]) for each in overview.find_elements("css selector", "h1, h2, h3, h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    tables = overview.find_elements("css selector", "table")
    assert all(table.find_elements("css selector", "caption, thead th[scope]") for table in tables)
    ids = overview.execute_script("return Array.from(document.querySelectorAll('[id]'), each => each.id)")
    assert len(ids) == len(set(ids))


def test_keyboard(overview):
    """Tab comes by every link, every table and every fold, shows where it is, and Enter unfolds."""
    reachable = "return Array.from(document.querySelectorAll('a, summary, .scroll')).filter(e => e.checkVisibility())"
    expected = overview.execute_script(reachable)
    reached = []
    for _ in expected:
        overview.switch_to.active_element.send_keys(Keys.TAB)
        focused = overview.switch_to.active_element
        reached.append(focused)
        assert float(focused.value_of_css_property("outline-width").removesuffix("px")) >= 2
        assert focused.rect["x"] >= 0
    assert reached == expected
    for summary in overview.find_elements("css selector", "summary"):
        summary.send_keys(Keys.ENTER)
    assert all(table.is_displayed() for table in overview.find_elements("css selector", "details table"))


def test_a_phone(overview):
    resize(overview, 360, 740)
    for fold in overview.find_elements("css selector", "summary"):
        fold.click()
    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    scrolled, shown = overview.execute_script(widths)
    assert scrolled == shown <= 360
    wide = "return Array.from(document.querySelectorAll('.scroll')).some(each => each.scrollWidth > each.clientWidth)"
    assert overview.execute_script(wide)


def test_dark_and_light(overview):
    selectors = ("body", "a", ".tiles li", ".style0", "svg text")
    colour = (
        "return Array.from(arguments, each => {const style = getComputedStyle(document.querySelector(each));"
        "return style.color + style.backgroundColor + style.fill})"
    )
    light = overview.execute_script(colour, *selectors)
    prefer(overview, "dark")
    dark = overview.execute_script(colour, *selectors)
    assert not set(light) & set(dark)


def test_the_overview_leads_to_asvs_pages_and_back(overview, address):
    links = [link.get_attribute("href") for link in overview.find_elements("css selector", "nav a, .more a")]
    assert len(links) == 3 + 7
    assert all(link.startswith(address + "asv/index.html#") for link in links)
    for link, shown in zip(links, ("summarygrid", "summarylist", "regressions"), strict=False):
        overview.get("about:blank")
        overview.get(link)
        display = overview.find_element("id", f"{shown}-display")
        WebDriverWait(overview, 10).until(lambda _, display=display: display.is_displayed() and display.text)
    back = overview.find_element("id", "project-name")
    assert back.get_attribute("href") == address + "index.html"


def test_asv_draws_a_graph(driver, address):
    driver.get(address + "asv/index.html#lstm.Ratio.track_truncated_bptt")
    counted = (
        "const plot = window.$ && $('#main-graph').data('plot');"
        "return plot ? plot.getData().map(line => line.data.length) : []"
    )
    lines = WebDriverWait(driver, 10).until(lambda driver: driver.execute_script(counted))
    assert lines == [8] * len(measured.DTYPES) * len(measured.MODELS)
    painted = (
        "const canvas = document.querySelector('#main-graph canvas.flot-base');"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
        "return new Set(new Uint32Array(pixels.buffer)).size"
    )
    assert driver.execute_script(painted) > 20


def test_screenshot(root, tmp_path):
    screenshots.main(root / "some" / "path", tmp_path)
    width, height = struct.unpack(">II", (tmp_path / "dashboard.png").read_bytes()[16:24])
    assert width == 1200
    assert 800 < height < 4000
