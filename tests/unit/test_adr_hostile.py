"""Any text in ADR-0015's form: random, damaged and hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.test_adr_text import SALE, as_yaml, loaded, refusal, without_lines
from worker.rulebooks.adr_fields import snake_case
from worker.rulebooks.adr_lines import CHARACTERS_MAX, MISTAKES_MAX
from worker.rulebooks.load import load

HOSTILE = {
    "deep": "".join(f"{' ' * depth}x:\n" for depth in range(2_000)),
    "brackets": SALE.replace("sale.amount", "(" * 3_000),
    "nots": SALE.replace("sale.amount", "not " * 3_000 + "a"),
    "long path": SALE.replace("sale.amount", "a" + ".a" * 50_000),
    "long name": SALE.replace("Wallet", "W" * 100_000),
    "long number": SALE.replace("2001", "9" * 100_000),
    "spaces": SALE.replace("sale.amount", "a" + " " * 100_000 + "$"),
    "quotes": SALE.replace('"Sales"', '"' * 10_001),
    "escapes": SALE.replace('"Sales"', '"' + "\\" * 100_001),
    "colons": SALE.replace("ledger Sales", "ledger " + ": " * 50_000),
    "many mistakes": SALE + "  what: 1\n" * 50_000,
    "too long": "ledger A:\n" + "#" * CHARACTERS_MAX,
    "only a word": "ledger",
    "only a header": "transaction A:",
    "nul": "ledger A\0:\n",
}


FINE = {"long name"}


@pytest.mark.parametrize(("name", "text"), HOSTILE.items(), ids=HOSTILE)
def test_hostile_texts_are_refused(tmp_path: Path, name: str, text: str) -> None:
    """Deep, long and broken texts get errors with lines, and not too many of them."""
    path = tmp_path / "rules.txt"
    path.write_bytes(text.encode())
    said = refusal(path)
    assert len(said.split("\n")) <= MISTAKES_MAX + 2
    assert said.startswith(f"{path}:") == (name not in FINE)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)
PLAIN = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters='"\\\x7f'), max_size=20
).filter(lambda text: not any(0x80 <= ord(each) < 0xA0 for each in text))


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A random text of this form, right in all its parts."""
    names = st.lists(NAMES, unique_by=snake_case, min_size=2, max_size=5)
    accounts = draw(names.filter(lambda those: all(map(snake_case, those))))
    indent = " " * draw(st.integers(1, 4))
    lines = []
    for number, name in enumerate(accounts, 1):
        lines += [
            f'ledger {name} "{draw(PLAIN)}":',
            f"{indent}account_code: {number}",
            f"{indent}ledger_id: 7",
            f"{indent}account_type: {draw(st.sampled_from(['asset', 'equity', 'revenue']))}",
            f"{indent}currency: {draw(st.sampled_from(['JPY', 'jpy']))} # yen",
        ]
    rules = st.lists(NAMES, unique_by=snake_case, min_size=1, max_size=3)
    for name in draw(rules):
        lines += ["", f"transaction {name}:", f"{indent}idempotency_key: it.id"]
        for number in range(draw(st.integers(1, 3))):
            debit, credit = draw(st.permutations(accounts))[:2]
            amount = draw(st.sampled_from(["it.amount", "it.amount * 0.2", "it.a + it.b", "17"]))
            fields = {"debit": debit, "credit": credit, "amount": amount, "code": number + 1}
            lines.append(f"{indent}transfer leg_{number}:")
            lines += [f"{indent * 2}{key}: {value}" for key, value in fields.items()]
    return "\n".join(lines)


BLANK_TITLE = """ledger A "  ":
  account_code: 1
  ledger_id: 7
  account_type: asset
  currency: GBP
ledger B:
  account_code: 2
  ledger_id: 7
  account_type: asset
  currency: GBP
transaction Moved:
  transfer all:
    debit: A
    credit: B
    amount: moved.amount
    code: 1
"""


@settings(max_examples=80)
@example(BLANK_TITLE)
@given(texts())
def test_any_text_becomes_yaml_of_the_same_rules(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Whatever names and titles: the YAML loads to the same rulebook, or both name a mistake."""
    folder = tmp_path_factory.mktemp("adr")
    (folder / "r.txt").write_bytes(text.encode())
    if said := refusal(folder / "r.txt"):
        assert "no transaction may be called `event`" in said
        return
    from_text = load(folder / "r.txt")
    assert without_lines(loaded(folder, as_yaml(text), "r.yaml")) == without_lines(from_text)


@settings(max_examples=200)
@given(st.data())
def test_any_damage_is_an_error_or_a_rulebook(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A text with characters put in or taken out loads or is refused, by file and line."""
    text = SALE
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        put = data.draw(st.sampled_from(["", " ", "\t", ":", '"', "\n", "#", "0", "x", "\r", "-"]))
        text = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]
    path = tmp_path_factory.mktemp("adr") / "rules.txt"
    path.write_bytes(text.encode())
    said = refusal(path)
    assert not said or said.startswith(f"{path}:")
