"""Types of events that this group posted lately and that its rulebook no longer answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import structlog

from worker.codecs.headers import headers_of
from worker.codecs.outbox_reader import announced_fields
from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.matching import matches
from worker.core.ports import Record
from worker.core.rulebook import Rulebook
from worker.jobs.live.encoders import ce_source
from worker.kafka.topic_reader import OffsetRange, TopicReader

TAIL_RECORDS: Final = 500
"""How many of the newest announcements are read in each partition of the outbox."""

_log = structlog.get_logger(__name__)


def require_posted_types(
    settings: Settings, reader: TopicReader, rulebook: Rulebook, *, accept_smaller: bool
) -> None:
    """Refuse to start when types of events that were posted until now would be dead letters.

    accept_smaller: say it in the log, and go on.

    Raises:
        UsageError: with one sentence that names the types.
    """
    unanswered = unanswered_types(settings, reader, rulebook)
    if not unanswered:
        return
    if accept_smaller:
        _log.warning("rulebook_smaller", types=unanswered)
        return
    raise UsageError(
        f"the rulebook {settings.rulebook} books no {', '.join(unanswered)}, of which the group"
        f" {settings.kafka.group_id} has posted events: put the rules back, or start once with"
        " --accept-smaller"
    )


def unanswered_types(settings: Settings, reader: TopicReader, rulebook: Rulebook) -> list[str]:
    """Types among the newest announcements of this group that no transaction answers, sorted.

    Empty, with a warning in the log, where the outbox may not be read.
    """
    try:
        own = _own_tail(settings, reader)
        posted = {str(announced_fields(record)["event_type"]) for record in own}
    except DependencyUnavailable as error:
        _log.warning("outbox_not_read", error=str(error))
        return []
    answered = [each.on for each in rulebook.transactions]
    return sorted(kind for kind in posted if not any(matches(kind, on) for on in answered))


def _own_tail(settings: Settings, reader: TopicReader) -> Iterator[Record]:
    """The newest announcements that this group wrote; others may write to the topic too."""
    own = ("ce_source", ce_source(settings).encode())
    tails = {
        partition: OffsetRange(max(whole.start, whole.end - TAIL_RECORDS), whole.end)
        for partition, whole in reader.whole([settings.topics.outbox]).items()
    }
    return (record for record in reader.read(tails) if own in headers_of(record))
