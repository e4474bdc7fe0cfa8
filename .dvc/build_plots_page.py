"""Build the page that `dvc plots` fills, with the three Vega scripts inside, so that plots appear without a network.

Fetches the npm packages at the versions that dvc-render asks for and checks their SHA-512; writes
.dvc/plots_offline.html and .dvc/plots_offline_licenses.txt. Needs npm.
Command: python .dvc/build_plots_page.py
"""

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Package, version, script, SHA-512 of the package in base64, as npm publishes it.
PACKAGES = [
    (
        "vega",
        "5.20.2",
        "build/vega.min.js",
        "qmH7aD9GGPpssVdxL1xgcdxTbQzyRUeRR16Os385ymvQhiwCYQNA6+eXUPAZDTVLfk0RXu6Jzj6kUE5jQ80EVw==",
    ),
    (
        "vega-lite",
        "5.2.0",
        "build/vega-lite.min.js",
        "Yxcg8MvYfxHcG6BbkaKT0oVCIMIcE19UvqIsEwBmyd/7h2nzW7oRnID81T8UrY7hpDrIr6wa2JADOT2dhGNErw==",
    ),
    (
        "vega-embed",
        "6.18.2",
        "build/vega-embed.min.js",
        "wcDyQPE4J5aiCDc3/suH5RQDvrKkjuLkhzUcbOLwEkNF8/+pp17tS0JghzEvAPNRg+5aG1/N2ydixq8Lk3dOlg==",
    ),
]
# dvc-render puts the plots in place of {plot_divs}.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Plots</title>
{refresh_tag}
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff; }
body > div { display: inline-block; vertical-align: top; margin: 0 2rem 2rem 0; max-width: 100%; }
/* A figure carries its title; its path and its frames say nothing more. */
body > div > p { display: none; }
body > div, body > div > div { border: 0 !important; white-space: normal !important; max-width: 100%; }
img { max-width: 100%; height: auto; }
</style>
SCRIPTS
<script>
vegaEmbed = (embed => (id, spec) => embed(id, spec, {renderer: "svg"}))(vegaEmbed);
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main() -> None:
    scripts, licenses = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, version, script, sha512 in PACKAGES:
            with tarfile.open(fetch(name, version, sha512, Path(folder))) as package:
                scripts.append(f"<script>\n{read(package, script)}\n</script>")
                licenses.append(f"{name} {version}\n\n{read(package, 'LICENSE')}")
    page = PAGE.replace("SCRIPTS", "\n".join(scripts))
    (ROOT / ".dvc/plots_offline.html").write_text(page, encoding="utf-8", newline="\n")
    (ROOT / ".dvc/plots_offline_licenses.txt").write_text("\n\n".join(licenses), encoding="utf-8", newline="\n")


def fetch(name: str, version: str, sha512: str, folder: Path) -> Path:
    """Fetch a package from npm into `folder`; stop unless its SHA-512 (base64) is the known one."""
    subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    path = folder / f"{name}-{version}.tgz"
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != sha512:
        raise SystemExit(f"error: {path.name}: its SHA-512 must be {sha512}, got {found}")
    return path


def read(package: tarfile.TarFile, name: str) -> str:
    """A text file of an npm package; a script cannot end its own element early."""
    file = package.extractfile(f"package/{name}")
    if file is None:
        raise SystemExit(f"error: {package.name!r}: has no {name}")
    return file.read().decode().replace("</script", "<\\/script").strip()


if __name__ == "__main__":
    main()
