"""Where io_uring is forbidden, every command that opens TigerBeetle says so instead of dying."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forbidding
from worker.config.settings import PREFIX
from worker.ledger.io_uring import IO_URING_ENTER, IO_URING_SETUP, io_uring_refusal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

SECONDS_MAX = 120

FORBIDDEN = [
    # call           errno          what the sentence names
    (IO_URING_SETUP, errno.EPERM,  "io_uring_setup fails with EPERM",  "seccomp profile"),
    (IO_URING_SETUP, errno.ENOSYS, "io_uring_setup fails with ENOSYS", "seccomp profile"),
    (IO_URING_ENTER, errno.EPERM,  "io_uring_enter fails with EPERM",  "seccomp profile"),
    (IO_URING_SETUP, errno.ENOMEM, "io_uring_setup fails with ENOMEM", "memlock"),
]  # fmt: skip


def outcome(code: int, call: int, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, run with the call forbidden, on a ledger where nobody listens."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    root = Path(forbidding.__file__).parent.parent
    environment = kept | {
        "PYTHONPATH": str(root),
        f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS": "embedded",
        f"{PREFIX}LEDGER__ADDRESSES": "127.0.0.1:1",
        f"{PREFIX}LEDGER__DEADLINE_SECONDS": "1",
        f"{PREFIX}HTTP__PORT": "0",
        f"{PREFIX}SERVE__PORT": "0",
    }
    return subprocess.run(
        [sys.executable, forbidding.__file__, str(code), str(call), *command],
        env=environment,
        cwd=folder,
        timeout=SECONDS_MAX,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("call", "code", "why", "mend"), FORBIDDEN)
def test_run_says_what_to_set(call: int, code: int, why: str, mend: str, tmp_path: Path) -> None:
    """Whichever call is refused and however: one sentence on standard error, and exit 3."""
    pytest.importorskip("tigerbeetle")
    done = outcome(code, call, "run", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "io_uring" in line]
    assert why in said
    assert mend in said
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [("serve",), ("balances",), ("trial-balance",), ("statement", "bank")]
)
def test_each_command_that_opens_the_ledger(command: tuple[str, ...], tmp_path: Path) -> None:
    """The others end like `run`."""
    pytest.importorskip("tigerbeetle")
    done = outcome(errno.EPERM, IO_URING_SETUP, *command, folder=tmp_path)
    assert (done.returncode, "io_uring_setup fails with EPERM" in done.stderr) == (3, True)


def test_doctor_finds_it_and_goes_on(tmp_path: Path) -> None:
    """Doctor names it before it asks the ledger, and looks at the rest all the same."""
    pytest.importorskip("tigerbeetle")
    done = outcome(errno.EPERM, IO_URING_SETUP, "doctor", folder=tmp_path)
    assert done.returncode == 3
    found = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert found.index(["FAIL", "io_uring"]) < found.index(["FAIL", "ledger"])
    assert ["ok", "http"] in found


def test_it_is_found_where_it_is_not_forbidden() -> None:
    """On a machine that allows it nothing is refused, and no file stays open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a name is enough
    why, mend = io_uring_refusal()
    if why:
        pytest.skip(f"io_uring is not allowed here: {why}")
    assert mend == ""
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - the same
