"""The servers of a run, and the faults that hit them from outside.

The invariant: a fault that did not strike raises, so that it never counts as one that did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proxy import Mode, Proxy
from tests.chaos.worker import SERVED
from tests.servers.kafka import KafkaBroker, KafkaUnavailable
from tests.servers.kafka_pair import KafkaPair
from tests.servers.served import PREFIX, served
from tests.servers.tigerbeetle import TigerBeetleServer, TigerBeetleUnavailable, tigerbeetle


@dataclass(slots=True)
class Servers:
    """What a run needs, shared by the runs of one campaign but for the ledger."""

    broker: KafkaBroker
    ledger: TigerBeetleServer
    proxy: Proxy
    real: bool

    @property
    def environment(self) -> dict[str, str]:
        """What the workers must be told of the ledger."""
        return {} if self.real else {SERVED: "1"}

    @property
    def ledger_name(self) -> str:
        """Where the auditor reads."""
        return self.ledger.address if self.real else PREFIX + self.ledger.address


@contextmanager
def servers(broker: KafkaBroker, folder: Path, *, real: bool | None = None) -> Iterator[Servers]:
    """A new ledger behind a proxy: TigerBeetle, or the embedded one where there is none.

    real: only that kind. Raises `Unavailable` where a real one is asked for and there is none.
    """
    with ExitStack() as stack:
        try:
            ledger = stack.enter_context(
                served(folder) if real is False else tigerbeetle(data_dir=folder)
            )
        except TigerBeetleUnavailable:
            if real:
                raise
            real = False
            ledger = stack.enter_context(served(folder))
        proxy = Proxy(ledger.address)
        proxy.open()
        stack.callback(proxy.close)
        yield Servers(broker, ledger, proxy, real is not False)


Fault = Callable[[Servers, str], None]


def _restart_ledger(servers: Servers, _: str) -> None:
    servers.ledger.restart()
    servers.proxy.upstream = servers.ledger.address
    servers.proxy.cut()


def _restart_broker(servers: Servers, _: str) -> None:
    servers.broker.kill()
    servers.broker.start()


def _pair(servers: Servers) -> KafkaPair:
    if not isinstance(servers.broker, KafkaPair):
        raise KafkaUnavailable("a coordinator moves between two brokers, and there is one")
    return servers.broker


def _set(mode: Mode) -> Fault:
    def change(servers: Servers, _: str) -> None:
        servers.proxy.mode = mode

    return change


ON_SERVERS: Mapping[str, Fault] = {
    "ledger_pause": lambda servers, _: servers.ledger.pause(),
    "ledger_restart": _restart_ledger,
    "ledger_hole": _set("hole"),
    "ledger_deaf": _set("deaf"),
    "ledger_cut": lambda servers, _: servers.proxy.cut(),
    "broker_restart": _restart_broker,
    "coordinator_moved": lambda servers, group: _pair(servers).move_coordinators(group),
    "coordinator_killed": lambda servers, group: _pair(servers).kill_coordinator(group),
}
"""What each does to the servers of a run, and of its group."""

HEALS: Mapping[str, Callable[[Servers], None]] = {
    "ledger_pause": lambda servers: servers.ledger.resume(),
    "ledger_hole": lambda servers: servers.proxy.heal(),
    "ledger_deaf": lambda servers: servers.proxy.heal(),
    "coordinator_killed": lambda servers: servers.broker.start(),
}
