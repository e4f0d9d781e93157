"""`let:`: values that a transaction names once, worked out when they are first read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_rulebook_load import BASE, mistakes, written
from tests.unit.translating import event, legs_of
from worker.core.chain import Chain, Leg
from worker.core.event import Dead, Reason, Skipped
from worker.core.expressions.compiler import (
    Expression,
    NamedValues,
    compile_expression,
    precise_let,
)
from worker.core.expressions.operators import ExpressionError, IllTyped, Missing
from worker.core.translate import Translator
from worker.rulebooks.load import load
from worker.rulebooks.lock import rule_digest
from worker.rulebooks.warnings import find_warnings

RULES = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  clearing: {code: 1100, type: asset, clearing: false}
  wallet: {code: 2001, type: liability, per: customer}
  fees: {code: 4000, type: revenue}
transactions:
  first:
    on: charge
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      gross: {debit: clearing, credit: fees, amount: 1, code: 9, pending: true}
  taken:
    on: taken
    let:
      about: data.object
      rows: about.rows where each.amount < 0
      newest: latest(rows, at)
      percent: 10
    when: count(rows) > 0 and newest.kind == "sale"
    origin: {transaction: first, key: about.charge, time: about.charged_at, missing: nothing}
    after: {transaction: first, key: about.other}
    idempotency_key: about.id
    idempotency_time: about.created
    currency: about.currency
    alert: >-
      somebody should
      look at this
    transfers:
      fee:
        for_each: rows
        when: item.amount < -1
        debit: wallet[about.customer]
        credit: fees
        amount: -item.amount * percent
        code: 1
      rest:
        debit: clearing
        credit: wallet[about.customer]
        amount: -newest.amount
        code: 2
      all:
        debit: origin.gross.debit
        credit: wallet[newest.kind]
        amount: -sum(rows.amount)
        code: 3
      released:
        post: {transaction: first, leg: gross, key: about.charge, time: about.charged_at}
"""
LET_BLOCK = RULES[RULES.index("    let:\n") : RULES.index("    when: count")]
ROWS = "(data.object.rows where each.amount < 0)"
WRITTEN_OUT = (
    RULES.replace(LET_BLOCK, "")
    .replace("newest.", f"latest({ROWS}, at).")
    .replace("count(rows)", f"count{ROWS}")
    .replace("rows.amount", f"{ROWS}.amount")
    .replace("for_each: rows", f"for_each: {ROWS}")
    .replace(" about.", " data.object.")
    .replace("[about.", "[data.object.")
    .replace("percent", "10")
)
TAKEN: dict[str, Any] = {
    "id": "t_1", "created": 5, "currency": "usd", "customer": "a", "charge": "ch_1",
    "charged_at": 4, "other": "ch_2",
    "rows": [
        {"amount": -5, "at": 1, "kind": "fee"},
        {"amount": 7, "at": 9, "kind": "fee"},
        {"amount": -1, "at": 3, "kind": "sale"},
        {"amount": -3, "at": 3, "kind": "fee"},
    ],
}  # fmt: skip


def told(tmp_path: Path, text: str) -> Translator:
    """A translator by these rules."""
    return Translator(load(written(tmp_path, text)))


def plain(found: Chain | Skipped | Dead) -> object:
    """An answer as values to compare: a chain without its event, a dead letter by its reason."""
    if isinstance(found, Chain):
        needs = found.needs and (found.needs.origin, found.needs.after, found.needs.fills)
        named = [needs and [each and each[:2] for each in needs[:2]], needs and len(needs[2])]
        return (found.transaction, found.key, named, found.alert, [_leg(leg) for leg in found.legs])
    return found.reason if isinstance(found, Dead) else found


def _leg(leg: Leg) -> object:
    return (leg.spec.name, leg.currency, leg.id, leg.amount, leg.pending_ids, leg.spec.code)


def test_every_part_of_a_transaction_may_use_what_it_names(tmp_path: Path) -> None:
    """Condition, fact, predecessors, currency, loops, accounts, amounts and reservations."""
    chain = told(tmp_path, RULES).translate(event("taken", TAKEN), role="x")
    assert isinstance(chain, Chain), chain
    assert legs_of(chain) == [
        ("fee", "wallet:a", "fees", 50),
        ("fee", "wallet:a", "fees", 30),
        ("rest", "clearing", "wallet:a", 1),
        ("all", "origin.gross.debit", "wallet:sale", 9),
        ("released", "", "", (1 << 128) - 1),
    ]
    assert chain.key == "taken/t_1"
    assert chain.alert == "somebody should look at this"
    assert chain.needs
    assert chain.needs.origin
    assert chain.needs.origin.time_ms == 4000
    assert chain.needs.origin.or_nothing
    assert chain.needs.after
    assert not chain.needs.after.or_nothing


words = st.sampled_from(["a", "sale", "usd"])
json_values = st.none() | st.booleans() | st.integers(-3, 3) | words
row = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.integers(-9, 9) | json_values,
        "at": st.integers(0, 3),
        "kind": json_values,
    },
)
objects = st.builds(
    lambda base, changes, gone: {
        key: value for key, value in {**base, **changes}.items() if key not in gone
    },
    st.just(TAKEN),
    st.fixed_dictionaries({}, optional={
        "rows": st.lists(row, max_size=4) | json_values, "customer": json_values,
        "currency": json_values, "charge": json_values, "created": json_values,
    }),
    st.sets(st.sampled_from(["rows", "customer", "id", "other"]), max_size=1),
)  # fmt: skip


@pytest.fixture(name="both", scope="module")
def _both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Translator]:
    """The rules with their names, and with everything written out."""
    assert " let:" not in WRITTEN_OUT
    assert "newest" not in WRITTEN_OUT
    folder = tmp_path_factory.mktemp("rules")
    return told(folder, RULES), told(folder, WRITTEN_OUT)


@settings(max_examples=300, deadline=None)
@given(content=objects)
def test_a_rule_with_let_is_the_rule_written_out(
    both: tuple[Translator, Translator], content: dict[str, Any]
) -> None:
    """Whatever an event holds: the same chain, or a dead letter for the same reason."""
    first, second = (each.translate(event("taken", content), role="x") for each in both)
    assert plain(first) == plain(second)


LETS = [
    "data.a", "data.a where each.b > 0", "data.a[each.b > 0]", "data.a[*].b", "latest(data.a, b)",
    "coalesce(data.a, data.c)", "data.a + data.c", "data.a == data.c", "count(data.a)",
    "3", "null", "'a'",
]  # fmt: skip
USES = [
    "{}", "{}.b", "{}[0].b", "{}[*].b", "sum({}.b)", "count({})", "latest({}, b).c",
    "coalesce({}.b, {}, 4)", "1 if {} else 2", "({} where each.b == 1).c", "{} == data.c",
    "{} + {}", "not {}", "data.c in [{}, 'b']", "data.c not in [{}]",
    "data.c and {}", "data.a where each.b == {}",
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.just("a"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=10,
)


def pair(let: str, use: str) -> tuple[Expression, Expression, Expression]:
    """The let, an expression that uses it, and the same written out."""
    named = compile_expression(let)
    return (
        named,
        compile_expression(use.replace("{}", "x"), lets={"x": named}),
        compile_expression(use.replace("{}", f"({let})")),
    )


STEPS = ("{}.", "{}[")
PAIRS = [
    pair(let, use)
    for let in LETS
    for use in USES
    if let not in ("3", "null", "'a'") or not any(step in use for step in STEPS)
]


def outcome(run: Any, body: object) -> tuple[str, object]:
    """The value with its kind, or that there is none."""
    try:
        value = run(body)
    except (KeyError, TypeError, ExpressionError):
        return "fails", None
    return type(value).__name__, value


@settings(max_examples=60, deadline=None)
@given(values)
def test_a_let_means_what_its_expression_means(value: object) -> None:
    """In every use and in both readings, a name gives what its expression gives there."""
    body = {"data": value}
    for let, use, whole in PAIRS:
        fast = NamedValues(body, {("x",): let.fast})
        precise = NamedValues(body, {("x",): precise_let("x", let)})
        expected = outcome(whole.precise, body)
        assert outcome(use.fast, fast) == expected, use.text
        assert outcome(use.precise, precise) == expected, use.text
        assert use.roots == whole.roots
        assert use.levels == whole.levels


def test_a_let_is_worked_out_once_and_only_when_read() -> None:
    """However often it is read; one that nothing reads is never worked out."""
    calls: list[str] = []

    def noted(scope: NamedValues) -> str:
        calls.append(scope["id"])
        return "value"

    scope = NamedValues({"id": "evt_1"}, {("x",): noted, ("y",): noted})
    expression = compile_expression("x + x", lets={"x": compile_expression("id")})
    assert calls == []
    assert expression.fast(scope) == "valuevalue"
    assert expression.precise(scope) == "valuevalue"
    assert calls == ["evt_1"]


def test_no_field_of_an_event_passes_for_a_let(tmp_path: Path) -> None:
    """A key of the envelope that is called like a let changes nothing."""
    translator = told(tmp_path, RULES)
    forged = event("taken", TAKEN, rows=[], newest={"kind": "x"}, percent=99, object={"id": "x"})
    honest = translator.translate(event("taken", TAKEN), role="x")
    assert plain(translator.translate(forged, role="x")) == plain(honest)


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        ({"rows": None}, Reason.MISSING_FIELD,
         "taken when: let rows: about.rows where each.amount < 0 is missing: there is no list"),
        ({"rows": [{"at": 1}]}, Reason.MISSING_FIELD, "let rows: each.amount is missing"),
        ({"currency": "eur"}, Reason.UNKNOWN_CURRENCY, "taken currency: about.currency"),
        ({"customer": 5}, Reason.BAD_KEY, "about.customer is not a string"),
    ],
)  # fmt: skip
def test_a_dead_letter_names_the_let(
    tmp_path: Path, content: dict[str, object], reason: Reason, says: str
) -> None:
    """What is missing is said with the name that it has in the rule."""
    found = told(tmp_path, RULES).translate(event("taken", TAKEN | content), role="x")
    assert isinstance(found, Dead)
    assert (found.reason, says in found.detail) == (reason, True), found.detail


def test_transactions_of_one_event_have_names_of_their_own(tmp_path: Path) -> None:
    """The same name may mean something else in the next rule that is asked."""
    rule = """\
  NAME:
    on: pay
    let: {way: data.object.WAY, amount: data.object.amount}
    when: way == "yes"
    currency: usd
    transfers:
      paid: {debit: clearing, credit: fees, amount: amount, code: 1}
"""
    named = [rule.replace("NAME", way).replace("WAY", way) for way in ("card", "bank")]
    translator = told(tmp_path, RULES + "".join(named))
    for way in ("card", "bank"):
        content = {"card": "no", "bank": "no", "amount": 5} | {way: "yes"}
        found = translator.translate(event("pay", content), role="x")
        assert isinstance(found, Chain)
        assert found.transaction == way
    assert find_warnings(translator.rulebook) == []


LET = "    let: {amount: data.object.amount, twice: amount * 2}\n"
USED = BASE.replace("    idempotency_key: data", f"{LET}    idempotency_key: data", 1).replace(
    "amount: data.object.amount\n        code: 1", "amount: twice\n        code: 1"
)
BROKEN = [
    # what stands there              what is put instead                      line  says
    ("amount: twice", "amount: twise", 26, "'twise' is not known here; did you mean 'twice'?"),
    ("amount: twice", "amount: amount", 18, "let twice is never used"),
    ("twice: amount * 2", "twice: twice * 2", 18, "`let twice`: 'twice' is not known here"),
    ("{amount: data.object.amount, twice: amount * 2}", "{twice: 1 + a, a: data.b}", 18,
     "`let twice`: 'a' is not known here"),
    ("twice: amount * 2", "twice: 2 * true", 18, "needs whole numbers"),
    ("twice: amount * 2", "twice: [1]", 18, "let 'twice' must be an expression"),
    ("twice: amount * 2", "twice: {a: 1}", 18, "let 'twice' must be an expression"),
    ("twice: amount", "Twice: amount", 18, "let 'Twice': a name is lower-case"),
    ("twice: amount", "data: amount", 18, "let 'data' already means something in expressions"),
    ("twice: amount", "latest: amount", 18, "let 'latest' already means something in expressions"),
    ("twice: amount", "where: amount", 18, "let 'where' already means something in expressions"),
    ("twice: amount", "each: amount", 18, "let 'each' already means something in expressions"),
    ("twice: amount", "item: amount", 18, "let 'item' already means something in legs"),
    ("twice: amount", "origin: amount", 18, "let 'origin' already means something in legs"),
    ("twice: amount", "usd: amount", 18, "let 'usd' already means something in legs"),
    ("twice: amount", "amount: amount", 18, "'amount' stands here twice"),
    ("        code: 1\n", "        code: 1\n        for_each: {twice: data.x}\n", 28,
     "for_each 'twice' is the name of a `let`"),
    ("        for_each: data.object.parts", "        for_each: twice", 39, "'twice' is not known"),
    (LET, "    let: twice\n", 18, "`let` must be a mapping"),
    ("key: data.object.id", "key: one", 19, "'one' is not known here"),
    (LET, '    let: {one: "1", twice: 2}\n', 18, "let one is never used"),
]  # fmt: skip


def test_the_base_of_the_mistakes_is_valid(tmp_path: Path) -> None:
    """The text that the table breaks is a rulebook."""
    (rule, *_) = load(written(tmp_path, USED)).transactions
    assert [let.name for let in rule.lets] == ["amount", "twice"]


@pytest.mark.parametrize(("there", "instead", "line", "says"), BROKEN)
def test_mistake_has_its_line(
    tmp_path: Path, there: str, instead: str, line: int, says: str
) -> None:
    """One thing wrong is told with the line where it stands."""
    assert there in USED
    found = mistakes(tmp_path, USED.replace(there, instead, 1))
    assert any(each.startswith(f"{line}: ") and says in each for each in found), found


def test_a_constant_let_is_no_key(tmp_path: Path) -> None:
    """A fact that is the same for every event is refused, also by way of a name."""
    text = USED.replace("{amount: data", '{one: "1", amount: data').replace(
        "idempotency_key: data.object.id", "idempotency_key: one"
    )
    assert any("the same for every event" in each for each in mistakes(tmp_path, text))


def test_the_lock_guards_what_is_named(tmp_path: Path) -> None:
    """A rule's digest holds the expressions of its let, and neither its alert nor `missing`."""

    def digest(text: str) -> str:
        return rule_digest(load(written(tmp_path, text)).transactions[-1])

    before = digest(RULES)
    assert digest(RULES.replace("each.amount < 0", "each.amount < 1", 1)) != before
    assert digest(RULES.replace("percent: 10", "percent: 11")) != before
    assert digest(RULES.replace(", missing: nothing", "").replace("somebody", "who")) == before
    assert digest(RULES.replace("rows where", "rows   where")) == before


def test_a_missing_let_is_what_coalesce_passes_over() -> None:
    """Missing stays missing and ill-typed stays ill-typed, with the let's name before it."""
    let = compile_expression("data.x + 1")
    use = compile_expression("coalesce(x, 7)", lets={"x": let})
    bodies: list[tuple[object, type[Exception] | int]] = [({}, 7), ({"x": "a"}, IllTyped)]
    for data, expected in bodies:
        scope = NamedValues({"data": data}, {("x",): precise_let("x", let)})
        if isinstance(expected, int):
            assert use.precise(scope) == expected
        else:
            with pytest.raises(expected, match="let x: "):
                use.precise(scope)
    with pytest.raises(Missing, match=r"let x: data\.x is missing"):
        precise_let("x", let)(NamedValues({"data": {}}, {}))
