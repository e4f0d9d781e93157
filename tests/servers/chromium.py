"""A headless Chromium that a test drives over its debugging pipe, where one is installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWER_SECONDS = 60.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"),
)


class ChromiumUnavailable(Exception):
    """There is none; the message says how to get it."""


class Chromium:
    """One tab.

    said: what the browser wrote to its console, and what it refused to load or run.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = os.fdopen(answers, "rb")
        self._number = 0
        self._session = ""
        self._loaded = 0
        self.said: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network"):
            self._ask(f"{domain}.enable")

    def size(self, width: int, height: int, scheme: Literal["light", "dark"] = "light") -> None:
        """Look as on a screen of this size, in pixels, for somebody who likes it light or dark."""
        phone = width < 600
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def go(self, address: str) -> None:
        """Open an address, and wait until all of it is there."""
        before = self._loaded
        failed = self._ask("Page.navigate", url=address).get("errorText")
        assert not failed, f"{address}: {failed}"
        self.wait_loaded(before)

    def wait_loaded(self, before: int) -> None:
        """Wait for one more page than `before`."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._loaded <= before:
            assert time.monotonic() < deadline, "the page does not load"
            self.run("1")
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """The value of a script, which the debugger may run though the page may not."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def submit(self, script: str) -> None:
        """Run a script that leads to another page."""
        before = self._loaded
        self.run(script)
        self.wait_loaded(before)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._ask("Input.insertText", text=text)

    def press_enter(self) -> None:
        """Press Enter, which leads to another page."""
        before = self._loaded
        for kind in ("keyDown", "keyUp"):
            self._ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                text="\r",
                code="Enter",
                windowsVirtualKeyCode=13,
            )
        self.wait_loaded(before)

    def picture(self, path: Path) -> None:
        """All of the page, however long it is, as PNG."""
        found = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._commands, json.dumps(asked).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                found: dict[str, Any] = heard["result"]
                return found

    def _hear(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser ended"
            text += byte
        heard: dict[str, Any] = json.loads(text)
        method = heard.get("method", "")
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif heard.get("params", {}).get("entry", {}).get("level") == "verbose":
            pass  # advice
        elif method in {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}:
            self.said.append(json.dumps(heard["params"]))
        elif method == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {heard['params']['message']}")
        return heard


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A browser with a profile of its own.

    Raises:
        ChromiumUnavailable: none is installed.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise ChromiumUnavailable("no Chromium: install Debian's package chromium")
    heard_by_it, commands = os.pipe()
    answers, told_by_it = os.pipe()

    def at_three_and_four() -> None:
        first, second = os.dup(heard_by_it), os.dup(told_by_it)
        os.dup2(first, 3)
        os.dup2(second, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [found, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=at_three_and_four,  # noqa: PLW1509 - descriptors 3 and 4 are its interface
        )
        os.close(heard_by_it)
        os.close(told_by_it)
        try:
            yield Chromium(commands, answers)
        finally:
            process.kill()
            process.wait()
            os.close(commands)
