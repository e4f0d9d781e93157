"""docs/producers.md as records: each line of the rulebook, and the record below it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from worker.core.ports import Headers

PAGE = Path(__file__).parents[2] / "docs" / "producers.md"
RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
topics:
  TOPICS
accounts:
  stripe_clearing: {code: 1100, type: asset}
  customer_wallet: {code: 2001, type: liability, per: customer}
transactions:
  charge:
    on: charge.succeeded
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      gross:
        debit: stripe_clearing
        credit: customer_wallet[data.object.customer]
        amount: data.object.amount
        code: 1
"""


class Example(NamedTuple):
    """A line of the page, of the role `payments`, and its record."""

    section: str
    line: str
    headers: Headers
    value: bytes


def examples() -> list[Example]:
    """Every record of the page, in order."""
    found = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        line, headers = "", list[tuple[str, bytes | None]]()
        for kind, text in blocks:
            if kind == "yaml":
                line, headers = text.strip(), []
            elif kind == "headers":
                pairs = (each.split(": ", 1) for each in text.splitlines())
                headers = [(name, value.encode()) for name, value in pairs]
            elif kind == "json":
                found.append(Example(section.splitlines()[0], line, headers, text.encode()))
    return found


def rules_text(*lines: str) -> str:
    """A rulebook whose topics are these lines."""
    return RULES.replace("TOPICS", "\n  ".join(lines))
