"""How the C library hands out memory."""

import ctypes
import sys

# Numbers of glibc's malloc.h, and the largest threshold that it accepts.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_MMAP_THRESHOLD = 32 * 1024**2


def keep_freed_memory() -> None:
    """Let the C library keep the memory of one batch for the next, on Linux with glibc; elsewhere do nothing.

    By default it gives large blocks back to the system, which clears their pages anew for every batch: up to a third of
    the time that a convolutional network takes to train.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
