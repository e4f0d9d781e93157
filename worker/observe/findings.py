"""One finding of `doctor`: what was checked, its result, and what to do. Never shows a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONFIGURATION: Final = 2
DEPENDENCY: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding.

    name: what was checked, a few words.
    detail: the result, one sentence.
    advice: what to do, one sentence; empty when nothing.
    exit_code: of `doctor` when this is not ok: CONFIGURATION or DEPENDENCY.
    """

    name: str
    ok: bool
    detail: str
    advice: str = ""
    exit_code: int = DEPENDENCY
