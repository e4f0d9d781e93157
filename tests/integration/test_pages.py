"""The pages on real servers, by HTTP and in a real browser where one is installed."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.cluster import Cluster, Process
from tests.integration.every_outcome import event, traffic
from tests.integration.test_runbooks import charges
from tests.servers.chromium import Chromium, ChromiumUnavailable, chromium
from tests.servers.kafka import KafkaBroker
from tests.servers.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

TOKEN = "0123456789abcdef" * 2
HOSTILE = "</bdi><script>document.title='run'</script>\"'\x1b[2J\u202e"


@pytest.fixture
def address(kafka: KafkaBroker, ledger: str, tmp_path: Path) -> Iterator[str]:
    """Where `serve` answers, after a run with every outcome; it asks for a token."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    traffic(cluster)
    unsettled = json.loads(json.dumps(charges(2, 1)[0]).replace("ch_2", "ch_open"))
    cluster.produce("pay", [event(HOSTILE, HOSTILE, id=HOSTILE), unsettled])
    cluster.drain("g")
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    process = cluster.start(
        "g", "serve", LEDGER_WORKER_SERVE__PORT="0", LEDGER_WORKER_SERVE__TOKENS_FILE=str(tokens)
    )
    try:
        yield f"http://127.0.0.1:{port_of(process)}"
    finally:
        process.terminate()
        process.communicate()


def port_of(process: Process) -> int:
    """The port that the process says it listens on."""

    def said() -> int:
        assert process.poll() is None, process.said()
        lines = [json.loads(line) for line in process.said().splitlines() if b'"serving"' in line]
        return int(lines[0]["port"]) if lines else 0

    return until(said)


def test_pages_by_http(address: str) -> None:
    """The trace, the account and the status of a real run."""

    def shown(path: str) -> str:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(address + path, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return str(answer.read().decode())

    assert "evt_1 was posted by charge: 1 transfer at" in shown("/trace?id=evt_1")
    assert "994.99 too little" in shown("/trace?id=cmd_poor")
    assert "refund after charge is not in the ledger" in shown("/trace?id=re_1")
    hostile = shown(f"/trace?id={quote(HOSTILE)}")
    assert "is a dead letter: no_rule" in hostile
    assert "<script" not in hostile
    assert "\u202e" not in hostile
    assert "exceeds_credits" in shown("/status")
    assert "ch_open" in shown("/open")
    assert "ch_1<" not in shown("/open")  # its settlement is there
    late = shown("/open?since=2100-01-01")
    assert "ch_open" not in late
    assert "10.02" in late  # what the account holds, and no item explains
    assert "5.01" in shown("/account?name=customer_wallet&key=cus_1")


@pytest.fixture
def browser() -> Iterator[Chromium]:
    try:
        with chromium() as opened:
            yield opened
    except ChromiumUnavailable as missing:
        pytest.skip(str(missing))


def test_pages_in_a_browser(address: str, browser: Chromium, tmp_path: Path) -> None:
    """Log in by keyboard, search, follow a link, on a desk and a phone; nothing hostile runs."""
    pictures = Path(os.environ.get("PAGES_PICTURES", tmp_path))
    browser.go(f"{address}/trace?id=evt_1")
    assert browser.run("location.pathname") == "/login"
    browser.type(TOKEN)  # the field has the focus
    browser.press_enter()
    assert browser.run("location.pathname + location.search") == "/trace?id=evt_1"
    assert browser.run("document.cookie") == ""  # scripts cannot read it
    assert "evt_1 was posted" in browser.run("document.querySelector('.sentence').textContent")
    browser.submit("document.querySelector('article td a[href*=wallet]').click()")
    assert browser.run("document.querySelector('h1').textContent") == "customer_wallet[cus_1]"
    browser.go(f"{address}/")
    browser.type(HOSTILE)
    browser.press_enter()
    assert "dead letter" in browser.run("document.querySelector('.sentence').textContent")
    assert browser.run("document.title") != "run"
    assert not [said for said in browser.said if "favicon" not in said]
    pages = {"trace": "/trace?id=evt_1", "account": "/account?name=stripe_unsettled"}
    pages |= {"search": "/", "accounts": "/accounts", "open": "/open", "status": "/status"}
    for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
        browser.size(width, 844, "dark" if scheme == "dark" else "light")
        for name, path in pages.items():
            browser.go(address + path)
            assert browser.run("document.documentElement.scrollWidth") <= width, (name, width)
            assert browser.run("getComputedStyle(document.body).margin") == "0px"  # our style
            picture = pictures / f"{name}-{width}-{scheme}.png"
            browser.picture(picture)
            assert picture.stat().st_size
    browser.submit("document.querySelector('.leave button').click()")
    assert browser.run("location.pathname") == "/login"
    browser.go(f"{address}/status")
    assert browser.run("location.pathname") == "/login"
