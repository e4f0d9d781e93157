"""The history of a Stripe account from its lists, as events of the same facts, in order of time.

The invariant: everything of the seconds up to the checkpoint is on the topics, because a
transaction ends with a second and holds the checkpoint. So a run that was killed goes on after it,
and writes nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from itertools import takewhile
from typing import Any, Final, Protocol

import structlog

from worker.core.errors import Aborted, DependencyUnavailable, Unsettled
from worker.core.ports import Announcement
from worker.jobs.feed.facts import SETTLED, StripeObject, list_events
from worker.jobs.feed.feed_topics import FeedTopics, checkpoint_record, event_record
from worker.jobs.feed.settlements import Lists
from worker.jobs.feed.slices import in_order

HISTORY: Final = (
    "charges",
    "refunds",
    "disputes",
    "payouts",
    "transfers",
    "application_fees",
    "topups",
    "balance_transactions",
)
"""Every list, in the order of what happens in one second."""

PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "transfer": ("transfers", "reversals"),
    "application_fee": ("application_fees", "refunds"),
}
"""Objects that hold the newest parts of a list, where the list is, and its name."""

TRANSACTION_EVENTS: Final = 2_000
TRIES_MAX: Final = 5

_log = structlog.get_logger(__name__)


class History(Lists, Protocol):
    """Stripe's lists, and the lists inside of objects."""

    def rest_of(self, path: str, known: list[StripeObject]) -> list[StripeObject]:
        """A list inside an object, to its end."""
        ...


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What is read and where it goes.

    payments, settlements, checkpoints: topics.
    name: of the checkpoint.
    start, end: whole seconds since 1970, end excluded.
    overlap: seconds before the end that the next run reads again, because Stripe shows some late.
    parallel: slices of one list that are read at once.
    """

    payments: str
    settlements: str
    checkpoints: str
    name: str
    start: int
    end: int
    overlap: int
    parallel: int


@dataclass(slots=True)
class Backfill:
    """One run. step: called after each transaction with its last second. written: by type."""

    plan: BackfillPlan
    lists: History
    topics: FeedTopics
    executor: Executor
    step: Callable[[int], None] = lambda _: None
    written: Counter[str] = field(default_factory=Counter)

    def resumes_at(self) -> int:
        """The first second that is not on the topics yet."""
        found = self.topics.checkpoints().get(self.plan.name, {})
        return max(int(found.get("through", -1)) + 1, self.plan.start)

    def run(self) -> None:
        """Read and write to the end.

        Raises:
            DependencyUnavailable: Kafka takes no transaction, or Stripe gives no page.
        """
        tries = 0
        began = self.resumes_at()
        while True:
            try:
                self._run_from(began)
            except (Aborted, Unsettled) as failed:
                resumes = self.resumes_at()
                tries = 0 if resumes > began else tries + 1
                began = resumes
                _log.warning("written_or_not", error=str(failed))
                if tries >= TRIES_MAX:
                    raise DependencyUnavailable(
                        f"Kafka aborted the transaction {tries} times; the same command goes on"
                        " where this one stopped"
                    ) from None
            else:
                return

    def _run_from(self, began: int) -> None:
        bodies: list[Mapping[str, Any]] = []
        second = began
        for about in self._objects(began):
            created = int(about["created"])
            if created > second and len(bodies) >= TRANSACTION_EVENTS:
                self._write(bodies, second)
                bodies = []
            second = created
            bodies += list_events(self._whole(about), self.lists.origin)
        self._write(bodies, self.plan.end - 1)

    def _objects(self, began: int) -> Iterator[StripeObject]:
        """All lists as one, by the second in which each object was created."""
        return merge(*(self._list(name, began) for name in HISTORY), key=_created)

    def _list(self, name: str, began: int) -> Iterator[StripeObject]:
        newest = self.lists.newest(name, began)
        if newest is None:
            return iter(())
        slices = in_order(
            partial(self.lists.read, name),
            began,
            min(newest, self.plan.end - 1),
            executor=self.executor,
            parallel=self.plan.parallel,
        )
        objects = (about for objects in slices for about in objects)
        return takewhile(lambda about: _created(about) < self.plan.end, objects)

    def _whole(self, about: StripeObject) -> StripeObject:
        """With the parts that did not fit into the object."""
        path, name = PARTS.get(about["object"], ("", ""))
        inner = about.get(name) or {}
        if not inner.get("has_more"):
            return about
        parts = self.lists.rest_of(f"{path}/{about['id']}/{name}", list(inner["data"]))
        return {**about, name: {"object": "list", "data": parts, "has_more": False}}

    def _write(self, bodies: list[Mapping[str, Any]], second: int) -> None:
        plan = self.plan
        through = min(second, plan.end - 1 - plan.overlap)
        records = [event_record(self._topic(body), body) for body in bodies]
        self.topics.write([*records, *self._checkpoint(through)])
        self.written.update(str(body["type"]) for body in bodies)
        self.step(second)

    def _topic(self, body: Mapping[str, Any]) -> str:
        return self.plan.settlements if body["type"] == SETTLED else self.plan.payments

    def _checkpoint(self, through: int) -> Iterator[Announcement]:
        if through >= self.plan.start:
            yield checkpoint_record(self.plan.checkpoints, self.plan.name, {"through": through})


def _created(about: StripeObject) -> int:
    return int(about["created"])
