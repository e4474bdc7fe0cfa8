"""Portable arithmetic: the same bytes on every x86-64 Linux machine with AVX2.

Libraries choose their code by the processor: its vector width, and for Intel's MKL also its maker. Other code adds in
another order, which changes the last bits. The switches hold all of them to one choice.
"""

import os
import platform
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
put_aside: dict[str, str] = {}  # the user's own settings of the libraries

SWITCHES = {
    # Intel MKL, PyTorch's matrix products. It is the slowest choice, but the only one that MKL also makes on AMD.
    "MKL_CBWR": "COMPATIBLE",
    # PyTorch's own loops.
    "ATEN_CPU_CAPABILITY": "avx2",
    # oneDNN, PyTorch's convolutions.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # OpenBLAS, NumPy's matrix products; Haswell was Intel's first processor with AVX2.
    "OPENBLAS_CORETYPE": "Haswell",
    # More threads would split the sums, and OpenBLAS starts no more than there are cores.
    "OPENBLAS_NUM_THREADS": "1",
    # NumPy's own loops: all that it has beyond AVX2.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
# Of all variables that these libraries read, and of those for threads.
PREFIXES = "MKL_", "ATEN_", "ONEDNN_", "DNNL_", "OPENBLAS_", "GOTO_", "NPY_", "OMP_", "GOMP_", "KMP_", "OPENCV_"
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
    """Make this process compute the same bytes as on other machines; on an unsuitable machine, do nothing.

    The libraries read the switches when they are loaded, so this does nothing either once one is. Whatever the user's
    environment tells them is put aside, so that it cannot contradict.
    """
    if unsuitable_machine() or loaded_libraries():
        return
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        if (value := os.environ.pop(name)) != SWITCHES.get(name):
            put_aside[name] = value
    os.environ |= SWITCHES


def use_native_arithmetic() -> None:
    """Undo `use_portable_arithmetic`, before a library is loaded."""
    for name in SWITCHES:
        os.environ.pop(name, None)
    os.environ |= put_aside


def libraries_without_switches() -> list[str]:
    """The libraries that were loaded before the switches could be set, for example by a .pth file."""
    return [] if unsuitable_machine() or SWITCHES.items() <= os.environ.items() else loaded_libraries()


def loaded_libraries() -> list[str]:
    return [name for name in ("numpy", "torch") if name in sys.modules]
