"""What `doctor` finds of the feed: rights, mode, and endpoints that tell too little."""

from __future__ import annotations

import pytest

from tests.servers.stripe import KEY, StripeAccount, StripeServer, stripe_server
from worker.config.feed_section import FeedSettings
from worker.config.sections import EventSettings
from worker.config.settings import Settings
from worker.jobs.feed.checks import feed_findings
from worker.observe.findings import Finding


def found(server: StripeServer, *, livemode: str = "any") -> dict[str, Finding]:
    settings = Settings(
        feed=FeedSettings(api_key=KEY, api_base=server.url),
        events=EventSettings.model_validate({"livemode": livemode}),
    )
    return {one.name: one for one in feed_findings(settings)}


def test_all_is_well() -> None:
    """The key may read every list, and its endpoints are new enough."""
    with stripe_server(StripeAccount()) as server:
        server.endpoints = [
            {"id": "we_1", "status": "enabled", "api_version": "2025-09-30.clover"},
            {"id": "we_2", "status": "disabled", "api_version": "2020-08-27"},
            {"id": "we_3", "status": "enabled", "api_version": None},
        ]
        checks = found(server)
        assert all(one.ok for one in checks.values()), checks
        assert checks["stripe endpoints"].detail == "2 enabled"
        assert KEY not in str(checks)


def test_what_is_wrong() -> None:
    """Each with the name of the right, the endpoint or the setting; exit code 2."""
    with stripe_server(StripeAccount()) as server:
        server.forbidden = {"payouts", "disputes"}
        server.endpoints = [{"id": "we_1", "status": "enabled", "api_version": "2023-10-16"}]
        checks = found(server, livemode="true")
        wrong = {name for name, one in checks.items() if not one.ok}
        assert wrong == {"stripe key", "stripe rights", "stripe endpoints"}
        assert "Read on Payouts" in checks["stripe rights"].detail
        assert "we_1" in checks["stripe endpoints"].detail
        assert {one.exit_code for one in checks.values() if not one.ok} == {2}


def test_endpoints_may_be_none_of_its_business() -> None:
    """The right to list endpoints is not needed to feed: its lack is advice."""
    with stripe_server(StripeAccount()) as server:
        server.forbidden = {"webhook_endpoints"}
        check = found(server)["stripe endpoints"]
        assert check.ok
        assert "Webhook Endpoints" in check.advice


def test_what_no_endpoint_gets() -> None:
    """Advice: types that are booked and that Stripe sends to no endpoint."""
    with stripe_server(StripeAccount()) as server:
        some = ["charge.succeeded", "charge.captured", "customer.created"]
        server.endpoints = [
            {"id": "we_1", "status": "enabled", "enabled_events": some},
            {"id": "we_2", "status": "enabled", "enabled_events": ["payout.paid"]},
            {"id": "we_3", "status": "disabled", "enabled_events": ["*"]},
        ]
        check = found(server)["stripe events"]
        never = set(check.detail.removeprefix("no endpoint gets ").split(", "))
        assert {"refund.created", "charge.dispute.closed", "payout.failed"} <= never
        assert not never & {*some, "payout.paid", "balance_transaction.created", "wallet.p2p"}
        assert check.ok
        assert check.advice
        server.endpoints[1]["enabled_events"] = ["*"]
        assert "stripe events" not in found(server)


def test_a_key_that_may_do_everything() -> None:
    """Advice: it works, and is more than the feed needs."""
    with stripe_server(StripeAccount()) as server:
        settings = Settings(feed=FeedSettings(api_key="sk_live_1", api_base=server.url))
        server.revoked = True  # whoever it belongs to
        key = feed_findings(settings)[0]
        assert "restricted key" in key.advice
        assert "sk_live" not in str(key)


@pytest.mark.parametrize("fault", ["503", "gone"])
def test_an_outage_is_no_wrong_right(fault: str) -> None:
    """Exit code 3: nothing is wrong with the configuration."""
    with stripe_server(StripeAccount()) as server:
        server.faults.extend([fault] * 20)
        checks = found(server)
        assert (checks["stripe"].ok, checks["stripe"].exit_code) == (False, 3)
