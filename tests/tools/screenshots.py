"""`python -m tests.tools.screenshots` draws for docs/speed.md the overview that `asv_bench.site.publish` has left."""

import tempfile
from pathlib import Path

from asv_bench.site.publish import SITE
from tests.tools.browser import chromium, prefer, resize, served

DOCS = Path(__file__).parents[2] / "docs"


def main(site: Path = SITE, docs: Path = DOCS) -> None:
    """Write `dashboard.png`: the page from its top to the end of the first section's chart."""
    with tempfile.TemporaryDirectory() as profile, served(site) as address, chromium(Path(profile)) as driver:
        prefer(driver, "light")
        resize(driver, 1200, 800)
        driver.get(f"{address}/index.html")
        driver.execute_script("document.documentElement.style.overflow = 'hidden'")  # no scroll bar
        height = driver.execute_script("return document.querySelector('figure').getBoundingClientRect().bottom")
        resize(driver, 1200, int(height))
        driver.save_screenshot(str(docs / "dashboard.png"))


if __name__ == "__main__":
    main()
