"""`envelope:` of a topic: how its producer wraps events."""

from __future__ import annotations

from typing import Final, cast

from worker.core.topic_rule import PLAIN, PRESETS, Envelope, Preset
from worker.rulebooks.fields import YamlMapping, near
from worker.rulebooks.yaml_source import Block

ENVELOPE_KEYS: Final = ("path", "text")


def read_envelope(topic: YamlMapping) -> Envelope:
    """The preset or path; none where the key is missing."""
    node = topic.node("envelope")
    if node is None:
        return PLAIN
    if not isinstance(node, Block):
        return _preset(topic)
    what = f"{topic.what}: envelope"
    fields = topic.inner(node, what, known=ENVELOPE_KEYS, line=topic.line("envelope"))
    path = tuple(fields.text("path").split(".")) if fields.require("path") else ()
    if not all(path):
        fields.wrong("path", "`path` is the names to the event with dots between: message.event")
    return Envelope("", path, text=fields.flag("text"))


def _preset(topic: YamlMapping) -> Envelope:
    name = topic.text("envelope")
    if name and name not in PRESETS:
        listed = ", ".join(PRESETS)
        message = f"`envelope` must be one of {listed}, or {{path: …}}{near(name, PRESETS)}"
        topic.wrong("envelope", message)
    return Envelope(cast("Preset", name)) if name in PRESETS else PLAIN
