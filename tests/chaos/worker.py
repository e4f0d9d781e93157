"""`ledger-worker` with a failure point."""

from __future__ import annotations

import os
import sys

from tests.chaos import points
from worker.cli import main

if __name__ == "__main__":
    if hit := os.environ.get(points.VARIABLE):
        points.set_up(hit)
    sys.exit(main(sys.argv[1:]))
