"""`python -m asv_bench.site.publish` makes the site: the overview, and behind it asv's pages."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..stored import CONFIG, load
from . import overview, vendor

SITE = CONFIG.parent / ".asv" / "site"


def publish(output: Path, config: Path = CONFIG) -> None:
    """Make a site that any host of files can serve, below any path, and that loads nothing from elsewhere.

    Parameters
    ----------
    output : Path
        A folder, which is made anew.
    config : Path
        An `asv.conf.json`.
    """
    stored = load(config)
    if output.exists():
        # Whoever names a folder of his own shall not lose it.
        if {child.name for child in output.iterdir()} - {"asv", "index.html"}:
            raise SystemExit(f"{output} has files that are not of this site")
        shutil.rmtree(output)
    pages = output.absolute() / "asv"
    asv = [sys.executable, "-m", "asv", "--config", str(config), "publish", "--no-pull", "--html-dir", str(pages)]
    subprocess.run(asv, check=True)
    with tempfile.TemporaryDirectory() as work:
        vendor.localise(pages, vendor.install(Path(work)))
    (output / "index.html").write_text(overview.page(stored), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m asv_bench.site.publish", description=__doc__)
    parser.add_argument("--output", type=Path, default=SITE, help="the folder to write (default: %(default)s)")
    output = parser.parse_args().output
    publish(output)
    print(output / "index.html")


if __name__ == "__main__":
    main()
