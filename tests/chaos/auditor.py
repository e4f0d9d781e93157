"""The promises, checked from outside: what is in the topics, what is in the ledger, who said what.

Shares no code with the worker. What each record should come to is the generator's note of it; the
topics are read by a plain read-committed consumer, the ledger through the official client.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.chaos.workload import event_id
from tests.integration.cluster import Cluster, audit, read_ledger, refusals

PREFIXES = ("late: ", "redelivery: ")
NOTHING = ("ignored: ", "empty: ")
POISON = "poison: "
OFFSET_BITS = 40
ORIGIN = ("topic", "partition", "offset")


def check(
    cluster: Cluster, address: str, expected: Iterable[tuple[str, str]], *, replayed: bool
) -> dict[str, int]:
    """Every promise that can be seen from outside; what was counted.

    expected: event id (empty where the record cannot be read) and note of every record. replayed:
    everything was read again at the end. Raises AssertionError with what is wrong.
    """
    transfers, announced = audit(cluster, address)
    told = {int(one["transfer_id"], 16): one["event_id"] for one in cluster.posted()}
    posted = set(told.values())
    refused = {name for name, _ in refusals(cluster.read("rejected"), replayed=replayed)}
    waiting = {
        event_id(one.value()) for name in ("parked.1", "parked.2") for one in cluster.read(name)
    }
    dead = dead_places(cluster)
    in_order(
        read_ledger(address)[1], {number for number, event in told.items() if event in waiting}
    )
    assert not posted & refused, f"posted and rejected: {sorted(posted & refused)[:3]}"
    poison: Counter[str] = Counter()
    for number, note in expected:
        what = plain(note)
        if what.startswith(POISON):
            poison[what.removeprefix(POISON)] += 1
        elif not what.startswith(NOTHING):
            assert number in posted | refused | waiting, f"{number} ({note}) came to nothing"
    assert Counter(dead.values()) == poison, f"dead letters: {Counter(dead.values())}, not {poison}"
    return {
        "transfers": transfers,
        "announced": announced,
        "rejected": len(refused),
        "dead": len(dead),
        "parked": len(waiting - posted - refused),
    }


def announced(cluster: Cluster) -> dict[int, list[str]]:
    """The outbox's transfer ids by partition, in order."""
    told: defaultdict[int, list[str]] = defaultdict(list)
    for one in cluster.read("posted"):
        told[one.partition() or 0].append(json.loads(one.value() or b"")["transfer_id"])
    return dict(told)


def read_all(told: Mapping[int, Sequence[str]], seen: Mapping[int, Sequence[str]]) -> None:
    """A reader that was killed and restarted has seen each announcement, in each partition's order.

    told: what was announced, by partition: `check` has compared it with the ledger. seen: what the
    reader saw; what it read twice counts once.
    """
    for partition in sorted({*told, *seen}):
        wanted, found = list(told.get(partition, ())), list(seen.get(partition, ()))
        missing, extra = set(wanted) - set(found), set(found) - set(wanted)
        assert not missing, f"the reader missed {len(missing)} of partition {partition}"
        assert not extra, f"the reader saw {len(extra)} of partition {partition} that nobody told"
        assert found == wanted, f"the reader saw partition {partition} in another order"


def plain(note: str) -> str:
    """A note without what came of its record on the way."""
    for prefix in PREFIXES:
        note = note.removeprefix(prefix)
    return note


def dead_places(cluster: Cluster) -> dict[tuple[str, ...], str]:
    """Why each record is dead, by where it was; one that was told twice counts once."""
    found = {}
    for one in cluster.read("dead"):
        headers: dict[str, Any] = dict(one.headers() or ())
        place = tuple(headers[f"__connect.errors.{part}"].decode() for part in ORIGIN)
        found[place] = headers["ledger_worker.reason"].decode()
    return found


def in_order(transfers: Iterable[Any], parked: set[int]) -> None:
    """Promise 6: of one partition's transfers, a later offset has a later ledger timestamp.

    parked: transfers of events that were parked, which are out of the order.
    """
    stamps: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for one in transfers:
        if one.id not in parked:
            base, offset = divmod(one.user_data_64, 1 << OFFSET_BITS)
            stamps[base].setdefault(offset, one.timestamp)
    for offsets in stamps.values():
        times = [offsets[offset] for offset in sorted(offsets)]
        assert times == sorted(times), "a partition's events were posted out of order"
