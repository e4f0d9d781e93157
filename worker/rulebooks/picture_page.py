"""The T-accounts of a rulebook as one HTML page that needs nothing else.

The invariant: everything that comes from the rulebook is escaped. Pure; knows rulebooks, not files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from worker.core.rulebook import Rulebook, Transaction
from worker.rulebooks.picture import conditions, leg_words, t_accounts

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
h2 { margin: 2.5rem 0 .2rem } code { font-size: .95em }
.when { color: #555; margin: 0 } .ts { display: flex; flex-wrap: wrap; gap: 1.2rem; margin: 1rem 0 }
table.t { border-collapse: collapse; min-width: 14rem }
table.t caption { border-bottom: 2px solid #222; font-weight: 600; padding: .1rem .6rem }
table.t td { padding: .1rem .6rem; vertical-align: top; width: 50% }
table.t td:first-child { border-right: 2px solid #222; text-align: right }
table.list td, table.list th { padding: .1rem .8rem .1rem 0; text-align: left }
nav { columns: 14rem } nav a { display: block } code, li, .when { overflow-wrap: anywhere }
"""


def page(rulebook: Rulebook, *, name: str, said: Sequence[str]) -> str:
    """The whole page. name: of the rulebook's file. said: the lock's state and the warnings."""
    body = "\n".join((*_head(rulebook, name, said), *map(_transaction, rulebook.transactions)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(name)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _head(rulebook: Rulebook, name: str, said: Sequence[str]) -> Iterator[str]:
    yield f"<h1>{escape(name)}</h1><p>Digest <code>{rulebook.digest}</code></p>"
    yield "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in said) + "</ul>" if said else ""
    yield "<h2>Chart of accounts</h2><table class=list>"
    yield "<tr><th>Code<th>Account<th>Title<th>Type<th>Per<th></tr>"
    for account in sorted(rulebook.accounts.values(), key=lambda one: one.code):
        passes = "clearing" if account.clearing else ""
        cells = (str(account.code), account.name, account.title, account.type, account.per, passes)
        yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>"
    yield "</table>"
    names = (escape(rule.name) for rule in rulebook.transactions)
    links = "".join(f'<a href="#{each}">{each}</a>' for each in names)
    yield f"<h2>Transactions</h2><nav>{links}</nav>"


def _transaction(rule: Transaction) -> str:
    lines = [f'<h2 id="{escape(rule.name)}">{escape(rule.name)}</h2>']
    lines += [
        f"<p class=when>{escape(text)}</p>" for text in (", ".join(rule.on), *conditions(rule))
    ]
    lines.append("<div class=ts>")
    for account, left, right in t_accounts(rule):
        sides = f"<td>{escape(', '.join(left))}<td>{escape(', '.join(right))}"
        lines.append(f"<table class=t><caption>{escape(account)}</caption><tr>{sides}</tr></table>")
    lines.append("</div><ul>")
    for leg in rule.legs:
        lines.append(f"<li><b>{escape(leg.name)}</b>: {escape(', '.join(leg_words(leg)))}</li>")
    return "\n".join((*lines, "</ul>"))
