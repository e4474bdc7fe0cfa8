"""Portable arithmetic: the switches reach every library, whatever the user's environment says."""

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from conftest import ROOT, Run
from digits.foundation import arithmetic
from digits.foundation.arithmetic import SWITCHES, unsuitable_machine, use_portable_arithmetic
from digits.foundation.stage import UserError

import pytest

LIBRARIES = """
import ctypes, json, sys
sys.path.insert(0, "stages")
if sys.argv[1] == "portable":
    from digits.foundation.arithmetic import use_portable_arithmetic
    use_portable_arithmetic()
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
    portable = compute(run, "portable")
    assert {"torch": "AVX2", "mkl": MKL_CBWR_COMPATIBLE, "openblas": ["Haswell", 1], "numpy": ["X86_V3"]}.items() <= (
        portable.items()
    )
    assert compute(run, "portable", **OTHER) == portable


@suitable
def test_without_the_switches_processors_differ(run: Run) -> None:
    other = {name: value for name, value in OTHER.items() if name in SWITCHES}
    native, as_on_another = compute(run, "native", **SWITCHES), compute(run, "native", **other)
    assert native["sums"] != as_on_another["sums"]
    assert native["product"] != as_on_another["product"]


def test_all_that_numpy_has_beyond_avx2_is_disabled() -> None:
    if platform.machine() == "x86_64":
        dispatched = import_module("numpy._core._multiarray_umath").__cpu_dispatch__
        assert {"X86_V3", *SWITCHES["NPY_DISABLE_CPU_FEATURES"].split()} == set(dispatched)


@suitable
def test_a_library_that_is_loaded_already_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    use_portable_arithmetic()  # done already, before the tests began
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    before = dict(os.environ)
    with pytest.raises(UserError, match=r"^python: .* got numpy and torch loaded already; .* \.pth file"):
        use_portable_arithmetic()
    monkeypatch.delitem(sys.modules, "numpy")
    with pytest.raises(UserError, match="got torch loaded already"):
        use_portable_arithmetic()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("system", "machine", "flags", "expected"),
    [
        ("Linux", "x86_64", "fpu avx avx2 fma f16c bmi1 bmi2 abm movbe", None),
        ("Linux", "x86_64", "fpu avx avx2x fma f16c bmi1 bmi2 abm movbe", "Linux on x86_64 without avx2"),
        ("Linux", "x86_64", "fpu avx f16c bmi1 bmi2 abm movbe", "Linux on x86_64 without avx2, fma"),
        ("Linux", "aarch64", "fp asimd", "Linux on aarch64"),
        ("Darwin", "x86_64", "", "Darwin on x86_64"),
    ],
)
def test_an_unsuitable_machine_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, flags: str, expected: str | None
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\nprocessor\t: 1\nflags\t: \n")
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert unsuitable_machine() == expected
    if expected:
        before = dict(os.environ)
        use_portable_arithmetic()  # neither refuses the libraries that are loaded nor sets anything
        assert dict(os.environ) == before
