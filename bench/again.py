"""A topic once more, when the ledger holds everything already."""

from __future__ import annotations

from typing import Any

from bench.contenders import Bench, contend


def measure(bench: Bench) -> dict[str, Any]:
    """Replays where all exists: a new group, and `replay --apply`, beside the live worker."""
    topic, name = bench.topic(), bench.fresh("again")
    found = {
        "live": bench.worker(topic=topic, name=name),
        "a new group": bench.worker(
            topic=topic, name=name, settings={"LEDGER_WORKER_KAFKA__GROUP_ID": f"{name}_new"}
        ),
        "replay --apply": contend(
            ["bench.drain", "replay"], bench.settings(name, topic=topic, outbox="avro")
        ),
    }
    print(f"\n{'all exists':<18}{'events/s':>12}{'CPU µs/event':>14}{'peak MiB':>10}")
    for told, one in found.items():
        if one["events"] != bench.events:
            raise SystemExit(f"{told}: {one['events']} of {bench.events} events")
        speed, cpu, peak = (
            one[key] for key in ("events_per_second", "cpu_us_per_event", "peak_mib")
        )
        print(f"{told:<18}{speed:>12,.0f}{cpu:>14.1f}{peak:>10,.0f}")
    bars = {told: one["events_per_second"] for told, one in found.items()}
    return {"runs": found, "unit": "events/s", "bars": bars}
