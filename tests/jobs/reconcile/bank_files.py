"""Bank statements by hand: CAMT.053 as banks send it, and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.{}"


class Entry(NamedTuple):
    """Amount in major units; a minus is a debit."""

    amount: str
    day: str
    text: str = ""
    reference: str = ""
    reversal: bool = False
    status: str = "BOOK"
    currency: str = "USD"

    def xml(self, *, version: str) -> str:
        side = "DBIT" if self.amount.startswith("-") else "CRDT"
        status = self.status if version == "02" else f"<Cd>{self.status}</Cd>"
        reference = f"<AcctSvcrRef>{self.reference}</AcctSvcrRef>" if self.reference else ""
        return (
            f'<Ntry><Amt Ccy="{self.currency}">{self.amount.removeprefix("-")}</Amt>'
            f"<CdtDbtInd>{side}</CdtDbtInd>"
            f"{'<RvslInd>true</RvslInd>' if self.reversal else ''}<Sts>{status}</Sts>"
            f"<BookgDt><Dt>{self.day}</Dt></BookgDt><ValDt><Dt>{self.day}</Dt></ValDt>{reference}"
            "<NtryDtls><TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"
            f"<RmtInf><Ustrd>{escape(self.text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
        )


def balance(kind: str, amount: str, day: str, currency: str = "USD") -> str:
    side = "DBIT" if amount.startswith("-") else "CRDT"
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{currency}">{amount.removeprefix("-")}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
        f"<Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def camt(  # noqa: PLR0913 - what banks differ in
    path: Path,
    entries: Iterable[Entry],
    *,
    balances: str = "",
    version: str = "08",
    account: str = "DE89370400440532013000",
    currency: str = "USD",
) -> Path:
    """One statement in a file."""
    body = "".join(entry.xml(version=version) for entry in entries)
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE.format(version)}">'
        "<BkToCstmrStmt><GrpHdr><MsgId>1</MsgId></GrpHdr><Stmt><Id>1</Id>"
        f"<Acct><Id><IBAN>{account}</IBAN></Id><Ccy>{currency}</Ccy></Acct>{balances}{body}</Stmt>"
        "</BkToCstmrStmt></Document>\n",
        encoding="utf-8",
    )
    return path
