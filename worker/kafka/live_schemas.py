"""Schemas for the worker: they are fetched from the registry beside the loop, which never waits.

A record whose schema is not here yet makes its partition wait, and no other. A registry that is
away is asked again every second for as long as it takes. An id that the registry does not know may
be registered a moment later, so its record waits too, for UNKNOWN_SECONDS_MAX at most: then it, and
what comes close behind it, is dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from worker.codecs.avro import BodyReader
from worker.codecs.decode import SchemaId, SchemaPending
from worker.kafka.registry import ASK_AGAIN_SECONDS, Registry, RegistryAway

UNKNOWN_SECONDS_MAX: Final = 30.0
"""How long records wait for ids that the registry does not know."""

QUIET_SECONDS: Final = 60.0
"""Without any unknown id for so long, the next one is waited for anew. So a stream of invented ids
costs the wait once, and not once for each."""

FIRST_ANSWER_SECONDS: Final = 0.2
"""How long the loop gives a first request: a registry nearby answers within milliseconds."""

REQUESTS_MAX: Final = 1000
"""How many answers are remembered: ids can be invented."""

LOG_EVERY_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class LiveSchemas:
    """Readers by schema id.

    registry: is asked from a thread. now: seconds of a clock that never goes back.
    """

    def __init__(self, registry: Registry, *, now: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._now = now
        self._lock = threading.Lock()
        self._requests: dict[SchemaId, _Request] = {}
        self._away_since = 0.0
        self._unknown_since = 0.0
        self._unknown_at = 0.0
        self._logged_at = 0.0

    def reader(self, schema_id: SchemaId) -> BodyReader | None:
        """Reads what was written under this id; None when nobody knows it, after a while.

        Raises:
            SchemaPending: it is not known yet.
        """
        request = self._requests.get(schema_id)
        if request is None:
            request = self._begin(schema_id)
            request.done.wait(FIRST_ANSWER_SECONDS)
        elif request.failed and self._now() - request.asked_at >= ASK_AGAIN_SECONDS:
            request = self._begin(schema_id)
        if not request.done.is_set() or request.away:
            raise SchemaPending
        if request.reader is None and self._may_come():
            raise SchemaPending
        if request.reader is not None:
            del self._requests[schema_id]  # the decoder keeps it
        return request.reader

    @property
    def waiting_seconds(self) -> float:
        """How long the registry has given no answer; 0.0 while it does, or nothing is asked."""
        since = self._away_since
        return self._now() - since if since else 0.0

    def _may_come(self) -> bool:
        """Is an unknown id still waited for?"""
        now = self._now()
        if not self._unknown_since or now - self._unknown_at > QUIET_SECONDS:
            self._unknown_since = now
        self._unknown_at = now
        return now - self._unknown_since < UNKNOWN_SECONDS_MAX

    def _begin(self, schema_id: SchemaId) -> _Request:
        if len(self._requests) >= REQUESTS_MAX:
            self._requests = {
                number: each for number, each in self._requests.items() if not each.done.is_set()
            }
        request = self._requests[schema_id] = _Request(self._now())
        threading.Thread(
            target=self._fetch, args=(schema_id, request), name="schemas", daemon=True
        ).start()
        return request

    def _fetch(self, schema_id: SchemaId, request: _Request) -> None:
        """One request, in a thread of its own."""
        try:
            request.reader = self._registry.reader_now(schema_id)
        except RegistryAway as away:
            request.away = str(away)
        with self._lock:
            if not request.away:
                self._away_since = 0.0
            elif not self._away_since:
                self._away_since = self._now()
            self._log(schema_id, request)
        request.asked_at = self._now()
        request.done.set()

    def _log(self, schema_id: SchemaId, request: _Request) -> None:
        if request.reader is None and self._now() - self._logged_at >= LOG_EVERY_SECONDS:
            self._logged_at = self._now()
            why = request.away or "does not know the id"
            _log.warning("schema_registry_waiting", schema_id=schema_id, why=why)


class _Request:
    """One request for a schema, and its answer.

    asked_at: when it began or, once done, when it was answered.
    away: why it was not answered as a registry does; empty when it was.
    """

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.done = threading.Event()
        self.reader: BodyReader | None = None
        self.away = ""

    @property
    def failed(self) -> bool:
        """Is there an answer, and no schema in it?"""
        return self.done.is_set() and self.reader is None
