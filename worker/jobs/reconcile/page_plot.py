"""Differences by day or month as an inline SVG, with an axis of time and one of counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from html import escape
from typing import Final

DAYS_MAX: Final = 62
"""Beyond so many days the bars are months."""

WIDTH: Final = 900
HEIGHT: Final = 150
LEFT: Final = 50
TOP: Final = 14
LABELS_MAX: Final = 12


def plot(days: Mapping[str, int]) -> Iterator[str]:
    """The picture. days: ISO dates (UTC) and how many differences each has."""
    bars = _bars(days)
    most = max(bars.values())
    step = (WIDTH - LEFT) / len(bars)
    yield f'<svg viewBox="0 0 {WIDTH} {TOP + HEIGHT + 30}" width="{WIDTH}" role="img"'
    yield ' aria-label="Differences by day, UTC">\n'
    for share in (0, 0.5, 1):
        level = TOP + HEIGHT * (1 - share)
        yield f'<line x1="{LEFT}" x2="{WIDTH}" y1="{level:.0f}" y2="{level:.0f}"'
        yield ' stroke="currentColor" stroke-opacity=".25"/>\n'
        yield f'<text x="{LEFT - 6}" y="{level + 4:.0f}" text-anchor="end">'
        yield f"{_count(most * share)}</text>\n"
    every = -(-len(bars) // LABELS_MAX)
    for number, (name, count) in enumerate(bars.items()):
        left = LEFT + number * step
        tall = count * HEIGHT / most
        if count:
            yield f'<rect x="{left + step * 0.1:.1f}" y="{TOP + HEIGHT - tall:.1f}"'
            yield f' width="{step * 0.8:.1f}" height="{max(tall, 1.5):.1f}" fill="var(--bad)">'
            yield f"<title>{escape(name)}: {count:,}</title></rect>\n"
        if number % every == 0:
            yield f'<text x="{left + step / 2:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">'
            yield f"{escape(name)}</text>\n"
    yield "</svg>\n"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _bars(days: Mapping[str, int]) -> dict[str, int]:
    """Every day from the first to the last, or every month that has any."""
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    span = (last - first).days + 1
    if span <= DAYS_MAX:
        every = (first + timedelta(number) for number in range(span))
        return {day.isoformat(): days.get(day.isoformat(), 0) for day in every}
    months: dict[str, int] = {}
    for day, count in sorted(days.items()):
        months[day[:7]] = months.get(day[:7], 0) + count
    return months
