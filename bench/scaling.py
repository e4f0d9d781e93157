"""How the worker's cost per event grows with the backlog, the wallets, the rules and the ledger.

The wallets are opened by the events that name them. Every run adds to the same ledger; the last is
of the first kind again, on what the ledger holds by then, in transfers.
"""

from __future__ import annotations

from typing import Any

from bench.contenders import Bench, Figures
from bench.report import LEGS

BACKLOGS = (10_000, 100_000, 1_000_000)
WALLETS = (1_000, 100_000, 1_000_000)
RULES = (1, 50, 500)
MEMORY_MIB_MAX = 400


def measure(bench: Bench) -> dict[str, Any]:
    """CPU per event and memory, from 1e4 to 1e6 events, 1e3 to 1e6 wallets, 1 to 500 rules."""
    ran: dict[str, Figures] = {}
    for events in BACKLOGS:
        ran[f"{events:,} events"] = bench.worker(topic=bench.topic(events=events))
    for wallets in WALLETS:
        events = max(wallets, bench.events)
        topic = bench.topic(events=events, customers=wallets)
        ran[f"{events:,} events, {wallets:,} wallets"] = bench.worker(topic=topic)
    for rules in RULES:
        ran[f"{rules} rules"] = bench.worker(topic=bench.topic(), rules=rules)
    held = int(LEGS * sum(one["events"] for one in ran.values()))
    ran[f"{bench.events:,} events, ledger of {held:,}"] = bench.worker(topic=bench.topic())
    print(f"\n{'':<40}{'events/s':>10}{'CPU µs/event':>14}{'peak MiB':>10}")
    for name, one in ran.items():
        speed, cpu = one["events_per_second"], one["cpu_us_per_event"]
        print(f"{name:<40}{speed:>10,.0f}{cpu:>14.1f}{one['peak_mib']:>10.0f}")
    peak = max(one["peak_mib"] for one in ran.values())
    within = "within" if peak < MEMORY_MIB_MAX else "ABOVE"
    print(f"memory stays {within} {MEMORY_MIB_MAX} MiB: at most {peak:.0f}")
    bars = {name: one["cpu_us_per_event"] for name, one in ran.items()}
    return {"ran": ran, "unit": "CPU µs/event", "bars": bars}
