"""What the benchmarks found, as text and as one self-contained SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from bench.contenders import Figures

LEGS = 2
WIDTH, ROW, LABEL = 760, 26, 210


def show(medians: Mapping[str, Figures], ratios: Mapping[str, float]) -> None:
    """The contest as a table."""
    print(f"\n{'':<22}{'events/s':>10}{'transfers/s':>13}{'CPU µs/event':>14}{'peak MiB':>10}")
    for name, one in sorted(medians.items()):
        speed = one["events_per_second"]
        print(
            f"{name:<22}{speed:>10,.0f}{speed * LEGS:>13,.0f}"
            f"{one['cpu_us_per_event']:>14.1f}{one['peak_mib']:>10.0f}"
        )
    print()
    for told, ratio in ratios.items():
        print(f"{told:<44}{ratio:>6.2f}")


def show_stages(medians: Mapping[str, Figures]) -> None:
    """CPU µs per event by stage, a column for each way the worker ran."""
    ran = {name: one for name, one in medians.items() if "stages_us" in one}
    workers = {name: one["stages_us"] for name, one in ran.items()}
    stages = next(iter(workers.values()))
    print(f"\nCPU µs/event by stage{''.join(f'{name:>22}' for name in workers)}")
    for stage in sorted(stages, key=lambda one: -stages[one]):
        print(f"{stage:<21}" + "".join(f"{one[stage]:>22.1f}" for one in workers.values()))
    print(f"{'events in a batch':<21}", end="")
    print("".join(f"{one['events_per_batch']:>22,.0f}" for one in ran.values()) + "\n")


def plot(found: Mapping[str, Any]) -> str:
    """Bars: events/s and CPU of the contest, then whatever else was measured."""
    charts = []
    if medians := found.get("medians"):
        for key, told in (("events_per_second", "events/s"), ("cpu_us_per_event", "CPU µs/event")):
            charts.append((told, {name: one[key] for name, one in sorted(medians.items())}))
        stages = medians["d worker"]["stages_us"]
        charts.append(("worker, CPU µs/event by stage", stages))
    more = [
        (name, found[name]) for name in ("latency", "scaling", "storage", "pair") if name in found
    ]
    charts += [(f"{name}: {one['unit']}", one["bars"]) for name, one in more]
    parts, top = [], 10
    for title, bars in charts:
        parts.append(_chart(title, bars, top))
        top += ROW * (len(bars) + 2)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}"'
        f' font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _chart(title: str, bars: Mapping[str, float], top: int) -> str:
    most = max(*bars.values(), 1e-9)
    drawn = [f'<text x="10" y="{top + 16}" font-weight="bold">{escape(title)}</text>']
    for number, (name, value) in enumerate(bars.items(), start=1):
        y = top + ROW * number
        long = max(value, 0.0) / most * (WIDTH - LABEL - 90)
        drawn.append(f'<text x="10" y="{y + 16}">{escape(name)}</text>')
        drawn.append(
            f'<rect x="{LABEL}" y="{y + 3}" width="{long:.1f}" height="18" fill="#4878a8"/>'
        )
        drawn.append(f'<text x="{LABEL + long + 6:.1f}" y="{y + 16}">{_told(value)}</text>')
    return "".join(drawn)


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
