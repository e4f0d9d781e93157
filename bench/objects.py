"""The official client's objects, in batches or one event at a time: how one begins.

The straight-line loop, but with `Transfer` objects; a batch of 1 waits for the ledger and for
Kafka's transaction after every event.

Usage: python -m bench.objects BATCH SERVERS LEDGER TOPIC OUTBOX GROUP EVENTS
"""

from __future__ import annotations

import sys
from typing import Any

import tigerbeetle as tb

from bench.loop import Loop
from bench.straight import RuleByHand, read
from worker.core.ids import fact_tag, field, transfer_id


def transfers(books: RuleByHand, event: Any, position: int) -> list[tb.Transfer]:  # noqa: ANN401
    """What `Books.pack` packs, as objects."""
    charge, key = event["data"]["object"], f"event/{event['id']}"
    wallet, tag = books.wallet_of(charge["customer"]), fact_tag(key)
    sides = ((books.clearing, wallet), (wallet, books.clearing))
    amounts = (charge["amount"], charge["amount"] // 10)
    return [
        tb.Transfer(
            id=transfer_id(
                time_ms=event["created"] * 1000, key_field=field(key), suffix=books.suffixes[number]
            ),
            debit_account_id=debit,
            credit_account_id=credit,
            amount=amounts[number],
            user_data_128=tag,
            user_data_64=position,
            user_data_32=number << 16 | 2,
            ledger=840,
            code=number + 1,
            flags=tb.TransferFlags.NONE if number else tb.TransferFlags.LINKED,
        )
        for number, (debit, credit) in enumerate(sides)
    ]


def main() -> None:
    size = int(sys.argv[1])
    loop = Loop.from_arguments(sys.argv[2:])
    books, known = RuleByHand(loop.group), set[int]()
    with tb.ClientSync(cluster_id=0, replica_addresses=loop.ledger) as client:
        for messages in loop.batches(size):
            events = read(message.value() for message in messages)
            if fresh := books.accounts(events, known):
                client.create_accounts(
                    [tb.Account(id=one.id, ledger=one.ledger, code=one.code) for one in fresh]
                )
            made = [
                transfers(books, event, loop.position(message))
                for event, message in zip(events, messages, strict=True)
            ]
            stamps = iter(client.create_transfers([leg for legs in made for leg in legs]))
            loop.begin()
            for event, message, legs in zip(events, messages, made, strict=True):
                for number, leg in enumerate(legs):
                    told = books.record(
                        event,
                        number=number,
                        leg_id=leg.id,
                        stamp=next(stamps).timestamp,
                        position=loop.position(message),
                    )
                    loop.produce(*books.announcement(told))
            loop.commit(messages)
        loop.report()


if __name__ == "__main__":
    main()
