"""Nothing that a file says is run as code: the sources use no reader that could, by the rules of ruff."""

import re
import subprocess
import sys

from conftest import ROOT

RULES = "S102,S301,S302,S307,S506,TID251"
PREAMBLE = "import marshal, os, pickle, numpy as np, pandas as pd, torch, yaml\n"
DANGEROUS = """
pickle.loads(data)
import cloudpickle
from joblib import load
marshal.loads(data)
eval('1')
exec(text)
yaml.load(text, yaml.SafeLoader)
yaml.unsafe_load(text)
class Own(yaml.UnsafeLoader): pass
from yaml import full_load
np.load(path)
pd.read_pickle(path)
"""
HARMLESS = "from pickle import UnpicklingError; yaml.safe_load(text); torch.nn.Module().eval(); yaml.SafeLoader"


def findings(*arguments: str, source: str = "") -> set[int]:
    """The lines in which ruff sees a danger, whatever a comment there says."""
    command = [sys.executable, "-m", "ruff", "check", "--select", RULES, "--ignore-noqa", "--no-cache"]
    done = subprocess.run(
        [*command, "--output-format", "concise", *arguments], cwd=ROOT, input=source, capture_output=True, text=True
    )
    assert not done.stderr
    return {int(line) for line in re.findall(r"(?m)^[^:\n]+:(\d+):\d+: ", done.stdout)}


def test_no_source_runs_what_it_reads() -> None:
    assert not findings("stages", "tools")
    sources = [path for folder in ("stages", "tools") for path in (ROOT / folder).rglob("*.py")]
    loads = [line for path in sources for line in path.read_text().splitlines() if "torch.load" in line]
    assert len(loads) >= 2
    assert all("weights_only=True" in line for line in loads)


def test_each_danger_is_seen_and_what_is_safe_is_left_alone() -> None:
    dangers = DANGEROUS.strip().splitlines()
    source = "\n".join([PREAMBLE.strip(), HARMLESS, *dangers])
    found = findings("--stdin-filename", "stages/source.py", "-", source=source)
    assert found - {1} == {3 + number for number, _ in enumerate(dangers)}
