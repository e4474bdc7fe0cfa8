"""Portable arithmetic of networks: the same bytes on every x86-64 Linux machine with AVX2.

PyTorch's libraries choose their code by the processor: its vector width, and for Intel's MKL also its maker. Other code
adds in another order, which changes the last bits. The switches hold all of them to one choice.
"""

import os
import platform
import sys
from pathlib import Path

from digits.foundation.stage import UserError

CPUINFO = Path("/proc/cpuinfo")

SWITCHES = {
    # Intel MKL, PyTorch's matrix products. It is the slowest choice, but the only one that MKL also makes on AMD.
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own loops
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # oneDNN, PyTorch's convolutions
}
# Of all variables that these libraries read, and of those for threads.
PREFIXES = "MKL_", "ATEN_", "ONEDNN_", "DNNL_", "OMP_", "GOMP_", "KMP_"
# AVX2 and what else makes up x86-64-v3. Every processor with AVX2 has it all, but a virtual machine may hide some.
FLAGS = {"avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe"}


def unsuitable_machine() -> str | None:
    """What this machine is, unless it has what portable arithmetic takes: Linux on x86-64 with AVX2."""
    system = f"{platform.system()} on {platform.machine()}"
    if system != "Linux on x86_64":
        return system
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    missing = FLAGS - set(next((line for line in lines if line.startswith("flags")), "").split())
    return f"{system} without {', '.join(sorted(missing))}" if missing else None


def use_portable_arithmetic() -> None:
    """Make PyTorch, once it is loaded, compute the same bytes as on other machines; on an unsuitable one, do nothing.

    The user's own settings of its libraries are dropped, so that they cannot contradict. Raises a `UserError` if
    PyTorch is loaded already, without the switches, for example by a .pth file.
    """
    if unsuitable_machine():
        return
    if "torch" in sys.modules and not SWITCHES.items() <= os.environ.items():
        raise UserError(
            "python: PyTorch must be imported after the switches of portable arithmetic are set, got torch loaded "
            "already; find out by what, a .pth file or sitecustomize, with `python -X importtime -c pass`"
        )
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    os.environ |= SWITCHES
