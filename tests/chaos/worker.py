"""`ledger-worker` with a failure point, and where there is no server with a ledger in its place."""

from __future__ import annotations

import os
import sys
from typing import Any

from tests.chaos import points
from tests.servers.served import ServedLedger
from worker.commands.cli import main
from worker.jobs.live import compose

SERVED = "CHAOS_SERVED"
"""Set where the embedded ledger stands in for a server."""


def _open_served(*, addresses: str, cluster_id: int, **_: Any) -> ServedLedger:
    return ServedLedger(addresses, cluster_id)


if __name__ == "__main__":
    if os.environ.get(SERVED):
        vars(compose)["open_ledger"] = _open_served
    if hit := os.environ.get(points.VARIABLE):
        points.set_up(hit)
    sys.exit(main(sys.argv[1:]))
