"""Stripe's own mock server, which has the current shape of every object and keeps no state."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = (
    "no stripe-mock: put it on PATH, or name it in STRIPE_MOCK_BIN"
    " (go install github.com/stripe/stripe-mock@v0.203.0)"
)
START_SECONDS = 60.0


class StripeMockUnavailable(Exception):
    """There is none; the message is the one line that a skipped test shows."""


def _binary() -> str:
    named = os.environ.get("STRIPE_MOCK_BIN") or shutil.which("stripe-mock")
    installed = Path.home() / "go" / "bin" / "stripe-mock"
    found = named or (str(installed) if installed.exists() else "")
    if not found:
        raise StripeMockUnavailable(MISSING)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def stripe_mock() -> Iterator[str]:
    """Its address, while it runs. Raises StripeMockUnavailable."""
    port = _free_port()
    process = subprocess.Popen(
        [_binary(), "-http-addr", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StripeMockUnavailable(f"stripe-mock ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError:
            return  # it answers: it wants a key
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise StripeMockUnavailable("stripe-mock did not answer in time")
