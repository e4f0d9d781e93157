"""Looks whether io_uring can be used before TigerBeetle's client does.

The client ends the whole process with a native panic where it cannot (SIGABRT, or SIGSEGV in the
panic's own handler), so nobody could catch it and say what to set.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path
from typing import Final

IO_URING_SETUP: Final = 425
IO_URING_ENTER: Final = 426
"""System calls' numbers, the same on x86-64 and ARM64 (Linux, asm-generic/unistd.h)."""

ENTRIES: Final = 32
PARAMS_BYTES: Final = 120
"""The size of `struct io_uring_params` (Linux, include/uapi/linux/io_uring.h)."""

SWITCH: Final = Path("/proc/sys/kernel/io_uring_disabled")

ADVICE: Final = (
    "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile,"
    " and set kernel.io_uring_disabled to 0"
)
_MEND: Final = {
    errno.ENOMEM: "raise the limit of locked memory (ulimit -l, the container's memlock)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
}


def io_uring_refusal() -> tuple[str, str]:
    """Why a ring cannot be made or entered, and what to set; two empty texts when it can."""
    if sys.platform != "linux":
        return "", ""
    call, code = _try_ring()
    if not code:
        return "", ""
    switch = SWITCH.read_text().strip() if SWITCH.exists() else "absent"
    why = (
        f"{call} fails with {errno.errorcode.get(code, code)}, kernel.io_uring_disabled is {switch}"
    )
    return why, _MEND.get(code, ADVICE)


def _try_ring() -> tuple[str, int]:
    """Make a small ring and enter it: the call that failed and its errno, or 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = ctypes.create_string_buffer(PARAMS_BYTES)
    ring = libc.syscall(IO_URING_SETUP, ENTRIES, params)
    if ring < 0:
        return "io_uring_setup", ctypes.get_errno()
    try:
        entered = libc.syscall(IO_URING_ENTER, ring, 0, 0, 0, None, 0)
        return "io_uring_enter", ctypes.get_errno() if entered < 0 else 0
    finally:
        os.close(ring)
