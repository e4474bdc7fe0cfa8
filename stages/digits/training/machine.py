"""The cores of this machine, and its memory allocator."""

import ctypes
import os
import sys

# Constants of glibc's malloc.h, and the largest threshold that it accepts.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_MMAP_THRESHOLD = 32 * 1024**2


def keep_freed_memory() -> None:
    """Make the C library keep freed memory for the next batch, on Linux with glibc; elsewhere do nothing.

    By default it returns large blocks to the system, which must clear their pages again for every batch: up to a
    third of the training time of a convolutional network.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def usable_cores() -> int:
    """How many cores this process may use: fewer than the machine has under taskset or in a container's CPU set."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
