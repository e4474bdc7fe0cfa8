"""Portable arithmetic: the switches reach every library, whatever the user's environment says."""

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Run
from digits.foundation import arithmetic
from digits.foundation.arithmetic import (
    SWITCHES,
    libraries_without_switches,
    unsuitable_machine,
    use_native_arithmetic,
    use_portable_arithmetic,
)

LIBRARIES = """
import ctypes, json, sys
if sys.argv[1] == "portable":
    sys.path.insert(0, "stages")
    import digits
import numpy, torch
from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched, __cpu_features__ as features
from threadpoolctl import threadpool_info
from torch import nn
mkl = ctypes.CDLL(torch.__path__[0] + "/lib/libtorch_cpu.so")
[openblas] = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]]
torch.set_num_threads(2)
torch.manual_seed(0)
images, linear, convolution = torch.rand(64, 1, 28, 28), nn.Linear(784, 10), nn.Conv2d(1, 8, 5)
loss = convolution(images).logsumexp(0).sum() + linear(images.flatten(1)).exp().sum()
loss.backward()
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "mkl": mkl.mkl_serv_cbwr_get(-1),
    "openblas": [openblas["architecture"], openblas["num_threads"]],
    "numpy": [name for name in dispatched if features[name]],
    "sums": [p.grad.double().sum().item().hex() for p in (linear.weight, convolution.weight)],
    "product": float((images.flatten(1).numpy() @ linear.weight.detach().numpy().T).sum(dtype="float64")).hex(),
}))
"""
MKL_CBWR_COMPATIBLE = 3  # in mkl_types.h
# What a user may have set for other work, and what would be as on a machine with less than AVX2.
OTHER = {
    "MKL_CBWR": "AVX2",
    "MKL_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENBLAS_NUM_THREADS": "2",
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    "OMP_DYNAMIC": "true",
    "OMP_THREAD_LIMIT": "1",
}

# The switches are for x86-64 Linux with AVX2; elsewhere there is nothing to hold together.
suitable = pytest.mark.skipif(unsuitable_machine() is not None, reason=f"got {unsuitable_machine()}")


def compute(run: Run, mode: str, **variables: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(run(ROOT, "python", "-c", LIBRARIES, mode, **variables))
    return values


@suitable
def test_every_library_obeys_and_the_environment_has_no_say(run: Run) -> None:
    portable = compute(run, "portable", **OTHER)
    switched = {"torch": "AVX2", "mkl": MKL_CBWR_COMPATIBLE, "openblas": ["Haswell", 1], "numpy": ["X86_V3"]}
    assert {name: portable[name] for name in switched} == switched
    # Those variables count: without them, the bytes are the same, and with them alone, they are others.
    assert compute(run, "native", **SWITCHES) == portable
    other = compute(run, "native", **{name: value for name, value in OTHER.items() if name in SWITCHES})
    assert other["sums"] != portable["sums"]
    assert other["product"] != portable["product"]


def test_all_that_numpy_has_beyond_avx2_is_disabled() -> None:
    if platform.machine() == "x86_64":
        dispatched = import_module("numpy._core._multiarray_umath").__cpu_dispatch__
        assert {"X86_V3", *SWITCHES["NPY_DISABLE_CPU_FEATURES"].split()} == set(dispatched)


def variables() -> dict[str, str]:
    """The environment, apart from what pytest writes into it."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user who has settings of their own, of libraries and others, before any switch is set."""
    own = {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "7", "OPENBLASPHEMY": "1"}
    for name in [name for name in os.environ if name.startswith(arithmetic.PREFIXES)]:
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(arithmetic, "put_aside", {})
    return variables()


@suitable
def test_a_library_that_is_loaded_already_is_named(users: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "torch"):
        monkeypatch.setitem(sys.modules, name, sys)
    use_portable_arithmetic()  # too late
    assert variables() == users
    assert libraries_without_switches() == ["numpy", "torch"]
    monkeypatch.delitem(sys.modules, "numpy")
    assert libraries_without_switches() == ["torch"]


@suitable
def test_a_stage_refuses_to_run_without_the_switches(run: Run) -> None:
    script = "import runpy, numpy; runpy.run_path('stages/export.py', run_name='__main__')"
    output = run(ROOT, "python", "-c", script, PYTHONPATH="stages", status=1)
    assert output.startswith("error: python: ")
    assert "got numpy" in output
    assert output.count("\n") == 1


@suitable
def test_native_arithmetic_has_what_the_user_has_set(users: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "loaded_libraries", list)
    for _ in range(2):  # as a stage that a stage has started
        use_portable_arithmetic()
        assert SWITCHES.items() <= os.environ.items()
        assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setattr(arithmetic, "loaded_libraries", lambda: ["numpy"])
    assert not libraries_without_switches()
    use_native_arithmetic()
    assert variables() == users


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("Linux on x86_64", "fpu avx avx2 fma f16c bmi1 bmi2 abm movbe", ""),
        ("Linux on x86_64", "fpu avx avx2x f16c bmi1 bmi2 abm movbe", "Linux on x86_64 without avx2, fma"),
        ("Linux on aarch64", "fp asimd", "Linux on aarch64"),
        ("Darwin on x86_64", "", "Darwin on x86_64"),
    ],
)
def test_an_unsuitable_machine_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: dict[str, str], machine: str, flags: str, expected: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\nprocessor\t: 1\nflags\t: \n")
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(arithmetic, "loaded_libraries", list)
    monkeypatch.setattr(platform, "system", lambda: machine.partition(" on ")[0])
    monkeypatch.setattr(platform, "machine", lambda: machine.partition(" on ")[2])
    assert (unsuitable_machine() or "") == expected
    use_portable_arithmetic()
    assert (variables() == users) == bool(expected)
