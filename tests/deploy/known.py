"""What documents, chart and compose may name: the worker's own settings and commands."""

from __future__ import annotations

from worker.commands.cli import COMMANDS
from worker.config.settings import setting_keys, variable

ARRIVING: set[str] = set()
"""Commands that runbooks, jobs and the rulebook's page name already, and that are being built."""


def known_variables() -> set[str]:
    """Every variable that the settings have, and those that name files."""
    plain = {variable(key) for key in setting_keys()}
    return plain | {f"{name}_FILE" for name in plain if "__" in name}


def known_commands() -> set[str]:
    """Every command of the command line, and those on their way."""
    return set(COMMANDS) | ARRIVING
