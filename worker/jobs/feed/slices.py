"""A list of Stripe's from old to new, in slices of time that are each read whole.

Stripe lists the newest first, and a page begins after an object, so what comes in while pages are
read shifts none of them. A slice is `created` from one second up to another; several are read at
once and given in their order. The last slice has no end, so that our clock decides nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Final, NamedTuple, Protocol

StripeObject = Mapping[str, Any]

PAGES_MAX: Final = 20
"""Pages of one slice: what is held in memory, and written in one transaction."""

FIRST_SECONDS: Final = 3_600
GROW: Final = 2
"""The next slice is so much wider where one held few."""

FEW: Final = 1_000
PARTS_MAX: Final = 8
"""Slices that one with too much in it becomes."""

WAIT_SECONDS: Final = 0.5


class Pages(NamedTuple):
    """Objects of a slice, newest first. whole: there are no more in it."""

    objects: Sequence[StripeObject]
    whole: bool


class ReadSlice(Protocol):
    """Reads a list."""

    def __call__(self, since: int, until: int | None, pages_max: int | None) -> Pages:
        """What was created in these seconds; until: excluded, None for no end.

        pages_max: None reads however many there are.
        """
        ...


class _Slice(NamedTuple):
    since: int
    until: int | None
    pages: Future[Pages]


def in_order(  # noqa: PLR0913 - the range, and how it is read
    read: ReadSlice,
    since: int,
    newest: int,
    *,
    executor: Executor,
    parallel: int,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[list[StripeObject]]:
    """The objects of each slice from `since` on, oldest first; slices in order of time.

    newest: about when the newest object was created; the slice that reaches it has no end.
    parallel: slices that are read at once. waiting: called while none is there yet.
    """
    width = FIRST_SECONDS
    at = since
    ended = False
    slices: deque[_Slice] = deque()

    def submitted(start: int, until: int | None) -> _Slice:
        alone = until is not None and until - start <= 1  # a second cannot be divided
        return _Slice(
            start, until, executor.submit(read, start, until, None if alone else PAGES_MAX)
        )

    try:
        while slices or not ended:
            while not ended and len(slices) < parallel:
                ended = at + width > newest
                slices.append(submitted(at, None if ended else at + width))
                at += width
            first = slices.popleft()
            pages = _result(first.pages, waiting)
            if pages.whole:
                if len(pages.objects) < FEW:
                    width *= GROW
                yield list(reversed(pages.objects))
                continue
            width = _covered(pages)
            slices.extendleft(reversed([submitted(*part) for part in _divided(first, pages)]))
    finally:
        for left in slices:
            left.pages.cancel()


def _covered(pages: Pages) -> int:
    """How many seconds the pages of a slice cover, which are its newest."""
    return int(pages.objects[0]["created"]) - int(pages.objects[-1]["created"]) + 1


def _divided(whole: _Slice, pages: Pages) -> Iterator[tuple[int, int | None]]:
    """Several slices in place of one that holds too much, oldest first.

    Each as wide as what was read, so that it holds about as much, and the oldest takes the rest.
    What was read is dropped: it is the newest, and its oldest second may not be complete.
    """
    width = _covered(pages)
    end = whole.until if whole.until is not None else int(pages.objects[0]["created"]) + 1
    width = min(width, max(1, (end - whole.since) // 2))
    parts = min(PARTS_MAX, (end - whole.since) // width)
    starts = [whole.since, *(end - width * number for number in range(parts - 1, 0, -1))]
    yield from zip(starts, [*starts[1:], whole.until], strict=True)


def _result(pages: Future[Pages], waiting: Callable[[], None]) -> Pages:
    while True:
        waiting()
        try:
            return pages.result(WAIT_SECONDS)
        except NotYet:
            continue
