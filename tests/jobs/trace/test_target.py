"""What an argument of `trace` names, and the facts that it may be."""

from __future__ import annotations

import pytest

from worker.core.errors import UsageError
from worker.core.ids import fact_tag
from worker.jobs.trace.search import forms_of
from worker.jobs.trace.target import parse_target, tags
from worker.rulebooks.load import PACKAGED, load

HEX = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "position", "transfer_id"),
    [
        ("evt_1", None, None),
        ("stripe.payments/3@17", ("stripe.payments", 3, 17), None),
        ("stripe.payments/3", None, None),
        ("bt/txn_1", None, None),
        (HEX, None, int(HEX, 16)),
        (HEX.upper(), None, int(HEX, 16)),
        (HEX[1:], None, None),
        ("a/1@" + "9" * 19, None, None),  # no offset is that large
    ],
)
def test_kinds(text: str, position: tuple[str, int, int] | None, transfer_id: int | None) -> None:
    """A position, a transfer's id, or an id of any other kind."""
    found = parse_target(f" {text}\n")
    assert (found.text, found.position, found.transfer_id) == (text, position, transfer_id)


def test_an_id_that_is_no_text() -> None:
    """A shell can give bytes that are none; no record can have them."""
    with pytest.raises(UsageError, match="not UTF-8"):
        parse_target("evt_\udcff")


def test_an_id_is_found_as_json_writes_it() -> None:
    """Plain as in Avro, and with quotes, controls and other letters as JSON escapes them."""
    assert forms_of("evt_1") == {b"evt_1"}
    assert forms_of('é"') == {'é"'.encode(), rb"\u00e9\"", 'é\\"'.encode()}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("evt_1", "event/evt_1"),
        ("ch_1", "charge/ch_1"),
        ("re_1", "refund/re_1"),
        ("txn_1", "settled/txn_1"),
        ("bt/txn_1", "settled/txn_1"),
        ("po_1", "payout_paid/po_1"),
        ("cmd_1", "event/cmd_1"),
    ],
)
def test_facts(text: str, key: str) -> None:
    """Every id leads to the key under which the packaged rulebook books it; each tag comes once."""
    found = tags(load(PACKAGED), [text, text])
    assert fact_tag(key) in found
    assert len(found) == len(set(found))
