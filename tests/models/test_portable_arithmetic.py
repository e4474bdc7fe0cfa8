"""Portable arithmetic: the switches reach every library of PyTorch, whatever the user's environment says."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Run
from digits.foundation.stage import UserError
from digits.models import portable_arithmetic
from digits.models.portable_arithmetic import PREFIXES, SWITCHES, unsuitable_machine, use_portable_arithmetic

LIBRARIES = """
import ctypes, json, sys
sys.path.insert(0, "stages")
from digits.models.portable_arithmetic import use_portable_arithmetic
if sys.argv[1] == "portable":
    use_portable_arithmetic()
import torch
from torch import nn
mkl = ctypes.CDLL(torch.__path__[0] + "/lib/libtorch_cpu.so")
torch.set_num_threads(2)
torch.manual_seed(0)
images, linear, convolution = torch.rand(64, 1, 28, 28), nn.Linear(784, 10), nn.Conv2d(1, 8, 5)
loss = convolution(images).logsumexp(0).sum() + linear(images.flatten(1)).exp().sum()
loss.backward()
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "mkl": mkl.mkl_serv_cbwr_get(-1),
    "sums": [p.grad.double().sum().item().hex() for p in (linear.weight, convolution.weight)],
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
    "OMP_DYNAMIC": "true",
    "OMP_THREAD_LIMIT": "1",
}

# The switches are for x86-64 Linux with AVX2; elsewhere there is nothing to hold together.
suitable = pytest.mark.skipif(unsuitable_machine() is not None, reason=f"got {unsuitable_machine()}")


@suitable
def test_every_library_obeys_and_the_environment_has_no_say(run: Run) -> None:
    def compute(mode: str, variables: dict[str, str]) -> Any:
        return json.loads(run(ROOT, "python", "-c", LIBRARIES, mode, **variables))

    portable = compute("portable", OTHER)
    assert portable["torch"] == "AVX2"
    assert portable["mkl"] == MKL_CBWR_COMPATIBLE
    # The switches are what makes the difference: set by hand, they are enough, and others give other sums.
    assert compute("native", SWITCHES) == portable
    other = compute("native", {name: value for name, value in OTHER.items() if name in SWITCHES})
    assert other["sums"] != portable["sums"]


def variables() -> dict[str, str]:
    """The environment, apart from what pytest writes into it."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user who has settings of their own, of libraries and others; PyTorch is not loaded."""
    environment = {name: value for name, value in variables().items() if not name.startswith(PREFIXES)}
    environment |= {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "7", "MKLASSES": "1"}
    monkeypatch.setattr(os, "environ", environment.copy())
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return environment


@suitable
def test_settings_of_other_programs_stay_and_a_library_that_is_loaded_already_is_refused(
    users: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with pytest.raises(UserError, match=r"^python: .* got torch loaded already; "):
        use_portable_arithmetic()
    assert variables() == users
    monkeypatch.delitem(sys.modules, "torch")
    use_portable_arithmetic()
    del users["MKL_CBWR"], users["OMP_NUM_THREADS"]
    assert variables() == users | SWITCHES
    monkeypatch.setitem(sys.modules, "torch", sys)  # as in a process that such a process has started
    use_portable_arithmetic()


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
    monkeypatch.setattr(portable_arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "system", lambda: machine.partition(" on ")[0])
    monkeypatch.setattr(platform, "machine", lambda: machine.partition(" on ")[2])
    assert (unsuitable_machine() or "") == expected
    use_portable_arithmetic()
    assert (variables() == users) == bool(expected)
