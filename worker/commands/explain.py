"""`explain`: the chain that the worker would make of one event, without posting it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.commands.explain_text import lines
from worker.commands.options import add_json
from worker.core.chain import AccountRef, Chain, Leg
from worker.core.event import Dead, Event, Skipped
from worker.core.ids import hex_id
from worker.core.iso_times import iso_second
from worker.core.money import major_units
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.core.wire import AMOUNT_MAX
from worker.jobs.text_tables import write_result
from worker.jobs.trace.rules import considered, ignored_by
from worker.rulebooks.load import load

if TYPE_CHECKING:
    from worker.commands.explain_ledger import ExplainLedger
    from worker.config.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "event",
        metavar="EVENT.json",
        help="the record's file, - for stdin, or topic/partition@offset of one in Kafka",
    )
    parser.add_argument(
        "--rulebook", type=Path, metavar="FILE", help="instead of the one that is set"
    )
    parser.add_argument("--role", help="the role of the topic it comes on, where that is not clear")
    parser.add_argument("--attempt", type=int, default=0, choices=range(8), help=argparse.SUPPRESS)
    parser.add_argument(
        "--balances",
        action="store_true",
        help="ask the ledger: the accounts of an origin, and what each account holds now",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Explain one event; 0 whatever becomes of it."""
    from worker.commands.explain_record import asked_record, read_record  # noqa: PLC0415 - the same
    from worker.config.settings import load_settings  # noqa: PLC0415 - keeps --help quick
    from worker.config.translator import translator_of  # noqa: PLC0415 - the same
    from worker.kafka.registry import open_decoder  # noqa: PLC0415 - the same
    from worker.stages.decode import EventReader  # noqa: PLC0415 - the same

    settings = load_settings(getattr(arguments, "config", None))
    rulebook = load(arguments.rulebook or settings.rulebook)
    translator = translator_of(settings, rulebook)
    reader = EventReader(open_decoder(settings), translator, settings.topics.inputs)
    asked = asked_record(arguments.event, settings)
    event, role = read_record(asked, reader, rulebook, arguments.role)
    if isinstance(event, Dead):
        found = {"outcome": "dead", **_dead(event)}
    else:
        with _opened_ledger(settings, translator, wanted=arguments.balances) as ledger:
            found = explain(translator, event, role=role, attempt=arguments.attempt, ledger=ledger)
    if found["outcome"] == "dead":
        found["fits"] = reader.fitting(asked.record, role)
    write_result(found, lines(found), as_json=arguments.json, indent=2)
    return 0


@contextmanager
def _opened_ledger(
    settings: Settings, translator: Translator, *, wanted: bool
) -> Iterator[ExplainLedger | None]:
    """The ledger that the settings name, when it is needed."""
    if not wanted:
        yield None
        return
    from worker.commands.explain_ledger import ExplainLedger  # noqa: PLC0415 - where it is needed
    from worker.ledger.open import opened_ledger  # noqa: PLC0415 - the same

    with opened_ledger(settings.ledger) as ledger:
        yield ExplainLedger(ledger, translator)


def explain(
    translator: Translator,
    event: Event,
    *,
    role: str,
    attempt: int = 0,
    ledger: ExplainLedger | None = None,
) -> dict[str, Any]:
    """What becomes of an event, and why, as plain values for people and for JSON.

    ledger: to fill in the accounts of an origin and to show balances.
    """
    made = translator.translate(event, role=role, attempt=attempt)
    if ledger is not None and isinstance(made, Chain):
        made = ledger.resolve(made)
    found: dict[str, Any] = {
        "event": {"id": event.id, "type": event.type, "created": iso_second(event.created)},
        "role": role,
        "rules": [
            {"transaction": name, "verdict": verdict}
            for name, verdict in considered(translator.rulebook, event)
        ],
        "transactions": len(translator.rulebook.transactions),
    }
    if isinstance(made, Dead):
        return {**found, "outcome": "dead", **_dead(made)}
    if isinstance(made, Skipped):
        ignored = ignored_by(translator.rulebook, event) if made.outcome == "ignored" else ""
        return {**found, "outcome": made.outcome, "ignored_by": ignored}
    result = {**found, "outcome": "posts", **_chain(translator.rulebook, made)}
    if ledger is not None:
        result["in_ledger"] = ledger.posted(made)
        _show_balances(translator.rulebook, made, result["legs"], ledger)
    return result


def _show_balances(
    rulebook: Rulebook, chain: Chain, legs: list[dict[str, Any]], ledger: ExplainLedger
) -> None:
    """Put each account's balance beside it."""
    from worker.commands.explain_ledger import balance  # noqa: PLC0415 - where it is needed

    accounts = ledger.accounts(chain)
    for leg, shown in zip(chain.legs, legs, strict=True):
        for side, ref in (("debit", leg.debit), ("credit", leg.credit)):
            if ref is not None:
                found = balance(rulebook, ref, accounts.get(ref.id), leg.currency)
                shown[side]["balance"] = None if found is None else found._asdict()


def _dead(dead: Dead) -> dict[str, Any]:
    return {"reason": str(dead.reason), "detail": dead.detail}


def _chain(rulebook: Rulebook, chain: Chain) -> dict[str, Any]:
    (rule,) = (each for each in rulebook.transactions if each.name == chain.transaction)
    reserved = {
        leg.name: f"{leg.pending.transaction}.{leg.pending.leg}" for leg in rule.legs if leg.pending
    }
    suspense = {leg.suspense.use.text: None for leg in rule.legs if leg.suspense}
    return {
        "transaction": chain.transaction,
        "key": chain.key,
        "user_data_128": hex_id(chain.tag),
        "attempt": chain.attempt,
        "sync": chain.sync,
        "waits_for": _waits_for(chain),
        "if_closed": list(suspense) if chain.suspends else [],
        "alert": chain.alert,
        "legs": [
            _leg(number, leg, reserved.get(leg.spec.leg, ""))
            for number, leg in enumerate(chain.legs)
        ],
    }


def _waits_for(chain: Chain) -> list[dict[str, Any]]:
    """The earlier chains that must be in the ledger, or may be, by transaction and tag."""
    if chain.needs is None:
        return []
    return [
        {
            "as": name,
            "optional": need.optional,
            "or_nothing": need.or_nothing,
            "transaction": sought.transaction,
            "user_data_128": hex_id(sought.tag),
        }
        for name, need in (("origin", chain.needs.origin), ("after", chain.needs.after))
        if need is not None
        for sought in need.sought
    ]


def _leg(number: int, leg: Leg, reserved: str) -> dict[str, Any]:
    currency = leg.currency
    return {
        "number": number,
        "leg": leg.spec.name,
        "kind": leg.spec.kind,
        "id": hex_id(leg.id),
        "reserved_by": reserved,
        "pending_ids": [hex_id(each) for each in leg.pending_ids],
        "debit": _account(leg.debit),
        "credit": _account(leg.credit),
        "amount": str(leg.amount),
        "major_amount": _major(leg),
        "currency": currency.name,
        "ledger": currency.ledger,
        "code": leg.spec.code,
        "flags": leg.spec.flags,
        "timeout": leg.spec.timeout,
    }


def _major(leg: Leg) -> str:
    if leg.pending_ids and leg.amount in (0, AMOUNT_MAX):
        return f"all {leg.currency.name.upper()}"
    return f"{major_units(leg.amount, leg.currency.scale)} {leg.currency.name.upper()}"


def _account(ref: AccountRef | None) -> dict[str, str] | None:
    if ref is None:
        return None
    return {"name": ref.name, "key": ref.key, "id": hex_id(ref.id) if ref.id >= 0 else ""}
