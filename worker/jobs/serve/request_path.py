"""What a request asks for: its target, taken apart with care, because a key may hold any character.

The invariant: a segment is decoded after the path was split, so that `%2F` is part of a key and
`/` is not. Pure. Imports the standard library and this package only.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from worker.jobs.serve.answers import RequestRefused

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
QUERY_FIELDS_MAX: Final = 16


class RequestTarget(NamedTuple):
    """A request's target, still encoded."""

    path: str
    query: str


def target(uri: str) -> RequestTarget:
    """uri: as it stands in the request line; some clients put scheme and host before the path."""
    path, _, query = uri.partition("?")
    if not path.startswith("/"):
        _, scheme, rest = path.partition("://")
        path = "/" + rest.partition("/")[2] if scheme else path
    return RequestTarget(path, query)


def decoded(segment: str) -> str:
    """One segment of a path.

    segment: its bytes as Latin-1, as WSGI has them.

    Raises:
        Refused: it is not percent-encoded UTF-8.
    """
    if _BAD_ESCAPE.search(segment):
        raise RequestRefused(
            "bad_path", "a % in the path is not followed by two hex digits; it is %25"
        )
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise RequestRefused(
            "bad_path", "the path is not UTF-8 where it is percent-encoded"
        ) from None


def asked_currency(query: str) -> str:
    """The one thing that a query may say.

    Raises:
        Refused: it says nothing, something else, or more.
    """
    try:
        fields = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except ValueError:
        fields = []
    if len(fields) == 1 and fields[0][0] == "currency" and fields[0][1]:
        return fields[0][1]
    raise RequestRefused(
        "bad_query", "the query must be ?currency= and one currency, as in ?currency=usd"
    )
