"""From the client's messages to records of which every part can be read.

Every message goes through here before anybody looks at it. `Message.headers()` of confluent-kafka
(2.16) raises SystemError where a header's name is not UTF-8, and the list that it returns from then
on has empty slots in place of such names: to read one ends the process.
"""

from __future__ import annotations

import gc
from operator import methodcaller
from typing import Any, Final, cast

from worker.codecs.partial_record import PartialRecord
from worker.core.ports import Headers, Record

_UNREADABLE: Final = (SystemError, UnicodeDecodeError)
_NAME_AND_VALUE: Final = 2

_headers_of: Final = methodcaller("headers")
"""Not `message.headers()`: where Python has specialised that call, it does not look whether the
client left an error behind, which then ends whatever is called next."""


def readable(message: Any) -> Record:  # noqa: ANN401 - the client's Message; its stubs are partial
    """The message as a record; a partial one where a header's name cannot be read."""
    try:
        _headers_of(message)
    except _UNREADABLE:
        return PartialRecord(message, _headers_left(message))
    return cast("Record", message)


def _headers_left(message: Any) -> Headers:  # noqa: ANN401
    """The headers whose names could be read.

    What a tuple refers to is asked of the garbage collector, which passes empty slots over.
    """
    try:
        listed = _headers_of(message) or []
    except _UNREADABLE:
        return []
    return [pair for pair in listed if len(gc.get_referents(pair)) == _NAME_AND_VALUE]
