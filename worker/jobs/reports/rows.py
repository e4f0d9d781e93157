"""Accounts and transfers as flat rows, of an export and as JSON: the ledger's fields, named.

Numbers over 64 bits are text (ids in hex, amounts in minor units), so that no reader rounds them.
"""

from __future__ import annotations

from typing import Final

from worker.codecs.outbox_fields import expiry, fact_seconds
from worker.core.ids import hex_id
from worker.core.iso_times import iso_second, iso_time
from worker.core.ports import RecordPosition
from worker.core.wire import Account, Transfer, transfer_kind
from worker.ledger.books import NamedLedger

ExportRow = dict[str, str | int]

TEXT: Final = "text"
NUMBER: Final = "number"

TRANSFER_COLUMNS: Final = {
    "transfer_id": TEXT,
    "debit_account_id": TEXT,
    "debit_account": TEXT,
    "debit_key": TEXT,
    "credit_account_id": TEXT,
    "credit_account": TEXT,
    "credit_key": TEXT,
    "amount": TEXT,
    "currency": TEXT,
    "scale": NUMBER,
    "ledger": NUMBER,
    "code": NUMBER,
    "flags": NUMBER,
    "kind": TEXT,
    "pending_id": TEXT,
    "timeout": NUMBER,
    "key_hash": TEXT,
    "position": TEXT,
    "leg_number": NUMBER,
    "leg_count": NUMBER,
    "posted_at": TEXT,
    "ledger_timestamp": TEXT,
    "fact_at": TEXT,
    "topic": TEXT,
    "partition": NUMBER,
    "offset": NUMBER,
    "expires_at": TEXT,
}
ACCOUNT_COLUMNS: Final = {
    "account_id": TEXT,
    "account": TEXT,
    "key": TEXT,
    "currency": TEXT,
    "scale": NUMBER,
    "ledger": NUMBER,
    "code": NUMBER,
    "flags": NUMBER,
    "debits_posted": TEXT,
    "credits_posted": TEXT,
    "debits_pending": TEXT,
    "credits_pending": TEXT,
    "opened_at": TEXT,
    "ledger_timestamp": TEXT,
}
COLUMNS: Final = {"transfers": TRANSFER_COLUMNS, "accounts": ACCOUNT_COLUMNS}


def transfer_fields(books: NamedLedger, transfers: list[Transfer]) -> list[ExportRow]:
    """Transfers with the names of their accounts."""
    ids = {transfer.debit_account_id for transfer in transfers} | {
        transfer.credit_account_id for transfer in transfers
    }
    names = books.names(ids)
    rows: list[ExportRow] = []
    for transfer in transfers:
        currency, scale = books.currency(transfer.ledger)
        debit, credit = names[transfer.debit_account_id], names[transfer.credit_account_id]
        row: ExportRow = {
            "transfer_id": hex_id(transfer.id),
            "debit_account_id": hex_id(transfer.debit_account_id),
            "debit_account": debit.name,
            "debit_key": debit.key,
            "credit_account_id": hex_id(transfer.credit_account_id),
            "credit_account": credit.name,
            "credit_key": credit.key,
            "amount": str(transfer.amount),
            "currency": currency,
            "scale": scale,
            "ledger": transfer.ledger,
            "code": transfer.code,
            "flags": transfer.flags,
            "kind": transfer_kind(transfer.flags),
            "pending_id": hex_id(transfer.pending_id) if transfer.pending_id else "",
            "timeout": transfer.timeout,
            "key_hash": hex_id(transfer.user_data_128),
            "position": str(transfer.user_data_64),
            "leg_number": transfer.user_data_32 >> 16,
            "leg_count": transfer.user_data_32 & 0xFFFF,
            "posted_at": iso_time(transfer.timestamp),
            "ledger_timestamp": str(transfer.timestamp),
            "fact_at": iso_second(fact_seconds(transfer.id)),
            **_source_fields(books.named_position(transfer.user_data_64)),
            "expires_at": expiry(transfer) if transfer.timeout else "",
        }
        rows.append(row)
    return rows


def _source_fields(position: RecordPosition | None) -> ExportRow:
    """The record that posted a transfer; none where its group or topic is not ours."""
    topic, partition, offset = position or ("", -1, -1)
    return {"topic": topic, "partition": partition, "offset": offset}


def account_fields(books: NamedLedger, accounts: list[Account]) -> list[ExportRow]:
    """Accounts with their names and balances."""
    rows: list[ExportRow] = []
    for account in accounts:
        named = books.name(account)
        currency, scale = books.currency(account.ledger)
        row: ExportRow = {
            "account_id": hex_id(account.id),
            "account": named.name,
            "key": named.key,
            "currency": currency,
            "scale": scale,
            "ledger": account.ledger,
            "code": account.code,
            "flags": account.flags,
            "debits_posted": str(account.debits_posted),
            "credits_posted": str(account.credits_posted),
            "debits_pending": str(account.debits_pending),
            "credits_pending": str(account.credits_pending),
            "opened_at": iso_time(account.timestamp),
            "ledger_timestamp": str(account.timestamp),
        }
        rows.append(row)
    return rows
