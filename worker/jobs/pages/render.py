"""Makes HTML from templates: whatever comes from data is shown as text, and runs nowhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker.core.visible import visible
from worker.jobs.reconcile import grouped as amounts

FOLDER: Final = Path(__file__).parent / "templates"


def render(template: str, **shown: Any) -> str:  # noqa: ANN401 - whatever a template shows
    """A whole page."""
    return _environment().get_template(template).render(**shown)


def grouped(amount: str) -> str:
    """As in the commands' tables, with a true minus: `−1,234.50`."""
    return amounts.grouped(amount).replace("-", "−")


def link(path: str, **query: str) -> str:
    """An address of ours; what is empty is left out."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given, errors='surrogatepass')}" if given else path


def _shown(value: object) -> object:
    """A text that is put into a page: what a browser would obey or hide is written out."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["grouped"] = grouped
    made.globals["link"] = link
    return made
