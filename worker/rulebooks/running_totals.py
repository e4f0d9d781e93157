"""`total:` of a leg: the member of a family that notes how much was told so far."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from worker.core.rulebook import CONTROL, AccountUse, DeclaredAccount, RunningTotal
from worker.rulebooks.fields import YamlMapping, near
from worker.rulebooks.sections import LIMITS

MEMBER: Final = re.compile(r"\s*(\w+)\s*\[(.*)\]\s*", re.DOTALL)
COUNTER: Final = "/counter"
"""Behind the key of the account that mirrors the noted total."""


def read_total(
    fields: YamlMapping, accounts: Mapping[str, DeclaredAccount], loops: Sequence[str]
) -> RunningTotal | None:
    """`total: FAMILY[key]`; None where it is missing or wrong."""
    text = fields.text("total")
    if not text:
        return None
    needed_control("total", fields, accounts)
    match = MEMBER.fullmatch(text)
    family = accounts.get(match[1]) if match else None
    if match is None or family is None or not family.per or family.flags & LIMITS:
        hint = near(match[1], accounts) if match and family is None else ""
        fields.wrong("total", f"`total` needs a member of a family without limits{hint}")
        return None
    noted = fields.compiled("total", match[2], loops=loops)
    counter = fields.compiled("total", f'({match[2]}) + "{COUNTER}"', loops=loops)
    if noted is None or counter is None:
        return None
    return RunningTotal(AccountUse(family, noted), AccountUse(family, counter))


def needed_control(
    key: str, fields: YamlMapping, accounts: Mapping[str, DeclaredAccount]
) -> DeclaredAccount | None:
    """The account that a leg with this option passes through; a mistake where there is none."""
    control = accounts.get(CONTROL)
    if control is None or control.per or control.flags & LIMITS:
        fields.wrong(key, f"`{key}` needs an account {CONTROL}, without per and limits")
    return control
