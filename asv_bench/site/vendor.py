"""Local copies of what asv's pages load from public networks, so that no page needs one."""

import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent / ".asv" / "npm"
"""What npm has downloaded; later runs need no network."""

CDNJS, JSDELIVR = "https://cdnjs.cloudflare.com/ajax/libs", "https://cdn.jsdelivr.net/npm"
COPIES = {
    "https://code.jquery.com/jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.min.js": "flot/jquery.flot.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    f"{JSDELIVR}/flot-orderbars@1.0.0/js/jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    # npm has no 1.0.1. 1.1 adds methods to those asv calls.
    f"{CDNJS}/stupidtable/1.0.1/stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    f"{CDNJS}/blueimp-md5/2.19.0/js/md5.min.js": "blueimp-md5/js/md5.min.js",
    f"{JSDELIVR}/bootstrap@3.1.1/dist/js/bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    f"{JSDELIVR}/bootstrap@3.1.1/dist/css/bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}
"""Each address in asv's pages, and the file of an npm package that stands in for it."""


def install(work: Path, manifest: Path = HERE) -> Path:
    """Unpack the packages of a lock file with npm, which checks each against its hash there.

    Parameters
    ----------
    work : Path
        A folder of the caller's own, as npm removes what another process may be reading.
    manifest : Path
        The folder of `package.json` and `package-lock.json`.

    Returns
    -------
    Path
        The folder with a folder for each package.
    """
    for name in ("package.json", "package-lock.json"):
        shutil.copy(manifest / name, work)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run([*command, f"--cache={CACHE}"], cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"npm could not install what asv's pages need:\n{done.stderr}")
    return work / "node_modules"


def localise(pages: Path, packages: Path) -> None:
    """Make asv's pages load local copies.

    Parameters
    ----------
    pages : Path
        What `asv publish` has written.
    packages : Path
        What `install` returned.

    Raises
    ------
    SystemExit
        If a page still names an outside address: asv has changed and `COPIES` must follow.
    """
    index = pages / "index.html"
    html = index.read_text(encoding="utf-8")
    for address, copy in COPIES.items():
        html = html.replace(f'"{address}"', f'"vendor/{copy}"')
    # asv's hashes are those of the minified files; npm has already checked ours.
    html = re.sub(r' (integrity|crossorigin|referrerpolicy)="[^"]*"', "", html)
    index.write_text(html, encoding="utf-8")
    left = outside(pages)
    if left:
        raise SystemExit("asv's pages still load from outside; site/vendor.py must follow:\n" + "\n".join(left))
    for copy in COPIES.values():
        target = pages / "vendor" / copy
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packages / copy, target)


def outside(pages: Path) -> list[str]:
    """Find the addresses of other hosts that a folder of pages loads from. A link, which loads nothing, may be one."""
    found = []
    for path in sorted(pages.rglob("*")):
        if path.suffix in (".html", ".js", ".css"):
            text = re.sub(r"<a\s[^>]*>", "", path.read_text(encoding="utf-8"))
            found += [f"{path.name}: {address}" for address in re.findall(r"""(?:https?:|["'(])//[^\s"')]+""", text)]
    return found
