"""Opens the ledger that a configuration names, and imports TigerBeetle's client only for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from worker.config.sections import EMBEDDED, LedgerSettings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.optional import optional_packages
from worker.core.ports import Ledger
from worker.core.visible import without_credentials
from worker.ledger.io_uring import io_uring_refusal

PORT_MAX: Final = 65535


def open_ledger(
    *,
    addresses: str,
    cluster_id: int,
    deadline_seconds: float | None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Ledger:
    """The ledger at `addresses`: `embedded`, `embedded:FILE`, or host:port separated by commas.

    cluster_id: of a TigerBeetle cluster.
    deadline_seconds: how long one of its requests may take; None waits until `close()`.
    now_ns: the clock of an embedded ledger.

    A TigerBeetle server is first contacted by the first request.

    Raises `UsageError` for addresses that are wrong or do not resolve, for a client that is not
    installed, and for a file that is no embedded ledger, damaged, or open elsewhere;
    `DependencyUnavailable` where the TigerBeetle client cannot have io_uring.
    """
    kind, _, file = addresses.strip().partition(":")
    if kind == EMBEDDED:
        from worker.ledger.embedded import EmbeddedLedger  # noqa: PLC0415 - only when needed

        return EmbeddedLedger(path=Path(file) if file else None, now_ns=now_ns)
    resolved = ",".join(resolve(address) for address in addresses.split(","))
    with optional_packages("a TigerBeetle ledger", extra="tigerbeetle"):
        from worker.ledger.tigerbeetle import TigerBeetleLedger  # noqa: PLC0415 - only when needed
    why, mend = io_uring_refusal()
    if why:
        raise DependencyUnavailable(f"the TigerBeetle client needs io_uring, and {why}: {mend}")
    return TigerBeetleLedger(
        addresses=resolved, cluster_id=cluster_id, deadline_seconds=deadline_seconds
    )


def open_configured_ledger(settings: LedgerSettings, deadline_seconds: float | None) -> Ledger:
    """The ledger that the settings name; see `open_ledger`."""
    return open_ledger(
        addresses=settings.addresses,
        cluster_id=settings.cluster_id,
        deadline_seconds=deadline_seconds,
    )


@contextmanager
def opened_ledger(settings: LedgerSettings) -> Iterator[Ledger]:
    """The same with the deadline that the settings give a command, closed at the end."""
    with closing(open_configured_ledger(settings, settings.deadline_seconds)) as ledger:
        yield ledger


def resolve(address: str) -> str:
    """One replica's address as the client takes it: an IP and a port, IPv6 in brackets.

    A bare port means this machine, as it does for the TigerBeetle client.
    """
    host, port = _parts(address.strip())
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        shown = without_credentials(host)
        raise UsageError(f"the ledger's address {shown!r} does not resolve") from error
    # IPv4 first: what a cluster listens on is configured by IP, and mostly that.
    first = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    ip = ip_address(str(first[4][0]).partition("%")[0])
    return _written(ip, port)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= PORT_MAX):
        raise UsageError(
            f"the ledger's address {without_credentials(address)!r} is not host:port, nor"
            " `embedded` or `embedded:FILE`"
        )
    return host, int(port)


def _written(ip: IPv4Address | IPv6Address, port: int) -> str:
    return f"{ip}:{port}" if isinstance(ip, IPv4Address) else f"[{ip}]:{port}"
