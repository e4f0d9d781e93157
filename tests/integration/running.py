"""A worker process that a test watches: its log as it comes, its probes, its place in the group.

The invariant: every wait for it has a limit.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.integration.cluster import Cluster
from tests.servers.groups import group_now

SECONDS_MAX = 300
PROBE_SECONDS_MAX = 30
LOOK_SECONDS = 0.1


class Running:
    """One process of `ledger-worker run`. more: variables over the cluster's."""

    def __init__(self, cluster: Cluster, group: str, **more: str) -> None:
        self._cluster = cluster
        self._group = cluster.environment(group)["LEDGER_WORKER_KAFKA__GROUP_ID"]
        self.process = cluster.start(group, "run", "--json", **more)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines until now."""
        return [json.loads(one) for one in self._said() if one.startswith("{")]

    @property
    def sentences(self) -> list[str]:
        """What it said in plain words."""
        return [one for one in self._said() if not one.startswith("{")]

    def _said(self) -> list[str]:
        whole, _, _ = self.process.said().decode(errors="replace").rpartition("\n")
        return whole.splitlines()

    def told(self, event: str) -> dict[str, Any]:
        """The first log line of this name, when it has come."""
        found = self.until(lambda: [one for one in self.log if one["event"] == event])
        return dict(found[0])

    def until(self, found: Callable[[], Any]) -> Any:
        """Wait until this is true, and give it, while the process lives."""
        deadline = time.monotonic() + SECONDS_MAX
        while not (answer := found()):
            assert self.process.poll() is None, self._trouble()
            assert time.monotonic() < deadline, self._trouble()
            time.sleep(LOOK_SECONDS)
        return answer

    def _trouble(self) -> str:
        return f"exit code {self.process.poll()}: {self._said()[-8:]}"

    def probe(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and the figures of /livez or /readyz."""
        address = f"http://127.0.0.1:{self.told('http_listening')['port']}{path}"
        try:
            with urllib.request.urlopen(address, timeout=PROBE_SECONDS_MAX) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def is_ready(self, *, ready: bool = True) -> None:
        """Wait until /readyz says so."""
        wanted = 200 if ready else 503
        self.until(lambda: self.probe("/readyz")[0] == wanted)

    def members(self) -> list[str]:
        """The ids of its group's members, as the coordinator has them."""
        group = group_now(self._cluster.bootstrap_servers, self._group)
        return [one.member_id for one in group.members]

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(SECONDS_MAX)

    def kill(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.wait()
