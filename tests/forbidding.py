"""Runs a command of the worker with some system calls forbidden, as a container's profile does.

`python tests/forbidding.py ERRNO CALL[,CALL…] COMMAND …`: a seccomp filter over this process
answers the calls, by number, with the errno; then the command line runs in it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence

LOAD_CALL = struct.pack("HBBI", 0x20, 0, 0, 0)
"""Load the system call's number (linux/filter.h, struct sock_filter)."""

ALLOW = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
NO_NEW_PRIVILEGES = 38
SET_SECCOMP = 22
FILTER_MODE = 2


def forbid(calls: Sequence[int], code: int) -> None:
    """Make these system calls fail with this errno, from now on and for all children."""
    steps = [LOAD_CALL]
    for call in calls:
        steps.append(struct.pack("HBBI", 0x15, 0, 1, call))
        steps.append(struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | code))
    steps.append(ALLOW)
    program = b"".join(steps)
    held = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(held))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SET_SECCOMP, FILTER_MODE, header, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    code, calls, *command = sys.argv[1:]
    forbid([int(call) for call in calls.split(",")], int(code))
    from worker.commands.cli import main

    sys.exit(main(command))
