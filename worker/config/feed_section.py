"""The settings of `feed`: where it listens for Stripe, and how it reads Stripe's lists."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from worker.config.values import Section, Text, secrets


class FeedSettings(Section):
    """Where `feed webhooks` listens, and how `feed settlements` and `backfill` read."""

    host: Text = "127.0.0.1"
    """The address that `feed webhooks` listens on; anything but loopback needs
    `feed.webhook_secrets`. TLS ends in front of it."""

    port: int = Field(default=9466, ge=0, le=65_535)
    """The port of `feed webhooks`; `0` takes a free one and logs it."""

    path: str = Field(default="/stripe", pattern="^/[A-Za-z0-9/._~-]*$")
    """The path that Stripe posts to; every other is 404."""

    webhook_secrets: Annotated[tuple[str, ...], BeforeValidator(secrets)] = Field(
        default=(), repr=False, max_length=16, json_schema_extra={"shown": "empty"}
    )
    """The endpoints' signing secrets (`whsec_…`), commas between; several while one is rolled. Keep
    them in a file that `LEDGER_WORKER_FEED__WEBHOOK_SECRETS_FILE` names, one on a line."""

    tolerance_seconds: float = Field(default=300, gt=0, le=86_400, allow_inf_nan=False)
    """How old a signature may be, in seconds."""

    body_bytes_max: int = Field(default=1_000_000, ge=1024, le=1 << 24)
    """The largest event that is taken; the payments topic must take such a record too."""

    deadline_seconds: float = Field(default=8, ge=1, le=60, allow_inf_nan=False)
    """Seconds without Kafka's acknowledgement after which Stripe is told to come again (503)."""

    leave_out_ignored: bool = False
    """Whether events that the rulebook ignores are left out of the topic. A later rulebook may book
    them; but what is not kept holds no personal data."""

    api_key: str = Field(default="", repr=False)
    """A restricted key of Stripe's that may read (`rk_live_…`), for `feed settlements` and
    `feed backfill`: keep it in a file that `LEDGER_WORKER_FEED__API_KEY_FILE` names."""

    api_base: str = Field(default="", pattern="^(https?://[^/?#]+/?)?$")
    """Stripe's address; empty: its own. For test servers."""

    api_version: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2}(\.[a-z]+)?)?$")
    """The version of Stripe's API that is read; empty: that of its installed package."""

    account: str = ""
    """A connected account whose balance is read, instead of the key's own; its events name it, so
    `events.account` must be the same where they are posted."""

    group_id: str = Field(default="", json_schema_extra={"shown": "`<kafka.group_id>-feed`"})
    """The group in which one `feed settlements` reads and the others stand by; also the beginning
    of the transactional ids."""

    poll_seconds: float = Field(default=60, gt=0, le=86_400, allow_inf_nan=False)
    """Seconds between two looks at Stripe's balance transactions."""

    overlap_hours: float = Field(default=6, ge=0.5, le=720, allow_inf_nan=False)
    """How far each look goes back behind the newest that was read, because Stripe shows some late;
    a page of 100 takes one request."""

    heal_after_seconds: float = Field(default=60, ge=0, le=900, allow_inf_nan=False)
    """How long a webhook may lag behind its balance transaction before its event is written from
    that."""

    outcome_seconds: float = Field(default=600, gt=0, le=86_400, allow_inf_nan=False)
    """Seconds between two looks at what payouts and disputes came to."""

    parallel: int = Field(default=4, ge=1, le=32)
    """Requests to Stripe at once; Stripe allows a live key 100 reads a second."""
