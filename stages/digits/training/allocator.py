"""Tuning of the C library's memory allocator."""

import ctypes
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
