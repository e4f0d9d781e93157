"""Sessions, log-in attempts and deadlines, by a clock that the test moves."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from worker.core.errors import BrokenInvariant
from worker.jobs.pages.attempts import ADDRESSES_MAX, FAILURES_MAX, WINDOW_SECONDS, LoginAttempts
from worker.jobs.pages.bounds import Deadline, ReadOnlyLedger, SilentProgress, TookTooLong
from worker.jobs.pages.render import grouped, link
from worker.jobs.pages.sessions import SESSION_SECONDS, Sessions
from worker.jobs.serve.tokens import Tokens
from worker.ledger.embedded import EmbeddedLedger

TOKEN = "0123456789abcdef" * 2


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    path = tmp_path / "tokens"
    path.write_text(f"other-0123456789abcdef\n{TOKEN}\n")
    return Tokens(path)


def test_a_session_is_known_until_it_is_over(tokens: Tokens) -> None:
    """On every server of the same tokens; no longer than its hours."""
    clock = Clock()
    here, there = Sessions(tokens, now=clock), Sessions(tokens, now=clock)
    cookie = here.begin(TOKEN)
    assert cookie is not None
    assert here.begin(f"{TOKEN}x") is None
    assert there.knows(cookie)
    clock.now += SESSION_SECONDS - 1
    assert there.knows(cookie)
    clock.now += 1
    assert not there.knows(cookie)


def test_a_session_cannot_be_made_or_made_longer(tokens: Tokens) -> None:
    """Every part of the cookie is signed, and no time beyond the longest is believed."""
    sessions = Sessions(tokens, now=Clock())
    cookie = sessions.begin(TOKEN)
    assert cookie is not None
    until, name, signature = cookie.split(".")
    assert sessions.knows(cookie)
    for forged in (
        f"{int(until) + 1}.{name}.{signature}",
        f"{until}.{'0' * 32}.{signature}",
        f"{until}.{name}.{'0' * 64}",
        f"{cookie}.",
        f"{until}.{name}",
        "",
        "9" * 4_000,
    ):
        assert not sessions.knows(forged)


def test_a_session_that_was_ended_is_over(tokens: Tokens) -> None:
    """Only that one, and what is no session ends nothing."""
    sessions = Sessions(tokens, now=Clock())
    first, second = sessions.begin(TOKEN), sessions.begin(TOKEN)
    assert first is not None
    assert second is not None
    sessions.end("nothing")
    sessions.end(first)
    assert not sessions.knows(first)
    assert sessions.knows(second)


def test_failures_are_counted_by_address() -> None:
    """After so many, the address waits until the first of them is long ago; others do not."""
    clock = Clock()
    attempts = LoginAttempts(clock)
    for _ in range(FAILURES_MAX):
        assert attempts.wait_seconds("192.0.2.1") == 0
        attempts.failed("192.0.2.1")
    assert attempts.wait_seconds("192.0.2.1") > 0
    assert attempts.wait_seconds("192.0.2.2") == 0
    clock.now += WINDOW_SECONDS + 1
    assert attempts.wait_seconds("192.0.2.1") == 0


def test_one_network_is_one_address() -> None:
    """Of IPv6, everybody has as many addresses as they like below their prefix."""
    attempts = LoginAttempts(Clock())
    for number in range(FAILURES_MAX):
        attempts.failed(f"2001:db8::{number}")
    assert attempts.wait_seconds("2001:db8::ffff") > 0
    assert attempts.wait_seconds("2001:db8:0:1::1") == 0


def test_addresses_are_forgotten() -> None:
    """Memory has a limit; who failed longest ago goes first."""
    attempts = LoginAttempts(Clock())
    for number in range(ADDRESSES_MAX + 1):
        for _ in range(FAILURES_MAX):
            attempts.failed(f"10.0.{number // 256}.{number % 256}")
    assert attempts.wait_seconds("10.0.0.0") == 0
    assert attempts.wait_seconds("10.0.0.1") > 0


def test_a_page_gives_up_in_time() -> None:
    """Reading topics and asking the ledger end with the deadline."""
    clock = Clock()
    deadline = Deadline(20, clock)
    ledger = ReadOnlyLedger(EmbeddedLedger(), deadline)
    assert ledger.lookup_accounts([1]) == []
    clock.now += 20
    assert ledger.lookup_transfers([1]) == []
    clock.now += 1
    with pytest.raises(TookTooLong, match="more than a page can in 20 s"):
        next(SilentProgress(deadline).over(count(), "records"))
    with pytest.raises(TookTooLong):
        ledger.lookup_accounts([1])


def test_a_page_cannot_post() -> None:
    """Whatever it reads with has no way to write."""
    ledger = ReadOnlyLedger(EmbeddedLedger(), Deadline(20))
    with pytest.raises(BrokenInvariant):
        ledger.create_transfers(bytes(128))
    with pytest.raises(BrokenInvariant):
        ledger.create_accounts(bytes(128))


def test_amounts_and_links() -> None:
    """A comma at each thousand, a true minus; what is empty is no part of a link."""
    assert [grouped(text) for text in ("-1234567.05", "999", "1000", "0.00")] == [
        "−1,234,567.05",
        "999",
        "1,000",
        "0.00",
    ]
    assert link("/trace", id="a&b=ü") == "/trace?id=a%26b%3D%C3%BC"
    assert link("/account", name="bank", key="") == "/account?name=bank"
    assert link("/trace", id="\ud800") == "/trace?id=%ED%A0%80"
