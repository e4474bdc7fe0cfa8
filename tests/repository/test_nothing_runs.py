"""Nothing that a file says is run as code: the sources use no reader that could."""

import ast
from collections.abc import Iterator

import pytest

from conftest import ROOT

SOURCES = sorted(path for folder in ("stages", "tools") for path in (ROOT / folder).rglob("*.py"))
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
HARMLESS = {"pickle.UnpicklingError"}  # an exception
BUILTINS = {"eval", "exec", "compile", "__import__"}
LOADERS = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
LOADERS |= {"Loader", "FullLoader", "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader"}
READERS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}


def dangers(source: str) -> Iterator[str]:
    """What in `source` could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                found = {f"{module}.{alias.name}" for alias in names} - HARMLESS
                wrong = {f"yaml.{name}" for name in LOADERS} | {"torch.load", "numpy.load"}
                yield from (name for name in found if module.split(".")[0] in MODULES or name in wrong)
            case ast.Attribute(value=ast.Name(id="yaml"), attr=name) if name in LOADERS:
                yield f"yaml.{name}"
            case ast.Attribute(attr="read_pickle" | "load_pickle"):
                yield node.attr
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield name
            case ast.Call(func=function, keywords=keywords) if (reader := ast.unparse(function)) in READERS:
                keyword, value = READERS[reader]
                if not any(k.arg == keyword and ast.unparse(k.value) == str(value) for k in keywords):
                    yield reader


def test_no_source_runs_what_it_reads() -> None:
    assert len(SOURCES) > 80
    found = {str(path): list(dangers(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert not {path: danger for path, danger in found.items() if danger}


DANGEROUS = """
import pickle
import os, pickle as p
from pickle import loads
from joblib import load
import sklearn, shelve
import marshal
eval('1')
exec(text)
yaml.load(text, yaml.SafeLoader)
yaml.unsafe_load(text)
class Own(yaml.UnsafeLoader): pass
from yaml import full_load
torch.load(path)
torch.load(path, weights_only=False)
torch.load(path, weights_only=flag)
from torch import load
np.load(path)
np.load(path, allow_pickle=True)
pd.read_pickle(path)
"""


@pytest.mark.parametrize("source", DANGEROUS.strip().splitlines())
def test_each_danger_is_seen(source: str) -> None:
    assert list(dangers(source))


def test_what_is_safe_is_left_alone() -> None:
    source = "import yaml, torch; from pickle import UnpicklingError; yaml.safe_load(t); model.eval(); re.compile(t)"
    assert not list(dangers(f"{source}; torch.load(p, weights_only=True); class_ = yaml.SafeLoader; json.load(file)"))
