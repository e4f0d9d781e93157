"""A rulebook as one HTML page for accountants: a sentence, T-accounts and numbers for each rule.

Everything that comes from the rulebook or an event is escaped; there are no scripts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from worker.core.rulebook import DeclaredAccount, Rulebook, Transaction
from worker.rulebooks.picture import answered, conditions, leg_words, t_accounts
from worker.rulebooks.picture_words import (
    conditions_in_words,
    leg_in_words,
    sentence,
    short,
    title_of,
)
from worker.rulebooks.words import plain
from worker.rulebooks.worked_example import ExampleAccount, WorkedExample

STYLE: Final = """
@page { size: A4; margin: 16mm 14mm }
body { font: 15px/1.5 system-ui, "Liberation Sans", sans-serif; color: #1b1f24; margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem }
h1 { margin-bottom: .2rem } h2 { margin: 2.4rem 0 .6rem }
h3 { margin: 0; font-size: 1.2rem } h3 code, .code { color: #59636e; font-weight: 400 }
code, .code, td, li { overflow-wrap: anywhere } .code { font: 12px/1.5 ui-monospace, monospace }
section { border-top: 1px solid #c9d1d9; padding: 1.2rem 0 .8rem }
h3, .says, .facts { break-after: avoid } .ts, table.moves { break-inside: avoid }
.says { font-size: 1.05rem; margin: .4rem 0 } .none, .facts { color: #59636e }
ul { margin: .4rem 0; padding-left: 1.2rem } nav { columns: 15rem } nav a { display: block }
a { color: #0550ae; text-decoration: none }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left;
  vertical-align: top } td.sum, th.sum { text-align: right; font-variant-numeric: tabular-nums }
table.moves { margin: .6rem 0 } table.moves th { border-bottom: 1px solid #59636e }
.ts { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin: .8rem 0 }
table.t { min-width: 17rem } table.t caption { border-bottom: 2px solid #1b1f24; font-weight: 600;
  padding: .1rem .5rem } table.t td { width: 50%; padding: .1rem .5rem }
table.t td:first-child { border-right: 2px solid #1b1f24; text-align: right }
table.t small { color: #59636e } table.chart { width: 100% }
table.chart th { border-bottom: 1px solid #59636e }
@media print { body { font-size: 10pt; margin: 0; max-width: none; padding: 0 }
  a { color: inherit } }
"""

OBJECT: Final = "data.object."

Examples = Mapping[str, WorkedExample]
Accounts = Mapping[str, DeclaredAccount]


def page(rulebook: Rulebook, *, name: str, said: Sequence[str], examples: Examples) -> str:
    """The whole page. name: of the rulebook's file. said: the lock's state and the warnings."""
    sections = (_rule(rule, rulebook, examples.get(rule.name)) for rule in rulebook.transactions)
    body = "\n".join((*_head(rulebook, name, said), *sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(name)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _head(rulebook: Rulebook, name: str, said: Sequence[str]) -> Iterator[str]:
    yield f"<h1>{escape(name)}</h1><p class=code>digest {rulebook.digest}</p>"
    yield "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in said) + "</ul>" if said else ""
    yield (
        "<p>Each rule below says which event it books and what moves. Money moves from the account"
        " that is debited to the one that is credited; assets and expenses grow by debits, all"
        " others by credits. The numbers are worked examples: the rule itself booked them.</p>"
    )
    yield "<h2>Chart of accounts</h2><table class=chart>"
    yield "<tr><th>Code<th>Account<th>Type<th>Grows by<th>One for each<th>In the rules</tr>"
    for account in sorted(rulebook.accounts.values(), key=lambda each: each.code):
        side = "debits" if account.debit_normal else "credits"
        passes = "; back to zero" if account.clearing else ""
        title = title_of(account.name, rulebook.accounts)
        cells = (str(account.code), title, account.type + passes, side, account.per, account.name)
        yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>"
    yield "</table>"
    links = "".join(
        f'<a href="#{escape(rule.name)}">{escape(plain(rule.name).capitalize())}</a>'
        for rule in rulebook.transactions
    )
    yield f"<h2>Rules</h2><nav>{links}</nav>"


def _rule(rule: Transaction, rulebook: Rulebook, example: WorkedExample | None) -> str:
    accounts = rulebook.accounts
    title = escape(plain(rule.name).capitalize())
    lines = [
        f'<section id="{escape(rule.name)}"><h3>{title} <code>{escape(rule.name)}</code></h3>',
        f"<p class=says>{escape(sentence(rule, example, accounts))}</p>",
    ]
    said = list(conditions_in_words(rule))
    if said:
        lines.append("<ul>" + "".join(f"<li>{escape(each)}</li>" for each in said) + "</ul>")
    lines += _pictures(rule, example, accounts)
    lines.append("<ul>")
    for leg in rule.legs:
        words = escape("; ".join(leg_in_words(leg, accounts)))
        lines.append(f"<li><b>{escape(plain(leg.name).capitalize())}</b>: {words}.</li>")
    lines.append("</ul>")
    written = (answered(rule), *conditions(rule))
    lines += [f"<div class=code>{escape(each)}</div>" for each in written]
    for leg in rule.legs:
        lines.append(
            f"<div class=code>{escape(leg.name)}: {escape(', '.join(leg_words(leg)))}</div>"
        )
    return "\n".join((*lines, "</section>"))


def _pictures(
    rule: Transaction, example: WorkedExample | None, accounts: Accounts
) -> Iterator[str]:
    """The T-accounts: with the example's numbers, else with the names of the transfers."""
    if example is None:
        yield "<p class=none>Without an example: no event here makes this rule book.</p>"
        yield "<div class=ts>"
        for text, debits, credits_ in t_accounts(rule):
            sides = ([(leg, "") for leg in legs] for legs in (debits, credits_))
            yield _t_account(text, *sides)
        yield "</div>"
        return
    facts = "".join(
        f", {name.removeprefix(OBJECT)} {short(value)}" for name, value in example.facts
    )
    yield f"<p class=facts>Example: {escape(example.kind + facts)}</p>"
    yield "<div class=ts>"
    for account, left, right in _example_accounts(example):
        key = f" · {short(account.key)}" if account.key else ""
        yield _t_account(title_of(account.name, accounts) + key, left, right)
    yield "</div>"
    yield from _movements(example, accounts)


Entries = list[tuple[str, str]]
"""Of one side of a T-account: the transfer's name and its amount."""


def _example_accounts(example: WorkedExample) -> Iterator[tuple[ExampleAccount, Entries, Entries]]:
    sides: dict[ExampleAccount, tuple[Entries, Entries]] = {}
    for each in example.movements:
        entry = (each.leg, f"{each.amount} {each.currency}")
        sides.setdefault(each.debit, ([], []))[0].append(entry)
        sides.setdefault(each.credit, ([], []))[1].append(entry)
    return ((account, left, right) for account, (left, right) in sides.items())


def _t_account(title: str, left: Entries, right: Entries) -> str:
    cells = ("<br>".join(_entry(name, amount) for name, amount in side) for side in (left, right))
    sides = "".join(f"<td>{cell}" for cell in cells)
    return f"<table class=t><caption>{escape(title)}</caption><tr>{sides}</tr></table>"


def _entry(name: str, amount: str) -> str:
    return f"{escape(amount)} <small>{escape(name)}</small>" if amount else escape(name)


def _movements(example: WorkedExample, accounts: Accounts) -> Iterator[str]:
    heads = "<th>Transfer<th>Debit<th>Credit<th class=sum>Amount<th>Effect"
    yield f"<table class=moves><tr>{heads}</tr>"
    for each in example.movements:
        sides = [title_of(side.name, accounts) for side in (each.debit, each.credit)]
        cells = "".join(f"<td>{escape(cell)}" for cell in (each.leg, *sides))
        amount = f"<td class=sum>{escape(each.amount)} {escape(each.currency)}"
        effect = escape(_effect(each.debit, each.credit, accounts))
        what = f"{each.kind}: {effect}" if each.kind != "posted" else effect
        yield f"<tr>{cells}{amount}<td>{what}</tr>"
    yield "</table>"


def _effect(debit: ExampleAccount, credit: ExampleAccount, accounts: Accounts) -> str:
    """Which side grows and which shrinks, by the accounts' types."""
    if debit.name == credit.name:
        return f"from {short(debit.key)} to {short(credit.key)}"
    words = []
    for side, grows in ((debit, True), (credit, False)):
        account = accounts.get(side.name)
        if account is not None:
            up = account.debit_normal == grows
            words.append(f"{title_of(side.name, accounts)} {'grows' if up else 'shrinks'}")
    return ", ".join(words)
