"""The build of the package: plain Python or, with WORKER_COMPILED=1, its hot modules as C.

The invariant: both kinds come from the same sources and pass the same tests; pyproject.toml says
everything else. mypyc compiles what every event goes through; the loop itself, and whatever talks
to the world, stay as they are. Needs a C compiler and mypy: the extra `build`.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup

COMPILED = (
    "worker/core/*.py",
    "worker/core/expressions/*.py",
    "worker/codecs/*.py",
    "worker/stages/post/*.py",
    "worker/stages/batch.py",
    "worker/observe/batch_observer.py",
    "worker/stages/partitions.py",
    "worker/stages/commits.py",
    "worker/stages/opening.py",
    "worker/stages/parking.py",
    "worker/stages/seek_check.py",
    "worker/stages/decode.py",
    "worker/stages/priority.py",
    "worker/stages/time_order.py",
    "worker/stages/announce.py",
)


def modules() -> list[str]:
    """The files to compile, in order: the order is part of what makes a build the same again."""
    root = Path(__file__).parent
    found = {path for pattern in COMPILED for path in root.glob(pattern)}
    return [str(path.relative_to(root)) for path in sorted(found) if path.name != "__init__.py"]


if os.environ.get("WORKER_COMPILED"):
    from mypyc.build import mypycify

    setup(ext_modules=mypycify(modules(), opt_level="3", debug_level="0"))
else:
    setup()
