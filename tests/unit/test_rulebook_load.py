"""The loader: valid files, and one message per mistake with file and line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from worker.core.errors import UsageError
from worker.core.wire import AccountFlags, TransferFlags
from worker.rulebooks import legs, origins, sections, transactions
from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.warnings import find_warnings

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(PACKAGED.with_name("rulebook.schema.json").read_text())
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "rulebook.md").read_text(), re.DOTALL)

BASE = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
  jpy: {id: 392, scale: 0}
topics:
  payments: {types: ["charge.*"]}
ignore:
  - customer.*
accounts:
  clearing: {code: 1100, type: asset}
  wallet: {code: 2001, type: liability, per: customer}
  owed: {code: 1300, type: asset, per: customer}
  by_payout: {code: 1400, type: asset, per: payout}
  shortfall_control: {code: 9900, type: liability}
transactions:
  charge:
    on: charge.succeeded
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      gross:
        debit: clearing
        credit: wallet[data.object.customer]
        amount: data.object.amount
        code: 1
  reserve:
    on: wallet.reserve
    currency: usd
    transfers:
      held:
        debit: wallet[data.object.customer]
        credit: clearing
        amount: data.object.amount
        pending: true
        code: 2
      each:
        for_each: data.object.parts
        debit: wallet[item.customer]
        credit: clearing
        amount: item.amount
        pending: true
        code: 3
  take:
    on: wallet.take
    currency: usd
    transfers:
      taken:
        post: {transaction: reserve, leg: held, key: data.object.event, time: data.object.created}
"""


def written(tmp_path: Path, text: str) -> Path:
    """A rulebook file."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return path


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What the loader says of a text, without the file's name."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(path)
    found = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in found)
    return [line.removeprefix(f"{path}:") for line in found]


def test_base_is_valid(tmp_path: Path) -> None:
    """The text that the tables below break is a rulebook."""
    book = load(written(tmp_path, BASE))
    assert [rule.name for rule in book.transactions] == ["charge", "reserve", "take"]
    assert book.ledgers["jpy"].scale == 0


LEG_LINE = 27
BROKEN = [
    # what stands there              what is put instead                  line  says
    ("version: 1", "version: 2", 1, "version 1"),
    ("version: 1\n", "", 1, "`version` is missing"),
    ("scale: 2", "scale: 2.5", 3, "whole number from 0 to 18"),
    ("id: 392", "id: 840", 4, "already ledger usd's"),
    ("id: 392", "id: 0", 4, "from 1 to 4294967295"),
    ("id: 392", "id: true", 4, "from 1 to 4294967295"),
    ("jpy: {id: 392,", "JPY: {id: 392,", 4, "a name is lower-case"),
    ("topics:", "topic:", 5, "unknown key 'topic'; did you mean 'topics'?"),
    ('["charge.*"]', '["charge *"]', 6, "no event type or glob"),
    ('["charge.*"]', '["!charge.*"]', 6, "taken in before"),
    ("- customer.*", "- {type: a, wen: true}", 8, "unknown key 'wen'; did you mean 'when'?"),
    ("- customer.*", "- {type: a, when: data.}", 8, "column 6"),
    ("code: 1300", "code: 2001", 12, "already account wallet's"),
    ("code: 1300", "code: 65536", 12, "from 1 to 65535"),
    ("code: 1300, type: asset", "type: asset", 12, "`code` is missing"),
    ("1300, type: asset", "1300, type: asset, flags: [histry]", 12, "did you mean 'history'?"),
    (
        "1300, type: asset",
        f"1300, type: asset, flags: [{', '.join(list(sections.ACCOUNT_FLAGS)[:2])}]",
        12,
        "limited on both sides",
    ),
    ("code: 1300, type: asset", "code: 1300, type: assets", 12, "did you mean 'asset'?"),
    ("1300, type: asset", "1300, type: income", 12, "write `type: revenue`"),
    ("1300, type: asset", "1300, type: asset, sync_to: balances", 12, "a table and a column"),
    ("  charge:\n", "  event:\n", 16, "no transaction may be called `event`"),
    ("on: charge.succeeded", "on: []", 17, "`on` must be a list of texts"),
    ("on: charge.succeeded", "when: true", 16, "`on` is missing"),
    ("on: charge.succeeded", "on: a\n    when: data.x ==", 18, "ends too early"),
    ("on: charge.succeeded", "on: a\n    when: 1 + true == 2", 18, "two whole numbers"),
    ("on: charge.succeeded", "on: a\n    when: 5", 18, "neither true nor false"),
    ("on: charge.succeeded", "on: a\n    from: 2025-02-30", 18, "must be a date"),
    ("on: charge.succeeded", "on: a\n    from: 20\n    until: 10", 19, "later than `from`"),
    ("on: charge.succeeded", "on: a\n    execution: now", 18, "one of async, sync"),
    ("on: charge.succeeded", "on: a\n    priority: hihg", 18, "did you mean 'high'?"),
    ('["charge.*"]', '["charge.*"], priority: urgent', 6, "one of normal, high, low"),
    ("1300, type: asset", "1300, type: asset, clearing: maybe", 12, "true or false"),
    ("on: charge.succeeded", "on: a\n    origin: {}", 18, "`transaction` is missing"),
    ("on: charge.succeeded", "on: a\n    after: {transaction: charge}", 18, "`key` is missing"),
    ("on: charge.succeeded", "on: a\n    after: {transaction: chrge, key: id}", 18,
     "there is no transaction 'chrge'; did you mean 'charge'?"),
    ("on: charge.succeeded", "on: a\n    after: {transaction: [take, take], key: id}", 18,
     "names one twice"),
    ("on: charge.succeeded", "on: a\n    after: {transaction: take, key: id, optional: true}", 18,
     "unknown key 'optional'"),
    ("on: charge.succeeded", "on: a\n    after: {transaction: take, key: id, missing: nil}", 18,
     "`missing` must be one of dead, nothing"),
    ("on: charge.succeeded",
     "on: a\n    origin: {transaction: take, key: id, optional: true, missing: dead}", 18,
     "never waited for: leave `missing` out"),
    ("on: charge.succeeded", "on: a\n    alert: ''", 18, "`alert` must be text"),
    ("on: charge.succeeded", "on: a\n    origin: {transaction: take, key: '\"x\"'}", 18,
     "the same for every event"),
    ("on: charge.succeeded", "on: a\n    origin: {transaction: take, key: 1 +}", 18, "too early"),
    ("    idempotency_time: data.object.created\n", "", 18, "needs `idempotency_time`"),
    ("    idempotency_key: data.object.id\n", "", 18, "needs `idempotency_key`"),
    ("key: data.object.id", 'key: "1"', 18, "the same for every event"),
    ("currency: data.object.currency", "currency: '\"xau\"'", 20, "there is no ledger"),
    ("    currency: data.object.currency\n", "", 21, "neither the leg nor its transaction"),
    ("debit: clearing\n        credit: wallet", "debit: claering\n        credit: wallet", 23,
     "there is no account 'claering'; did you mean 'clearing'?"),
    ("debit: clearing\n        credit: wallet", "debit: clearing[id]\n        credit: wallet", 23,
     "one account, without `per`"),
    ("wallet[data.object.customer]\n        amount: data.object.amount\n        code: 1",
     "wallet\n        amount: data.object.amount\n        code: 1", 24, "wallet is a family"),
    ("wallet[data.object.customer]\n        amount: data.object.amount\n        code: 1",
     "clearing\n        amount: data.object.amount\n        code: 1", 24, "are one account"),
    ("wallet[data.object.customer]\n        amount: data.object.amount\n        code: 1",
     "origin.gross.debit\n        amount: data.object.amount\n        code: 1", 24,
     "the transaction has no `origin`"),
    ("wallet[data.object.customer]\n        amount: data.object.amount\n        code: 1",
     "wallet[origin.gross.debit.key]\n        amount: data.object.amount\n        code: 1", 24,
     "the transaction has no `origin`"),
    ("wallet[data.object.customer]\n        amount: data.object.amount\n        code: 1",
     "wallet[dta.x]\n        amount: data.object.amount\n        code: 1", 24,
     "did you mean 'data'? (column 1"),
    ("amount: data.object.amount\n        code: 1", "amount: -5\n        code: 1", 25,
     "is negative"),
    ("amount: data.object.amount\n        code: 1", "amount: 0\n        code: 1", 25, "always 0"),
    ("amount: data.object.amount\n        code: 1", "amount: 1.5\n        code: 1", 25,
     "no fractions"),
    ("        code: 1\n", "        code: 0\n", 26, "from 1 to 65535"),
    ("        code: 1\n", "", 22, "`code` is missing"),
    ("        code: 1\n", "        code: 1\n        code: 2\n", LEG_LINE, "first on line 26"),
    ("        code: 1\n", "        code: 1\n        suspense: x\n", LEG_LINE,
     "there is no account 'x'"),
    ("        code: 1\n", "        code: 1\n        suspense: by_payout\n", LEG_LINE,
     "by_payout is a family"),
    ("        code: 1\n",
     "        code: 1\n        suspense: {debit: clearing, credit: clearing}\n", LEG_LINE,
     "replaces one side"),
    ("wallet[data.object.customer]\n        amount: data.object.amount\n        code: 1",
     "shortfall_control\n        amount: 1\n        suspense: clearing\n        code: 1", 26,
     "neither side is a family's"),
    ("        code: 2\n", "        code: 2\n        suspense: clearing\n", 35, "cannot be pending"),
    ("data.object.created}\n", "data.object.created}\n        suspense: clearing\n", 50,
     "takes its `suspense` from what was reserved"),
    ("        code: 1\n", "        code: 1\n        timeout: 5\n", LEG_LINE, "needs `pending"),
    ("        code: 1\n", "        code: 1\n        flags: [closing_debit]\n", LEG_LINE,
     "need `pending"),
    ("        code: 1\n", "        code: 1\n        signed: yes\n", LEG_LINE, "true or false"),
    ("        code: 1\n",
     "        code: 1\n        signed: true\n        flags: [balancing_debit]\n", 28,
     "which `signed` may swap"),
    ("        code: 1\n", "        code: 1\n        shortfall: clearing\n", LEG_LINE,
     "the account that it helps"),
    ("        code: 1\n", "        code: 1\n        shortfall: by_payout\n", LEG_LINE,
     "by_payout is a family"),
    ("        code: 1\n", "        code: 1\n        repay_first: owed\n        signed: true\n", 28,
     "cannot be combined"),
    ("        code: 1\n", "        code: 1\n        for_each: {if: data.object.x}\n", LEG_LINE,
     "already means something"),
    ("        code: 1\n", "        code: 1\n        for_each: {each: data.object.x}\n", LEG_LINE,
     "already means something"),
    ("        code: 1\n", "        code: 1\n        flags: [balncing_debit]\n", LEG_LINE,
     "did you mean 'balancing_debit'?"),
    ("transaction: reserve,", "transaction: reserv,", 49, "did you mean 'reserve'?"),
    ("leg: held", "leg: hold", 49, "did you mean 'held'?"),
    ("transaction: reserve, leg: held", "transaction: charge, leg: gross", 49,
     "not `pending: true`"),
    ("leg: held", "leg: each", 49, "has 1 `for_each`"),
    (", time: data.object.created}", "}", 49, "`time` is missing"),
    ("data.object.created}\n", "data.object.created}\n        code: 9\n", 50,
     "must be reserve.held's"),
    ("data.object.created}\n", "data.object.created}\n        debit: clearing\n", 50,
     "takes its `debit` from what was reserved"),
    ("  - customer.*", "  - &a customer.*\n  - *a", 9, "aliases are not supported"),
    ("  - customer.*", "  - !!str customer.*", 8, "tags are not supported"),
    ("  - customer.*", "  - 'customer", 8, "this is not YAML"),
    ("  - customer.*", "  - {[a]: b}", 8, "a key must be plain text"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "line", "says"), BROKEN)
def test_mistake_has_its_line(
    tmp_path: Path, there: str, instead: str, line: int, says: str
) -> None:
    """One thing wrong is told with the line where it stands."""
    assert there in BASE
    found = mistakes(tmp_path, BASE.replace(there, instead, 1))
    assert any(each.startswith(f"{line}: ") and says in each for each in found), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """A file with mistakes in every section tells them together, in the file's order."""
    text = BASE.replace("scale: 0", "scale: x").replace("code: 1300", "code: 0")
    text = text.replace("amount: item.amount", "amount: itm.amount")
    found = mistakes(tmp_path, text)
    assert [int(each.split(":")[0]) for each in found] == [4, 12, 41]


def test_shortfall_needs_its_control_account(tmp_path: Path) -> None:
    """Without `shortfall_control` a shortfall is a mistake."""
    text = BASE.replace("  shortfall_control: {code: 9900, type: liability}\n", "")
    text = text.replace("        code: 1\n", "        code: 1\n        repay_first: owed\n")
    assert "needs an account shortfall_control" in mistakes(tmp_path, text)[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        # content                   says
        (b"", ":1: a rulebook is a mapping"),
        (b"- 1\n", ":1: a rulebook is a mapping"),
        (b"version: 1\n\xff\n", ":2: this is not UTF-8"),
        (b"version: 1\nx: \x07\n", ":2: a character that YAML does not allow"),
        (b"a: [" + b"[" * 50 + b"]" * 50 + b"]\n", ":1: nested deeper than 32 levels"),
        (b"version: 1\n---\nversion: 1\n", ":3: a file holds one document"),
    ],
)
def test_unreadable_file(tmp_path: Path, content: bytes, says: str) -> None:
    """What is no YAML mapping is refused with its line."""
    path = tmp_path / "rules.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert says in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(UsageError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_yaml_1_1_words_stay_text(tmp_path: Path) -> None:
    """`on`, `no`, dates and sexagesimals are text; only true and false are booleans."""
    text = BASE.replace("customer.*", "no").replace(
        "clearing: {code", "clearing: {title: 1:30, code"
    )
    book = load(written(tmp_path, text))
    assert book.ignore[0].pattern == "no"
    assert book.accounts["clearing"].title == "1:30"


def test_flags_codes_and_times_are_read(tmp_path: Path) -> None:
    """Flags become the ledger's numbers, dates UTC seconds, families inherit a helper's key."""
    text = BASE.replace("per: customer}", "per: customer, flags: [history]}", 1)
    text = text.replace(
        "on: charge.succeeded", "on: a\n    from: 2025-01-01\n    until: 1800000000"
    )
    text = text.replace("        code: 1\n", "        code: 1\n        repay_first: owed\n")
    book = load(written(tmp_path, text))
    charge, reserve, take = book.transactions
    assert book.accounts["wallet"].flags == AccountFlags.HISTORY
    assert (charge.start, charge.end) == (1_735_689_600, 1_800_000_000)
    assert charge.legs[0].repay_first is not None
    assert charge.legs[0].repay_first.text == "owed[data.object.customer]"
    assert reserve.legs[0].kind == "pending"
    assert take.legs[0].code == 0
    assert take.legs[0].flags == TransferFlags.NONE


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    """Comments, layout and idle orders keep the digest; the order of rules does not."""
    digest = load(written(tmp_path, BASE)).digest
    relaid = "# a comment\n" + BASE.replace("{id: 840, scale: 2}", "\n    scale: 2\n    id: 840")
    assert load(written(tmp_path, relaid)).digest == digest
    assert load(written(tmp_path, BASE.replace("scale: 2", "scale: 3"))).digest != digest
    start, end = BASE.index("  charge:\n"), BASE.index("  reserve:\n")
    moved = BASE[:start] + BASE[end:] + BASE[start:end]
    assert load(written(tmp_path, moved)).digest != digest


def test_examples_in_the_reference_load(tmp_path: Path) -> None:
    """Every complete example in docs/rulebook.md is a valid rulebook without warnings.

    But for one that is right: an example shows some rules, and others would clear an account.
    """
    assert len(EXAMPLES) >= 8
    for example in EXAMPLES:
        found = find_warnings(load(written(tmp_path, example)))
        assert [each for each in found if "it can never be cleared" not in each.message] == []


@pytest.mark.parametrize("text", [PACKAGED.read_text(), BASE, *EXAMPLES])
def test_schema_accepts_what_the_loader_accepts(text: str) -> None:
    """Editors that follow the JSON Schema do not complain about valid rulebooks."""
    loader = yaml.BaseLoader(text)
    root = loader.get_single_node()
    assert root is not None
    jsonschema.validate(_plain(root), SCHEMA)


def _plain(node: yaml.Node) -> object:
    """YAML 1.2's values, as editors read them."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    text = str(node.value)
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def test_schema_knows_the_loader_s_keys() -> None:
    """The JSON Schema completes exactly the keys that the loader reads."""
    parts = SCHEMA["$defs"]
    assert set(parts["leg"]["properties"]) == set(legs.LEG_KEYS)
    assert set(parts["account"]["properties"]) == set(sections.ACCOUNT_KEYS)
    assert set(parts["transaction"]["properties"]) == set(transactions.TRANSACTION_KEYS)
    assert set(parts["leg"]["properties"]["post"]["properties"]) == set(legs.PENDING_KEYS)
    assert set(parts["leg"]["properties"]["flags"]["items"]["enum"]) == set(legs.LEG_FLAGS)
    rule = parts["transaction"]["properties"]
    assert set(rule["origin"]["properties"]) == set(origins.ORIGIN_KEYS)
    assert set(rule["after"]["properties"]) == set(origins.AFTER_KEYS)


ODD = [
    # what stands there       what is put instead                        warning
    ("wallet.take", "charge.succeeded", "transaction take is never reached: charge takes all"),
    ("wallet.take", "charge.*", "transaction charge takes charge.succeeded before take"),
    ("  by_payout: {code: 1400, type: asset, per: payout}", "  x: {code: 5, type: asset}",
     "account x is never used"),
    ("code: 1100, type: asset", "code: 1100, type: asset, reserved: true",
     "account clearing is used, though `reserved`"),
    ("- customer.*", "- charge.succeeded", "ignore charge.succeeded is never reached: charge"),
    ("- customer.*", "- customer.*\n  - customer.created", "customer.* already ignores it"),
    ("on: charge.succeeded", "on: charg.succeeded", "no listed topic may carry charg.succeeded"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "warning"), ODD)
def test_review_warns(tmp_path: Path, there: str, instead: str, warning: str) -> None:
    """What is odd but valid is told, with a line."""
    found = find_warnings(load(written(tmp_path, BASE.replace(there, instead, 1))))
    assert any(warning in each.message and each.line > 1 for each in found), found


def test_review_knows_time_and_conditions(tmp_path: Path) -> None:
    """Rules for other times, or behind a condition, are not warned about."""
    text = BASE.replace("wallet.take", "charge.succeeded\n    from: 2026-01-01")
    text = text.replace(
        "on: charge.succeeded\n    idem", "on: charge.succeeded\n    until: 2026-01-01\n    idem"
    )
    found = [each.message for each in find_warnings(load(written(tmp_path, text)))]
    assert not [each for each in found if "transaction take" in each and "topic" not in each]
