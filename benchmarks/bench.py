"""The way from a benchmark to the packages of tools/ and stages/; named so that it is imported before them."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "stages")]
